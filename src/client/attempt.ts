/**
 * One attempt to be connected by one transport, from the first packet to the end of the connection. Owns its watch: a timer
 * that finds out that nothing comes through, or nothing any more, and renews the token before it expires.
 *
 * After an attempt was interrupted or has ended, nothing that its transport still does has any effect.
 */

import type { Context, Listener, Send, Transport, Wire } from './context.js';
import { eventStream, longPoll } from './http.js';
import { LATE_MS, OPEN_MS, PONG_MS, SILENCE_MS } from './limits.js';
import { MegaCometError, type TransportName } from './types.js';
import { webSocket } from './websocket.js';

const TRANSPORTS: Readonly<Record<TransportName, Transport>> = {
  websocket: webSocket,
  sse: eventStream,
  poll: longPoll,
};

export interface Attempt {
  /** By WebSocket, while it is open. */
  send: Send | undefined;
  /** Something has come through. */
  worked: boolean;
  /** Why it ended; undefined where the client itself ended it. */
  ended: Promise<MegaCometError | undefined>;
  interrupt(reason?: MegaCometError): void;
  /** @param suspect something has happened that may have broken the connection */
  check(suspect?: boolean): void;
}

/** @param betterAtMs when to end, so that better transports are tried, by the wall clock */
export function makeAttempt(
  context: Context,
  listener: Listener,
  name: TransportName,
  betterAtMs: () => number,
): Attempt {
  const { platform, token, options } = context;
  const controller = new AbortController();
  const { signal } = controller;
  let heardMs = platform.now();
  /** When a ping was sent that has no answer yet; 0 for none. */
  let pingedMs = 0;
  let dueMs = Infinity;
  let cancelWatch = () => {};
  let end: (reason: MegaCometError | undefined) => void;

  const interrupt = (reason?: MegaCometError) => {
    attempt.send = undefined;
    cancelWatch();
    // Only the first reason counts: what a transport says to being aborted does not.
    end(reason);
    controller.abort();
  };

  const check = (suspect = false) => {
    const nowMs = platform.now();
    const { worked, send } = attempt;
    if (worked && send && !pingedMs && (suspect || nowMs > dueMs + LATE_MS || nowMs >= heardMs + SILENCE_MS)) {
      pingedMs = nowMs;
      send({ type: 'ping' });
    }
    const silenceMs = worked ? SILENCE_MS : (options.openMs ?? OPEN_MS);
    const deadMs = pingedMs ? pingedMs + PONG_MS : heardMs + silenceMs;
    if (nowMs >= deadMs) interrupt(new MegaCometError('unavailable', `${name}: silence`));
    else if (nowMs >= betterAtMs()) interrupt();
    else {
      if (nowMs >= token.renewAtMs) void renew();
      dueMs = Math.min(deadMs, token.renewAtMs);
      cancelWatch();
      cancelWatch = platform.delay(dueMs - nowMs, check);
    }
  };

  const renew = async () => {
    token.drop();
    try {
      const renewed = await token.get();
      if (attempt.send) attempt.send({ type: 'token', token: renewed, ref: 'token' });
      // The next poll shows it by itself.
      else if (name !== 'poll') interrupt();
    } catch (error) {
      listener.error(error as MegaCometError);
    }
    if (!signal.aborted) check();
  };

  const attempt: Attempt = {
    send: undefined,
    worked: false,
    ended: new Promise((resolve) => {
      end = resolve;
    }),
    interrupt,
    check,
  };
  check();
  const wire: Wire = {
    signal,
    heard() {
      attempt.worked = true;
      heardMs = platform.now();
      pingedMs = 0;
    },
    opened(send) {
      if (signal.aborted) return;
      attempt.send = send;
      listener.opened(send);
    },
    event(event) {
      if (!signal.aborted) listener.event(event);
    },
  };
  TRANSPORTS[name](context, wire).catch((error) =>
    interrupt(error instanceof MegaCometError ? error : new MegaCometError('unavailable', `${name}: ${error}`)),
  );
  return attempt;
}
