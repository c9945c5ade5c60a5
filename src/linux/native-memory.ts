/**
 * Memory outside the JavaScript heap, at an address that never moves, for system calls.
 *
 * It is mapped page-wise by mmap(2): zeroed, and counted as resident only where it was touched. Nothing frees it but
 * `unmapNative`, and a view that is used after that ends the process with a segmentation fault: whoever owns a mapping
 * keeps its views to himself or hands them out on loan.
 */

import koffi from 'koffi';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from './constants.js';
import { SystemError } from './errno.js';
import { lastErrno, mmap, munmap } from './libc.js';

export interface NativeMemory {
  readonly bytes: Uint8Array;
  /** Address of `bytes[0]`, a multiple of the page size. */
  readonly address: number;
}

/** @throws SystemError ENOMEM when the machine or the process's limit has no more. */
export function mapNative(byteLength: number): NativeMemory {
  const address = mmap(0, byteLength, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address === -1) {
    throw new SystemError('mmap', lastErrno(), `${byteLength} bytes of memory were asked for and are not to be had`);
  }
  return { bytes: new Uint8Array(koffi.view(address, byteLength)), address };
}

/** Gives the memory back to the kernel. No view of it may be used again. */
export function unmapNative(memory: NativeMemory): void {
  if (munmap(memory.address, memory.bytes.length) === -1) throw new SystemError('munmap', lastErrno());
}
