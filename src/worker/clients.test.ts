import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  KEEP_ALIVE_IDLE_MS,
  LINGER_MS,
  REQUEST_HEAD_TIMEOUT_MS,
  SEND_BYTES_MAX,
  SEND_TIMEOUT_MS,
  SEND_TIMEOUTS_MAX,
  SWEEP_MS,
} from '../limits.js';
import { KIND_JSON, KIND_RAW, KIND_TEXT } from '../link/frames.js';
import { OPEN_POLICY } from '../link/policy.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { SendBuffers } from '../reactor/send-buffers.js';
import { TimerWheel } from '../reactor/timer-wheel.js';
import { Clients } from './clients.js';
import { Connections } from './connections.js';
import { Subscriptions } from './subscriptions.js';
import { ScriptedReactor } from './testing/scripted-reactor.js';

const CAPACITY = 16;

describe('clients', () => {
  let buffers: SendBuffers;
  let reactor: ScriptedReactor;
  let connections: Connections;
  let clients: Clients;
  let reported: string[];
  let sequence: number;
  let nowMs: number;
  /** Buffers that the clients hold from the start: heartbeats. */
  let ownBytes: number;

  beforeEach(() => {
    buffers = new SendBuffers();
    reactor = new ScriptedReactor(buffers, CAPACITY);
    connections = new Connections(CAPACITY);
    reported = [];
    sequence = 0;
    nowMs = 0;
    const text = (bytes: Uint8Array, start: number, end: number) => Buffer.from(bytes.slice(start, end)).toString();
    clients = new Clients({
      reactor,
      buffers,
      connections,
      waiters: new Subscriptions(CAPACITY, 0, [1, 2]),
      subscribers: new Subscriptions(CAPACITY, 8, [1, 2]),
      timers: new TimerWheel(),
      maxConnections: 4,
      testEcho: false,
      wallClock: () => 0,
      failures: { isExhausted: () => false, failed: () => {} },
      clock: () => nowMs,
      reports: {
        established: true,
        waiting: (...name) => reported.push(`+${text(...name)}`),
        notWaiting: (...name) => reported.push(`-${text(...name)}`),
        delivered: (sequence, receivers) => reported.push(`${sequence}:${receivers}`),
        subscribed: (...name) => reported.push(`subscribed ${text(...name)}`),
        unsubscribed: (...name) => reported.push(`unsubscribed ${text(...name)}`),
        received: (sequence, receivers) => reported.push(`received ${sequence}:${receivers}`),
        read: (request, after, ...name) => reported.push(`read ${request} ${after} ${text(...name)}`),
        keyUnknown: () => false,
        publish: (request) => reported.push(`publish ${request}`),
      },
    });
    clients.applyPolicy(OPEN_POLICY);
    ownBytes = buffers.liveBytes;
  });

  const receive = (connection: number, request: string) => {
    const bytes = Buffer.from(`xx${request}yy`);
    clients.received(connection, bytes, 2, bytes.length - 2);
  };
  const poll = (connection: number, path: string) => {
    clients.accepted(connection);
    receive(connection, `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
  };
  const deliver = (channel: string, data: string, kind = KIND_TEXT) => {
    const bytes = Buffer.from(channel + data);
    const nameEnd = Buffer.byteLength(channel);
    clients.queue.deliver(++sequence, kind, bytes, 0, nameEnd, nameEnd, bytes.length);
  };
  const tick = (ms: number) => {
    nowMs = ms;
    clients.tick();
  };
  const reports = () => reported.splice(0).join(' ');

  test('a poll is reported, held without a timer, answered by a message, and closed', () => {
    poll(3, '/alice.js?anything');
    assert.equal(reports(), '+alice');
    tick(10 * REQUEST_HEAD_TIMEOUT_MS);
    assert.deepEqual(reactor.take(), []);
    deliver('alice', 'hello');
    assert.deepEqual(reactor.take(), ['send 3 200 hello', 'close 3']);
    assert.equal(reports(), '-alice 1:1');
    assert.deepEqual([connections.held, clients.counters.messagesSent, buffers.liveBytes - ownBytes], [0, 1, 0]);
  });

  test('all who wait on one id get the message, and the others do not', () => {
    poll(1, '/a.js');
    poll(2, '/b.js');
    poll(3, '/a.js');
    assert.equal(reports(), '+a +b');
    deliver('a', 'm');
    assert.deepEqual(reactor.take().sort(), ['close 1', 'close 3', 'send 1 200 m', 'send 3 200 m']);
    assert.equal(reports(), '-a 1:2');
    assert.equal(connections.held, 1);
  });

  test('a message for nobody has no receivers', () => {
    poll(1, '/a.js');
    deliver('b', 'm');
    assert.equal(reports(), '+a 1:0');
    assert.deepEqual(reactor.take(), []);
  });

  test('a connection that breaks at the send is no receiver', () => {
    poll(1, '/a.js');
    reports();
    reactor.sendResult = -104;
    deliver('a', 'm');
    assert.equal(reports(), '-a 1:0');
    assert.equal(connections.held, 0);
  });

  test('a half-written message has its verdict when it is whole, and none when the connection dies before', () => {
    reactor.sendResult = SEND_PENDING;
    poll(1, '/a.js');
    poll(2, '/b.js');
    reports();
    deliver('a', 'm');
    deliver('b', 'm');
    assert.equal(reports(), '-a -b');
    assert.equal(clients.sending, 2);
    clients.sent(1);
    clients.closed(2);
    assert.equal(reports(), '1:1 2:0');
    assert.deepEqual([connections.held, clients.sending], [0, 0]);
  });

  test('a slow reader may go on while it takes bytes, and is cut off when it does not', () => {
    reactor.sendResult = SEND_PENDING;
    poll(1, '/a.js');
    deliver('a', 'm');
    reactor.take();
    reactor.pending = 1_000_000;
    tick(SEND_TIMEOUT_MS + 500);
    reactor.pending = 900_000;
    tick(2 * SEND_TIMEOUT_MS + 1000);
    assert.deepEqual(reactor.take(), []);
    reactor.pending = 899_999;
    tick(3 * SEND_TIMEOUT_MS + 1500);
    assert.deepEqual(reactor.take(), ['abort 1']);
    assert.equal(reports(), '+a -a 1:0');
    assert.equal(connections.held, 0);
  });

  test('a client that takes a little now and then does not hold up its channel for ever', () => {
    reactor.sendResult = SEND_PENDING;
    poll(1, '/a.js');
    deliver('a', 'm');
    reactor.take();
    reactor.pending = 1_000_000;
    for (let timeouts = 1; timeouts < SEND_TIMEOUTS_MAX; timeouts++) {
      tick(timeouts * (SEND_TIMEOUT_MS + 500));
      reactor.pending -= 100_000;
    }
    assert.deepEqual(reactor.take(), []);
    tick(SEND_TIMEOUTS_MAX * (SEND_TIMEOUT_MS + 500));
    assert.deepEqual(reactor.take(), ['abort 1']);
  });

  test('slow readers are cut off when what they do not read takes too much memory, and lose nothing', () => {
    reactor.sendResult = SEND_PENDING;
    poll(1, '/a.js');
    poll(2, '/b.js');
    deliver('a', 'm');
    deliver('b', 'm');
    reactor.take();
    reports();
    const much = buffers.allocate(SEND_BYTES_MAX + 1);
    tick(SWEEP_MS);
    buffers.release(much);
    assert.deepEqual(reactor.take(), ['abort 1', 'abort 2']);
    assert.equal(reports(), '1:0 2:0');
  });

  test('after a standstill a new client has its whole time', () => {
    nowMs = 10 * REQUEST_HEAD_TIMEOUT_MS;
    clients.accepted(1);
    clients.tick();
    assert.equal(connections.held, 1);
  });

  test('JSONP gets JSON for JSON, a string for text, and for classic bytes what they are', () => {
    const body = (data: string, kind: number) => {
      poll(1, '/a.js?x=1&callback=my.fn%5B0%5D');
      deliver('a', data, kind);
      return reactor.take()[0];
    };
    assert.equal(body('{"n":1}', KIND_JSON), 'send 1 200 my.fn[0]({"n":1});');
    assert.equal(body('{"n":1}', KIND_TEXT), 'send 1 200 my.fn[0]("{\\"n\\":1}");');
    assert.equal(body('{"n":1}', KIND_RAW), 'send 1 200 my.fn[0]({"n":1});');
    assert.equal(body('{"n":', KIND_RAW), 'send 1 200 my.fn[0]("{\\"n\\":");');
    assert.equal(body('12', KIND_RAW), 'send 1 200 my.fn[0]("12");');
  });

  test('plain and JSONP clients of one id each get their form', () => {
    poll(1, '/a.js');
    poll(2, '/a.js?callback=f');
    poll(3, '/a.js?callback=g');
    deliver('a', 'm');
    const sends = reactor.take().filter((line) => line.startsWith('send'));
    assert.deepEqual(sends.sort(), ['send 1 200 m', 'send 2 200 f("m");', 'send 3 200 g("m");']);
    assert.equal(buffers.liveBytes, ownBytes);
  });

  for (const [path, status] of [
    ['/.js', 404],
    ['/a', 404],
    ['/a.jsx', 404],
    ['/a.b.js', 404],
    ['/a%2Eb.js', 404],
    [`/${'i'.repeat(129)}.js`, 414],
    ['/%zz.js', 400],
    ['/%00.js', 400],
    ['/%ff.js', 400],
    ['/a.js?callback=', 400],
    ['/a.js?callback=alert(1)', 400],
    [`/a.js?callback=${'c'.repeat(121)}`, 400],
  ] as const) {
    test(`${path.slice(0, 30)} is refused with ${status}, and the connection lingers and ends`, () => {
      poll(1, path);
      const [send, shutdown] = reactor.take();
      assert.match(send, new RegExp(`^send 1 ${status} `));
      assert.equal(shutdown, 'shutdown 1');
      receive(1, 'what was still on its way');
      tick(LINGER_MS + 500);
      assert.deepEqual(reactor.take(), ['close 1']);
      assert.equal(connections.held, 0);
      assert.deepEqual(clients.counters.rejected, { [status]: 1 });
    });
  }

  test('an id of 128 bytes, percent-encoded or with a slash, is one', () => {
    poll(1, `/${'%c3%a9'.repeat(64)}.js`);
    poll(2, '/news/local.js');
    assert.equal(reports(), `+${'é'.repeat(64)} +news/local`);
  });

  test('a request that trickles in is put together, also a second one on the same connection', () => {
    const request = 'OPTIONS /a.js HTTP/1.1\r\nHost: h\r\n\r\nGET /a.js HTTP/1.1\r\nHost: h\r\n\r\n';
    for (let split = 1; split < request.length; split++) {
      clients.accepted(1);
      receive(1, request.slice(0, split));
      receive(1, request.slice(split));
      assert.equal(reports(), '+a', `split at ${split}`);
      assert.deepEqual(
        reactor.take().map((line) => line.trim()),
        ['send 1 204'],
      );
      assert.equal(connections.partialHeads, 0);
      clients.closed(1);
      assert.equal(reports(), '-a');
    }
  });

  test('HEAD is answered at once and takes no message', () => {
    clients.accepted(1);
    receive(1, 'HEAD /a.js HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.deepEqual(reactor.take(), ['send 1 200 ']);
    assert.equal(reports(), '');
    assert.equal(connections.held, 1);
    tick(KEEP_ALIVE_IDLE_MS + 500);
    assert.deepEqual(reactor.take(), ['close 1']);
  });

  test('another method gets 405, a body 400', () => {
    clients.accepted(1);
    receive(1, 'DELETE /a.js HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.match(reactor.take()[0], /^send 1 405 /);
    clients.accepted(2);
    receive(2, 'GET /a.js HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc');
    assert.match(reactor.take()[0], /^send 2 400 /);
  });

  test('half a request gets 408 after the timeout, none at all just ends', () => {
    clients.accepted(1);
    clients.accepted(2);
    receive(1, 'GET /a');
    tick(0);
    tick(REQUEST_HEAD_TIMEOUT_MS - 500);
    assert.deepEqual(reactor.take(), []);
    tick(REQUEST_HEAD_TIMEOUT_MS + 500);
    const told = reactor.take();
    assert(told.some((line) => line.startsWith('send 1 408 ')));
    assert(told.includes('close 2'));
  });

  test('a HEAD request that is refused gets no content, whole, split or half', () => {
    clients.accepted(1);
    receive(1, 'HEAD /a.js HTTP/1.1\r\n\r\n');
    assert.equal(reactor.take()[0], 'send 1 400 ');
    clients.accepted(2);
    receive(2, '\r\nHEAD /a.js HT');
    receive(2, 'TP/1.1\r\nX : y\r\n');
    assert.equal(reactor.take()[0], 'send 2 400 ');
    clients.accepted(3);
    receive(3, 'HEAD /a.js HT');
    tick(0);
    tick(REQUEST_HEAD_TIMEOUT_MS + 500);
    assert(reactor.take().includes('send 3 408 '));
    clients.accepted(4);
    receive(4, 'HEADER / HTTP/1.1\r\n\r\n');
    assert.match(reactor.take().join(), /^send 4 400 400 Bad Request: /);
  });

  test('one byte now and then does not put off the timeout', () => {
    clients.accepted(1);
    for (let ms = 0; ms < REQUEST_HEAD_TIMEOUT_MS + 1000; ms += 1000) {
      tick(ms);
      if (connections.held > 0 && reactor.told.length === 0) receive(1, 'G');
    }
    assert.match(reactor.take()[0], /^send 1 408 /);
  });

  test('bytes after the request let the connection linger after its message, so that no reset overtakes it', () => {
    poll(1, '/a.js');
    receive(1, 'GET /b.js HTTP/1.1\r\nHost: h\r\n\r\n');
    deliver('a', 'm');
    assert.deepEqual(reactor.take(), ['send 1 200 m', 'shutdown 1']);
    clients.closed(1);
    assert.equal(connections.held, 0);
    poll(1, '/a.js');
    deliver('a', 'm');
    assert.deepEqual(reactor.take(), ['send 1 200 m', 'close 1'], 'the next user of the slot has sent nothing more');
  });

  test('a client that goes on sending while it waits is cut off', () => {
    poll(1, '/a.js');
    for (let i = 0; i < 8 && connections.held > 0; i++) receive(1, 'x'.repeat(4000));
    assert.deepEqual(reactor.take(), ['abort 1']);
    assert.equal(reports(), '+a -a');
    assert.equal(connections.held, 0);
  });

  test('accepting pauses at the maximum and goes on when one has left', () => {
    for (let c = 0; c < 4; c++) poll(c, `/${c}.js`);
    assert.deepEqual(reactor.take(), ['pause']);
    clients.closed(2);
    assert.deepEqual(reactor.take(), ['resume']);
  });

  test('stopping ends all but those in the middle of a message', () => {
    poll(1, '/a.js');
    poll(2, '/b.js');
    clients.accepted(3);
    reactor.sendResult = SEND_PENDING;
    deliver('a', 'm');
    reactor.take();
    reports();
    clients.stop();
    assert.deepEqual(reactor.take(), ['pause', 'close 2', 'close 3']);
    assert.equal(reports(), '-b');
    clients.sent(1);
    assert.deepEqual(reactor.take(), ['close 1']);
    assert.equal(reports(), '1:1');
  });
});
