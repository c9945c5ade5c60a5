import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { ascii } from '../http/characters.js';
import { parseRequestHead, RequestHead } from '../http/request-head.js';
import { libraryAnswer } from './library.js';

const library = readFileSync(new URL('../client/megacomet.js', import.meta.url));

/** The answer to a request with these fields, its head as text. */
function ask(fields: string[] = [], method = 'GET'): { head: string; body: Buffer; etag: string } {
  const lines = [`${method} /megacomet.js HTTP/1.1`, 'Host: a', ...fields, '', ''];
  const bytes = ascii(lines.join('\r\n'));
  const head = new RequestHead();
  assert.ok(parseRequestHead(bytes, 0, bytes.length, head, 0) > 0);
  const answer = Buffer.from(libraryAnswer(bytes, head, Date.UTC(2026, 1, 1)));
  const bodyAt = answer.indexOf('\r\n\r\n') + 4;
  const text = answer.subarray(0, bodyAt).toString();
  return { head: text, body: answer.subarray(bodyAt), etag: /\r\nETag: (\S+)\r\n/.exec(text)![1]! };
}

test('the library is served whole, as a module that any page may import and keep for an hour', () => {
  const { head, body } = ask();
  assert.match(head, /^HTTP\/1\.1 200 OK\r\nDate: Sun, 01 Feb 2026 00:00:00 GMT\r\n/);
  for (const field of [
    'Content-Type: text/javascript; charset=utf-8',
    'Cache-Control: public, max-age=3600',
    'Vary: Accept-Encoding',
    'Access-Control-Allow-Origin: *',
    'Cross-Origin-Resource-Policy: cross-origin',
    `Content-Length: ${library.length}`,
    'Connection: keep-alive',
  ]) {
    assert.ok(head.includes(`\r\n${field}\r\n`), field);
  }
  assert.ok(body.equals(library));
  assert.doesNotMatch(head, /Content-Encoding/);
});

test('who takes gzip gets it, with a tag of its own', () => {
  const { head, body, etag } = ask(['Accept-Encoding: deflate, GZIP, br']);
  assert.match(head, /\r\nContent-Encoding: gzip\r\n/);
  assert.ok(head.includes(`\r\nContent-Length: ${body.length}\r\n`));
  assert.ok(gunzipSync(body).equals(library));
  assert.notEqual(etag, ask().etag);
  for (const value of ['br', 'gzip;q=0', 'xgzip']) assert.doesNotMatch(ask([`Accept-Encoding: ${value}`]).head, /gzip/);
});

test('who has it already is told so, and only then', () => {
  const { etag } = ask();
  for (const known of [etag, `"a", ${etag}`, '*']) {
    const { head, body } = ask([`If-None-Match: ${known}`]);
    assert.match(head, /^HTTP\/1\.1 304 Not Modified\r\n/);
    assert.ok(head.includes(`\r\nETag: ${etag}\r\n`));
    assert.doesNotMatch(head, /Content-/);
    assert.equal(body.length, 0);
  }
  for (const other of ['"a"', `${etag.slice(0, -1)}0"`]) assert.match(ask([`If-None-Match: ${other}`]).head, / 200 OK/);
  assert.match(ask(['Accept-Encoding: gzip', `If-None-Match: ${etag}`]).head, / 200 OK/);
});

test('HEAD has no body, and a connection that is not to last is closed', () => {
  const { head, body } = ask(['Connection: close'], 'HEAD');
  assert.match(head, /\r\nConnection: close\r\n/);
  assert.ok(head.includes(`\r\nContent-Length: ${library.length}\r\n`));
  assert.equal(body.length, 0);
});
