import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ALLOW_WRITE,
  CONTINUE,
  classicHeadLength,
  headAnswer,
  optionsAnswer,
  refusal,
  writeClassicHead,
} from './response.js';
import { digitsOf, httpDate, statusText, writeDecimal } from './template.js';

const NOW_MS = Date.UTC(1994, 10, 6, 8, 49, 37, 999);
const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';
const CLASSIC_FIELDS =
  `Date: ${DATE}\r\nContent-Type: text/javascript; charset=utf-8\r\nCache-Control: no-store\r\n` +
  'Access-Control-Allow-Origin: *\r\nX-Content-Type-Options: nosniff\r\n';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function classicHead(bodyBytes: number): string {
  const target = new Uint8Array(400).fill(0x7e);
  const end = writeClassicHead(target, 3, bodyBytes, NOW_MS);
  assert.equal(end, 3 + classicHeadLength(bodyBytes));
  assert.equal(text(target.subarray(0, 3)), '~~~');
  assert.equal(target[end], 0x7e);
  return text(target.subarray(3, end));
}

test('dates are those of RFC 9110', () => {
  assert.equal(httpDate(NOW_MS), DATE);
  assert.equal(httpDate(0).length, 29);
});

test('a classic answer has its length, ends the connection and is kept by nobody', () => {
  for (const length of [0, 1, 9, 10, 11, 99, 100, 1205, 1 << 20, 4_294_967_296]) {
    const expected = `HTTP/1.1 200 OK\r\n${CLASSIC_FIELDS}Content-Length: ${length}\r\nConnection: close\r\n\r\n`;
    assert.equal(classicHead(length), expected);
  }
});

test('HEAD is answered like GET, without a length', () => {
  assert.equal(text(headAnswer(false, NOW_MS)), `HTTP/1.1 200 OK\r\n${CLASSIC_FIELDS}Connection: close\r\n\r\n`);
  assert.equal(text(headAnswer(true, NOW_MS)), `HTTP/1.1 200 OK\r\n${CLASSIC_FIELDS}Connection: keep-alive\r\n\r\n`);
});

test('OPTIONS is answered without a body, for preflights too', () => {
  const answer = (allow: string, connection: string): string =>
    `HTTP/1.1 204 No Content\r\nDate: ${DATE}\r\nAllow: ${allow}\r\nAccess-Control-Allow-Origin: *\r\n` +
    'Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n' +
    'Access-Control-Allow-Headers: *, authorization, content-type, if-none-match, last-event-id\r\n' +
    `Access-Control-Max-Age: 86400\r\nConnection: ${connection}\r\n\r\n`;
  assert.equal(text(optionsAnswer(false, NOW_MS)), answer('GET, HEAD, OPTIONS', 'close'));
  assert.equal(text(optionsAnswer(true, NOW_MS)), answer('GET, HEAD, OPTIONS', 'keep-alive'));
  assert.equal(text(optionsAnswer(true, NOW_MS, ALLOW_WRITE)), answer('POST, OPTIONS', 'keep-alive'));
});

const REFUSED = [400, 403, 404, 405, 408, 411, 413, 414, 415, 426, 431, 500, 501, 503, 505];

test('a refusal is a whole response that says what is wrong and ends the connection', () => {
  for (const status of REFUSED) {
    const [head, body] = text(refusal(status, NOW_MS)).split('\r\n\r\n') as [string, string];
    const lines = head.split('\r\n');
    assert.equal(lines[0], `HTTP/1.1 ${status} ${statusText(status)}`);
    assert.equal(lines[1], `Date: ${DATE}`);
    assert.ok(lines.includes('Content-Type: text/plain; charset=utf-8'));
    assert.ok(lines.includes(`Content-Length: ${body.length}`));
    assert.equal(lines.at(-1), status === 426 ? 'Connection: close, upgrade' : 'Connection: close');
    assert.equal(lines.includes('Upgrade: websocket'), status === 426);
    assert.equal(lines.includes('Sec-WebSocket-Version: 13'), status === 426);
    assert.match(body, new RegExp(`^${status} ${statusText(status)}: .+\n$`));
    assert.equal(lines.includes('Allow: GET, HEAD, OPTIONS'), status === 405);
    assert.equal(lines.includes('Retry-After: 5'), status === 503);
  }
});

test('a refusal of HEAD is the same without its body', () => {
  const [head] = text(refusal(404, NOW_MS)).split('\r\n\r\n') as [string];
  assert.equal(text(refusal(404, NOW_MS, true)), `${head}\r\n\r\n`);
});

test('a refused method is told which ones the path takes', () => {
  const answer = text(refusal(405, NOW_MS, false, ALLOW_WRITE));
  assert.match(answer, /\r\nAllow: POST, OPTIONS\r\n/);
  assert.match(answer, /\n405 Method Not Allowed: only POST, OPTIONS are allowed here\n$/);
  assert.doesNotMatch(text(refusal(404, NOW_MS, false, ALLOW_WRITE)), /Allow:/);
});

test('100 Continue is a head without fields', () => {
  assert.equal(text(CONTINUE), 'HTTP/1.1 100 Continue\r\n\r\n');
});

test('decimals have no more digits than they need', () => {
  for (const value of [0, 9, 10, 99, 100, 4_294_967_296, 2 ** 48 - 1]) {
    const target = new Uint8Array(20);
    assert.equal(writeDecimal(target, 2, value), 2 + digitsOf(value));
    assert.equal(text(target.subarray(2, 2 + digitsOf(value))), String(value));
  }
});

test('each answer carries the date of its own second, whichever was sent before', () => {
  assert.match(text(refusal(400, NOW_MS)), /08:49:37 GMT/);
  assert.match(text(headAnswer(true, NOW_MS + 1000)), /08:49:38 GMT/);
  assert.match(text(refusal(400, NOW_MS + 1000)), /08:49:38 GMT/);
  assert.match(text(refusal(400, NOW_MS - 1000)), /08:49:36 GMT/);
});

test('a status that is never sent is a bug', () => {
  assert.throws(() => refusal(418, NOW_MS), RangeError);
  assert.throws(() => statusText(418), RangeError);
});
