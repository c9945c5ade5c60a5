import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echoAnswer, publishAnswer, publishRefusal } from './answers.js';
import {
  pollHead,
  pollHeadLength,
  SSE_HEARTBEAT,
  STREAM_HEARTBEAT,
  STREAM_HEARTBEAT_CHUNK,
  STREAM_LAST_CHUNK,
  sseHead,
  sseStart,
  streamHead,
  streamStart,
  writePollHead,
} from './heads.js';

const NOW_MS = Date.UTC(1994, 10, 6, 8, 49, 37);
const DATE = 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

const STREAM_FIELDS =
  'Cache-Control: no-cache, no-store, no-transform\r\nX-Accel-Buffering: no\r\nAccess-Control-Allow-Origin: *\r\n' +
  'X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n';

test('an event stream begins with its head and how long to wait before it is opened again', () => {
  const head = `HTTP/1.1 200 OK\r\n${DATE}Content-Type: text/event-stream; charset=utf-8\r\n${STREAM_FIELDS}`;
  assert.equal(text(sseStart(NOW_MS, 1234)), `${head}retry: 1234\n\n`);
  assert.equal(text(sseStart(NOW_MS, 9999.9)), `${head}retry: 9999\n\n`);
  assert.equal(text(sseStart(NOW_MS, 5)), `${head}retry: 1000\n\n`);
  assert.equal(text(sseStart(NOW_MS, 1e6)), `${head}retry: 9999\n\n`);
  assert.equal(text(sseHead(NOW_MS)), head);
  assert.equal(text(SSE_HEARTBEAT), ':\n\n');
});

test('an NDJSON stream begins with its head and a heartbeat, in chunks where the client knows them', () => {
  const head = (coding: string): string =>
    `HTTP/1.1 200 OK\r\n${DATE}Content-Type: application/x-ndjson; charset=utf-8\r\n${coding}${STREAM_FIELDS}`;
  assert.equal(text(streamStart(NOW_MS, false)), `${head('')}{"type":"heartbeat"}\n`);
  const chunk = '15\r\n{"type":"heartbeat"}\n\r\n';
  assert.equal(text(streamStart(NOW_MS, true)), `${head('Transfer-Encoding: chunked\r\n')}${chunk}`);
  assert.equal(text(streamHead(NOW_MS, true)), head('Transfer-Encoding: chunked\r\n'));
  assert.equal(text(streamHead(NOW_MS, false)), head(''));
  assert.equal(text(STREAM_HEARTBEAT_CHUNK), chunk);
  assert.equal(STREAM_HEARTBEAT.length, 0x15);
  assert.equal(text(STREAM_LAST_CHUNK), '0\r\n\r\n');
});

test("the head of a poll's answer has its length, its cursor as ETag, and no more bytes than were counted", () => {
  for (const [keepAlive, script, bodyBytes] of [
    [true, false, 0],
    [true, true, 31],
    [false, false, 1_048_576],
    [false, true, 9],
  ] as const) {
    const target = new Uint8Array(600).fill(0x7e);
    const end = writePollHead(target, 3, 'e-17', bodyBytes, keepAlive, script, NOW_MS);
    assert.equal(end, 3 + pollHeadLength('e-17', bodyBytes, keepAlive, script));
    assert.equal(
      text(target.subarray(3, end)),
      `HTTP/1.1 200 OK\r\n${DATE}Content-Type: ${script ? 'text/javascript' : 'application/json'}; charset=utf-8\r\n` +
        'Cache-Control: no-store\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: ETag\r\n' +
        `X-Content-Type-Options: nosniff\r\nConnection: ${keepAlive ? 'keep-alive' : 'close'}\r\n` +
        `ETag: "e-17"\r\nContent-Length: ${bodyBytes}\r\n\r\n`,
    );
    assert.equal(text(target.subarray(0, 3)), '~~~');
    assert.equal(target[end], 0x7e);
  }
  assert.doesNotMatch(text(pollHead(NOW_MS, true, false)), /ETag: |Content-Length/);
});

/** Status, fields and body of a whole response with a length. */
function parsed(answer: Uint8Array): { status: string; fields: string[]; body: string } {
  const [head, body] = text(answer).split('\r\n\r\n') as [string, string];
  const [status, ...fields] = head.split('\r\n') as [string, ...string[]];
  assert.ok(fields.includes(`Content-Length: ${Buffer.byteLength(body)}`));
  assert.ok(fields.includes('Access-Control-Allow-Origin: *'));
  return { status, fields, body };
}

test('publishing is answered with the places of the publications', () => {
  const [one, two] = [
    { cursor: 'e-1', duplicate: false },
    { cursor: 'e-0', duplicate: true },
  ];
  assert.equal(parsed(publishAnswer([one], false, true, NOW_MS)).body, '{"cursor":"e-1"}');
  assert.equal(parsed(publishAnswer([two], false, true, NOW_MS)).body, '{"cursor":"e-0","duplicate":true}');
  const batch = parsed(publishAnswer([one, two], true, false, NOW_MS));
  assert.equal(batch.body, '[{"cursor":"e-1"},{"cursor":"e-0","duplicate":true}]');
  assert.ok(batch.fields.includes('Connection: close'));
});

test('a refusal to publish says what and why, and the connection may go on', () => {
  const { status, fields, body } = parsed(
    publishRefusal({ code: 'forbidden', message: 'ü', field: '[1].channel' }, true, NOW_MS),
  );
  assert.equal(status, 'HTTP/1.1 403 Forbidden');
  assert.ok(fields.includes('Connection: keep-alive'));
  assert.equal(body, '{"error":{"code":"forbidden","message":"ü","field":"[1].channel"}}');
  const later = parsed(publishRefusal({ code: 'unavailable', message: 'later' }, true, NOW_MS));
  assert.equal(later.status, 'HTTP/1.1 503 Service Unavailable');
  assert.ok(later.fields.includes('Retry-After: 5'));
});

test('an echo has the body as it came', () => {
  const body = Uint8Array.of(0, 0xff, 0x0d, 0x0a, 0x0d, 0x0a);
  const answer = Buffer.from(echoAnswer(body, true, NOW_MS));
  assert.deepEqual(answer.subarray(answer.indexOf('\r\n\r\n') + 4), Buffer.from(body));
  assert.match(answer.toString('latin1'), /\r\nContent-Length: 6\r\n/);
});
