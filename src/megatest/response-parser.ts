/**
 * The response of a long-poll: just enough of RFC 9112 for a client that expects a status and a body of known length.
 *
 * A pure function over the bytes of a whole response or of its beginning: who holds a beginning calls again with more.
 * That parses the head once more, which costs less than keeping a state, since nearly every response comes whole.
 */

/** `parseResponse`: all is well so far, but more bytes are needed. */
export const RESPONSE_PARTIAL = 0;
/** `parseResponse`: this is no response with a Content-Length, or its head is too large. */
export const RESPONSE_MALFORMED = -1;

/** A head that is longer is malformed. */
export const RESPONSE_HEAD_BYTES_MAX = 16384;
/** A body that is longer is malformed: more than any server's limit, less than a typed array's. */
export const RESPONSE_BODY_BYTES_MAX = 64 << 20;

/** What `parseResponse` found; one object serves all responses. */
export interface Response {
  status: number;
  /** Offsets into the bytes that were parsed. */
  bodyStart: number;
  bodyEnd: number;
}

const LF = 10;
const CR = 13;
const COLON = 58;
const CONTENT_LENGTH = Buffer.from('content-length');
const TRANSFER_ENCODING = Buffer.from('transfer-encoding');

/**
 * Parses the response that begins at `bytes[start]`, of which `bytes[start..end)` is there.
 *
 * @returns the offset after the response, RESPONSE_PARTIAL or RESPONSE_MALFORMED; `response` is filled in if the offset
 * is returned
 */
export function parseResponse(bytes: Uint8Array, start: number, end: number, response: Response): number {
  const limit = Math.min(end, start + RESPONSE_HEAD_BYTES_MAX);
  let lineStart = start;
  let status = 0;
  let length = -1;
  for (;;) {
    const lineEnd = bytes.indexOf(LF, lineStart);
    if (lineEnd < 0 || lineEnd >= limit) {
      return end - start >= RESPONSE_HEAD_BYTES_MAX ? RESPONSE_MALFORMED : RESPONSE_PARTIAL;
    }
    if (lineEnd === lineStart || bytes[lineEnd - 1] !== CR) return RESPONSE_MALFORMED;
    const textEnd = lineEnd - 1;
    if (lineStart === start) {
      status = parseStatusLine(bytes, lineStart, textEnd);
      if (status < 0) return RESPONSE_MALFORMED;
    } else if (textEnd === lineStart) {
      lineStart = lineEnd + 1;
      break;
    } else if (isHeader(bytes, lineStart, textEnd, CONTENT_LENGTH)) {
      if (length >= 0) return RESPONSE_MALFORMED;
      length = parseLength(bytes, lineStart + CONTENT_LENGTH.length + 1, textEnd);
      if (length < 0) return RESPONSE_MALFORMED;
    } else if (isHeader(bytes, lineStart, textEnd, TRANSFER_ENCODING)) {
      return RESPONSE_MALFORMED;
    }
    lineStart = lineEnd + 1;
  }
  if (length < 0) return RESPONSE_MALFORMED;
  if (lineStart + length > end) return RESPONSE_PARTIAL;
  response.status = status;
  response.bodyStart = lineStart;
  response.bodyEnd = lineStart + length;
  return response.bodyEnd;
}

/** `HTTP/1.1 200 OK` (RFC 9112 section 4); -1 where it is something else. */
function parseStatusLine(bytes: Uint8Array, start: number, end: number): number {
  const match = /^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(latin1(bytes, start, end));
  return match === null ? -1 : Number(match[1]);
}

/** True where the line is a header of that name, whose lower-case bytes are given. Names are ASCII letters and hyphens. */
function isHeader(bytes: Uint8Array, start: number, end: number, name: Uint8Array): boolean {
  if (end - start <= name.length || bytes[start + name.length] !== COLON) return false;
  for (let index = 0; index < name.length; index++) {
    if ((bytes[start + index] | 0x20) !== (name[index] | 0x20)) return false;
  }
  return true;
}

/** Digits between optional spaces; -1 where it is something else or too much. */
function parseLength(bytes: Uint8Array, start: number, end: number): number {
  const match = /^[ \t]*(\d{1,10})[ \t]*$/.exec(latin1(bytes, start, end));
  const length = match === null ? -1 : Number(match[1]);
  return length > RESPONSE_BODY_BYTES_MAX ? -1 : length;
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
