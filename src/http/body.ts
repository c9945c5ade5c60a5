/**
 * The body of a request, read strictly (RFC 9112 sections 6 and 7) as it comes: of a known length, or chunked.
 *
 * A connection that is sent a body has one `BodyReader` until the body is whole; it copies what it is fed, so nothing is
 * borrowed. The result does not depend on where the bytes were split: each line of the chunked coding is first walked to
 * its end, then parsed by itself, as the request head is.
 *
 * After a refusal the connection has to be closed: nobody knows where the next request would begin.
 *
 *     chunked-body = *( chunk-size [ chunk-ext ] CRLF  chunk-data CRLF )  1*"0" [ chunk-ext ] CRLF  *( field-line CRLF )  CRLF
 *     chunk-ext    = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
 */

import { CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX } from '../limits.js';
import { ascii, CLASS, CR, equalsFolded, LF, TEXT, TOKEN } from './characters.js';
import { isWhite } from './field-values.js';

/** `feed`: good so far; all bytes were consumed and more are needed. */
export const BODY_PARTIAL = 0;
/** `feed`: the body is whole; what follows `consumed` is the next request. */
export const BODY_COMPLETE = 1;
// `feed`: a negative result is -status: 400, 413 or 431.

const BAD_REQUEST = -400;
const TOO_LARGE = -413;
const FIELDS_TOO_LARGE = -431;

// What the next byte belongs to.
const IN_SIZE_LINE = 0;
const IN_DATA = 1;
const AT_DATA_CR = 2;
const AT_DATA_LF = 3;
const IN_TRAILER = 4;
const COMPLETE = 5;

const LINE_PARTIAL = 0;
const LINE_WHOLE = 1;

/** A size has no more digits than this, leading zeros among them. */
const SIZE_DIGITS_MAX = 16;
const FIRST_BYTES = 1024;

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/**
 * RFC 9110 section 6.5.1: what may not come in a trailer, since it says how to read the message or where it goes. Other
 * fields are read past: nothing here has a use for them.
 */
const FORBIDDEN_TRAILERS = [
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
].map(ascii);

export class BodyReader {
  readonly #bytesMax: number;
  #state: number;
  /** Bytes of the body, or of this chunk, that have not come yet. */
  #left: number;
  #result = BODY_PARTIAL;

  #body = new Uint8Array(0);
  #length = 0;
  /** The line that is being read, as far as it came in earlier views; none for a body of a known length. */
  readonly #line: Uint8Array;
  #lineLength = 0;
  #extensionBytes = 0;
  #trailerBytes = 0;

  /** How many bytes of the last view belong to this body. */
  consumed = 0;

  /**
   * @param contentLength bytes, or -1 for the chunked coding
   * @param bytesMax a longer body is refused with 413
   */
  constructor(contentLength: number, bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#left = Math.max(contentLength, 0);
    this.#line = new Uint8Array(contentLength < 0 ? Math.max(CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX) : 0);
    this.#state = contentLength < 0 ? IN_SIZE_LINE : IN_DATA;
    if (contentLength > bytesMax) this.#result = TOO_LARGE;
    else if (contentLength === 0) this.#result = BODY_COMPLETE;
  }

  /** The body as far as it has come; whole after BODY_COMPLETE. Valid until the next `feed`. */
  get bytes(): Buffer {
    return Buffer.from(this.#body.buffer, 0, this.#length);
  }

  /** What this reader holds on to, for who bounds all of them together. It grows with what has come, not with what was announced. */
  get heldBytes(): number {
    return this.#body.length + this.#line.length;
  }

  /**
   * Reads bytes[start..end), none at all to ask for the state.
   *
   * @returns BODY_PARTIAL, BODY_COMPLETE with `consumed` set, or -status; after either of the latter it stays with that
   */
  feed(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (this.#result === BODY_PARTIAL && at < end) {
      switch (this.#state) {
        case IN_SIZE_LINE:
        case IN_TRAILER:
          at = this.#readLine(bytes, at, end);
          break;
        case IN_DATA:
          at = this.#readData(bytes, at, end);
          break;
        case AT_DATA_CR:
          if (bytes[at++] === CR) this.#state = AT_DATA_LF;
          else this.#result = BAD_REQUEST;
          break;
        case AT_DATA_LF:
          if (bytes[at++] === LF) this.#state = IN_SIZE_LINE;
          else this.#result = BAD_REQUEST;
          break;
      }
    }
    this.consumed = at - start;
    return this.#result;
  }

  #readData(bytes: Uint8Array, at: number, end: number): number {
    const count = Math.min(this.#left, end - at);
    this.#reserve(this.#length + count);
    this.#body.set(bytes.subarray(at, at + count), this.#length);
    this.#length += count;
    this.#left -= count;
    if (this.#left === 0) {
      if (this.#line.length === 0) this.#result = BODY_COMPLETE;
      else this.#state = AT_DATA_CR;
    }
    return at + count;
  }

  /** Doubles as it fills, up to the limit. */
  #reserve(length: number): void {
    if (length <= this.#body.length) return;
    const room = Math.min(this.#bytesMax, Math.max(FIRST_BYTES, 2 ** Math.ceil(Math.log2(length))));
    const larger = new Uint8Array(room);
    larger.set(this.#body.subarray(0, this.#length));
    this.#body = larger;
  }

  // ── Lines of the chunked coding ────────────────────────────────────────────────────────────────────────────────────

  #readLine(bytes: Uint8Array, at: number, end: number): number {
    while (at < end) {
      const outcome = this.#addToLine(bytes[at++]!);
      if (outcome < 0) this.#result = outcome;
      if (outcome === LINE_PARTIAL) continue;
      if (outcome === LINE_WHOLE) {
        this.#result = this.#state === IN_SIZE_LINE ? this.#parseSizeLine() : this.#parseTrailer();
        this.#lineLength = 0;
      }
      break;
    }
    return at;
  }

  /** Text, then CR LF; the CR is kept in the line until its LF has come. */
  #addToLine(byte: number): number {
    const line = this.#line;
    const length = this.#lineLength;
    if (length > 0 && line[length - 1] === CR) return byte === LF ? LINE_WHOLE : BAD_REQUEST;
    if (byte !== CR && (CLASS[byte]! & TEXT) === 0) return BAD_REQUEST;
    const room = this.#state === IN_SIZE_LINE ? CHUNK_LINE_BYTES_MAX : TRAILER_BYTES_MAX - this.#trailerBytes;
    if (length === room) return this.#state === IN_SIZE_LINE ? TOO_LARGE : FIELDS_TOO_LARGE;
    line[length] = byte;
    this.#lineLength = length + 1;
    return LINE_PARTIAL;
  }

  #parseSizeLine(): number {
    const end = this.#lineLength - 1;
    let at = 0;
    let size = 0;
    for (; at < end; at++) {
      const digit = hexValue(this.#line[at]!);
      if (digit < 0) break;
      size = size * 16 + digit;
      if (size > this.#bytesMax - this.#length) return TOO_LARGE;
    }
    if (at === 0 || at > SIZE_DIGITS_MAX || !validExtensions(this.#line, at, end)) return BAD_REQUEST;
    this.#extensionBytes += end - at;
    if (this.#extensionBytes > CHUNK_EXTENSIONS_BYTES_MAX) return TOO_LARGE;
    this.#left = size;
    this.#state = size === 0 ? IN_TRAILER : IN_DATA;
    return BODY_PARTIAL;
  }

  #parseTrailer(): number {
    const end = this.#lineLength - 1;
    if (end === 0) {
      this.#state = COMPLETE;
      return BODY_COMPLETE;
    }
    this.#trailerBytes += this.#lineLength;
    const line = this.#line;
    const nameEnd = tokenEnd(line, 0, end);
    if (nameEnd === 0 || nameEnd === end || line[nameEnd] !== COLON) return BAD_REQUEST;
    const forbidden = FORBIDDEN_TRAILERS.some((name) => equalsFolded(line, 0, nameEnd, name));
    return forbidden ? BAD_REQUEST : BODY_PARTIAL;
  }
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const folded = byte | 0x20;
  return folded >= 0x61 && folded <= 0x66 ? folded - 0x61 + 10 : -1;
}

/** Whether bytes[at..end) is chunk-ext. What it says is ignored, as RFC 9112 section 7.1.1 demands of who knows none. */
function validExtensions(bytes: Uint8Array, at: number, end: number): boolean {
  while (at < end) {
    at = whiteEnd(bytes, at, end);
    if (at === end || bytes[at] !== SEMICOLON) return false;
    const name = whiteEnd(bytes, at + 1, end);
    at = tokenEnd(bytes, name, end);
    if (at === name) return false;
    const equals = whiteEnd(bytes, at, end);
    if (equals < end && bytes[equals] === EQUALS) {
      const value = whiteEnd(bytes, equals + 1, end);
      at = value < end && bytes[value] === QUOTE ? quotedEnd(bytes, value, end) : tokenEnd(bytes, value, end);
      if (at <= value) return false;
    }
  }
  return true;
}

function whiteEnd(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && isWhite(bytes[at]!)) at++;
  return at;
}

function tokenEnd(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && (CLASS[bytes[at]!]! & TOKEN) !== 0) at++;
  return at;
}

/** The offset after the quoted-string that begins at `at`, or -1 where it does not end. Its line holds text only. */
function quotedEnd(bytes: Uint8Array, at: number, end: number): number {
  for (at++; at < end; at++) {
    if (bytes[at] === QUOTE) return at + 1;
    if (bytes[at] === BACKSLASH) at++;
  }
  return -1;
}
