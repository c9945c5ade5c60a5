/** The one place that chooses the kernel interface of megatest. */

import { makeReactor } from '../reactor/choose.js';
import type { Reactor, ReactorEvents } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';

/** What `--reactor` came down to in the parent. */
export type Backend = 'io-uring' | 'epoll';

export type OpenReactor = (capacity: number, events: ReactorEvents, buffers: SendBuffers) => Reactor;

/** @throws Error ERR_IO_URING_UNAVAILABLE, where this process may not what its parent might */
export function reactorOpener(backend: Backend): OpenReactor {
  return (capacity, events, buffers) => makeReactor(backend, { capacity, events, buffers }, () => undefined);
}
