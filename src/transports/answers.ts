/**
 * What the client port answers besides transports: publishing, the home page, the echo of `--test-echo`.
 */

import {
  ALLOW_ORIGIN,
  CONNECTION,
  dated,
  datedHead,
  NO_SNIFF,
  NO_STORE,
  type Template,
  template,
} from '../http/template.js';
import { REFUSAL_STATUS, type Refusal } from './publishing.js';

const JSON_TYPE = 'Content-Type: application/json; charset=utf-8';

/** The place that a publication was given. */
export interface Published {
  cursor: string;
  duplicate: boolean;
}

/**
 * The answer to `POST /v1/publish`. A new array, the caller's.
 *
 * @param batch the request was an array
 */
export function publishAnswer(
  published: readonly Published[],
  batch: boolean,
  keepAlive: boolean,
  nowMs: number,
): Uint8Array {
  const objects = published.map(({ cursor, duplicate }) => ({ cursor, ...(duplicate && { duplicate }) }));
  return jsonAnswer(200, JSON.stringify(batch ? objects : objects[0]), keepAlive, nowMs);
}

/** A whole response of `POST /echo`: the body as it came. A new array, the caller's. */
export function echoAnswer(body: Uint8Array, keepAlive: boolean, nowMs: number): Uint8Array {
  return bodyAnswer(200, ['Content-Type: application/octet-stream', NO_STORE], body, keepAlive, nowMs);
}

/**
 * A refusal in JSON, as the HTTP API has it, for those who publish. The request was read whole, so the connection may go on.
 * A new array, the caller's.
 */
export function publishRefusal({ code, message, field }: Refusal, keepAlive: boolean, nowMs: number): Uint8Array {
  const json = JSON.stringify({ error: { code, message, ...(field !== undefined && { field }) } });
  const status = REFUSAL_STATUS[code];
  return jsonAnswer(status, json, keepAlive, nowMs, status === 503 ? ['Retry-After: 5'] : []);
}

/**
 * A refusal in JSON that ends the connection: the server does not serve this client now. A new array, the caller's.
 *
 * @param error its code and, for people, why
 * @param retryAfterS when to come back, in seconds: different ones keep clients from returning all at once
 * @param bodiless true to answer HEAD
 */
export function unavailableAnswer(
  error: { code: string; message: string },
  retryAfterS: number,
  nowMs: number,
  bodiless = false,
): Uint8Array {
  const { code, message } = error;
  const json = JSON.stringify({ error: { code, message } });
  const answer = jsonAnswer(503, json, false, nowMs, [`Retry-After: ${retryAfterS}`]);
  return bodiless ? answer.subarray(0, answer.length - Buffer.byteLength(json)) : answer;
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
<li><code>GET /megacomet.js</code>: the client library, a module for browsers
</ul>
</html>
`;

const HOME_FIELDS = [
  'Content-Type: text/html; charset=utf-8',
  'Cache-Control: no-cache',
  "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
  ALLOW_ORIGIN,
  NO_SNIFF,
  `Content-Length: ${HOME_PAGE.length}`,
];
const homePages = {
  close: template(200, [...HOME_FIELDS, CONNECTION.close], HOME_PAGE),
  keepAlive: template(200, [...HOME_FIELDS, CONNECTION.keepAlive], HOME_PAGE),
};

/** `GET /`: a page that says what this is; without its body for HEAD. Borrowed. */
export function homeAnswer(keepAlive: boolean, nowMs: number, bodiless: boolean): Uint8Array {
  const page = keepAlive ? homePages.keepAlive : homePages.close;
  return bodiless ? datedHead(page, nowMs) : dated(page, nowMs);
}

const HEALTH_FIELDS = [JSON_TYPE, NO_STORE, ALLOW_ORIGIN, NO_SNIFF];

function healthPages(status: number, text: string): { close: Template; keepAlive: Template } {
  const body = JSON.stringify({ status: text });
  const fields = [...HEALTH_FIELDS, `Content-Length: ${body.length}`];
  return {
    close: template(status, [...fields, CONNECTION.close], body),
    keepAlive: template(status, [...fields, CONNECTION.keepAlive], body),
  };
}

const healthy = healthPages(200, 'ok');
const draining = healthPages(503, 'draining');

/** `GET /healthz`, for load balancers: 200, or 503 while the server is being drained. Borrowed. */
export function healthAnswer(isDraining: boolean, keepAlive: boolean, nowMs: number, bodiless: boolean): Uint8Array {
  const pages = isDraining ? draining : healthy;
  const page = keepAlive ? pages.keepAlive : pages.close;
  return bodiless ? datedHead(page, nowMs) : dated(page, nowMs);
}

/** A whole response of JSON. A new array, the caller's. */
export function jsonAnswer(
  status: number,
  json: string,
  keepAlive: boolean,
  nowMs: number,
  fields: readonly string[] = [],
): Uint8Array {
  return bodyAnswer(status, [JSON_TYPE, NO_STORE, ...fields], Buffer.from(json), keepAlive, nowMs);
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
