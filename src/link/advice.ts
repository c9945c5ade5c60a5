/**
 * What a client is told when the server ends its connection: why, whether to come back, and when. How each transport says it is
 * in docs/protocol.md; the worker's end is src/worker/disconnects.ts.
 */

/** Why a connection is ended, and the close code that a WebSocket gets with it (4000 to 4999: RFC 6455 section 7.4.2). */
export const ADVICE_CLOSE_CODES = {
  /** The server is being drained: another one takes over. 1012, Service Restart, is registered with IANA. */
  drain: 1012,
  /** The token is over: come back with a new one. */
  token_expired: 4401,
  token_invalid: 4401,
  token_required: 4401,
  /** The token does not allow this. */
  forbidden: 4403,
  /** An administrator ended it. */
  disconnected: 4403,
} as const;

export type AdviceCode = keyof typeof ADVICE_CLOSE_CODES;

export interface DisconnectAdvice {
  code: AdviceCode;
  /** For people: ASCII or not, at most ADVICE_REASON_BYTES_MAX bytes. */
  reason: string;
  /** Whether the client is to come back. */
  reconnect: boolean;
  /** When, in milliseconds from now: already different for each client, so that not all return at once. */
  afterMs?: number;
}

/** A close frame has 125 bytes at most, two of them for the code (RFC 6455 section 5.5). */
export const ADVICE_REASON_BYTES_MAX = 123;

/** When a client may come back whose advice does not say it. */
const AFTER_MS = 5000;

/** For `Retry-After`, which has whole seconds (RFC 9110 section 10.2.3). */
export function retryAfterSeconds(afterMs = AFTER_MS): number {
  return Math.ceil(afterMs / 1000);
}

/** The JSON members of an advice, without the braces around them. */
export function adviceMembers({ code, reason, reconnect, afterMs }: DisconnectAdvice): string {
  return JSON.stringify({ code, reason, reconnect, afterMs }).slice(1, -1);
}
