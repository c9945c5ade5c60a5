/**
 * The answers that belong to HTTP and to no transport: refusals, preflights, `100 Continue`; and the classic answer. All
 * are templates around a date (template.ts), so what is returned is borrowed.
 *
 * Every answer may be read by scripts of any origin, refusals too: otherwise a page could not tell a refusal from a
 * network that is down.
 */

import { ascii } from './characters.js';
import {
  ALLOW_ORIGIN,
  CONNECTION,
  dated,
  datedHead,
  digitsOf,
  NO_SNIFF,
  NO_STORE,
  statusText,
  type Template,
  template,
  writeDecimal,
} from './template.js';

/** Methods that a path takes, for `Allow`. */
export const ALLOW_READ = 'GET, HEAD, OPTIONS';
export const ALLOW_WRITE = 'POST, OPTIONS';
export const ALLOW_ALL = 'GET, HEAD, POST, OPTIONS';
const ALLOWED = [ALLOW_READ, ALLOW_WRITE, ALLOW_ALL];

/** What is wrong, and the fields that only this refusal has. */
const REFUSALS: Readonly<Record<number, { reason: string; fields?: string[] }>> = {
  400: { reason: 'malformed request, or a channel, cursor or parameter that is not allowed' },
  403: { reason: 'clients may not do this' },
  404: { reason: 'nothing is served at this path' },
  408: { reason: 'the request did not arrive in time' },
  411: { reason: 'a request without Content-Length or chunked coding has no body' },
  413: { reason: 'the request is too large' },
  414: { reason: 'the request line is too long' },
  415: { reason: 'the body must be application/json' },
  // RFC 9110 section 15.5.22 demands Upgrade, RFC 6455 section 4.4 the version; `Connection` is added below.
  426: { reason: 'this is a WebSocket, version 13', fields: ['Upgrade: websocket', 'Sec-WebSocket-Version: 13'] },
  431: { reason: 'the header fields are too many or too large' },
  500: { reason: 'the server failed' },
  501: { reason: 'this transfer coding is not supported' },
  503: { reason: 'the server is busy, try again later', fields: ['Retry-After: 5'] },
  505: { reason: 'only HTTP/1.1 and HTTP/1.0 are supported' },
};

/** A browser must not run what comes without a callback as a page, nor keep it: each poll has its own answer. */
const CLASSIC_FIELDS = ['Content-Type: text/javascript; charset=utf-8', NO_STORE, ALLOW_ORIGIN, NO_SNIFF];

const LENGTH_FIELD = ascii('Content-Length: ');
const CLASSIC_TAIL = ascii(`\r\n${CONNECTION.close}\r\n\r\n`);

/** The fields that do not vary, without the empty line that would end the head. */
const classicStart = template(200, CLASSIC_FIELDS);
const CLASSIC_START_BYTES = classicStart.bodyAt - 2;

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
  at = writeDecimal(target, at + LENGTH_FIELD.length, bodyBytes);
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

/** `*` does not stand for Authorization (Fetch standard, section 4.9), and older browsers take it for a name. */
const PREFLIGHT_FIELDS = [
  ALLOW_ORIGIN,
  `Access-Control-Allow-Methods: ${ALLOW_ALL}`,
  'Access-Control-Allow-Headers: *, authorization, content-type, if-none-match, last-event-id',
  'Access-Control-Max-Age: 86400',
];

const optionsAnswers = new Map(
  ALLOWED.map((allow) => {
    const fields = [`Allow: ${allow}`, ...PREFLIGHT_FIELDS];
    const close = template(204, [...fields, CONNECTION.close]);
    return [allow, { close, keepAlive: template(204, [...fields, CONNECTION.keepAlive]) }];
  }),
);

/**
 * The answer to OPTIONS, preflights of CORS among them: 204, which has no Content-Length. Borrowed.
 *
 * @param allow what the path takes: ALLOW_…
 */
export function optionsAnswer(keepAlive: boolean, nowMs: number, allow = ALLOW_READ): Uint8Array {
  const answers = optionsAnswers.get(allow)!;
  return dated(keepAlive ? answers.keepAlive : answers.close, nowMs);
}

/** For `Expect: 100-continue`, before the body is read (RFC 9110 section 15.2.1). Constant: not to be written to. */
export const CONTINUE = ascii('HTTP/1.1 100 Continue\r\n\r\n');

function refusalTemplate(status: number, reason: string, fields: readonly string[]): Template {
  const body = `${status} ${statusText(status)}: ${reason}\n`;
  const common = ['Content-Type: text/plain; charset=utf-8', ALLOW_ORIGIN, `Content-Length: ${body.length}`];
  // RFC 9110 section 7.8: who sends Upgrade names it in Connection too.
  const connection = status === 426 ? `${CONNECTION.close}, upgrade` : CONNECTION.close;
  return template(status, [...common, ...fields, connection], body);
}

const refusals = new Map(
  Object.entries(REFUSALS).map(([status, { reason, fields = [] }]) => [
    Number(status),
    refusalTemplate(Number(status), reason, fields),
  ]),
);
const methodRefusals = new Map(
  ALLOWED.map((allow) => [allow, refusalTemplate(405, `only ${allow} are allowed here`, [`Allow: ${allow}`])]),
);

/**
 * A whole response that refuses a request and ends the connection. Borrowed.
 *
 * @param status one of 400 403 404 405 408 411 413 414 415 426 431 500 501 503 505; anything else is a bug and throws
 * @param bodiless true to answer HEAD, which must not be sent a body (RFC 9110 section 9.3.2)
 * @param allow what the path of a 405 takes: ALLOW_…
 */
export function refusal(status: number, nowMs: number, bodiless = false, allow = ALLOW_READ): Uint8Array {
  const answer = status === 405 ? methodRefusals.get(allow) : refusals.get(status);
  if (answer === undefined) throw new RangeError(`no refusal for ${status}`);
  return bodiless ? datedHead(answer, nowMs) : dated(answer, nowMs);
}
