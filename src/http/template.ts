/**
 * Responses whose bytes are known but for the date: encoded once, and dated anew once a second (RFC 9110 section 6.6.1 asks
 * servers with a clock for a Date).
 *
 * The arrays that `dated` returns are borrowed: they are shared by all connections and change with the next second, so a
 * caller copies them at once.
 */

import { ascii } from './characters.js';

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  101: 'Switching Protocols',
  200: 'OK',
  204: 'No Content',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  411: 'Length Required',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  505: 'HTTP Version Not Supported',
};

/** An HTTP/1.0 client that asked for a lasting connection needs to be told that it has one (RFC 9112 section 9.3). */
export const CONNECTION = { close: 'Connection: close', keepAlive: 'Connection: keep-alive' };

/** Every answer may be read by scripts of any origin: there is no ambient authority here that could be misused. */
export const ALLOW_ORIGIN = 'Access-Control-Allow-Origin: *';

export const NO_STORE = 'Cache-Control: no-store';
export const NO_SNIFF = 'X-Content-Type-Options: nosniff';

/** The reason phrase of RFC 9110 for a status that this server sends. */
export function statusText(status: number): string {
  const text = STATUS_TEXTS[status];
  if (text === undefined) throw new RangeError(`no status text for ${status}`);
  return text;
}

/** Length of `httpDate`: it never varies. */
const DATE_BYTES = 29;

/** IMF-fixdate, as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7). */
export function httpDate(nowMs: number): string {
  return new Date(nowMs).toUTCString();
}

const dateBytes = new Uint8Array(DATE_BYTES);
let dateSecond = Number.NaN;

/** The date of this second, encoded at most once a second. */
function currentDate(nowMs: number): Uint8Array {
  const second = Math.floor(nowMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateBytes.set(ascii(httpDate(second * 1000)));
  }
  return dateBytes;
}

/** An encoded response; its date is renewed in place. */
export interface Template {
  readonly bytes: Uint8Array;
  readonly dateAt: number;
  /** Where the body begins. */
  readonly bodyAt: number;
}

/** Encodes a response. Its head is ASCII, and so is a body that is text. */
export function template(status: number, fields: readonly string[], body: string | Uint8Array = ''): Template {
  const beforeDate = `HTTP/1.1 ${status} ${statusText(status)}\r\nDate: `;
  const head = `${beforeDate}${httpDate(0)}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
  const bytes = typeof body === 'string' ? ascii(head + body) : Buffer.concat([ascii(head), body]);
  return { bytes, dateAt: beforeDate.length, bodyAt: head.length };
}

/** The whole response with the date of `nowMs`. Borrowed. */
export function dated(answer: Template, nowMs: number): Uint8Array {
  answer.bytes.set(currentDate(nowMs), answer.dateAt);
  return answer.bytes;
}

/** The response with the date of `nowMs`, without its body for HEAD (RFC 9110 section 9.3.2). Borrowed. */
export function datedHead(answer: Template, nowMs: number): Uint8Array {
  return dated(answer, nowMs).subarray(0, answer.bodyAt);
}

const DIGIT_0 = 0x30;

/** How many decimal digits a non-negative integer has. */
export function digitsOf(value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  return digits;
}

/** Writes a non-negative integer in decimal to `target` from `at` on. @returns the offset after it */
export function writeDecimal(target: Uint8Array, at: number, value: number): number {
  const end = at + digitsOf(value);
  for (let digit = end, rest = value; digit > at; rest = Math.floor(rest / 10)) {
    target[--digit] = DIGIT_0 + (rest % 10);
  }
  return end;
}
