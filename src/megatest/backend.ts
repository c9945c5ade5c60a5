/** The one place that chooses the kernel interface of megatest. */

import { makeReactor, sendBuffersFor } from '../reactor/choose.js';
import type { Reactor, ReactorEvents, ReactorName } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';

/** What `--reactor` came down to in the parent. */
export type Backend = ReactorName;

export type OpenReactor = (capacity: number, events: ReactorEvents) => { reactor: Reactor; buffers: SendBuffers };

/** @throws Error EIOURING, where this process may not what its parent might */
export function reactorOpener(backend: Backend): OpenReactor {
  const buffers = sendBuffersFor(backend);
  return (capacity, events) => ({ reactor: makeReactor(backend, { capacity, events, buffers }), buffers });
}
