import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { CLIENT_BODY_BYTES_MAX, KEEP_ALIVE_IDLE_MS, REQUEST_BODY_TIMEOUT_MS } from '../limits.js';
import { PUBLISHED_DUPLICATE, PUBLISHED_FAILED, PUBLISHED_NEW } from '../link/frames.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const BODY = '{"channel":"chat/a","data":"grüße"}';
const HEAD = 'POST /v1/publish HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n';

function whole(body: string, fields = ''): string {
  return `${HEAD}${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

function chunked(...chunks: string[]): string {
  const coded = chunks.map((chunk) => `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`).join('');
  return `${HEAD}Transfer-Encoding: chunked\r\n\r\n${coded}0\r\n\r\n`;
}

describe('publishing by POST', () => {
  let rig: WorkerRig;

  beforeEach(() => {
    rig = new WorkerRig({ policy: { publish: ['chat/*'] }, testEcho: true });
    rig.welcome('e', 7);
    rig.clients.accepted(1);
  });

  const post = (request: string) => rig.receive(1, request);
  const answer = () => {
    const [head = '', body = ''] = rig.sent(1).split('\r\n\r\n');
    return `${head.slice(9, 12)} ${body}`.trim();
  };
  const left = () => {
    if (rig.connections.held > 0) rig.clients.closed(1);
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  };

  for (const [name, request] of [
    ['of a known length', whole(BODY)],
    ['chunked', chunked(BODY.slice(0, 10), BODY.slice(10))],
  ] as const) {
    test(`a body ${name} is published, however it is split`, () => {
      const bytes = Buffer.from(request);
      for (let split = 1; split <= bytes.length; split++) {
        rig.receive(1, bytes.subarray(0, split));
        if (split < bytes.length) rig.receive(1, bytes.subarray(split));
        const [{ type, request: number, channel, data }] = rig.reported.splice(0) as [(typeof rig.reported)[0]];
        assert.deepEqual([type, channel, data], ['publish', 'chat/a', 'grüße'], `split at ${split}`);
        rig.clients.posts.published(number, PUBLISHED_NEW, 8);
        assert.equal(answer(), '200 {"cursor":"e-8"}');
      }
      rig.tick(KEEP_ALIVE_IDLE_MS + 1000);
      left();
    });
  }

  test('a batch is answered as one, in its order', () => {
    post(whole('[{"channel":"chat/a","data":1},{"channel":"chat/b","data":{"n":2},"id":"i"}]'));
    assert.equal(rig.reports(), 'publish 1 chat/a 1, publish 2 chat/b {"n":2}');
    rig.clients.posts.published(2, PUBLISHED_DUPLICATE, 3);
    assert.equal(answer(), '');
    rig.clients.posts.published(1, PUBLISHED_NEW, 8);
    assert.equal(answer(), '200 [{"cursor":"e-8"},{"cursor":"e-3","duplicate":true}]');
    left();
  });

  for (const [body, status] of [
    ['', 400],
    ['{', 400],
    ['7', 400],
    ['[]', 400],
    ['{"channel":"chat/a"}', 400],
    ['{"channel":"","data":1}', 400],
    ['{"channel":"chat/a","data":1,"id":""}', 400],
    ['{"channel":"news","data":1}', 403],
    ['[{"channel":"chat/a","data":1},{"channel":"news","data":1}]', 403],
    [JSON.stringify({ channel: 'chat/a', data: 'x'.repeat((1 << 20) + 1) }), 413],
  ] as const) {
    test(`${body.slice(0, 60)} is refused with ${status}, and the connection goes on`, () => {
      post(whole(body));
      assert.equal(answer().slice(0, 3), String(status));
      assert.equal(rig.reports(), '');
      post(whole(BODY));
      assert.equal(rig.reported.length, 1);
      left();
    });
  }

  for (const [name, request, status] of [
    ['no length', `${HEAD}\r\n`, 411],
    ['a length that is too large', `${HEAD}Content-Length: ${CLIENT_BODY_BYTES_MAX + 1}\r\n\r\n`, 413],
    [
      'chunks that are too large',
      `${HEAD}Transfer-Encoding: chunked\r\n\r\n${(CLIENT_BODY_BYTES_MAX + 1).toString(16)}\r\n`,
      413,
    ],
    ['a malformed chunk', `${HEAD}Transfer-Encoding: chunked\r\n\r\nx\r\n`, 400],
    [
      'another type',
      'POST /v1/publish HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n1',
      415,
    ],
  ] as const) {
    test(`${name} is refused with ${status}, and the connection ends`, () => {
      post(request);
      assert.equal(answer().slice(0, 3), String(status));
      assert.equal(rig.reactor.told.at(-1), 'shutdown 1');
      left();
    });
  }

  test('a body that does not come is refused with 408', () => {
    post(whole(BODY).slice(0, -5));
    rig.tick(REQUEST_BODY_TIMEOUT_MS - 1000);
    assert.equal(answer(), '');
    rig.tick(REQUEST_BODY_TIMEOUT_MS + 1000);
    assert.equal(answer().slice(0, 3), '408');
    left();
  });

  test('who expects 100 Continue gets it, unless the body has come already', () => {
    const request = whole(BODY, 'Expect: 100-continue\r\n');
    const head = request.slice(0, request.indexOf('\r\n\r\n') + 4);
    post(head);
    assert.equal(rig.sent(1), 'HTTP/1.1 100 Continue\r\n\r\n');
    post(BODY);
    assert.equal(rig.reports(), 'publish 1 chat/a grüße');
    rig.clients.posts.published(1, PUBLISHED_NEW, 8);
    assert.equal(answer(), '200 {"cursor":"e-8"}');
    post(request);
    assert.equal(rig.sent(1), '');
  });

  test('a request behind a body is read after it; one behind a publication is not, and the connection ends', () => {
    const echo = 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc';
    post(echo + echo + echo.slice(0, -1));
    assert.equal(rig.sent(1).match(/\r\n\r\nabc/g)!.length, 2);
    post('c');
    assert.match(rig.sent(1), /abc$/);
    post(whole(BODY) + whole(BODY));
    assert.equal(rig.reports(), 'publish 1 chat/a grüße');
    rig.clients.posts.published(1, PUBLISHED_NEW, 8);
    assert.match(rig.sent(1), /Connection: close/);
    assert.equal(rig.reactor.told.at(-1), 'shutdown 1');
    left();
  });

  test('without a manager, when it is lost, or when the log fails, it is to be tried again', () => {
    post(whole(BODY));
    rig.lose();
    assert.match(answer(), /^503 .*"unavailable"/);
    post(whole(BODY));
    assert.match(answer(), /^503 .*"unavailable"/);
    rig.welcome('e', 7);
    post(whole(BODY));
    const { request } = rig.reported.at(-1)!;
    rig.clients.posts.published(request, PUBLISHED_FAILED, 0);
    assert.match(answer(), /^503 .*"unavailable"/);
    left();
  });

  test('a client that goes leaves nothing, in the middle of its body or of its publication', () => {
    post(whole(BODY).slice(0, -5));
    rig.clients.closed(1);
    rig.clients.accepted(1);
    post(whole(BODY));
    rig.clients.closed(1);
    rig.clients.posts.published(1, PUBLISHED_NEW, 8);
    assert.equal(rig.sent(1), '');
    left();
  });
});
