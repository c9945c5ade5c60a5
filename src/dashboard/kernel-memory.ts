/**
 * What the kernel has taken for the clients: how much its memory has grown since the server began, the whole machine's, since
 * /proc does not tell whose it is. Beside other busy programs, or with the clients on the same machine, it says too much.
 */

import { kernelBytes, readKernelMemory, readSocketCounts } from '../experiment/kernel-counters.js';

/** Null where the machine does not tell. */
function readKernelBytes(): number | null {
  try {
    return kernelBytes(readKernelMemory(), readSocketCounts('self'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return null;
    throw error;
  }
}

export class KernelMemoryGrowth {
  readonly #read: () => number | null;
  readonly #before: number | null;

  constructor(read: () => number | null = readKernelBytes) {
    this.#read = read;
    this.#before = read();
  }

  /** The growth, shared out; null where it cannot be told or is none. */
  bytesEach(connections: number): number | null {
    const now = this.#read();
    if (now === null || this.#before === null || now <= this.#before) return null;
    return (now - this.#before) / connections;
  }
}
