import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CURSOR_NOW, CURSOR_START } from '../cursor.js';
import { ascii } from '../http/characters.js';
import { parseRequestHead, RequestHead } from '../http/request-head.js';
import { ALLOW_ALL, ALLOW_READ, ALLOW_WRITE } from '../http/response.js';
import { CLIENT_BODY_BYTES_MAX, POLL_TIMEOUT_S } from '../limits.js';
import {
  Requests,
  ROUTE_ANSWER,
  ROUTE_CLASSIC,
  ROUTE_ECHO,
  ROUTE_ECHO_WEBSOCKET,
  ROUTE_POLL,
  ROUTE_PUBLISH,
  ROUTE_SSE,
  ROUTE_STREAM,
  ROUTE_WEBSOCKET,
} from './requests.js';

const requests = new Requests({ testEcho: true });
requests.publishing = true;
let lastHead: RequestHead;

/** Routes a request whose bytes stand between others, and wipes them: what is needed was copied. */
function routed(requestLine: string, fields: string[] = [], router = requests): number {
  const text = `${requestLine}\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
  const bytes = ascii(`&channel=x${text}&channel=x`);
  lastHead = new RequestHead();
  assert.ok(parseRequestHead(bytes, 10, 10 + text.length, lastHead, 0) > 0, requestLine);
  const route = router.route(bytes, lastHead);
  bytes.fill(0x78);
  return route;
}

const get = (target: string, fields?: string[]): number => routed(`GET ${target} HTTP/1.1`, fields);

function channels(): string[] {
  const { channels, channelEnds, channelCount } = requests;
  return Array.from({ length: channelCount }, (_, i) => {
    return Buffer.from(channels.subarray(requests.channelStart(i), channelEnds[i])).toString();
  });
}

/** Where the last request begins. */
function begins(): string | number {
  const { position, epoch, epochLength } = requests.cursor;
  return position < 0 ? position : `${Buffer.from(epoch.subarray(0, epochLength))}-${position}`;
}

const answer = (): string => Buffer.from(requests.answer).toString();

test('a load balancer is told whether the server is being drained, with HEAD too', () => {
  assert.equal(get('/healthz'), ROUTE_ANSWER);
  assert.match(answer(), /^HTTP\/1\.1 200 [\s\S]*\r\nCache-Control: no-store\r\n[\s\S]*\r\n\r\n\{"status":"ok"\}$/);
  requests.draining = true;
  assert.equal(get('/healthz'), ROUTE_ANSWER);
  assert.match(answer(), /^HTTP\/1\.1 503 [\s\S]*\r\n\r\n\{"status":"draining"\}$/);
  assert.equal(routed('HEAD /healthz HTTP/1.1'), ROUTE_ANSWER);
  assert.match(answer(), /^HTTP\/1\.1 503 [\s\S]*\r\nContent-Length: 21\r\n[\s\S]*\r\n\r\n$/);
  requests.draining = false;
  assert.equal(routed('POST /healthz HTTP/1.1', ['Content-Length: 0']), 405);
  assert.equal(get('/healthz.js'), ROUTE_CLASSIC);
});

test('each path has its transport', () => {
  assert.equal(get('/v1/poll?channel=a'), ROUTE_POLL);
  assert.equal(get('/v1/sse?channel=a'), ROUTE_SSE);
  assert.equal(get('/v1/stream?channel=a'), ROUTE_STREAM);
  for (const target of [
    '/alice.js',
    '/v1/poll/',
    '/v1/pol',
    '/v1/polls?channel=a',
    '/v1',
    '/V1/poll',
    '//v1/poll',
    '/%76',
  ]) {
    assert.equal(get(target), ROUTE_CLASSIC, target);
  }
  assert.equal(get('http://b/v1/sse?channel=a'), ROUTE_SSE);
});

test('channels are decoded, in their order, each once', () => {
  assert.equal(get('/v1/sse?channel=a&x=y&channel=b+c%2F&channel=%C3%BC&channel=a&channel=%61'), ROUTE_SSE);
  assert.deepEqual(channels(), ['a', 'b c/', 'ü']);
  assert.equal(get('/v1/sse?channel=b'), ROUTE_SSE);
  assert.deepEqual(channels(), ['b']);
});

test('a channel that is none is refused, and so is a request without one', () => {
  const long = 'x'.repeat(129);
  for (const value of ['', '%', '%4', '%zz', '%00', '%0a', '%7f', '%c2%85', '%ff', '%ed%a0%80', long]) {
    assert.equal(get(`/v1/poll?channel=${value}`), 400, value);
    assert.equal(get(`/v1/poll?channel=a&channel=${value}`), 400, value);
  }
  for (const target of ['/v1/poll', '/v1/sse', '/v1/stream?Channel=a', '/v1/poll?', '/v1/poll?%63hannel=a']) {
    assert.equal(get(target), 400, target);
  }
});

test('as many channels as fit the request line are taken', () => {
  const names = Array.from({ length: 600 }, (_, i) => i.toString(36));
  assert.equal(get(`/v1/sse?${names.map((name) => `channel=${name}`).join('&')}`), ROUTE_SSE);
  assert.deepEqual(channels(), names);
});

test('channels are found as URLSearchParams finds them', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), { maxLength: 12 }), (names) => {
      const plain = names.filter((name) => !/\p{Control}|\p{Surrogate}/u.test(name));
      const query = new URLSearchParams(
        plain.flatMap((name, i): [string, string][] => [
          ['channel', name],
          [`p${i}`, name],
        ]),
      );
      assert.equal(get(`/v1/stream?channel=first&${query}`), ROUTE_STREAM);
      assert.deepEqual(channels(), [...new Set(['first', ...plain])]);
    }),
    { numRuns: 200 },
  );
});

test('a request begins now, at the start or after a cursor', () => {
  get('/v1/sse?channel=a');
  assert.equal(begins(), CURSOR_NOW);
  get('/v1/sse?channel=a&after=start');
  assert.equal(begins(), CURSOR_START);
  get('/v1/sse?after=e-17&channel=a');
  assert.equal(begins(), 'e-17');
  get('/v1/sse?after=now&channel=a');
  assert.equal(begins(), CURSOR_NOW);
});

test('a cursor that is none is refused, and so is a second one', () => {
  for (const after of ['', 'e', 'e-', '17', 'e-01', 'e-1%00', 'e-1+', '%', 'e'.repeat(200)]) {
    assert.equal(get(`/v1/poll?channel=a&after=${after}`), 400, after);
    assert.equal(get(`/v1/sse?channel=a&after=${after}`, ['Last-Event-ID: e-1']), 400, after);
  }
  assert.equal(get('/v1/poll?channel=a&after=e-1&after=e-1'), 400);
  assert.equal(get('/v1/ws?after=e-1&after=e-1', UPGRADE), 400);
});

test('Last-Event-ID counts more than the address, on event streams only', () => {
  assert.equal(get('/v1/sse?channel=a&after=e-1', ['Last-Event-ID: e-2']), ROUTE_SSE);
  assert.equal(begins(), 'e-2');
  assert.equal(get('/v1/sse?channel=a&after=e-1', ['Last-Event-ID:']), ROUTE_SSE);
  assert.equal(begins(), 'e-1');
  assert.equal(get('/v1/sse?channel=a', ['Last-Event-ID: 17']), 400);
  assert.equal(get('/v1/stream?channel=a&after=e-1', ['Last-Event-ID: e-2']), ROUTE_STREAM);
  assert.equal(begins(), 'e-1');
});

test('If-None-Match is another way to carry the cursor of a poll', () => {
  for (const tag of ['"e-2"', 'W/"e-2"']) {
    assert.equal(get('/v1/poll?channel=a', [`If-None-Match: ${tag}`]), ROUTE_POLL);
    assert.equal(begins(), 'e-2');
  }
  assert.equal(get('/v1/poll?channel=a&after=e-1', ['If-None-Match: "e-2"']), ROUTE_POLL);
  assert.equal(begins(), 'e-1');
  for (const tag of ['*', 'e-2', '"e-2', 'e-2"', '"', '""', '"now"', '"x"', '"e-1", "e-2"', 'w/"e-2"', 'W/', '']) {
    assert.equal(get('/v1/poll?channel=a', [`If-None-Match: ${tag}`]), 400, tag);
  }
  assert.equal(get('/v1/poll?channel=a', ['If-None-Match: "e-1"', 'If-None-Match: "e-2"']), 400);
  assert.equal(get('/v1/sse?channel=a', ['If-None-Match: *']), ROUTE_SSE);
});

test('a poll may say how long it waits', () => {
  get('/v1/poll?channel=a');
  assert.equal(requests.timeoutMs, POLL_TIMEOUT_S * 1000);
  for (const [text, ms] of [
    ['0', 0],
    ['7', 7000],
    ['007', 7000],
    ['300', 300_000],
  ] as const) {
    assert.equal(get(`/v1/poll?channel=a&timeout=${text}`), ROUTE_POLL);
    assert.equal(requests.timeoutMs, ms);
  }
  for (const text of ['', '-1', '+1', '1.5', '1e2', '301', '999', '1000', 'x', '%', '0x1', '1s']) {
    assert.equal(get(`/v1/poll?channel=a&timeout=${text}`), 400, text);
  }
  assert.equal(get('/v1/poll?channel=a&timeout=1&timeout=1'), 400);
});

test('a poll may ask for a script', () => {
  assert.equal(get('/v1/poll?channel=a&callback=a.b%5B0%5D'), ROUTE_POLL);
  assert.equal(Buffer.from(requests.callback.subarray(0, requests.callbackLength)).toString(), 'a.b[0]');
  assert.equal(get('/v1/poll?channel=a'), ROUTE_POLL);
  assert.equal(requests.callbackLength, 0);
  for (const name of ['', 'a(', 'alert(1)//', '<b>', 'a;b', 'a%0a', 'x'.repeat(121)]) {
    assert.equal(get(`/v1/poll?channel=a&callback=${name}`), 400, name);
  }
});

test('an event stream may be raw', () => {
  get('/v1/sse?channel=a&format=raw');
  assert.equal(requests.raw, true);
  get('/v1/sse?channel=a&format=json');
  assert.equal(requests.raw, false);
  for (const format of ['', 'Raw', 'rawx', 'xml']) assert.equal(get(`/v1/sse?channel=a&format=${format}`), 400);
});

test('parameters of other transports, and unknown ones, are ignored', () => {
  assert.equal(get('/v1/sse?channel=a&timeout=x&callback=%&_=1&%&=&&channels=b&afterx=1'), ROUTE_SSE);
  assert.equal(get('/v1/poll?channel=a&format=x&format=y'), ROUTE_POLL);
  assert.deepEqual(channels(), ['a']);
});

const UPGRADE = ['Upgrade: websocket', 'Connection: Upgrade'];

test('a WebSocket may begin without channels, but not without an upgrade', () => {
  assert.equal(get('/v1/ws', UPGRADE), ROUTE_WEBSOCKET);
  assert.equal(requests.channelCount, 0);
  assert.equal(get('/v1/ws?channel=a&channel=b&after=e-3', UPGRADE), ROUTE_WEBSOCKET);
  assert.deepEqual(channels(), ['a', 'b']);
  assert.equal(begins(), 'e-3');
  assert.equal(get('/v1/ws?channel=%0a', UPGRADE), 400);
  assert.equal(get('/v1/ws?channel=a'), 426);
  assert.equal(routed('HEAD /v1/ws HTTP/1.1', UPGRADE), 426);
  assert.equal(get('/v1/poll?channel=a', UPGRADE), ROUTE_POLL);
});

const publish = (fields: string[]): number => routed('POST /v1/publish HTTP/1.1', fields);

test('a publication needs a length that is not too large, and its type', () => {
  const type = 'Content-Type: application/json';
  assert.equal(publish(['Content-Length: 5', type]), ROUTE_PUBLISH);
  assert.equal(publish(['Transfer-Encoding: chunked', type]), ROUTE_PUBLISH);
  assert.equal(publish(['Content-Length: 0', type]), ROUTE_PUBLISH);
  assert.equal(publish([`Content-Length: ${CLIENT_BODY_BYTES_MAX}`, type]), ROUTE_PUBLISH);
  assert.equal(publish([`Content-Length: ${CLIENT_BODY_BYTES_MAX + 1}`, type]), 413);
  assert.equal(publish([type]), 411);
  for (const value of ['APPLICATION/JSON', 'application/json;charset=utf-8', 'application/json ; a=b']) {
    assert.equal(publish(['Content-Length: 5', `Content-Type: ${value}`]), ROUTE_PUBLISH, value);
  }
  for (const value of [
    '',
    'text/plain',
    'application/jsonx',
    'application/json x',
    'application/x-www-form-urlencoded',
  ]) {
    assert.equal(publish(['Content-Length: 5', `Content-Type: ${value}`]), 415, value);
  }
  assert.equal(publish(['Content-Length: 5']), 415);
});

test('where clients may not publish at all, no body is read', () => {
  const quiet = new Requests({ testEcho: false });
  assert.equal(routed('POST /v1/publish HTTP/1.1', ['Content-Length: 5'], quiet), 403);
  assert.equal(routed('GET /v1/publish HTTP/1.1', [], quiet), 405);
});

test('a method that a path does not take is refused, and what it takes is said', () => {
  for (const path of ['/', '/v1/poll?channel=a', '/v1/sse', '/v1/stream', '/v1/ws']) {
    for (const method of ['PUT', 'POST', 'DELETE', 'get']) {
      assert.equal(routed(`${method} ${path} HTTP/1.1`), 405, `${method} ${path}`);
      assert.equal(requests.allow, ALLOW_READ);
    }
  }
  for (const method of ['GET', 'HEAD', 'PUT']) {
    assert.equal(routed(`${method} /v1/publish HTTP/1.1`), 405);
    assert.equal(requests.allow, ALLOW_WRITE);
  }
});

test('a body where none belongs is refused', () => {
  for (const field of ['Content-Length: 1', 'Transfer-Encoding: chunked']) {
    for (const request of ['GET /v1/poll?channel=a', 'HEAD /', 'OPTIONS /v1/publish', 'GET /v1/ws', 'POST /v1/sse']) {
      assert.equal(routed(`${request} HTTP/1.1`, [field]), 400, request);
    }
  }
  assert.equal(get('/v1/poll?channel=a', ['Content-Length: 0']), ROUTE_POLL);
});

test('HEAD is read as GET is, and answered with the head of its answer', () => {
  /** What HEAD is answered, once it was admitted. */
  const answered = (line: string, route: number): string => {
    assert.equal(routed(`HEAD ${line}`), route);
    return Buffer.from(requests.headAnswer(lastHead, route)).toString('latin1');
  };
  const poll = answered('/v1/poll?channel=a HTTP/1.1', ROUTE_POLL);
  assert.match(poll, /^HTTP\/1\.1 200 OK\r\n[\s\S]*application\/json[\s\S]*Connection: keep-alive\r\n\r\n$/);
  const script = answered('/v1/poll?channel=a&callback=f HTTP/1.0', ROUTE_POLL);
  assert.match(script, /text\/javascript[\s\S]*Connection: close\r\n\r\n$/);
  assert.match(answered('/v1/sse?channel=a HTTP/1.1', ROUTE_SSE), /text\/event-stream[\s\S]*\r\n\r\n$/);
  const stream = answered('/v1/stream?channel=a HTTP/1.1', ROUTE_STREAM);
  assert.match(stream, /x-ndjson[\s\S]*Transfer-Encoding: chunked[\s\S]*\r\n\r\n$/);
  assert.doesNotMatch(answered('/v1/stream?channel=a HTTP/1.0', ROUTE_STREAM), /chunked/);
  assert.equal(routed('HEAD /v1/poll HTTP/1.1'), 400);
});

test('OPTIONS is answered for every path, with what it takes', () => {
  assert.equal(
    routed('OPTIONS /v1/poll HTTP/1.1', ['Origin: http://b', 'Access-Control-Request-Method: GET']),
    ROUTE_ANSWER,
  );
  assert.match(answer(), /^HTTP\/1\.1 204 [\s\S]*Allow: GET, HEAD, OPTIONS\r\n/);
  assert.equal(routed('OPTIONS /v1/publish HTTP/1.1'), ROUTE_ANSWER);
  assert.match(answer(), /Allow: POST, OPTIONS\r\n/);
  assert.equal(routed('OPTIONS * HTTP/1.1'), ROUTE_CLASSIC);
});

test('the root is a page', () => {
  assert.equal(get('/'), ROUTE_ANSWER);
  const [head, body] = answer().split('\r\n\r\n') as [string, string];
  assert.match(head, /Content-Type: text\/html/);
  assert.ok(head.includes(`Content-Length: ${body.length}`));
  assert.equal(get('/?x=y'), ROUTE_ANSWER);
  assert.equal(get('http://b'), ROUTE_ANSWER);
  assert.equal(routed('HEAD / HTTP/1.1'), ROUTE_ANSWER);
  assert.equal(answer(), `${head}\r\n\r\n`);
});

test('the echo is there where it was asked for', () => {
  assert.equal(routed('POST /echo HTTP/1.1', ['Content-Length: 5']), ROUTE_ECHO);
  assert.equal(routed('POST /echo HTTP/1.1'), 411);
  assert.equal(get('/echo', UPGRADE), ROUTE_ECHO_WEBSOCKET);
  assert.equal(get('/echo'), 426);
  assert.equal(routed('HEAD /echo HTTP/1.1'), 426);
  assert.equal(routed('PUT /echo HTTP/1.1'), 405);
  assert.equal(requests.allow, ALLOW_ALL);
  const production = new Requests({ testEcho: false });
  assert.equal(routed('POST /echo HTTP/1.1', ['Content-Length: 5'], production), ROUTE_CLASSIC);
  assert.equal(routed('GET /echo HTTP/1.1', UPGRADE, production), ROUTE_CLASSIC);
});

test('any query is routed or refused', () => {
  const word = fc.constantFrom(
    'channel',
    'after',
    'timeout',
    'callback',
    'format',
    '=',
    '&',
    '%',
    '%4',
    '+',
    'a',
    'e-1',
    '0',
    '?',
  );
  const path = fc.constantFrom('poll', 'sse', 'stream', 'ws');
  fc.assert(
    fc.property(path, fc.array(word, { maxLength: 12 }), (name, words) => {
      const route = get(`/v1/${name}?${words.join('')}`, UPGRADE);
      assert.ok(route === 400 || (route >= ROUTE_POLL && route <= ROUTE_WEBSOCKET), `${route}`);
    }),
    { numRuns: 1000 },
  );
});
