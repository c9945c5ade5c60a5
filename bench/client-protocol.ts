/** What the bench (client-control.ts) and its client process (client.ts) say to each other, one JSON value a message. */

export type Protocol = 'long-poll' | 'websocket';

export interface OpenRequest {
  type: 'open';
  port: number;
  protocol: Protocol;
  /** How many more connections. */
  count: number;
  /** All wait on this id; null: each on its own, c0, c1 … */
  channel: string | null;
  /** At most so many connections wait to be accepted by the server, so that its queue never overflows. */
  acceptQueueMax: number;
  /** At most so many connections are being established at one time. */
  connectingMax: number;
}

export type ClientRequest =
  | OpenRequest
  /** From now on every connection must receive exactly this message, and a long-poll must then be ended by the server. */
  | { type: 'expect'; message: string }
  /** Waits until every connection has. */
  | { type: 'receive' }
  /** Resets all connections, so that they leave no TIME_WAIT. */
  | { type: 'abort' };

/** The answer to each request, in their order. */
export type ClientReply = { ok: true; seconds: number } | { ok: false; reason: string };
