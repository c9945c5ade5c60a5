/**
 * The response heads of the transports: polls, event streams, NDJSON streams. docs/protocol.md has the fields.
 *
 * What begins a stream ends with its first bytes of content, so that proxies and EventSource see it open at once. What is
 * returned is borrowed (src/http/template.ts) unless it says otherwise.
 */

import { ascii } from '../http/characters.js';
import {
  ALLOW_ORIGIN,
  CONNECTION,
  dated,
  datedHead,
  digitsOf,
  NO_SNIFF,
  NO_STORE,
  type Template,
  template,
  writeDecimal,
} from '../http/template.js';

/** A script of another origin reads ETag only where it is exposed (Fetch standard, section 4.9). */
const EXPOSE_ETAG = 'Access-Control-Expose-Headers: ETag';
const JSON_TYPE = 'Content-Type: application/json; charset=utf-8';
const SCRIPT_TYPE = 'Content-Type: text/javascript; charset=utf-8';

/** no-transform and X-Accel-Buffering keep proxies from collecting the stream to compress or buffer it. */
const STREAM_FIELDS = [
  'Cache-Control: no-cache, no-store, no-transform',
  'X-Accel-Buffering: no',
  ALLOW_ORIGIN,
  NO_SNIFF,
  CONNECTION.close,
];

/** Comment of an event stream: keeps it open, and is no event. */
export const SSE_HEARTBEAT = ascii(':\n\n');
/** A line, as it is and as a chunk. */
export const STREAM_HEARTBEAT = ascii('{"type":"heartbeat"}\n');
export const STREAM_HEARTBEAT_CHUNK = ascii('15\r\n{"type":"heartbeat"}\n\r\n');
/** Ends a chunked stream orderly. */
export const STREAM_LAST_CHUNK = ascii('0\r\n\r\n');

/** `retry` has four digits, so that it is written into the template. */
export const SSE_RETRY_MS_MIN = 1000;
export const SSE_RETRY_MS_MAX = 9999;

const sse = template(200, ['Content-Type: text/event-stream; charset=utf-8', ...STREAM_FIELDS], 'retry: 3000\n\n');
const SSE_RETRY_AT = sse.bodyAt + 'retry: '.length;

const NDJSON_TYPE = 'Content-Type: application/x-ndjson; charset=utf-8';
const streamPlain = template(200, [NDJSON_TYPE, ...STREAM_FIELDS], Buffer.from(STREAM_HEARTBEAT).toString());
const streamChunked = template(
  200,
  [NDJSON_TYPE, 'Transfer-Encoding: chunked', ...STREAM_FIELDS],
  Buffer.from(STREAM_HEARTBEAT_CHUNK).toString(),
);

/**
 * Head of an event stream and its `retry` line.
 *
 * @param retryMs how long an EventSource waits before it connects again, SSE_RETRY_MS_MIN to SSE_RETRY_MS_MAX; different
 *   ones keep clients from returning all at once
 */
export function sseStart(nowMs: number, retryMs: number): Uint8Array {
  writeDecimal(sse.bytes, SSE_RETRY_AT, Math.min(Math.max(retryMs, SSE_RETRY_MS_MIN), SSE_RETRY_MS_MAX) | 0);
  return dated(sse, nowMs);
}

/** Head of an NDJSON stream and a first heartbeat. HTTP/1.0 knows no chunks: its stream ends with the connection. */
export function streamStart(nowMs: number, chunked: boolean): Uint8Array {
  return dated(chunked ? streamChunked : streamPlain, nowMs);
}

/** Answers HEAD: the head that GET would get, as far as it is known before there is anything to say. */
export function sseHead(nowMs: number): Uint8Array {
  return datedHead(sse, nowMs);
}

export function streamHead(nowMs: number, chunked: boolean): Uint8Array {
  return datedHead(chunked ? streamChunked : streamPlain, nowMs);
}

interface Pair {
  readonly close: Template;
  readonly keepAlive: Template;
}

function pair(fields: readonly string[], body = ''): Pair {
  return {
    close: template(200, [...fields, CONNECTION.close], body),
    keepAlive: template(200, [...fields, CONNECTION.keepAlive], body),
  };
}

const POLL_FIELDS = [NO_STORE, ALLOW_ORIGIN, EXPOSE_ETAG, NO_SNIFF];
const poll = pair([JSON_TYPE, ...POLL_FIELDS]);
const pollScript = pair([SCRIPT_TYPE, ...POLL_FIELDS]);
/** For `writePollHead`: without the field. */
export const NO_RETRY_AFTER = -1;
const RETRY_AFTER = ascii('Retry-After: ');
const CRLF = ascii('\r\n');
const ETAG = ascii('ETag: "');
const LENGTH = ascii('"\r\nContent-Length: ');
const END = ascii('\r\n\r\n');

/** Answers HEAD on a poll: without a length and an ETag, which nobody knows before there is a message. */
export function pollHead(nowMs: number, keepAlive: boolean, script: boolean): Uint8Array {
  return dated(chosen(script ? pollScript : poll, keepAlive), nowMs);
}

function chosen(answers: Pair, keepAlive: boolean): Template {
  return keepAlive ? answers.keepAlive : answers.close;
}

/** How many bytes `writePollHead` writes. */
export function pollHeadLength(
  cursor: string,
  bodyBytes: number,
  keepAlive: boolean,
  script: boolean,
  retryAfterS = NO_RETRY_AFTER,
): number {
  const start = chosen(script ? pollScript : poll, keepAlive).bodyAt - 2;
  const retry = retryAfterS === NO_RETRY_AFTER ? 0 : RETRY_AFTER.length + digitsOf(retryAfterS) + CRLF.length;
  return start + retry + ETAG.length + cursor.length + LENGTH.length + digitsOf(bodyBytes) + END.length;
}

/**
 * Writes the head of a poll's answer to `target` from `at` on: the ETag is the cursor.
 *
 * @param script the body is JSONP
 * @param retryAfterS when the client may come back, in seconds, or NO_RETRY_AFTER
 * @returns the offset after it, where the body goes: at + pollHeadLength(…)
 */
export function writePollHead(
  target: Uint8Array,
  at: number,
  cursor: string,
  bodyBytes: number,
  keepAlive: boolean,
  script: boolean,
  nowMs: number,
  retryAfterS = NO_RETRY_AFTER,
): number {
  const answer = chosen(script ? pollScript : poll, keepAlive);
  // All but the empty line, which comes after the fields that vary.
  target.set(dated(answer, nowMs).subarray(0, answer.bodyAt - 2), at);
  at += answer.bodyAt - 2;
  if (retryAfterS !== NO_RETRY_AFTER) {
    target.set(RETRY_AFTER, at);
    at = writeDecimal(target, at + RETRY_AFTER.length, retryAfterS);
    target.set(CRLF, at);
    at += CRLF.length;
  }
  target.set(ETAG, at);
  at += ETAG.length;
  for (let i = 0; i < cursor.length; i++) target[at++] = cursor.charCodeAt(i);
  target.set(LENGTH, at);
  at = writeDecimal(target, at + LENGTH.length, bodyBytes);
  target.set(END, at);
  return at + END.length;
}
