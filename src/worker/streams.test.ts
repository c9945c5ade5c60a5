import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  HEARTBEAT_MS,
  KEEP_ALIVE_IDLE_MS,
  POLL_TIMEOUT_S,
  SEND_TIMEOUT_MS,
  SLOW_CONSUMER_BYTES_MAX,
  SWEEP_MS,
} from '../limits.js';
import { FAN_OUT_RECEIPT, KIND_JSON } from '../link/frames.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const STREAMS = ['sse', 'stream', 'ws'] as const;

describe('subscribers', () => {
  let rig: WorkerRig;

  beforeEach(() => {
    rig = new WorkerRig({ extraSubscriptions: 4 });
    rig.welcome('e', 7);
  });

  const open = (connection: number, transport: (typeof STREAMS)[number], query: string) => {
    if (transport === 'ws') rig.openWebSocket(connection, `/v1/ws?${query}`);
    else rig.get(connection, `/v1/${transport}?${query}`);
  };
  const body = (connection: number) => rig.sent(connection).split('\r\n\r\n')[1];

  for (const transport of STREAMS) {
    test(`${transport}: with after=now the response begins when the manager knows of the subscription`, () => {
      open(1, transport, 'channel=a&channel=b');
      assert.equal(rig.reports(), 'subscribed a, subscribed b, read 2147483649 281474976710655 a');
      assert.equal(rig.sent(1), '');
      rig.history(2147483649, 8);
      assert.deepEqual(rig.events(1, transport), [{ type: 'subscribed', cursor: 'e-8' }]);
      rig.fanOut(9, 'b', 'm');
      assert.deepEqual(rig.events(1, transport), [
        { type: 'message', channel: 'b', cursor: 'e-9', data: 'm', time: 1000 },
      ]);
      assert.equal(rig.clients.counters.messagesSent, 1);
      rig.clients.closed(1);
      assert.equal(rig.reports(), 'unsubscribed a, unsubscribed b');
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });

    test(`${transport}: with a cursor it begins at once, then comes what the log has`, () => {
      open(1, transport, 'channel=a&after=e-3');
      assert.match(rig.sent(1), transport === 'ws' ? /^HTTP\/1\.1 101 / : /^HTTP\/1\.1 200 /);
      assert.equal(rig.reports(), 'subscribed a, read 1 3 a');
      rig.fanOut(8, 'a', 'eight');
      assert.equal(rig.sent(1), '');
      rig.history(
        1,
        8,
        [
          [5, 'five'],
          [8, 'eight'],
        ],
        4,
      );
      const told = rig.events(1, transport).map(({ type, cursor, data }) => `${type} ${cursor} ${data ?? ''}`.trim());
      assert.deepEqual(told, ['gap e-3', 'message e-5 five', 'message e-8 eight', 'subscribed e-8']);
    });

    test(`${transport}: without a manager it begins at once and is live when there is one`, () => {
      rig.lose();
      open(1, transport, 'channel=a');
      assert.notEqual(rig.sent(1), '');
      rig.welcome('e', 7);
      rig.confirm(7);
      assert.deepEqual(rig.events(1, transport), [{ type: 'subscribed', cursor: 'e-7' }]);
    });

    test(`${transport}: whose response is held back when the link is lost begins then`, () => {
      open(1, transport, 'channel=a');
      assert.equal(rig.sent(1), '');
      rig.lose();
      assert.match(rig.sent(1), /^HTTP\/1\.1 /);
    });

    test(`${transport}: heartbeats, but not before the response`, () => {
      rig.tick(SWEEP_MS);
      open(1, transport, 'channel=a');
      rig.tick(SWEEP_MS + HEARTBEAT_MS);
      assert.equal(rig.sent(1), '');
      rig.confirm(7);
      rig.sent(1);
      rig.tick(2 * SWEEP_MS + 2 * HEARTBEAT_MS);
      const beat = { sse: ':\n\n', stream: '15\r\n{"type":"heartbeat"}\n\r\n', ws: '\ufffd\0' }[transport];
      assert.equal(rig.sent(1), beat);
    });

    test(`${transport}: who leaves too much unread is ended, and lingers`, () => {
      open(1, transport, 'channel=a');
      rig.confirm(7);
      rig.sent(1);
      rig.reactor.sendResult = SEND_PENDING;
      rig.reactor.pending = SLOW_CONSUMER_BYTES_MAX;
      rig.fanOut(8, 'a', 'm', 0, FAN_OUT_RECEIPT);
      assert.equal(rig.reports(), 'received 8:1');
      // What it is sent now does not count: nobody can have read that.
      rig.reactor.pending = SLOW_CONSUMER_BYTES_MAX + 1000;
      rig.fanOut(9, 'a', 'm', 0, FAN_OUT_RECEIPT);
      assert.equal(rig.reports(), 'unsubscribed a, received 9:0');
      const told = rig.events(1, transport);
      if (transport === 'ws') assert.deepEqual(told.at(-1), { type: 'close', code: 4008 });
      assert.equal(rig.reactor.told.at(-1), 'shutdown 1');
      assert.equal(rig.clients.counters.slowConsumers, 1);
      rig.tick(SEND_TIMEOUT_MS + 1000);
      rig.reactor.pending = 0;
      rig.tick(3 * SEND_TIMEOUT_MS);
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });

    test(`${transport}: with another epoch is told of a gap in all channels and goes on`, () => {
      open(1, transport, 'channel=a');
      rig.confirm(7);
      rig.sent(1);
      rig.lose();
      rig.welcome('f', 2);
      rig.fanOut(1, 'a', 'first');
      assert.deepEqual(
        rig.events(1, transport).map(({ type, channel, cursor }) => [type, channel, cursor]),
        [
          ['gap', undefined, 'f-0'],
          ['message', 'a', 'f-1'],
        ],
      );
    });
  }

  test('a channel is announced for its first subscriber and given up with its last', () => {
    rig.get(1, '/v1/sse?channel=a&channel=a');
    rig.get(2, '/v1/stream?channel=a');
    assert.equal(rig.reports(), 'subscribed a, read 2147483649 281474976710655 a, read 2147483650 281474976710655 a');
    rig.clients.closed(1);
    assert.equal(rig.reports(), '');
    rig.clients.closed(2);
    assert.equal(rig.reports(), 'unsubscribed a');
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  test('on a channel that is live the next one is live at once', () => {
    rig.get(1, '/v1/sse?channel=a');
    rig.confirm(7);
    rig.get(2, '/v1/sse?channel=a');
    assert.equal(rig.reports(), '');
    assert.deepEqual(rig.events(2, 'sse'), [{ type: 'subscribed', cursor: 'e-7' }]);
  });

  test('while another one catches up slowly the manager is asked, since it may not have heard of the channel', () => {
    rig.openWebSocket(1);
    rig.say(1, { type: 'subscribe', channel: 'a', after: 'e-1' });
    rig.say(1, { type: 'subscribe', channel: 'b', after: 'e-1' });
    assert.equal(rig.reports(), 'subscribed a, read 1 1 a, subscribed b');
    rig.reactor.sendResult = SEND_PENDING;
    rig.history(1, 7, [[2, 'two']]);
    rig.get(2, '/v1/sse?channel=b');
    assert.equal(rig.reports(), 'read 2147483649 281474976710655 b');
    assert.equal(rig.sent(2), '');
  });

  test('a subscription for which there is no room is refused, and leaves nothing', () => {
    rig.get(1, '/v1/sse?channel=a&channel=b&channel=c&channel=d&channel=e');
    rig.confirm(7);
    rig.reports();
    rig.sent(1);
    rig.get(2, '/v1/sse?channel=x&channel=a');
    assert.match(rig.sent(2), /^HTTP\/1\.1 503 [\s\S]*Retry-After/);
    assert.equal(rig.reports(), 'subscribed x, unsubscribed x');
    assert.equal(rig.subscribers.size, 5);
  });

  test('a FAN_OUT that is repeated is not handed out again', () => {
    rig.get(1, '/v1/sse?channel=a');
    rig.confirm(7);
    rig.sent(1);
    rig.fanOut(9, 'a', 'm');
    rig.fanOut(9, 'a', 'm');
    rig.fanOut(8, 'a', 'older');
    assert.equal(rig.events(1, 'sse').length, 1);
  });

  test('GAP is told to all who are live on the channel, and answers polls', () => {
    rig.get(1, '/v1/sse?channel=a');
    rig.get(2, '/v1/poll?channel=a&channel=b');
    rig.get(3, '/v1/sse?channel=b');
    rig.confirm(7);
    for (const connection of [1, 2, 3]) rig.sent(connection);
    rig.gap(12, 'a');
    assert.deepEqual(rig.events(1, 'sse'), [{ type: 'gap', channel: 'a', cursor: 'e-7', lost: 'e-12' }]);
    assert.equal(body(2), '{"cursor":"e-7","messages":[],"gap":[{"channel":"a","cursor":"e-7","lost":"e-12"}]}');
    assert.equal(rig.sent(3), '');
  });

  test('what follows a GAP of one channel is of others, and may lie below what it says is lost', () => {
    rig.get(1, '/v1/sse?channel=a&channel=b');
    rig.confirm(7);
    rig.sent(1);
    rig.gap(12, 'a');
    rig.fanOut(9, 'b', 'm');
    rig.gap(9, 'b');
    rig.fanOut(13, 'a', 'm');
    assert.deepEqual(
      rig.events(1, 'sse').map(({ type, channel, cursor, lost }) => [type, channel, cursor, lost]),
      [
        ['gap', 'a', 'e-7', 'e-12'],
        ['message', 'b', 'e-9', undefined],
        ['message', 'a', 'e-13', undefined],
      ],
    );
  });

  test('who becomes live between a GAP and what it reaches to is told of it too', () => {
    rig.get(1, '/v1/sse?channel=a');
    rig.confirm(7);
    rig.gap(12, 'a');
    rig.fanOut(9, 'other', 'm');
    rig.get(2, '/v1/sse?channel=a');
    assert.deepEqual(rig.events(2, 'sse'), [
      { type: 'gap', channel: 'a', cursor: 'e-9', lost: 'e-12' },
      { type: 'subscribed', cursor: 'e-9' },
    ]);
    rig.clients.streams.moveTo(12);
    rig.get(3, '/v1/sse?channel=a');
    assert.deepEqual(rig.events(3, 'sse'), [{ type: 'subscribed', cursor: 'e-12' }]);
  });

  test('a stream that is sent bytes is cut off when there are many', () => {
    rig.get(1, '/v1/sse?channel=a');
    rig.confirm(7);
    rig.receive(1, 'x'.repeat(1000));
    assert.equal(rig.connections.held, 1);
    rig.receive(1, 'x'.repeat(20_000));
    assert.equal(rig.reactor.told.at(-1), 'abort 1');
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  test('the end of the server ends chunks and tells WebSockets; a response that has not begun does not begin', () => {
    rig.get(1, '/v1/stream?channel=a');
    rig.openWebSocket(2);
    rig.get(3, '/v1/poll?channel=a');
    rig.confirm(7);
    rig.openWebSocket(4, '/v1/ws?channel=new');
    for (const connection of [1, 2, 3]) rig.sent(connection);
    rig.clients.stop();
    assert.equal(rig.sent(1), '0\r\n\r\n');
    assert.deepEqual(
      rig.events(2, 'ws').map(({ code }) => code),
      [1001],
    );
    assert.equal(rig.sent(3), '');
    assert.equal(rig.sent(4), '');
  });

  describe('long-poll', () => {
    test('is answered by the next publication, and asks again on the same connection', () => {
      rig.get(1, '/v1/poll?channel=a&channel=b');
      rig.confirm(7);
      assert.equal(rig.sent(1), '');
      rig.fanOut(9, 'b', '{"n":1}', KIND_JSON);
      const answer = rig.sent(1);
      assert.match(answer, /\r\nConnection: keep-alive\r\n[\s\S]*ETag: "e-9"\r\n/);
      assert.match(
        answer,
        /\{"cursor":"e-9","messages":\[\{"channel":"b","cursor":"e-9","data":\{"n":1\},"time":1000\}\]\}$/,
      );
      assert.equal(rig.reports(), 'unsubscribed a, unsubscribed b');
      rig.get(1, '/v1/poll?channel=a&after=e-9');
      assert.equal(rig.reports(), 'subscribed a, read 1 9 a');
      rig.history(1, 10, [[10, 'next']]);
      assert.match(rig.sent(1), /"cursor":"e-10","messages":\[/);
      rig.tick(KEEP_ALIVE_IDLE_MS + 1000);
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });

    test('that is asked to close does so, and one that sent more is served that alone', () => {
      rig.get(1, '/v1/poll?channel=a', 'Connection: close\r\n');
      rig.get(2, '/v1/poll?channel=a');
      rig.confirm(7);
      rig.receive(2, 'GET / HTTP/1.1\r\n');
      rig.fanOut(8, 'a', 'm');
      assert.match(rig.sent(1), /Connection: close/);
      assert.match(rig.sent(2), /Connection: close/);
      assert.deepEqual(rig.reactor.told.filter((line) => !line.startsWith('send')).sort(), ['close 1', 'shutdown 2']);
    });

    test('that comes with another request behind it is served first, where it is answered at once', () => {
      rig.get(1, '/v1/sse?channel=a');
      rig.confirm(7);
      rig.clients.accepted(2);
      const poll = 'GET /v1/poll?channel=a&timeout=0 HTTP/1.1\r\nHost: h\r\n\r\n';
      rig.receive(2, poll + poll);
      assert.equal(rig.sent(2).match(/HTTP\/1\.1 200/g)!.length, 2);
    });

    test('times out with the cursor that it has reached', () => {
      rig.get(1, '/v1/poll?channel=a&timeout=10');
      rig.get(2, '/v1/poll?channel=a&after=e-3');
      rig.confirm(7);
      rig.clients.streams.moveTo(12);
      rig.tick(10_500);
      assert.equal(body(1), '{"cursor":"e-12","messages":[]}');
      assert.equal(rig.sent(2), '');
      rig.tick(POLL_TIMEOUT_S * 1000 + 500);
      assert.equal(body(2), '{"cursor":"e-12","messages":[]}');
    });

    test('that times out before the log was asked keeps its cursor, or learns that it is lost', () => {
      rig.get(1, '/v1/poll?channel=a&after=e-3&timeout=5');
      rig.get(2, '/v1/poll?channel=a&after=old-3&timeout=5');
      rig.tick(5500);
      assert.equal(body(1), '{"cursor":"e-3","messages":[]}');
      assert.equal(body(2), '{"cursor":"e-0","messages":[],"gap":[{"cursor":"e-0"}]}');
    });

    test('that times out without a manager keeps its cursor, of whatever log that is', () => {
      rig.lose();
      rig.get(1, '/v1/poll?channel=a&after=next-3&timeout=5');
      rig.get(2, '/v1/poll?channel=a&after=next-3&timeout=0');
      assert.equal(body(2), '{"cursor":"next-3","messages":[]}');
      rig.tick(5500);
      assert.equal(body(1), '{"cursor":"next-3","messages":[]}');
    });

    test('that has nothing but a gap to be told waits until it has come out of it', () => {
      rig.get(1, '/v1/poll?channel=a&channel=b&after=e-7');
      rig.get(2, '/v1/poll?channel=a&channel=b&after=e-7&timeout=0');
      rig.history(1, 7, [], 12);
      rig.history(2, 7, []);
      assert.equal(rig.sent(1), '');
      assert.equal(body(2), '{"cursor":"e-7","messages":[],"gap":[{"channel":"a","cursor":"e-7","lost":"e-12"}]}');
      rig.clients.streams.moveTo(9);
      assert.equal(rig.sent(1), '');
      rig.clients.streams.moveTo(12);
      assert.equal(body(1), '{"cursor":"e-12","messages":[],"gap":[{"channel":"a","cursor":"e-7","lost":"e-12"}]}');
      rig.get(1, '/v1/poll?channel=a&channel=b&after=e-3');
      rig.reports();
      rig.history(3, 12, [], 12);
      rig.history(4, 12, [[5, 'm']]);
      assert.match(
        body(1)!,
        /^\{"cursor":"e-12","messages":\[\{"channel":"b".*"gap":\[\{.*"cursor":"e-3","lost":"e-12"\}\]\}$/,
      );
    });

    test('with timeout=0 never waits, not for a manager either', () => {
      rig.get(1, '/v1/poll?channel=a&timeout=0');
      assert.equal(rig.sent(1), '');
      rig.confirm(7);
      assert.equal(body(1), '{"cursor":"e-7","messages":[]}');
      rig.get(2, '/v1/poll?channel=a&after=e-3&timeout=0');
      rig.lose();
      assert.equal(body(2), '{"cursor":"e-3","messages":[]}');
      rig.get(3, '/v1/poll?channel=a&timeout=0');
      assert.equal(body(3), '{"cursor":"e-7","messages":[]}');
    });

    test('with JSONP is a call', () => {
      rig.get(1, '/v1/poll?channel=a&callback=f');
      rig.get(2, '/v1/poll?channel=a&callback=g');
      rig.confirm(7);
      rig.fanOut(8, 'a', '</script>');
      assert.match(body(1)!, /^f\(\{"cursor":"e-8",.*\}\);$/);
      assert.match(body(2)!, /^g\(\{"cursor":"e-8",.*\}\);$/);
      for (const connection of [1, 2]) rig.clients.closed(connection);
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });

    test('whoever asks on and on and reads no answers is cut off', () => {
      rig.get(1, '/v1/poll?channel=a&timeout=0');
      rig.confirm(7);
      rig.reactor.pending = 2_000_000;
      rig.get(1, '/v1/poll?channel=a&timeout=0');
      assert.equal(rig.reactor.told.at(-1), 'close 1');
      rig.reactor.pending = 0;
      assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
    });
  });
});
