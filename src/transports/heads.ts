/**
 * The response heads of the transports, and of what else the client port answers: polls, event streams, NDJSON streams, the
 * home page, answers to publishing. docs/protocol.md has the fields.
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
  statusText,
  type Template,
  template,
  writeDecimal,
} from '../http/template.js';

const NO_STORE = 'Cache-Control: no-store';
const NO_SNIFF = 'X-Content-Type-Options: nosniff';
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

// ── Answers with a length ──────────────────────────────────────────────────────────────────────────────────────────────

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
export function pollHeadLength(cursor: string, bodyBytes: number, keepAlive: boolean, script: boolean): number {
  const start = chosen(script ? pollScript : poll, keepAlive).bodyAt - 2;
  return start + ETAG.length + cursor.length + LENGTH.length + digitsOf(bodyBytes) + END.length;
}

/**
 * Writes the head of a poll's answer to `target` from `at` on: the ETag is the cursor.
 *
 * @param script the body is JSONP
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
): number {
  const answer = chosen(script ? pollScript : poll, keepAlive);
  // All but the empty line, which comes after the fields that vary.
  target.set(dated(answer, nowMs).subarray(0, answer.bodyAt - 2), at);
  at += answer.bodyAt - 2;
  target.set(ETAG, at);
  at += ETAG.length;
  for (let i = 0; i < cursor.length; i++) target[at++] = cursor.charCodeAt(i);
  target.set(LENGTH, at);
  at = writeDecimal(target, at + LENGTH.length, bodyBytes);
  target.set(END, at);
  return at + END.length;
}

/**
 * A whole response with a JSON text, for the rare answers: publishing and its errors. A new array, the caller's.
 *
 * @param fields further header lines, without their ends
 */
export function jsonAnswer(
  status: number,
  json: string,
  keepAlive: boolean,
  nowMs: number,
  fields: readonly string[] = [],
): Uint8Array {
  return bodyAnswer(status, [JSON_TYPE, NO_STORE, ...fields], Buffer.from(json), keepAlive, nowMs);
}

/** A whole response of `POST /echo`: the body as it came. A new array, the caller's. */
export function echoAnswer(body: Uint8Array, keepAlive: boolean, nowMs: number): Uint8Array {
  return bodyAnswer(200, ['Content-Type: application/octet-stream', NO_STORE], body, keepAlive, nowMs);
}

function bodyAnswer(
  status: number,
  fields: readonly string[],
  body: Uint8Array,
  keepAlive: boolean,
  nowMs: number,
): Uint8Array {
  const common = [ALLOW_ORIGIN, NO_SNIFF, `Content-Length: ${body.length}`];
  const connection = keepAlive ? CONNECTION.keepAlive : CONNECTION.close;
  const head = dated(template(status, [...fields, ...common, connection]), nowMs);
  return Buffer.concat([head, body]);
}

/** JSON of an error, as the HTTP API has it. */
export function errorJson(code: string, message: string, field?: string): string {
  return JSON.stringify({ error: { code, message, ...(field !== undefined && { field }) } });
}

/** A refusal in JSON, for scripts that publish. A new array, the caller's. */
export function errorAnswer(
  status: number,
  code: string,
  message: string,
  field: string | undefined,
  keepAlive: boolean,
  nowMs: number,
): Uint8Array {
  const fields = status === 503 ? ['Retry-After: 5'] : [];
  return jsonAnswer(status, errorJson(code, message || statusText(status), field), keepAlive, nowMs, fields);
}

const HOME_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>MegaComet</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}code{font-size:.9em}</style>
<h1>MegaComet</h1>
<p>This is a push server. Programs connect here and wait for messages; there is nothing to see in a browser.</p>
<ul>
<li><code>GET /v1/sse?channel=news</code>: Server-Sent Events
<li><code>GET /v1/ws?channel=news</code>: WebSocket
<li><code>GET /v1/stream?channel=news</code>: lines of JSON
<li><code>GET /v1/poll?channel=news</code>: long-poll
<li><code>GET /alice.js</code>: the classic long-poll
</ul>
</html>
`;

const homePage = pair(
  [
    'Content-Type: text/html; charset=utf-8',
    'Cache-Control: no-cache',
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
    ALLOW_ORIGIN,
    NO_SNIFF,
    `Content-Length: ${HOME_PAGE.length}`,
  ],
  HOME_PAGE,
);

/** `GET /`: a page that says what this is; without its body for HEAD. */
export function homeAnswer(keepAlive: boolean, nowMs: number, bodiless: boolean): Uint8Array {
  return bodiless ? datedHead(chosen(homePage, keepAlive), nowMs) : dated(chosen(homePage, keepAlive), nowMs);
}
