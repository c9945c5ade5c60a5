/** Which reactor a process uses: the one that was asked for, or the best that this machine allows. */

import { ffiProblem } from '../linux/ffi.js';
import { PortableReactor } from './portable.js';
import type { Reactor, ReactorName, ReactorOptions } from './reactor.js';
import { SendBuffers } from './send-buffers.js';

const native = ffiProblem === null ? await import('./native.js') : null;

export const REACTOR_CHOICES = ['auto', 'io-uring', 'epoll', 'portable'] as const;
export type ReactorChoice = (typeof REACTOR_CHOICES)[number];

/** User-space bytes of an idle connection of Node's `net`, at most: docs/adr/0009-portable.md says how they were measured. */
export const PORTABLE_CONNECTION_BYTES = 4_000;

/** What a process can do, each null, or why not. */
export interface Abilities {
  systemCalls: string | null;
  /** Asked only where there are system calls. */
  ioUring: () => string | null;
}

/** Why this process cannot use io_uring, as the end of a sentence; null where it can. */
export function ioUringProblem(): string | null {
  return native === null ? ffiProblem : native.probeIoUring();
}

const here: Abilities = { systemCalls: ffiProblem, ioUring: ioUringProblem };

/**
 * What a choice comes down to on this machine.
 *
 * @param log takes one line when `auto` has to do without io_uring, and whenever the portable reactor is used: what it costs
 * @throws Error with code EIOURING or EEPOLL when one was asked for and is not to be had
 */
export function decideReactor(choice: ReactorChoice, log: (line: string) => void, abilities = here): ReactorName {
  if (choice === 'portable') {
    log(portableLine('as it was asked to'));
    return choice;
  }
  const { systemCalls } = abilities;
  if (systemCalls !== null) {
    if (choice !== 'auto') throw unavailable(choice, systemCalls, 'portable or auto');
    log(portableLine(systemCalls));
    return 'portable';
  }
  if (choice === 'epoll') return choice;
  const reason = abilities.ioUring();
  if (reason === null) return 'io-uring';
  if (choice === 'io-uring') throw unavailable(choice, reason, 'epoll or auto');
  log(`using epoll: ${reason}`);
  return 'epoll';
}

function portableLine(reason: string): string {
  return (
    `using the portable reactor, the heavy one: 2,000 to ${PORTABLE_CONNECTION_BYTES.toLocaleString('en')} bytes for each idle ` +
    `connection, where epoll and io_uring take about 50, and workers end with their manager (${reason})`
  );
}

function unavailable(choice: 'io-uring' | 'epoll', reason: string, others: string): Error {
  const code = choice === 'epoll' ? 'EEPOLL' : 'EIOURING';
  return Object.assign(new Error(`${reason}; use --reactor ${others}`), { code });
}

/** Send buffers of the kind that a reactor can send. */
export function sendBuffersFor(name: ReactorName): SendBuffers {
  return name === 'portable' || native === null ? new SendBuffers() : new SendBuffers(native.NATIVE_MEMORY);
}

/**
 * Makes a reactor.
 *
 * @param name what `decideReactor` came to, perhaps in a parent process
 * @throws Error EIOURING or EEPOLL where this process may not what its parent might
 */
export function makeReactor(name: ReactorName, options: ReactorOptions): Reactor {
  if (name === 'portable') return new PortableReactor(options);
  decideReactor(name, () => undefined);
  return native!.makeNative(name, options);
}
