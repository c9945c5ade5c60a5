/**
 * What the server answers over HTTP/1.1, encoded.
 *
 * Every answer but the classic one is a constant text around a date, so it is built once and only the date is written
 * anew, once a second (RFC 9110 section 6.6.1 asks servers with a clock for a Date). The arrays that are returned are
 * borrowed: they are shared by all connections and change with the next second, so a caller copies them at once.
 *
 * Every answer may be read by scripts of any origin (Access-Control-Allow-Origin: *), refusals too: otherwise a page
 * could not tell a refusal from a network that is down.
 */

import { ascii } from './characters.js';

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  101: 'Switching Protocols',
  200: 'OK',
  204: 'No Content',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  505: 'HTTP Version Not Supported',
};

const ALLOW = 'Allow: GET, HEAD, OPTIONS';

/** What is wrong, and the fields that only this refusal has. */
const REFUSALS: Readonly<Record<number, { reason: string; fields?: string[] }>> = {
  400: { reason: 'this is not a valid HTTP/1.1 request' },
  404: { reason: 'nothing is served at this path' },
  405: { reason: 'only GET, HEAD and OPTIONS are allowed here', fields: [ALLOW] },
  408: { reason: 'the request did not arrive in time' },
  413: { reason: 'the request is too large' },
  414: { reason: 'the request line is too long' },
  426: {
    reason: 'only version 13 of the WebSocket protocol is supported',
    fields: ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'],
  },
  431: { reason: 'the header fields are too many or too large' },
  500: { reason: 'the server failed' },
  501: { reason: 'this transfer coding is not supported' },
  503: { reason: 'the server is busy, try again later', fields: ['Retry-After: 5'] },
  505: { reason: 'only HTTP/1.1 and HTTP/1.0 are supported' },
};

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
interface Template {
  readonly bytes: Uint8Array;
  readonly dateAt: number;
  /** Where the body begins. */
  readonly bodyAt: number;
}

function template(status: number, fields: string[], body = ''): Template {
  const beforeDate = `HTTP/1.1 ${status} ${statusText(status)}\r\nDate: `;
  const head = `${beforeDate}${httpDate(0)}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
  return { bytes: ascii(head + body), dateAt: beforeDate.length, bodyAt: head.length };
}

function dated(answer: Template, nowMs: number): Uint8Array {
  answer.bytes.set(currentDate(nowMs), answer.dateAt);
  return answer.bytes;
}

/** An HTTP/1.0 client that asked for a lasting connection needs to be told that it has one (RFC 9112 section 9.3). */
const CONNECTION = { close: 'Connection: close', keepAlive: 'Connection: keep-alive' };

const ALLOW_ORIGIN = 'Access-Control-Allow-Origin: *';

/** A browser must not run what comes without a callback as a page, nor keep it: each poll has its own answer. */
const CLASSIC_FIELDS = [
  'Content-Type: text/javascript; charset=utf-8',
  'Cache-Control: no-store',
  ALLOW_ORIGIN,
  'X-Content-Type-Options: nosniff',
];

const LENGTH_FIELD = ascii('Content-Length: ');
const CLASSIC_TAIL = ascii(`\r\n${CONNECTION.close}\r\n\r\n`);
const DIGIT_0 = 0x30;

/** The fields that do not vary, without the empty line that would end the head. */
const classicStart = template(200, CLASSIC_FIELDS);
const CLASSIC_START_BYTES = classicStart.bodyAt - 2;

function digitsOf(value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  return digits;
}

/** How many bytes `writeClassicHead` writes for a body of this length. */
export function classicHeadLength(bodyBytes: number): number {
  return CLASSIC_START_BYTES + LENGTH_FIELD.length + digitsOf(bodyBytes) + CLASSIC_TAIL.length;
}

/**
 * Writes the head of a classic answer, 200 with Content-Length and `Connection: close`, to `target` from `at` on.
 *
 * @returns the offset after it, where the body goes: at + classicHeadLength(bodyBytes)
 */
export function writeClassicHead(target: Uint8Array, at: number, bodyBytes: number, nowMs: number): number {
  target.set(dated(classicStart, nowMs).subarray(0, CLASSIC_START_BYTES), at);
  at += CLASSIC_START_BYTES;
  target.set(LENGTH_FIELD, at);
  at += LENGTH_FIELD.length + digitsOf(bodyBytes);
  for (let digit = at, rest = bodyBytes; digit === at || rest > 0; rest = Math.floor(rest / 10)) {
    target[--digit] = DIGIT_0 + (rest % 10);
  }
  target.set(CLASSIC_TAIL, at);
  return at + CLASSIC_TAIL.length;
}

const headAnswers = {
  close: template(200, [...CLASSIC_FIELDS, CONNECTION.close]),
  keepAlive: template(200, [...CLASSIC_FIELDS, CONNECTION.keepAlive]),
};

/**
 * The answer to HEAD on a classic path, at once: the head of the GET's answer without its Content-Length, which nobody
 * knows before there is a message (RFC 9110 section 9.3.2 allows to leave it out). Borrowed.
 */
export function headAnswer(keepAlive: boolean, nowMs: number): Uint8Array {
  return dated(keepAlive ? headAnswers.keepAlive : headAnswers.close, nowMs);
}

const PREFLIGHT_FIELDS = [
  ALLOW,
  ALLOW_ORIGIN,
  'Access-Control-Allow-Methods: GET, HEAD, OPTIONS',
  'Access-Control-Allow-Headers: *',
  'Access-Control-Max-Age: 86400',
];

const optionsAnswers = {
  close: template(204, [...PREFLIGHT_FIELDS, CONNECTION.close]),
  keepAlive: template(204, [...PREFLIGHT_FIELDS, CONNECTION.keepAlive]),
};

/** The answer to OPTIONS, preflights of CORS among them: 204, which has no Content-Length. Borrowed. */
export function optionsAnswer(keepAlive: boolean, nowMs: number): Uint8Array {
  return dated(keepAlive ? optionsAnswers.keepAlive : optionsAnswers.close, nowMs);
}

const refusals = new Map(
  Object.entries(REFUSALS).map(([key, { reason, fields = [] }]) => {
    const status = Number(key);
    const body = `${status} ${statusText(status)}: ${reason}\n`;
    const common = ['Content-Type: text/plain; charset=utf-8', ALLOW_ORIGIN, `Content-Length: ${body.length}`];
    return [status, template(status, [...common, ...fields, CONNECTION.close], body)];
  }),
);

/**
 * A whole response that refuses a request and ends the connection. Borrowed.
 *
 * @param status one of 400 404 405 408 413 414 426 431 500 501 503 505; anything else is a bug and throws
 * @param bodiless true to answer HEAD, which must not be sent a body (RFC 9110 section 9.3.2)
 */
export function refusal(status: number, nowMs: number, bodiless = false): Uint8Array {
  const answer = refusals.get(status);
  if (answer === undefined) throw new RangeError(`no refusal for ${status}`);
  const bytes = dated(answer, nowMs);
  return bodiless ? bytes.subarray(0, answer.bodyAt) : bytes;
}
