/** The reactors that call the kernel themselves, and what they need: loaded by choose.ts where system calls are to be had. */

import { mapNative, unmapNative } from '../linux/native-memory.js';
import { EpollReactor } from './epoll.js';
import { IoUringReactor } from './io-uring.js';
import type { Reactor, ReactorOptions } from './reactor.js';
import type { BufferMemory } from './send-buffers.js';

export { probeIoUring } from './io-uring-probe.js';

/** Addresses of it may be given to the kernel. */
export const NATIVE_MEMORY: BufferMemory = { native: true, map: mapNative, unmap: unmapNative };

export function makeNative(name: 'io-uring' | 'epoll', options: ReactorOptions): Reactor {
  return name === 'epoll' ? new EpollReactor(options) : new IoUringReactor(options);
}
