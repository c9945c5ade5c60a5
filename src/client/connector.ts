/**
 * Keeps the client connected: chooses the transport, waits between attempts, and obeys the server's advice.
 *
 * One loop makes one attempt (attempt.ts) after the other; there is never more than one. While there is nothing to do the loop
 * waits without a timer.
 */

import { type Attempt, makeAttempt } from './attempt.js';
import { backoffMs, type Context, type Listener, type Send } from './context.js';
import { BETTER_MAX_MS, BETTER_MS } from './limits.js';
import type { PageEvent } from './platform.js';
import type { MegaCometError, State, TransportName } from './types.js';

/** What the connector tells the client. */
export interface ConnectorListener extends Listener {
  /** A connection, or an attempt, is over. */
  ended(): void;
  state(state: State, delayMs?: number): void;
  /** The server will not have this client as it is. */
  refused(error: MegaCometError): void;
}

export interface Connector {
  transport(): TransportName;
  /** By WebSocket; undefined while none is open. */
  send(): Send | undefined;
  /** Something has changed: connects anew, or stops, or begins. */
  restart(reason?: MegaCometError): void;
  /** @param why the queue is full, or the page frozen; each is taken back for itself */
  pause(why: 'full' | 'page', paused: boolean): void;
  /** All channels are live. */
  live(): void;
  stop(): void;
  /** Runs until `stop`. */
  run(): Promise<void>;
}

/** @throws TypeError where no transport is left that this platform has */
export function makeConnector(context: Context, listener: ConnectorListener): Connector {
  const { platform, options, positions, token } = context;
  const transports = (options.transports ?? (['websocket', 'sse', 'poll'] as const)).filter(
    (name) => name !== 'websocket' || platform.WebSocket,
  );
  if (!transports.length) throw new TypeError('no transport');

  let attempt: Attempt | undefined;
  /** Ends the loop's wait. */
  let wake = () => {};
  /** Why the client should not be connected. */
  const pauses = { full: false, page: false };
  let isStopped = false;

  /** Of the transport that is used, or tried next; and of the one that worked last. */
  let index = 0;
  let working = 0;
  let betterMs: number = BETTER_MS;
  let betterAtMs = Infinity;

  /** No attempt before this, by the wall clock. */
  let notBeforeMs = 0;
  /** The server has said so. */
  let isAdvised = false;
  /** Attempts in a row that did not become live. */
  let failures = 0;
  let tokenFailures = 0;

  const restart = (reason?: MegaCometError) => {
    attempt?.interrupt(reason);
    wake();
  };

  const pause = (why: keyof typeof pauses, paused: boolean) => {
    if (paused === pauses[why]) return;
    pauses[why] = paused;
    restart();
  };

  /** Until something happens or the time is over. */
  const sleep = async (delayMs?: number) => {
    let cancel = () => {};
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (!delayMs) return;
      // At most an hour, whatever a proxy says; a timer of more than 2^31 ms would end at once.
      cancel = platform.delay(Math.min(delayMs, BETTER_MAX_MS), () => {
        notBeforeMs = 0;
        resolve();
      });
    });
    cancel();
  };

  const connect = async () => {
    if (platform.now() >= betterAtMs) {
      index = 0;
      betterAtMs = Infinity;
    }
    listener.state('connecting');
    let error: MegaCometError | undefined;
    try {
      // Before the attempt's watch begins to run: applications may take their time.
      await token.get();
      if (isStopped) return;
      attempt = makeAttempt(context, listener, transports[index]!, () => betterAtMs);
      error = await attempt.ended;
    } catch (reason) {
      error = reason as MegaCometError;
    }
    const worked = attempt?.worked ?? false;
    attempt = undefined;
    listener.ended();
    if (!error || isStopped) return;
    isAdvised = !!error.afterMs;
    const delayMs = delayAfter(error, worked);
    notBeforeMs = delayMs && platform.now() + delayMs;
  };

  /** What to do after an attempt. @returns how long to wait before the next one */
  const delayAfter = (error: MegaCometError, worked: boolean): number => {
    const { code, afterMs, reconnect } = error;
    const isTokenRefused = code.startsWith('token_');
    if (reconnect === false || (isTokenRefused && !token.drop())) {
      listener.refused(error);
      return 0;
    }
    if (isTokenRefused) {
      if (code !== 'token_failed' && !tokenFailures++) return afterMs ?? 0;
      listener.error(error);
    } else if (!worked && !afterMs) {
      if (++index < transports.length) return 0;
      index = working = 0;
      listener.error(error);
    }
    if (!worked) index = working;
    return afterMs ?? backoffMs(context, failures++);
  };

  const offPage = platform.onPage((event: PageEvent) => {
    // An open connection would keep the page out of the back/forward cache.
    if (event === 'pagehide') pause('page', true);
    else {
      pause('page', false);
      if (event === 'online') {
        // Maybe another network, where another transport works; and the old one's connections are gone.
        index = 0;
        restart();
      }
      attempt?.check(true);
      // Somebody is there and waits. What the server has said counts all the same.
      if (!isAdvised) notBeforeMs = 0;
      wake();
    }
  });

  return {
    transport: () => transports[index]!,
    send: () => attempt?.send,
    restart,
    pause,
    live() {
      failures = tokenFailures = 0;
      working = index;
      if (!index) betterMs = BETTER_MS;
      else if (betterAtMs === Infinity) {
        betterAtMs = platform.now() + betterMs;
        betterMs = Math.min(BETTER_MAX_MS, betterMs * 2);
      }
    },
    stop() {
      isStopped = true;
      offPage();
      restart();
    },
    async run() {
      while (!isStopped) {
        const delayMs = notBeforeMs - platform.now();
        if (pauses.full || pauses.page || !positions.channels().length) {
          listener.state('idle');
          await sleep();
        } else if (delayMs > 0) {
          listener.state('waiting', delayMs);
          await sleep(delayMs);
        } else await connect();
      }
    },
  };
}
