/** The one place that chooses the kernel interface of megatest. */

import { EpollReactor } from '../reactor/epoll.js';
import type { Reactor, ReactorEvents } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';

export type OpenReactor = (capacity: number, events: ReactorEvents, buffers: SendBuffers) => Reactor;

export const openReactor: OpenReactor = (capacity, events, buffers) => new EpollReactor({ capacity, events, buffers });
