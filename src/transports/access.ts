/**
 * How a client is told that it may not do what it asked for: over HTTP as JSON with the fields of RFC 6750 section 3, in a
 * WebSocket as a disconnect or an error. docs/protocol.md has the whole of it.
 */

import { ADVICE_REASON_BYTES_MAX, type AdviceCode, type DisconnectAdvice } from '../link/advice.js';
import type { TokenFailure } from '../tokens/verifier.js';
import { jsonAnswer } from './answers.js';

export interface AccessRefusal {
  code:
    | 'origin_refused'
    | 'token_required'
    | 'token_invalid'
    | 'token_expired'
    | 'forbidden'
    | 'invalid'
    | 'rate_limited'
    | 'unavailable';
  /** For people. It never has anything of the token. */
  message: string;
}

const STATUS: Readonly<Record<AccessRefusal['code'], number>> = {
  invalid: 400,
  token_required: 401,
  token_invalid: 401,
  token_expired: 401,
  forbidden: 403,
  origin_refused: 403,
  rate_limited: 503,
  unavailable: 503,
};

const HEAD_END = '\r\n\r\n';

/** RFC 6750 section 3.1: who brought no token is told no error. */
const CHALLENGES: Partial<Record<AccessRefusal['code'], string>> = {
  token_required: 'Bearer',
  token_invalid: 'Bearer error="invalid_token"',
  token_expired: 'Bearer error="invalid_token"',
  forbidden: 'Bearer error="insufficient_scope"',
};

/** What a page of an origin that is not on the list is told; it cannot read it, and its browser's console says only that. */
export const ORIGIN_REFUSED: AccessRefusal = {
  code: 'origin_refused',
  message: 'pages of this origin may not use this server',
};

export function tokenRefusal({ code, message }: TokenFailure): AccessRefusal {
  return { code, message: `the token is refused: ${message}` };
}

/** Whether this is a refusal of this file. */
export function isAccessCode(error: { code: string; message: string }): error is AccessRefusal {
  return Object.hasOwn(STATUS, error.code);
}

export function statusOf({ code }: AccessRefusal): number {
  return STATUS[code];
}

/**
 * The whole response, after which the connection ends. A new array, the caller's.
 *
 * @param bodiless to HEAD
 * @param retryAfterS of a 503: when to come back, in seconds
 */
export function accessAnswer(
  refusal: AccessRefusal,
  bodiless: boolean,
  retryAfterS: number,
  nowMs: number,
): Uint8Array {
  const { code, message } = refusal;
  const challenge = CHALLENGES[code];
  const fields = challenge === undefined ? [] : [`WWW-Authenticate: ${challenge}`];
  const status = STATUS[code];
  if (status === 503) fields.push(`Retry-After: ${retryAfterS}`);
  const answer = jsonAnswer(status, JSON.stringify({ error: { code, message } }), false, nowMs, fields);
  return bodiless
    ? answer.subarray(
        0,
        Buffer.from(answer.buffer, answer.byteOffset, answer.length).indexOf(HEAD_END) + HEAD_END.length,
      )
    : answer;
}

/** What a WebSocket is told before it is closed; null: it is told over HTTP, since it may try again as it is. */
export function adviceOf({ code, message }: AccessRefusal): DisconnectAdvice | null {
  if (STATUS[code] !== 401 && code !== 'forbidden') return null;
  return { code: code as AdviceCode, reason: shortened(message), reconnect: code !== 'forbidden' };
}

/** As much as a close frame has room for, in whole characters. */
function shortened(text: string): string {
  if (Buffer.byteLength(text) <= ADVICE_REASON_BYTES_MAX) return text;
  let cut = text.slice(0, ADVICE_REASON_BYTES_MAX - 3);
  while (Buffer.byteLength(cut) > ADVICE_REASON_BYTES_MAX - 3 || /[\ud800-\udbff]$/.test(cut)) cut = cut.slice(0, -1);
  return `${cut}…`;
}
