/**
 * What a request on the client port asks for: which transport, which channels, from where on. docs/protocol.md has the whole
 * of it; the classic protocol's own rules are in classic.ts.
 *
 * One `Requests` serves all connections of a worker: `route` leaves what it found in fields that the next call overwrites,
 * and allocates nothing. Channels and callback are copied into scratch arrays, so the request's bytes may go.
 */

import { validChannelName } from '../channel-name.js';
import { Cursor } from '../cursor.js';
import { validCallbackName } from '../http/callback-name.js';
import { ascii, equals, equalsFolded } from '../http/characters.js';
import { isWhite } from '../http/field-values.js';
import { DECODING_FAILED, decodeValue, parameterName, valueStart } from '../http/query.js';
import {
  HEADER_CONTENT_TYPE,
  HEADER_IF_NONE_MATCH,
  HEADER_LAST_EVENT_ID,
  METHOD_GET,
  METHOD_HEAD,
  METHOD_OPTIONS,
  METHOD_POST,
  type RequestHead,
} from '../http/request-head.js';
import { ALLOW_ALL, ALLOW_READ, ALLOW_WRITE, optionsAnswer } from '../http/response.js';
import {
  CALLBACK_BYTES_MAX,
  CHANNELS_PER_CONNECTION_MAX,
  CLIENT_BODY_BYTES_MAX,
  POLL_TIMEOUT_S,
  POLL_TIMEOUT_S_MAX,
  REQUEST_LINE_BYTES_MAX,
} from '../limits.js';
import { healthAnswer, homeAnswer } from './answers.js';
import { pollHead, sseHead, streamHead } from './heads.js';
import { libraryAnswer } from './library.js';

/** `route`: no path of this file; the classic transport's to judge. */
export const ROUTE_CLASSIC = 0;
/** `route`: send `answer` now. */
export const ROUTE_ANSWER = 1;
// The next three may be of HEAD: `headAnswer` then.
/** `route`: hold for messages; `callbackLength`, `timeoutMs`. */
export const ROUTE_POLL = 2;
/** `route`: hold for messages; `raw`. */
export const ROUTE_SSE = 3;
/** `route`: hold for messages; chunked for HTTP/1.1. */
export const ROUTE_STREAM = 4;
/** `route`: hold for messages after the handshake, which the caller judges. There may be no channel yet. */
export const ROUTE_WEBSOCKET = 5;
/** `route`: read a body of at most CLIENT_BODY_BYTES_MAX, which is a publication. */
export const ROUTE_PUBLISH = 6;
/** `route`: read a body of at most CLIENT_BODY_BYTES_MAX and return it. */
export const ROUTE_ECHO = 7;
/** `route`: a WebSocket that returns its messages. */
export const ROUTE_ECHO_WEBSOCKET = 8;
/** Within this file: what a load balancer asks. */
const ROUTE_HEALTH = 9;
/** Within this file: the client library. */
const ROUTE_LIBRARY = 10;
// `route`: anything from 400 is a status to refuse with; with 405, `allow` says what the path takes.

/** Paths with the route of GET; of POST where they take that. */
const PATHS: readonly (readonly [path: Uint8Array, route: number])[] = [
  [ascii('/v1/poll'), ROUTE_POLL],
  [ascii('/v1/sse'), ROUTE_SSE],
  [ascii('/v1/stream'), ROUTE_STREAM],
  [ascii('/v1/ws'), ROUTE_WEBSOCKET],
  [ascii('/v1/publish'), ROUTE_PUBLISH],
  [ascii('/echo'), ROUTE_ECHO],
  [ascii('/'), ROUTE_ANSWER],
  [ascii('/healthz'), ROUTE_HEALTH],
  [ascii('/megacomet.js'), ROUTE_LIBRARY],
];
/** The same by the length of the path: the ids of classic clients are compared with one or two. */
const PATHS_BY_LENGTH: readonly (readonly { path: Uint8Array; route: number }[])[] = Array.from(
  { length: Math.max(...PATHS.map(([path]) => path.length)) + 1 },
  (_, length) => PATHS.filter(([path]) => path.length === length).map(([path, route]) => ({ path, route })),
);

/** What a path takes, by its route, where that is not ALLOW_READ. */
const ALLOWED: Readonly<Record<number, string>> = { [ROUTE_PUBLISH]: ALLOW_WRITE, [ROUTE_ECHO]: ALLOW_ALL };

const CHANNEL = parameterName('channel');
const AFTER = parameterName('after');
const TIMEOUT = parameterName('timeout');
const FORMAT = parameterName('format');
const CALLBACK = parameterName('callback');

// Parameters that were seen: each but `channel` is given once.
const SEEN_AFTER = 1;
const SEEN_TIMEOUT = 2;
const SEEN_FORMAT = 4;
const SEEN_CALLBACK = 8;

const RAW = ascii('raw');
const JSON_FORMAT = ascii('json');
const APPLICATION_JSON = ascii('application/json');
const AMPERSAND = 0x26;
const SEMICOLON = 0x3b;
const QUOTE = 0x22;
const SLASH = 0x2f;
const WEAK = 0x57;
const DIGIT_0 = 0x30;
/** No parameter but `channel` and `callback` has a valid value that is longer. */
const VALUE_BYTES_MAX = 64;

const OK = 0;

export class Requests {
  readonly #testEcho: boolean;

  /** The names one behind the other, each once; that of channel i ends at `channelEnds[i]`, where the next one begins. */
  readonly channels = new Uint8Array(REQUEST_LINE_BYTES_MAX);
  readonly channelEnds = new Int32Array(CHANNELS_PER_CONNECTION_MAX);
  channelCount = 0;
  /** From where on; `now` where the client has not said. */
  readonly cursor = new Cursor();
  /** How long a poll is held. */
  timeoutMs = 0;
  /** SSE with bare data. */
  raw = false;
  /** The name of a poll's JSONP function; `callbackLength` 0 means JSON. */
  readonly callback = new Uint8Array(CALLBACK_BYTES_MAX);
  callbackLength = 0;
  /** Set by the worker: the server is being drained. */
  draining = false;
  /** After ROUTE_ANSWER: the whole response, borrowed. */
  answer: Uint8Array = new Uint8Array(0);
  /** Whether clients may publish on some channel; else POST /v1/publish is refused with its head. */
  publishing = false;
  /** After 405: what the path takes. */
  allow = ALLOW_READ;

  readonly #hashes = new Int32Array(CHANNELS_PER_CONNECTION_MAX);
  readonly #value = new Uint8Array(VALUE_BYTES_MAX);
  #seen = 0;

  /**
   * @param options.testEcho serve `/echo`
   */
  constructor(options: { testEcho: boolean }) {
    this.#testEcho = options.testEcho;
  }

  /** Where the name of channel i begins in `channels`. */
  channelStart(i: number): number {
    return i === 0 ? 0 : this.channelEnds[i - 1];
  }

  /** ROUTE_… or a status. Offsets in `head` are into `bytes`. */
  route(bytes: Uint8Array, head: RequestHead): number {
    let route = this.#pathRoute(bytes, head.pathStart, head.pathEnd);
    if (route === ROUTE_CLASSIC) return ROUTE_CLASSIC;
    const { method } = head;
    this.allow = ALLOWED[route] ?? ALLOW_READ;
    if ((route === ROUTE_PUBLISH || route === ROUTE_ECHO) && method === METHOD_POST) {
      return this.#bodyRoute(bytes, head, route);
    }
    if (route === ROUTE_PUBLISH && method !== METHOD_OPTIONS) return 405;
    if (route === ROUTE_ECHO) route = ROUTE_ECHO_WEBSOCKET;
    // A body would be taken for the next request by whoever did not read this one's head: refuse it.
    if (head.contentLength > 0 || head.chunked) return 400;
    if (method === METHOD_OPTIONS) {
      this.answer = optionsAnswer(head.keepAlive, Date.now(), this.allow);
      return ROUTE_ANSWER;
    }
    if (method !== METHOD_GET && method !== METHOD_HEAD) return 405;
    if (route === ROUTE_HEALTH) {
      this.answer = healthAnswer(this.draining, head.keepAlive, Date.now(), method === METHOD_HEAD);
      return ROUTE_ANSWER;
    }
    if (route === ROUTE_LIBRARY) {
      this.answer = libraryAnswer(bytes, head, Date.now());
      return ROUTE_ANSWER;
    }
    if (route === ROUTE_ANSWER) {
      this.answer = homeAnswer(head.keepAlive, Date.now(), method === METHOD_HEAD);
      return ROUTE_ANSWER;
    }
    if ((route === ROUTE_WEBSOCKET || route === ROUTE_ECHO_WEBSOCKET) && !head.upgradeWebSocket) return 426;
    if (route === ROUTE_ECHO_WEBSOCKET) return route;
    const status = this.#readQuery(bytes, head, route) || this.#readCursorField(bytes, head, route);
    if (status !== OK) return status;
    if (this.channelCount === 0 && route !== ROUTE_WEBSOCKET) return 400;
    return route;
  }

  #pathRoute(bytes: Uint8Array, start: number, end: number): number {
    // `http://host` alone is its root (RFC 9110 section 4.2.3).
    if (start === end) return ROUTE_ANSWER;
    if (bytes[start] !== SLASH) return ROUTE_CLASSIC;
    const length = end - start;
    if (length >= PATHS_BY_LENGTH.length) return ROUTE_CLASSIC;
    const paths = PATHS_BY_LENGTH[length]!;
    for (let i = 0; i < paths.length; i++) {
      const { path, route } = paths[i]!;
      if (equals(bytes, start, end, path)) return route === ROUTE_ECHO && !this.#testEcho ? ROUTE_CLASSIC : route;
    }
    return ROUTE_CLASSIC;
  }

  /** What can be refused before the body is read. */
  #bodyRoute(bytes: Uint8Array, head: RequestHead, route: number): number {
    if (route === ROUTE_PUBLISH && !this.publishing) return 403;
    if (head.contentLength < 0 && !head.chunked) return 411;
    if (head.contentLength > CLIENT_BODY_BYTES_MAX) return 413;
    // Pages of other origins may send other types without a preflight (Fetch standard, section 2.2.2).
    if (route === ROUTE_PUBLISH && !isJsonType(bytes, head)) return 415;
    return route;
  }

  /** Answers HEAD for the request that `route` has read: ROUTE_POLL, ROUTE_SSE or ROUTE_STREAM. Borrowed. */
  headAnswer(head: RequestHead, route: number): Uint8Array {
    const nowMs = Date.now();
    if (route === ROUTE_POLL) return pollHead(nowMs, head.keepAlive, this.callbackLength > 0);
    return route === ROUTE_SSE ? sseHead(nowMs) : streamHead(nowMs, head.minorVersion === 1);
  }

  // ── Parameters ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** All parameters that the route knows; others are ignored. Returns 0 or a status. */
  #readQuery(bytes: Uint8Array, head: RequestHead, route: number): number {
    this.channelCount = 0;
    this.cursor.reset();
    this.timeoutMs = POLL_TIMEOUT_S * 1000;
    this.raw = false;
    this.callbackLength = 0;
    this.#seen = 0;
    const end = head.queryEnd;
    for (let from = head.queryStart; from < end; ) {
      let to = from;
      while (to < end && bytes[to] !== AMPERSAND) to++;
      const status = this.#readParameter(bytes, from, to, route);
      if (status !== OK) return status;
      from = to + 1;
    }
    return OK;
  }

  #readParameter(bytes: Uint8Array, from: number, to: number, route: number): number {
    let value = valueStart(bytes, from, to, CHANNEL);
    if (value >= 0) return this.#addChannel(bytes, value, to);
    value = valueStart(bytes, from, to, AFTER);
    if (value >= 0) return this.#readAfter(bytes, value, to);
    if (route === ROUTE_SSE) {
      value = valueStart(bytes, from, to, FORMAT);
      return value >= 0 ? this.#readFormat(bytes, value, to) : OK;
    }
    if (route !== ROUTE_POLL) return OK;
    value = valueStart(bytes, from, to, TIMEOUT);
    if (value >= 0) return this.#readTimeout(bytes, value, to);
    value = valueStart(bytes, from, to, CALLBACK);
    return value >= 0 ? this.#readCallback(bytes, value, to) : OK;
  }

  #addChannel(bytes: Uint8Array, start: number, end: number): number {
    const { channels, channelEnds } = this;
    const at = this.channelStart(this.channelCount);
    // Decoding never lengthens, and all values together are shorter than the request line.
    const length = decodeValue(bytes, start, end, channels, at);
    if (length === DECODING_FAILED || !validChannelName(channels, at, at + length)) return 400;
    const hash = hashOf(channels, at, at + length);
    for (let i = 0; i < this.channelCount; i++) {
      if (this.#hashes[i] === hash && this.#isChannel(i, at, length)) return OK;
    }
    if (this.channelCount === CHANNELS_PER_CONNECTION_MAX) return 400;
    this.#hashes[this.channelCount] = hash;
    channelEnds[this.channelCount++] = at + length;
    return OK;
  }

  /** Whether channel i has the name that was decoded to `channels[at..at + length)`. */
  #isChannel(i: number, at: number, length: number): boolean {
    const { channels, channelEnds } = this;
    const from = this.channelStart(i);
    if (channelEnds[i] - from !== length) return false;
    for (let k = 0; k < length; k++) if (channels[from + k] !== channels[at + k]) return false;
    return true;
  }

  /** Decodes a value that is given once into `#value`. Returns its length, or -1 where it is refused. */
  #once(parameter: number, bytes: Uint8Array, start: number, end: number, target = this.#value): number {
    if ((this.#seen & parameter) !== 0) return -1;
    this.#seen |= parameter;
    return Math.max(-1, decodeValue(bytes, start, end, target, 0));
  }

  #readAfter(bytes: Uint8Array, start: number, end: number): number {
    const length = this.#once(SEEN_AFTER, bytes, start, end);
    return length >= 0 && this.cursor.parse(this.#value, 0, length) ? OK : 400;
  }

  /** Whole seconds in decimal. */
  #readTimeout(bytes: Uint8Array, start: number, end: number): number {
    const length = this.#once(SEEN_TIMEOUT, bytes, start, end);
    if (length < 1 || length > 3) return 400;
    let seconds = 0;
    for (let i = 0; i < length; i++) {
      const digit = this.#value[i] - DIGIT_0;
      if (digit < 0 || digit > 9) return 400;
      seconds = seconds * 10 + digit;
    }
    if (seconds > POLL_TIMEOUT_S_MAX) return 400;
    this.timeoutMs = seconds * 1000;
    return OK;
  }

  #readFormat(bytes: Uint8Array, start: number, end: number): number {
    const length = this.#once(SEEN_FORMAT, bytes, start, end);
    if (length < 0) return 400;
    this.raw = equals(this.#value, 0, length, RAW);
    return this.raw || equals(this.#value, 0, length, JSON_FORMAT) ? OK : 400;
  }

  #readCallback(bytes: Uint8Array, start: number, end: number): number {
    const length = this.#once(SEEN_CALLBACK, bytes, start, end, this.callback);
    if (length <= 0 || !validCallbackName(this.callback, 0, length)) return 400;
    this.callbackLength = length;
    return OK;
  }

  // ── Header fields ──────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The other ways to carry a cursor. An EventSource that reconnects repeats its address, so its Last-Event-ID is newer than
   * `after`; what If-None-Match says counts where `after` says nothing.
   */
  #readCursorField(bytes: Uint8Array, head: RequestHead, route: number): number {
    if (route === ROUTE_SSE) {
      const start = head.valueStart[HEADER_LAST_EVENT_ID]!;
      const end = head.valueEnd[HEADER_LAST_EVENT_ID]!;
      // An empty one is the client's way to say that it has none (HTML standard, section 9.2).
      return start === end || this.cursor.parse(bytes, start, end) ? OK : 400;
    }
    if (route !== ROUTE_POLL || (this.#seen & SEEN_AFTER) !== 0) return OK;
    const start = head.valueStart[HEADER_IF_NONE_MATCH]!;
    if (start === 0) return OK;
    if ((head.repeated & (1 << HEADER_IF_NONE_MATCH)) !== 0) return 400;
    return this.#readEntityTag(bytes, start, head.valueEnd[HEADER_IF_NONE_MATCH]!);
  }

  /** RFC 9110 section 8.8.3: [ "W/" ] DQUOTE cursor DQUOTE. Proxies that compress make tags weak. */
  #readEntityTag(bytes: Uint8Array, start: number, end: number): number {
    const open = bytes[start] === WEAK && bytes[start + 1] === SLASH ? start + 2 : start;
    if (end - open < 2 || bytes[open] !== QUOTE || bytes[end - 1] !== QUOTE) return 400;
    // `"now"` and `"start"` are no tags that anybody was given.
    return this.cursor.parse(bytes, open + 1, end - 1) && this.cursor.position >= 0 ? OK : 400;
  }
}

/** RFC 9110 section 8.3.1: `application/json`, with whatever parameters. */
function isJsonType(bytes: Uint8Array, head: RequestHead): boolean {
  const start = head.valueStart[HEADER_CONTENT_TYPE]!;
  const end = head.valueEnd[HEADER_CONTENT_TYPE]!;
  const typeEnd = Math.min(end, start + APPLICATION_JSON.length);
  if (!equalsFolded(bytes, start, typeEnd, APPLICATION_JSON)) return false;
  let at = typeEnd;
  while (at < end && isWhite(bytes[at]!)) at++;
  return at === end || bytes[at] === SEMICOLON;
}

/** FNV-1a: only to tell most names apart at once. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash;
}
