/** What the parts of one client share, and what a transport (websocket.ts, http.ts) is given and says. */

import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS } from './limits.js';
import type { Platform } from './platform.js';
import type { Positions } from './positions.js';
import type { Token } from './token.js';
import type { ConnectOptions, MegaCometError } from './types.js';

export interface Context {
  readonly platform: Platform;
  readonly options: ConnectOptions;
  readonly positions: Positions;
  readonly token: Token;
  /** Of the server, with a slash at its end. */
  readonly url: URL;
}

/** A JSON object of the server, in the form that WebSockets have, whatever the transport. */
export interface ServerEvent {
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: each type has its own members, and the server is trusted to send them
  [member: string]: any;
}

export type Send = (message: object) => void;

/** What an attempt tells the client. */
export interface Listener {
  event(event: ServerEvent): void;
  /** A WebSocket is open. */
  opened(send: Send): void;
  error(error: MegaCometError): void;
}

/** One attempt to be connected, and the connection that comes of it, as its transport sees it. */
export interface Wire extends Pick<Listener, 'event' | 'opened'> {
  /** Aborted when the client lets go of the connection. Nothing that comes later counts. */
  readonly signal: AbortSignal;
  /** Bytes came: the connection lives, and the transport works. */
  heard(): void;
}

/**
 * Runs until the connection has ended. Never returns: fails with a MegaCometError where the server said why or when to come
 * back, with any other error where the connection broke.
 */
export type Transport = (context: Context, wire: Wire) => Promise<never>;

/** A random time in milliseconds, longer the more attempts have failed. */
export function backoffMs({ platform, options: { backoff } }: Context, failures: number): number {
  return (
    platform.random() *
    Math.min(backoff?.maxMs ?? BACKOFF_MAX_MS, (backoff?.firstMs ?? BACKOFF_FIRST_MS) * 2 ** failures)
  );
}
