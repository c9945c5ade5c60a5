/** What the bench (client-control.ts) and its client process (client.ts) say to each other, one JSON value a message. */

import type { Protocol } from './wires.js';

export interface OpenRequest {
  type: 'open';
  port: number;
  protocol: Protocol;
  /** How many more connections. */
  count: number;
  /** Connection n listens to channel c(n modulo this): 1 is one channel for all; null: each has its own. */
  channels: number | null;
  /** n of the first of them; without it they go on from the last. */
  first?: number;
  /** At most so many connections wait to be accepted by the server, so that its queue never overflows. */
  acceptQueueMax: number;
  /** At most so many connections are being established at one time. */
  connectingMax: number;
}

export type ClientRequest =
  | OpenRequest
  /** From now on every connection must receive exactly this message, once. */
  | { type: 'expect'; message: string }
  /** Waits until every connection has, and was then ended by the server if its protocol ends with a message. */
  | { type: 'receive' }
  /** Resets all connections, so that they leave no TIME_WAIT. */
  | { type: 'abort' };

/** The answer to each request, in their order. */
export type ClientReply = { ok: true; seconds: number } | { ok: false; reason: string };
