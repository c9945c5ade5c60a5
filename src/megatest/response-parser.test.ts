import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseResponse,
  RESPONSE_HEAD_BYTES_MAX,
  RESPONSE_MALFORMED,
  RESPONSE_PARTIAL,
  type Response,
} from './response-parser.js';

const PADDING = 'before';

/** Parses a text that lies somewhere inside a larger array, as received bytes do. */
function parse(text: string): { result: number; response: Response; body: string } {
  const bytes = Buffer.from(`${PADDING}${text}\r\n\r\nafter`, 'latin1');
  const response = { status: 0, bodyStart: 0, bodyEnd: 0 };
  const result = parseResponse(bytes, PADDING.length, PADDING.length + text.length, response);
  return { result, response, body: bytes.toString('latin1', response.bodyStart, response.bodyEnd) };
}

const RESPONSES = [
  ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello', 200, 'hello'],
  ['HTTP/1.1 200 OK\r\ncontent-LENGTH:0\r\n\r\n', 200, ''],
  ['HTTP/1.0 404 \r\nX: y\r\nContent-Length:  3 \r\n\r\n\r\n\r', 404, '\r\n\r'],
  ['HTTP/1.1 503\r\nContent-Length: 2\r\n\r\nno', 503, 'no'],
] as const;

test('a response is found whole, with its status and body', () => {
  for (const [text, status, body] of RESPONSES) {
    const parsed = parse(text);
    assert.equal(parsed.result, PADDING.length + text.length);
    assert.deepEqual([parsed.response.status, parsed.body], [status, body]);
  }
});

test('a response that is cut at any byte is partial, whatever lies behind the cut', () => {
  for (const [text] of RESPONSES) {
    for (let cut = 0; cut < text.length; cut++) {
      assert.equal(parse(text.slice(0, cut)).result, RESPONSE_PARTIAL, `cut at ${cut} of ${JSON.stringify(text)}`);
    }
  }
});

test('the offset after the response tells that more bytes follow', () => {
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK';
  assert.equal(parse(text).result, PADDING.length + text.indexOf('okHTTP') + 2);
});

test('what is no response of known length is malformed', () => {
  for (const text of [
    '\n',
    '\r\n',
    'HTTP/2 200 OK\r\n',
    'HTTP/1.1 99 OK\r\n',
    'HTTP/1.1 2000 OK\r\n',
    'http/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\n',
    'HTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: five\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: \r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n',
  ]) {
    assert.equal(parse(text).result, RESPONSE_MALFORMED, JSON.stringify(text));
  }
});

test('a head without an end is malformed once it is too long', () => {
  const head = `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(RESPONSE_HEAD_BYTES_MAX)}`;
  assert.equal(parse(head.slice(0, RESPONSE_HEAD_BYTES_MAX - 1)).result, RESPONSE_PARTIAL);
  assert.equal(parse(head.slice(0, RESPONSE_HEAD_BYTES_MAX)).result, RESPONSE_MALFORMED);
});
