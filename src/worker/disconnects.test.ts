import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { LINGER_MS } from '../limits.js';
import type { DisconnectAdvice } from '../link/advice.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const DRAIN: DisconnectAdvice = { code: 'drain', reason: 'the server ends', reconnect: true, afterMs: 1500 };
const MEMBERS = { code: 'drain', reason: 'the server ends', reconnect: true, afterMs: 1500 };

describe('disconnects', () => {
  let rig: WorkerRig;

  beforeEach(() => {
    rig = new WorkerRig({ policy: { publish: ['*'] } });
    rig.welcome('e', 7);
  });

  const end = (connection: number, advice = DRAIN) => rig.clients.disconnects.disconnect(connection, advice);
  const live = (connection: number, target: string, fields = '') => {
    rig.get(connection, target, fields);
    rig.confirm(7);
    rig.sent(connection);
  };
  /** Everybody who lingers goes. */
  const assertNothingLeft = () => {
    rig.tick(LINGER_MS * 2);
    rig.reports();
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  };

  test('a WebSocket gets a message, and a close frame with the code', () => {
    rig.openWebSocket(1, '/v1/ws?channel=a');
    rig.confirm(7);
    rig.sent(1);
    end(1);
    const [message, close] = rig.events(1, 'ws');
    assert.deepEqual(message, { type: 'disconnect', ...MEMBERS });
    assert.equal(close.code, 1012);
    assertNothingLeft();
  });

  for (const [code, close] of [
    ['token_expired', 4401],
    ['forbidden', 4403],
    ['disconnected', 4403],
  ] as const) {
    test(`a WebSocket that is ended for ${code} gets ${close}`, () => {
      rig.openWebSocket(1);
      rig.sent(1);
      end(1, { code, reason: 'because', reconnect: false });
      const [message, frame] = rig.events(1, 'ws');
      assert.deepEqual(message, { type: 'disconnect', code, reason: 'because', reconnect: false });
      assert.equal(frame.code, close);
    });
  }

  test('a live event stream gets retry, an event, and the id of where it stands', () => {
    live(1, '/v1/sse?channel=a');
    rig.fanOut(8, 'b', 'not for it');
    end(1);
    assert.equal(rig.sent(1), `retry: 1500\nevent: disconnect\nid: e-8\ndata: ${JSON.stringify(MEMBERS)}\n\n`);
    assertNothingLeft();
  });

  test('advice without a time sets no retry', () => {
    live(1, '/v1/sse?channel=a');
    end(1, { code: 'disconnected', reason: 'enough', reconnect: false });
    assert.match(
      rig.sent(1),
      /^event: disconnect\nid: e-7\ndata: \{"code":"disconnected","reason":"enough","reconnect":false\}\n\n$/,
    );
  });

  test('a stream that catches up is given the cursor that it had got to, not the live one', () => {
    rig.reactor.sendResult = SEND_PENDING;
    rig.get(1, '/v1/sse?channel=a&after=e-3');
    rig.sent(1);
    rig.history(1, 7, [[5, 'five']], 0, 1);
    assert.match(rig.sent(1), /id: e-5/);
    rig.fanOut(8, 'a', 'eight');
    end(1);
    assert.match(rig.sent(1), /event: disconnect\nid: e-[57]\n/);
  });

  test('a stream whose cursor is of a lost log is told of that before the end', () => {
    rig.get(1, '/v1/sse?channel=a&after=other-3');
    rig.sent(1);
    end(1);
    const types = rig.events(1, 'sse').map(({ type, cursor }) => `${type} ${cursor}`);
    assert.deepEqual(types, ['gap e-0', 'disconnect e-0']);
  });

  test('a stream of lines gets a line and the last chunk', () => {
    live(1, '/v1/stream?channel=a');
    end(1);
    const [size, line, last] = rig.sent(1).split('\r\n');
    assert.equal(line, `${JSON.stringify({ type: 'disconnect', ...MEMBERS })}\n`);
    assert.equal(Number.parseInt(size, 16), line.length);
    assert.equal(last, '0');
    assertNothingLeft();
  });

  test('a poll is answered with its cursor, advice, Retry-After and the end of the connection', () => {
    rig.get(1, '/v1/poll?channel=a&after=e-7');
    rig.confirm(7);
    end(1);
    const answer = rig.sent(1);
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(answer, /\r\nConnection: close\r\nRetry-After: 2\r\nETag: "e-7"\r\n/);
    const [head, body] = answer.split('\r\n\r\n');
    assert.equal(Number(/Content-Length: (\d+)/.exec(head)?.[1]), body.length);
    assert.deepEqual(JSON.parse(body), { cursor: 'e-7', messages: [], disconnect: MEMBERS });
    assertNothingLeft();
  });

  test('a poll with JSONP gets the same as a script', () => {
    rig.get(1, '/v1/poll?channel=a&after=e-7&callback=f');
    rig.confirm(7);
    end(1);
    assert.match(rig.sent(1), /f\(\{"cursor":"e-7","messages":\[\],"disconnect":\{"code":"drain",.*\}\}\);/);
  });

  test('a poll that is not to come back has no Retry-After', () => {
    rig.get(1, '/v1/poll?channel=a&after=e-7');
    rig.confirm(7);
    end(1, { code: 'disconnected', reason: 'enough', reconnect: false });
    assert.doesNotMatch(rig.sent(1), /Retry-After/);
  });

  test('a classic poll, and a stream whose response has not begun, are refused with 503', () => {
    rig.get(1, '/alice.js');
    rig.get(2, '/v1/sse?channel=a');
    for (const connection of [1, 2]) {
      end(connection);
      const answer = rig.sent(connection);
      assert.match(answer, /^HTTP\/1\.1 503 [\s\S]*\r\nRetry-After: 2\r\n[\s\S]*\r\nConnection: close\r\n/);
      assert.deepEqual(JSON.parse(answer.split('\r\n\r\n')[1]), {
        error: { code: 'drain', message: 'the server ends' },
      });
    }
    assertNothingLeft();
  });

  test('a request that has not come whole is refused, an idle connection just closed', () => {
    rig.clients.accepted(1);
    rig.clients.accepted(2);
    rig.receive(2, 'GET / HT');
    rig.get(3, '/');
    rig.sent(3);
    for (const connection of [1, 2, 3]) end(connection);
    assert.equal(rig.sent(1), '');
    assert.match(rig.sent(2), /^HTTP\/1\.1 503 /);
    assert.equal(rig.sent(3), '');
    assertNothingLeft();
  });

  test('a client that publishes gets its answer first, and then the end', () => {
    rig.clients.accepted(1);
    const body = '{"channel":"a","data":1}';
    const head = `POST /v1/publish HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
    rig.receive(1, `${head}\r\n\r\n${body}`);
    end(1);
    assert.equal(rig.sent(1), '');
    const [{ request }] = rig.reported.splice(0);
    rig.clients.posts.published(request, 0, 8);
    assert.match(rig.sent(1), /^HTTP\/1\.1 200 OK[\s\S]*\r\nConnection: close\r\n[\s\S]*"cursor":"e-8"/);
    assertNothingLeft();
  });

  test('who lingers or has gone is left alone', () => {
    live(1, '/v1/sse?channel=a');
    end(1);
    rig.sent(1);
    end(1);
    end(2);
    assert.equal(rig.sent(1), '');
    assertNothingLeft();
  });
});
