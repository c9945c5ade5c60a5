import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  CHANNELS_PER_CONNECTION_MAX,
  CLIENT_MESSAGE_BYTES_MAX,
  PUBLISHES_PENDING_MAX,
  SLOW_CONSUMER_BYTES_MAX,
} from '../limits.js';
import { PUBLISHED_DUPLICATE, PUBLISHED_FAILED, PUBLISHED_NEW } from '../link/frames.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { FIN, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_TEXT } from '../websocket/frame.js';
import { clientFrame } from '../websocket/testing/client-frame.js';
import { HANDSHAKE, NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

describe('WebSockets', () => {
  let rig: WorkerRig;

  beforeEach(() => {
    rig = new WorkerRig({
      extraSubscriptions: 2 * CHANNELS_PER_CONNECTION_MAX,
      policy: { publish: ['chat/*'] },
      testEcho: true,
    });
    rig.welcome('e', 7);
    rig.openWebSocket(1);
    assert.match(rig.sent(1), /^HTTP\/1\.1 101 /);
  });

  const events = () => rig.events(1, 'ws');
  /** The answer to a message, in short. */
  const answer = (message: unknown) => {
    rig.say(1, message);
    return events().map(({ type, code, ref }) => [type, code, ref].filter((part) => part !== undefined).join(' '));
  };

  test('that speak before their handshake is answered hear nothing before it, and are refused', () => {
    rig.openWebSocket(2, '/v1/ws?channel=news');
    assert.equal(rig.sent(2), '', 'it waits until it is live');
    rig.say(2, { type: 'ping', ref: 'HTTP/1.1 200 OK' });
    const answer = rig.sent(2);
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert(!answer.includes('pong'), answer);
    rig.confirm(7);
    assert.equal(rig.sent(2), '');
    for (const connection of [1, 2]) rig.clients.closed(connection);
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  for (const [message, expected] of [
    ['', 'error invalid'],
    ['{', 'error invalid'],
    ['7', 'error invalid'],
    ['null', 'error invalid'],
    ['[]', 'error invalid'],
    ['{}', 'error invalid'],
    ['{"type":7}', 'error invalid'],
    ['{"type":"other","ref":1}', 'error invalid 1'],
    ['{"type":"__proto__"}', 'error invalid'],
    ['{"type":"ping"}', 'pong'],
    ['{"type":"ping","ref":"x"}', 'pong x'],
    ['{"type":"ping","ref":-7}', 'pong -7'],
    ['{"type":"ping","ref":{}}', 'error invalid'],
    [`{"type":"ping","ref":"${'x'.repeat(129)}"}`, 'error invalid'],
    ['{"type":"subscribe","ref":1}', 'error invalid 1'],
    ['{"type":"subscribe","channel":""}', 'error invalid'],
    ['{"type":"subscribe","channel":7}', 'error invalid'],
    ['{"type":"subscribe","channel":"a\\u0000"}', 'error invalid'],
    ['{"type":"subscribe","channels":[]}', 'error invalid'],
    ['{"type":"subscribe","channels":"a"}', 'error invalid'],
    ['{"type":"subscribe","channels":["a",7]}', 'error invalid'],
    ['{"type":"subscribe","channels":["a"],"channel":"b"}', 'error invalid'],
    ['{"type":"subscribe","channel":"a","after":"7"}', 'error invalid'],
    ['{"type":"subscribe","channel":"a","after":7}', 'error invalid'],
    ['{"type":"unsubscribe"}', 'error invalid'],
    ['{"type":"unsubscribe","channel":"none","ref":1}', 'unsubscribed 1'],
    ['{"type":"publish","channel":"chat/a"}', 'error invalid'],
    ['{"type":"publish","channel":"news","data":1,"ref":"r"}', 'error forbidden r'],
    ['{"type":"publish","channel":"chat/a","data":1,"id":""}', 'error invalid'],
    ['{"type":"publish","channel":"chat/a","data":1,"id":7}', 'error invalid'],
  ] as const) {
    test(`${message.slice(0, 60)} is answered by ${expected}, and the connection goes on`, () => {
      assert.deepEqual(answer(message), [expected]);
      assert.deepEqual(answer('{"type":"ping"}'), ['pong']);
      assert.equal(rig.subscribers.size, 0);
    });
  }

  test('a message that comes split at any byte, or in fragments, is the same', () => {
    const bytes = clientFrame({ opcode: OPCODE_TEXT, data: '{"type":"ping","ref":1}' });
    for (let split = 1; split < bytes.length; split++) {
      rig.receive(1, bytes.subarray(0, split));
      rig.receive(1, bytes.subarray(split));
      assert.deepEqual(events(), [{ type: 'pong', ref: 1 }], `split at ${split}`);
    }
    rig.receive(1, clientFrame({ opcode: OPCODE_TEXT, data: '{"type":', final: false }));
    rig.receive(1, clientFrame({ opcode: OPCODE_PING, data: 'p' }));
    rig.receive(1, clientFrame({ opcode: OPCODE_CONTINUATION, data: '"ping"}' }));
    assert.deepEqual(
      events().map(({ type }) => type),
      ['opcode 10', 'pong'],
    );
    assert.equal(rig.clients.counters.messagesReceived, bytes.length);
  });

  for (const [name, bytes, code] of [
    ['a binary message', clientFrame({ opcode: OPCODE_BINARY, data: 'x' }), 1003],
    ['text that is not UTF-8', clientFrame({ opcode: OPCODE_TEXT, data: Buffer.from([0xff]) }), 1007],
    ['a frame that is not masked', Buffer.from([FIN | OPCODE_TEXT, 0]), 1002],
    [
      'a message that is too large',
      clientFrame({ opcode: OPCODE_TEXT, data: 'x'.repeat(CLIENT_MESSAGE_BYTES_MAX + 1) }),
      1009,
    ],
    ['a close frame without a code', clientFrame({ opcode: OPCODE_CLOSE }), 1000],
    ['a close frame', clientFrame({ opcode: OPCODE_CLOSE, data: Buffer.from([0x0f, 0xa1]) }), 4001],
  ] as const) {
    test(`${name} is answered by a close frame with ${code}, and the connection ends`, () => {
      rig.receive(1, Buffer.concat([bytes, clientFrame({ opcode: OPCODE_TEXT, data: '{"type":"ping"}' })]));
      assert.deepEqual(events(), [{ type: 'close', code }]);
      assert.equal(rig.reactor.told.at(-1), 'shutdown 1');
      rig.clients.closed(1);
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });
  }

  test('subscribing names the channels once, and again is no error', () => {
    rig.say(1, { type: 'subscribe', channels: ['a', 'b', 'a'], ref: 1 });
    rig.confirm(7);
    assert.deepEqual(events(), [{ type: 'subscribed', channels: ['a', 'b'], cursor: 'e-7', ref: 1 }]);
    rig.say(1, { type: 'subscribe', channel: 'a' });
    assert.deepEqual(events(), [{ type: 'subscribed', channels: ['a'], cursor: 'e-7' }]);
    assert.equal(rig.subscribers.size, 2);
    rig.say(1, { type: 'unsubscribe', channels: ['a', 'none'] });
    assert.equal(rig.reports(), 'unsubscribed a');
    rig.fanOut(8, 'a', 'm');
    rig.fanOut(9, 'b', 'm');
    assert.deepEqual(
      events().map(({ type, channel }) => [type, channel]),
      [
        ['unsubscribed', undefined],
        ['message', 'b'],
      ],
    );
  });

  test('more channels than one connection may have are refused together', () => {
    const channels = Array.from({ length: CHANNELS_PER_CONNECTION_MAX }, (_, n) => `c${n}`);
    rig.say(1, { type: 'subscribe', channels });
    rig.confirm(7);
    events();
    rig.say(1, { type: 'subscribe', channels: ['x', 'y'], ref: 1 });
    const [{ type, ref }] = events() as [{ type: string; ref: number }];
    assert.deepEqual([type, ref, rig.subscribers.size], ['error', 1, CHANNELS_PER_CONNECTION_MAX]);
    rig.clients.closed(1);
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  test('a channel that is subscribed already does not count against the maximum again', () => {
    const channels = Array.from({ length: CHANNELS_PER_CONNECTION_MAX - 1 }, (_, n) => `c${n}`);
    rig.say(1, { type: 'subscribe', channels });
    rig.confirm(7);
    events();
    assert.deepEqual(answer({ type: 'subscribe', channels: ['c0', 'c1', 'c1'], ref: 1 }), ['subscribed 1']);
    rig.say(1, { type: 'subscribe', channels: ['c0', 'new', 'new'], ref: 2 });
    rig.confirm(7);
    assert.deepEqual(
      events().map(({ type, ref }) => [type, ref]),
      [['subscribed', 2]],
    );
    assert.deepEqual(answer({ type: 'subscribe', channels: ['c0', 'newer'], ref: 3 }), ['error too_many_channels 3']);
  });

  test('a publication is answered with its place, a known one as a duplicate', () => {
    rig.say(1, { type: 'publish', channel: 'chat/a', data: { n: [1, ' '] }, id: 'i', ref: 'r' });
    assert.equal(rig.reports(), 'publish 1 chat/a {"n":[1," "]}');
    assert.deepEqual(events(), []);
    rig.clients.posts.published(1, PUBLISHED_NEW, 8);
    assert.deepEqual(events(), [{ type: 'published', cursor: 'e-8', ref: 'r' }]);
    rig.say(1, { type: 'publish', channel: 'chat/a', data: 'text', id: 'i' });
    rig.clients.posts.published(2, PUBLISHED_DUPLICATE, 8);
    rig.say(1, { type: 'publish', channel: 'chat/a', data: null, ref: 2 });
    rig.clients.posts.published(3, PUBLISHED_FAILED, 0);
    const [duplicate, failed] = events();
    assert.deepEqual(duplicate, { type: 'published', cursor: 'e-8', duplicate: true });
    assert.deepEqual([failed!.type, failed!.code, failed!.ref], ['error', 'unavailable', 2]);
  });

  test('without a manager, or when it is lost, publishing is to be tried again', () => {
    rig.say(1, { type: 'publish', channel: 'chat/a', data: 1, ref: 1 });
    rig.lose();
    rig.say(1, { type: 'publish', channel: 'chat/a', data: 1, ref: 2 });
    assert.deepEqual(
      events().map(({ code, ref }) => [code, ref]),
      [
        ['unavailable', 1],
        ['unavailable', 2],
      ],
    );
    rig.clients.posts.published(1, PUBLISHED_NEW, 9);
    assert.deepEqual(events(), []);
  });

  test('the answer for a connection that has gone is for nobody, whoever has its number now', () => {
    rig.say(1, { type: 'publish', channel: 'chat/a', data: 1 });
    rig.clients.closed(1);
    rig.openWebSocket(1);
    rig.sent(1);
    rig.clients.posts.published(1, PUBLISHED_NEW, 8);
    assert.deepEqual(events(), []);
  });

  test('requests to publish that have no answer are bounded', () => {
    for (let n = 0; n < PUBLISHES_PENDING_MAX; n++) rig.say(1, { type: 'publish', channel: 'chat/a', data: n });
    assert.deepEqual(events(), []);
    rig.say(1, { type: 'publish', channel: 'chat/a', data: 'more' });
    assert.deepEqual(
      events().map(({ type }) => type),
      ['error'],
    );
  });

  test('a subscription that ends the connection is the last thing that is read of it', () => {
    rig.say(1, { type: 'subscribe', channel: 'a' });
    rig.confirm(7);
    events();
    rig.reactor.sendResult = -104;
    const subscribe = clientFrame({ opcode: OPCODE_TEXT, data: '{"type":"subscribe","channel":"a"}' });
    rig.receive(
      1,
      Buffer.concat([subscribe, clientFrame({ opcode: OPCODE_TEXT, data: '{"type":"subscribe","channel":"b"}' })]),
    );
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  test('who asks and does not read is closed with 4008', () => {
    rig.reactor.sendResult = SEND_PENDING;
    rig.reactor.pending = SLOW_CONSUMER_BYTES_MAX + 100;
    rig.say(1, { type: 'ping' });
    assert.deepEqual(events().at(-1), { type: 'close', code: 4008 });
    assert.equal(rig.clients.counters.slowConsumers, 1);
  });

  test('large messages are compressed for clients who offered it, and theirs may be', () => {
    rig.openWebSocket(2, '/v1/ws?channel=a', 'Sec-WebSocket-Extensions: permessage-deflate\r\n');
    rig.confirm(7);
    rig.sent(2);
    rig.fanOut(8, 'a', 'x'.repeat(2000));
    const bytes = rig.reactor.takeSent(2);
    assert(bytes.length < 300 && (bytes[0]! & 0x40) !== 0, `${bytes.length}`);
    rig.fanOut(9, 'a', 'short');
    assert.deepEqual(
      rig.events(2, 'ws').map(({ data }) => data),
      ['short'],
    );
  });

  test('/echo returns what it gets', () => {
    rig.get(2, '/echo', HANDSHAKE);
    rig.sent(2);
    const bytes = clientFrame({ opcode: OPCODE_BINARY, data: 'abc' });
    rig.receive(2, bytes);
    assert.deepEqual([...rig.reactor.takeSent(2)], [FIN | OPCODE_BINARY, 3, 0x61, 0x62, 0x63]);
  });
});
