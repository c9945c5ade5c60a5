/** Which reactor a process uses: the one that was asked for, or the best that this kernel allows. */

import { EpollReactor } from './epoll.js';
import { IoUringReactor } from './io-uring.js';
import { probeIoUring } from './io-uring-probe.js';
import type { Reactor, ReactorEvents } from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

export const REACTOR_CHOICES = ['auto', 'io-uring', 'epoll'] as const;
export type ReactorChoice = (typeof REACTOR_CHOICES)[number];

export interface ReactorOptions {
  capacity: number;
  events: ReactorEvents;
  buffers: SendBuffers;
}

/**
 * What a choice comes down to on this machine.
 *
 * @param log takes one line when `auto` has to do without io_uring
 * @throws Error with code ERR_IO_URING_UNAVAILABLE when io_uring was asked for and is not to be had
 */
export function decideReactor(
  choice: ReactorChoice,
  log: (line: string) => void,
  probe: () => string | null = probeIoUring,
): 'io-uring' | 'epoll' {
  if (choice === 'epoll') return choice;
  const reason = probe();
  if (reason === null) return 'io-uring';
  if (choice === 'auto') {
    log(`using epoll: ${reason}`);
    return 'epoll';
  }
  const cure = 'use --reactor epoll or auto';
  throw Object.assign(new Error(`${reason}; ${cure}`), { code: 'ERR_IO_URING_UNAVAILABLE' });
}

/** Makes a reactor; parameters and failures as for `decideReactor`. */
export function makeReactor(choice: ReactorChoice, options: ReactorOptions, log: (line: string) => void): Reactor {
  return decideReactor(choice, log) === 'epoll' ? new EpollReactor(options) : new IoUringReactor(options);
}
