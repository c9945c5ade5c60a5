/**
 * The head of an HTTP/1.1 or HTTP/1.0 request, parsed strictly (RFC 9112) from bytes into numbers.
 *
 * Pure functions over borrowed bytes: nothing is read outside [start, end), nothing is allocated, and of the request
 * only offsets are kept. One `RequestHead` is reused for all connections of a worker, so what a partial head has told
 * so far is not kept: a caller collects the bytes of a split head in one buffer and calls again with the number that it
 * found in `head.resume`. Bytes that were looked at are not looked at again until the head is complete and is parsed
 * once more as a whole, so a head costs the same order however it arrives.
 *
 * The result does not depend on where a head was split. That holds because each line is first walked to its end
 * (which finds controls, bare CR or LF and over-long lines), then parsed by itself; and because rules that join
 * several lines (one Host, no length with chunked) are judged last of all, by `finish`.
 *
 * Where RFC 9112 lets a server choose between repair and refusal, this refuses: every leniency in a parser is a
 * difference to some proxy's, and request smuggling lives from those (RFC 9112 section 11.2).
 */

import { HEADER_COUNT_MAX, HEADER_LINE_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX } from '../limits.js';
import { ascii, CLASS, CR, DIGIT, equalsFolded, LF, PATH, QUERY, SP, TEXT, TOKEN } from './characters.js';
import { isWhite, judgeTransferEncoding, listHas, parseContentLength, validHost } from './field-values.js';

/** Any other token. Methods are case-sensitive: `get` is another one (RFC 9110 section 9.1). */
export const METHOD_OTHER = 0;
export const METHOD_GET = 1;
export const METHOD_HEAD = 2;
export const METHOD_OPTIONS = 3;
export const METHOD_POST = 4;

/** Indexes of `valueStart` and `valueEnd`, in the order of `HEADER_NAMES`. */
export const HEADER_HOST = 0;
export const HEADER_CONNECTION = 1;
export const HEADER_CONTENT_LENGTH = 2;
export const HEADER_TRANSFER_ENCODING = 3;
export const HEADER_UPGRADE = 4;
export const HEADER_EXPECT = 5;
export const HEADER_ORIGIN = 6;
export const HEADER_ACCEPT = 7;
export const HEADER_ACCEPT_ENCODING = 8;
export const HEADER_AUTHORIZATION = 9;
export const HEADER_COOKIE = 10;
export const HEADER_IF_NONE_MATCH = 11;
export const HEADER_LAST_EVENT_ID = 12;
export const HEADER_SEC_WEBSOCKET_KEY = 13;
export const HEADER_SEC_WEBSOCKET_VERSION = 14;
export const HEADER_SEC_WEBSOCKET_PROTOCOL = 15;
export const HEADER_SEC_WEBSOCKET_EXTENSIONS = 16;
export const HEADER_CONTENT_TYPE = 17;
export const HEADER_X_FORWARDED_FOR = 18;
export const HEADER_SEC_FETCH_SITE = 19;

const HEADER_NAMES = [
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'expect',
  'origin',
  'accept',
  'accept-encoding',
  'authorization',
  'cookie',
  'if-none-match',
  'last-event-id',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
  'content-type',
  'x-forwarded-for',
  'sec-fetch-site',
].map(ascii);

/** Fields that say one thing: two of them is an attack or a bug, whatever they say. */
const SINGLE_HEADERS =
  (1 << HEADER_HOST) |
  (1 << HEADER_CONTENT_LENGTH) |
  (1 << HEADER_TRANSFER_ENCODING) |
  (1 << HEADER_ORIGIN) |
  (1 << HEADER_SEC_FETCH_SITE) |
  (1 << HEADER_AUTHORIZATION) |
  (1 << HEADER_LAST_EVENT_ID) |
  (1 << HEADER_CONTENT_TYPE) |
  (1 << HEADER_SEC_WEBSOCKET_KEY) |
  (1 << HEADER_SEC_WEBSOCKET_VERSION);

/** Header indexes by the length of the name: a field name is compared with three of them at most. */
const HEADERS_BY_NAME_LENGTH: readonly (readonly number[])[] = Array.from(
  { length: Math.max(...HEADER_NAMES.map((name) => name.length)) + 1 },
  (_, length) => HEADER_NAMES.flatMap((name, header) => (name.length === length ? [header] : [])),
);

/** Result of `parseRequestHead`: the head is good so far and not complete. */
export const HEAD_PARTIAL = 0;

const OK = 0;
const BAD_REQUEST = -400;
const URI_TOO_LONG = -414;
const FIELDS_TOO_LARGE = -431;
const VERSION_NOT_SUPPORTED = -505;

/** RFC 9112 section 2.2: empty lines before the request line are ignored; two of them, which some old clients send. */
const LEADING_BYTES_MAX = 4;

// `resume`, relative to the start of the head:  lines << 30 | offset of the line << 15 | offset looked at.
const RESUME_OFFSET_BITS = 15;
const RESUME_OFFSET_MASK = (1 << RESUME_OFFSET_BITS) - 1;
const RESUME_LINES = 2 ** (2 * RESUME_OFFSET_BITS);

const METHOD_NAME_GET = ascii('GET');
const METHOD_NAME_HEAD = ascii('HEAD');
const METHOD_NAME_POST = ascii('POST');
const METHOD_NAME_OPTIONS = ascii('OPTIONS');
const SCHEME_HTTP = ascii('http://');

const CONNECTION_CLOSE = 1;
const CONNECTION_KEEP_ALIVE = 2;
const CONNECTION_UPGRADE = 4;

const WORD_CLOSE = ascii('close');
const WORD_KEEP_ALIVE = ascii('keep-alive');
const WORD_UPGRADE = ascii('upgrade');
const WORD_WEBSOCKET = ascii('websocket');
const WORD_100_CONTINUE = ascii('100-continue');

/** `GET / HTTP/1.1` and its end. */
const PLAIN_LINE_BYTES_MIN = 16;

const ASTERISK = 0x2a;
const SLASH = 0x2f;
const DIGIT_0 = 0x30;
const DIGIT_1 = 0x31;
const COLON = 0x3a;
const QUESTION_MARK = 0x3f;

/** What one complete head says. All offsets are into the bytes that it was parsed from. */
export class RequestHead {
  /** METHOD_GET … */
  method = METHOD_OTHER;
  /** 1 for HTTP/1.1 and every later HTTP/1.x (RFC 9110 section 2.5), 0 for HTTP/1.0. */
  minorVersion = 1;
  /** The path as received, still percent-encoded. `*` for OPTIONS of the server; empty for `http://host` alone. */
  pathStart = 0;
  pathEnd = 0;
  /** The query without its `?`; empty when there is none. */
  queryStart = 0;
  queryEnd = 0;
  /** The client wants to go on with this connection. */
  keepAlive = false;
  /** -1 when there is none. */
  contentLength = -1;
  /** Transfer-Encoding is exactly `chunked`. */
  chunked = false;
  /** GET with `Upgrade: websocket` and `Connection: upgrade`; the handshake's other fields are not judged here. */
  upgradeWebSocket = false;
  /** `Expect: 100-continue` of an HTTP/1.1 client. */
  expectContinue = false;
  /** Bytes from `start` to the end of the empty line. */
  headLength = 0;
  /** After HEAD_PARTIAL: what to hand to the next call about the same head. */
  resume = 0;

  /** By HEADER_…: where the value begins, without the white space around it; 0 if there is no such field. */
  readonly valueStart = new Int32Array(HEADER_NAMES.length);
  readonly valueEnd = new Int32Array(HEADER_NAMES.length);
  /** Bit 1 << HEADER_… is set if there is a value. */
  present = 0;
  /** Bit 1 << HEADER_… is set if the field came more than once; `valueStart` tells of the first. */
  repeated = 0;

  /** The authority of a target in absolute form; 0 if it was in origin form. */
  authorityStart = 0;
  authorityEnd = 0;
  /** CONNECTION_… words of all Connection fields. */
  connectionWords = 0;
  /** An Upgrade field names websocket. */
  websocketOffered = false;

  /** Forgets the last head; the request line sets what is not reset here. */
  clear(): void {
    this.contentLength = -1;
    this.chunked = false;
    this.upgradeWebSocket = false;
    this.expectContinue = false;
    this.headLength = 0;
    this.resume = 0;
    for (let present = this.present; present !== 0; present &= present - 1) {
      const header = 31 - Math.clz32(present & -present);
      this.valueStart[header] = this.valueEnd[header] = 0;
    }
    this.present = 0;
    this.repeated = 0;
    this.authorityStart = 0;
    this.authorityEnd = 0;
    this.connectionWords = 0;
    this.websocketOffered = false;
  }
}

/**
 * Parses the request head at bytes[start..end), which may go on after the head (a body, the next request).
 *
 * @param resume 0 the first time; after HEAD_PARTIAL `head.resume`, when the same head (which may have moved to another
 *   buffer or start) has grown
 * @returns the length of the head in bytes and `head` filled; or HEAD_PARTIAL; or -status (400, 414, 431, 501, 505),
 *   upon which the connection has to be closed, since nobody knows where the next request would begin
 */
export function parseRequestHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: RequestHead,
  resume: number,
): number {
  let lines = 0;
  let line = start;
  let at = start;
  if (resume === 0) {
    head.clear();
  } else {
    // `| 0`: both fit 32 bits, and told so the compiler keeps all counting here in integers.
    lines = (resume / RESUME_LINES) | 0;
    const offsets = (resume % RESUME_LINES) | 0;
    line = start + (offsets >> RESUME_OFFSET_BITS);
    at = start + (offsets & RESUME_OFFSET_MASK);
  }
  const stop = Math.min(end, start + REQUEST_HEAD_BYTES_MAX);
  if (resume === 0) {
    at = plainRequestLine(bytes, start, stop, head);
    if (at > start) lines = 1;
    line = at;
  }

  for (;;) {
    const lineBytesMax = lines === 0 ? REQUEST_LINE_BYTES_MAX : HEADER_LINE_BYTES_MAX;
    const lineStop = Math.min(stop, line + lineBytesMax + 1);
    at = textEnd(bytes, at, lineStop);
    if (at - line > lineBytesMax) return lines === 0 ? URI_TOO_LONG : FIELDS_TOO_LARGE;
    if (at < stop && bytes[at] !== CR) return BAD_REQUEST;
    if (at + 1 >= stop) {
      if (stop - start === REQUEST_HEAD_BYTES_MAX) return FIELDS_TOO_LARGE;
      head.resume = lines * RESUME_LINES + ((line - start) << RESUME_OFFSET_BITS) + (at - start);
      return HEAD_PARTIAL;
    }
    if (bytes[at + 1] !== LF) return BAD_REQUEST;

    const lineEnd = at;
    at += 2;
    if (lineEnd > line) {
      if (lines > HEADER_COUNT_MAX) return FIELDS_TOO_LARGE;
      const result =
        lines === 0 ? parseRequestLine(bytes, line, lineEnd, head) : parseField(bytes, line, lineEnd, head);
      if (result !== OK) return result;
      lines++;
    } else if (lines > 0) {
      // In a resumed call `head` lacks what the lines before have said.
      return resume === 0 ? finish(head, at - start) : parseRequestHead(bytes, start, end, head, 0);
    } else if (at - start > LEADING_BYTES_MAX) {
      return BAD_REQUEST;
    }
    line = at;
  }
}

/**
 * Whether the request at bytes[start..end), of which the head was refused or has not come whole, was made with HEAD: its
 * answer has no content either (RFC 9110 section 9.3.2).
 */
export function isHeadRequest(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && (bytes[at] === CR || bytes[at] === LF)) at++;
  return (
    at + METHOD_NAME_HEAD.length < end &&
    isWord(bytes, at, METHOD_NAME_HEAD) &&
    bytes[at + METHOD_NAME_HEAD.length] === SP
  );
}

/** Where text ends from `at` on. Four bytes a step, since this is what sees every byte. */
function textEnd(bytes: Uint8Array, at: number, stop: number): number {
  while (
    at + 4 <= stop &&
    (CLASS[bytes[at]!]! & CLASS[bytes[at + 1]!]! & CLASS[bytes[at + 2]!]! & CLASS[bytes[at + 3]!]! & TEXT) !== 0
  ) {
    at += 4;
  }
  while (at < stop && (CLASS[bytes[at]!]! & TEXT) !== 0) at++;
  return at;
}

/**
 * The request line that nearly every client sends, `GET /… HTTP/1.1` or `1.0`, in one pass: no byte of a path or query is none of text.
 * Whatever is not exactly this is judged by the slower way.
 *
 * @returns where the next line begins, and `head` has the request line; or `start`, and nothing is known
 */
function plainRequestLine(bytes: Uint8Array, start: number, stop: number, head: RequestHead): number {
  if (stop - start < PLAIN_LINE_BYTES_MIN) return start;
  // GET and space
  if (bytes[start] !== 0x47 || bytes[start + 1] !== 0x45 || bytes[start + 2] !== 0x54) return start;
  if (bytes[start + 3] !== SP || bytes[start + 4] !== SLASH) return start;
  let at = start + 5;
  while (at < stop && (CLASS[bytes[at]!]! & PATH) !== 0) at++;
  const pathEnd = at;
  if (at < stop && bytes[at] === QUESTION_MARK) at++;
  const queryStart = at;
  while (at < stop && (CLASS[bytes[at]!]! & QUERY) !== 0) at++;
  // Space, HTTP/1.1, CR and LF
  if (stop - at < 11 || at + 9 - start > REQUEST_LINE_BYTES_MAX || bytes[at] !== SP) return start;
  if (bytes[at + 1] !== 0x48 || bytes[at + 2] !== 0x54 || bytes[at + 3] !== 0x54 || bytes[at + 4] !== 0x50)
    return start;
  const minor = bytes[at + 8]!;
  if (bytes[at + 5] !== SLASH || bytes[at + 6] !== DIGIT_1 || bytes[at + 7] !== 0x2e) return start;
  if ((minor !== DIGIT_0 && minor !== DIGIT_1) || bytes[at + 9] !== CR || bytes[at + 10] !== LF) return start;
  head.method = METHOD_GET;
  head.minorVersion = minor - DIGIT_0;
  head.pathStart = start + 4;
  head.pathEnd = pathEnd;
  head.queryStart = queryStart;
  head.queryEnd = at;
  return at + 11;
}

/** RFC 9112 section 3: method SP request-target SP HTTP-version, with exactly these two spaces. */
function parseRequestLine(bytes: Uint8Array, start: number, end: number, head: RequestHead): number {
  let at = start;
  while (at < end && (CLASS[bytes[at]!]! & TOKEN) !== 0) at++;
  const target = at + 1;
  const version = end - 8;
  if (at === start || target >= version - 1 || bytes[at] !== SP || bytes[version - 1] !== SP) return BAD_REQUEST;
  const major = bytes[version + 5]!;
  const minor = bytes[version + 7]!;
  if (
    bytes[version] !== 0x48 || // HTTP/ is case-sensitive (section 2.3)
    bytes[version + 1] !== 0x54 ||
    bytes[version + 2] !== 0x54 ||
    bytes[version + 3] !== 0x50 ||
    bytes[version + 4] !== SLASH ||
    (CLASS[major]! & DIGIT) === 0 ||
    bytes[version + 6] !== 0x2e ||
    (CLASS[minor]! & DIGIT) === 0
  ) {
    return BAD_REQUEST;
  }
  if (major !== DIGIT_1) return VERSION_NOT_SUPPORTED;
  head.minorVersion = minor === DIGIT_0 ? 0 : 1;
  head.method = methodOf(bytes, start, at);
  return parseTarget(bytes, target, version - 1, head);
}

function methodOf(bytes: Uint8Array, start: number, end: number): number {
  if (end - start === 3) return isWord(bytes, start, METHOD_NAME_GET) ? METHOD_GET : METHOD_OTHER;
  if (end - start === 4) {
    if (isWord(bytes, start, METHOD_NAME_HEAD)) return METHOD_HEAD;
    return isWord(bytes, start, METHOD_NAME_POST) ? METHOD_POST : METHOD_OTHER;
  }
  return end - start === 7 && isWord(bytes, start, METHOD_NAME_OPTIONS) ? METHOD_OPTIONS : METHOD_OTHER;
}

function isWord(bytes: Uint8Array, start: number, word: Uint8Array): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word[i]) return false;
  return true;
}

/**
 * RFC 9112 section 3.2: origin-form, absolute-form with http, `*` for OPTIONS. Authority-form belongs to CONNECT, which
 * is for proxies. Percent-encoding is not judged here; what decodes it does.
 */
function parseTarget(bytes: Uint8Array, start: number, end: number, head: RequestHead): number {
  let at = start;
  const first = bytes[start];
  if (first === ASTERISK && end - start === 1) {
    if (head.method !== METHOD_OPTIONS) return BAD_REQUEST;
    head.pathStart = start;
    head.pathEnd = head.queryStart = head.queryEnd = end;
    return OK;
  }
  if (first !== SLASH) {
    at = start + SCHEME_HTTP.length;
    // Schemes ignore case (RFC 3986 section 3.1).
    if (at > end || !equalsFolded(bytes, start, at, SCHEME_HTTP)) return BAD_REQUEST;
    head.authorityStart = at;
    while (at < end && bytes[at] !== SLASH && bytes[at] !== QUESTION_MARK) at++;
    head.authorityEnd = at;
    // RFC 9110 section 4.2: an empty host is an error, and so is user information before it (`@` is not in HOST).
    if (at === head.authorityStart || !validHost(bytes, head.authorityStart, at)) return BAD_REQUEST;
  }
  head.pathStart = at;
  while (at < end && (CLASS[bytes[at]!]! & PATH) !== 0) at++;
  head.pathEnd = at;
  if (at < end && bytes[at] === QUESTION_MARK) at++;
  head.queryStart = at;
  while (at < end && (CLASS[bytes[at]!]! & QUERY) !== 0) at++;
  head.queryEnd = at;
  return at === end ? OK : BAD_REQUEST;
}

/** One header line without its CRLF. Everything that can be said of it alone is judged here. */
function parseField(bytes: Uint8Array, start: number, end: number, head: RequestHead): number {
  // Refused by this with the rest: obs-fold, a line that begins with white space; white space before the colon.
  let at = start;
  while (at < end && (CLASS[bytes[at]!]! & TOKEN) !== 0) at++;
  if (at === start || at === end || bytes[at] !== COLON) return BAD_REQUEST;
  const header = knownHeader(bytes, start, at);
  if (header < 0) return OK;

  let from = at + 1;
  let to = end;
  while (from < to && isWhite(bytes[from]!)) from++;
  while (to > from && isWhite(bytes[to - 1]!)) to--;
  if (head.valueStart[header] === 0) {
    head.present |= 1 << header;
    head.valueStart[header] = from;
    head.valueEnd[header] = to;
  } else {
    head.repeated |= 1 << header;
  }
  switch (header) {
    case HEADER_HOST:
      return validHost(bytes, from, to) ? OK : BAD_REQUEST;
    case HEADER_CONNECTION:
      if (listHas(bytes, from, to, WORD_CLOSE)) head.connectionWords |= CONNECTION_CLOSE;
      if (listHas(bytes, from, to, WORD_KEEP_ALIVE)) head.connectionWords |= CONNECTION_KEEP_ALIVE;
      if (listHas(bytes, from, to, WORD_UPGRADE)) head.connectionWords |= CONNECTION_UPGRADE;
      return OK;
    case HEADER_CONTENT_LENGTH:
      head.contentLength = parseContentLength(bytes, from, to);
      return head.contentLength < 0 ? BAD_REQUEST : OK;
    case HEADER_TRANSFER_ENCODING:
      head.chunked = true;
      return judgeTransferEncoding(bytes, from, to);
    case HEADER_UPGRADE:
      if (listHas(bytes, from, to, WORD_WEBSOCKET)) head.websocketOffered = true;
      return OK;
    case HEADER_EXPECT:
      if (listHas(bytes, from, to, WORD_100_CONTINUE)) head.expectContinue = true;
      return OK;
    default:
      return OK;
  }
}

function knownHeader(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length >= HEADERS_BY_NAME_LENGTH.length) return -1;
  const headers = HEADERS_BY_NAME_LENGTH[length]!;
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!;
    if (equalsFolded(bytes, start, end, HEADER_NAMES[header]!)) return header;
  }
  return -1;
}

/** The rules that join several lines, at the end of the head. */
function finish(head: RequestHead, length: number): number {
  const { minorVersion, connectionWords, valueStart, valueEnd } = head;
  if ((head.repeated & SINGLE_HEADERS) !== 0) return BAD_REQUEST;
  if (minorVersion === 1 && valueStart[HEADER_HOST] === 0) return BAD_REQUEST; // RFC 9112 section 3.2
  // RFC 9112 section 6.1: both together, or chunked from a client too old to know it, smell of smuggling.
  if (head.chunked && (head.contentLength >= 0 || minorVersion === 0)) return BAD_REQUEST;
  if (head.authorityEnd !== 0) {
    // RFC 9112 section 3.2.2: the target's authority replaces what Host says.
    head.present |= 1 << HEADER_HOST;
    valueStart[HEADER_HOST] = head.authorityStart;
    valueEnd[HEADER_HOST] = head.authorityEnd;
  }
  // RFC 9112 section 9.3: `close` wins; HTTP/1.1 persists by itself, HTTP/1.0 when it asks for it.
  head.keepAlive =
    (connectionWords & CONNECTION_CLOSE) === 0 &&
    (minorVersion === 1 || (connectionWords & CONNECTION_KEEP_ALIVE) !== 0);
  // RFC 9110 sections 7.8 and 10.1.1: from HTTP/1.0 both are ignored.
  head.upgradeWebSocket =
    head.websocketOffered &&
    (connectionWords & CONNECTION_UPGRADE) !== 0 &&
    head.method === METHOD_GET &&
    minorVersion === 1;
  head.expectContinue = head.expectContinue && minorVersion === 1;
  head.headLength = length;
  return length;
}
