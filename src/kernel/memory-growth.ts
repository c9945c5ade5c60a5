/**
 * What the kernel has taken for the clients, by how much its memory has grown since the server began. /proc does not tell whose
 * memory it is, so it is the whole machine's; with the clients on the same machine, both ends are in it.
 *
 * Where /proc/slabinfo may be read (by root), it is what sockets are made of: the caches of {@link SOCKET_CACHES}, and the
 * buffers of TCP. Elsewhere it is all that the kernel cannot give back, with those buffers, in which other programs of a busy
 * machine are seen too.
 */

import { readFileSync } from 'node:fs';
import { parseSlabBytes, readKernelMemory, readSocketCounts } from './counters.js';

/** A socket, its inode, its file, and its place in epoll; slabinfo(5). */
const SOCKET_CACHES = ['TCP', 'TCPv6', 'sock_inode_cache', 'filp', 'eventpoll_epi', 'eventpoll_pwq'];

/** Null where the machine does not tell. */
function readKernelBytes(): number | null {
  try {
    return readSlabBytes() + readSocketCounts('self').bufferBytes;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return null;
    throw error;
  }
}

function readSlabBytes(): number {
  let slabinfo: string;
  try {
    slabinfo = readFileSync('/proc/slabinfo', 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'EPERM') throw error;
    return readKernelMemory().slabUnreclaimableBytes;
  }
  return parseSlabBytes(slabinfo, SOCKET_CACHES);
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
