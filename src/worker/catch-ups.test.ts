/** Catching up, step by step; whatever order there is, catch-ups-model.test.ts tries. */

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { HISTORY_BEYOND, HISTORY_MORE } from '../link/frames.js';
import { SEND_DONE, SEND_PENDING } from '../reactor/reactor.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

describe('catching up', () => {
  let rig: WorkerRig;

  beforeEach(() => {
    rig = new WorkerRig();
    rig.welcome('e', 100);
  });

  const told = (connection: number) =>
    rig.events(connection, 'ws').map(({ type, channel = '', cursor }) => `${type} ${channel} ${cursor}`);
  const open = (connection: number, query: string) => {
    rig.openWebSocket(connection, `/v1/ws?${query}`);
    rig.sent(connection);
  };

  test('pages follow each other until one is the last', () => {
    open(1, 'channel=a&after=e-10');
    assert.equal(rig.reports(), 'subscribed a, read 1 10 a');
    rig.history(
      1,
      20,
      [
        [15, 'm'],
        [20, 'm'],
      ],
      0,
      HISTORY_MORE,
    );
    assert.deepEqual(told(1), ['message a e-15', 'message a e-20']);
    assert.equal(rig.reports(), 'read 2 20 a');
    rig.fanOut(101, 'a', 'm');
    rig.history(2, 101, [
      [30, 'm'],
      [101, 'm'],
    ]);
    assert.deepEqual(told(1), ['message a e-30', 'message a e-101', 'subscribed  e-101']);
    rig.fanOut(102, 'a', 'm');
    assert.deepEqual(told(1), ['message a e-102']);
  });

  test('several channels come in the order of the log, as far as all are known', () => {
    open(1, 'channel=a&channel=b&after=e-10');
    rig.history(
      1,
      20,
      [
        [12, 'm'],
        [20, 'm'],
      ],
      0,
      HISTORY_MORE,
    );
    assert.deepEqual(told(1), []);
    rig.history(2, 100, [
      [13, 'm'],
      [25, 'm'],
    ]);
    assert.deepEqual(told(1), ['message a e-12', 'message b e-13', 'message a e-20']);
    rig.history(3, 100, [[24, 'm']]);
    assert.deepEqual(told(1), ['message a e-24', 'message b e-25', 'subscribed  e-100']);
  });

  test('a crowd at one place asks once', () => {
    for (let connection = 0; connection < 5; connection++) open(connection, 'channel=a&after=e-10');
    assert.equal(rig.reports(), 'subscribed a, read 1 10 a');
    rig.history(1, 100, [[50, 'm']]);
    for (let connection = 0; connection < 5; connection++) {
      assert.deepEqual(told(connection), ['message a e-50', 'subscribed  e-100']);
    }
  });

  test('a client that does not read is given the next part when it has read this one', () => {
    open(1, 'channel=a&after=e-10');
    rig.reactor.sendResult = SEND_PENDING;
    rig.history(1, 100, [
      [11, 'x'.repeat(60_000)],
      [12, 'x'.repeat(60_000)],
      [13, 'm'],
    ]);
    assert.deepEqual(told(1), ['message a e-11', 'message a e-12']);
    rig.fanOut(101, 'a', 'live');
    assert.deepEqual(told(1), []);
    rig.reactor.sendResult = SEND_DONE;
    rig.clients.sent(1);
    assert.deepEqual(told(1), ['message a e-13', 'message a e-101', 'subscribed  e-101']);
  });

  test('when the link is lost the next one is asked, from where the client stands', () => {
    open(1, 'channel=a&after=e-10');
    rig.history(1, 20, [[15, 'm']], 0, HISTORY_MORE);
    rig.reports();
    rig.lose();
    rig.history(2, 100, [[99, 'of the old link']]);
    assert.deepEqual(told(1), ['message a e-15']);
    rig.welcome('e', 100);
    assert.equal(rig.reports(), 'read 3 20 a');
    rig.history(3, 100, [[99, 'm']]);
    assert.deepEqual(told(1), ['message a e-99', 'subscribed  e-100']);
  });

  test('when the log is another one all begins anew, with a gap', () => {
    open(1, 'channel=a&after=e-10');
    rig.history(1, 20, [[15, 'm']], 0, HISTORY_MORE);
    told(1);
    rig.lose();
    rig.welcome('f', 3);
    rig.reports();
    rig.history(3, 3, [[2, 'm']]);
    assert.deepEqual(told(1), ['gap  f-0', 'message a f-2', 'subscribed  f-3']);
  });

  test('a WebSocket that is live on some channels is told of another log, also where others wait for its end', () => {
    open(1, 'channel=a');
    rig.confirm(100);
    rig.say(1, { type: 'subscribe', channel: 'b' });
    told(1);
    rig.lose();
    rig.welcome('f', 3);
    assert.deepEqual(told(1), ['gap  f-0']);
    rig.confirm(3);
    assert.deepEqual(told(1), ['subscribed  f-3']);
  });

  test('a cursor of a log that is not known is judged when there is a manager', () => {
    rig.lose();
    open(1, 'channel=a&after=f-2');
    open(2, 'channel=a&after=g-2');
    assert.deepEqual([told(1), told(2)], [[], []]);
    rig.welcome('f', 3);
    assert.equal(rig.reports(), 'subscribed a, read 1 2 a');
    rig.history(1, 3, [[3, 'm']]);
    assert.deepEqual(told(1), ['message a f-3', 'subscribed  f-3']);
    assert.equal(rig.reports(), 'read 2 0 a');
    rig.history(2, 3, [
      [1, 'm'],
      [3, 'm'],
    ]);
    assert.deepEqual(told(2), ['gap  f-0', 'message a f-1', 'message a f-3', 'subscribed  f-3']);
  });

  test('a gap is told before anything above the place where it was found, and once', () => {
    open(1, 'channel=a&channel=b&after=e-10');
    rig.history(
      1,
      40,
      [
        [20, 'm'],
        [40, 'm'],
      ],
      0,
      HISTORY_MORE,
    );
    rig.history(2, 100, [[60, 'm']], 50);
    assert.deepEqual(
      rig.events(1, 'ws').map(({ type, channel, cursor, lost = '' }) => `${type} ${channel} ${cursor} ${lost}`.trim()),
      ['gap b e-10 e-50', 'message a e-20', 'message a e-40'],
    );
    // Who has been cut off there is told again, since nobody knows what he was told.
    open(2, 'channel=a&channel=b&after=e-40');
    rig.history(3, 100, []);
    assert.deepEqual(told(1), ['message b e-60', 'subscribed  e-100']);
    assert.deepEqual(told(2), ['gap b e-40', 'message b e-60', 'subscribed  e-100']);
  });

  test('what was dropped before the start of the log was asked for is no gap, what is dropped meanwhile is', () => {
    open(1, 'channel=a&after=start');
    rig.history(
      1,
      20,
      [
        [10, 'm'],
        [20, 'm'],
      ],
      5,
      HISTORY_MORE,
    );
    assert.deepEqual(told(1), ['message a e-10', 'message a e-20']);
    rig.history(2, 100, [[60, 'm']], 50);
    assert.deepEqual(told(1), ['gap a e-20', 'message a e-60', 'subscribed  e-100']);
  });

  test('a client that is ahead of the worker waits for it, once the log is known to go so far', () => {
    open(1, 'channel=a&after=e-105');
    rig.history(1, 100, []);
    assert.deepEqual(told(1), []);
    rig.fanOut(105, 'a', 'seen elsewhere');
    rig.fanOut(106, 'a', 'new');
    assert.deepEqual(told(1), ['subscribed  e-105', 'message a e-106']);
  });

  test('a cursor above the end of the log is of a lost one, also where the channel is in the cache', () => {
    open(1, 'channel=a&after=e-90');
    open(2, 'channel=a&after=e-900');
    open(3, 'channel=a&after=e-90');
    assert.equal(rig.reports(), 'subscribed a, read 1 90 a');
    rig.history(1, 100, [[95, 'm']]);
    assert.deepEqual(told(1), ['message a e-95', 'subscribed  e-100']);
    assert.equal(rig.reports(), 'read 2147483649 900 a');
    rig.history(2147483649, 100, [], 0, HISTORY_BEYOND);
    assert.equal(rig.reports(), 'read 2 0 a');
    rig.history(2, 100, [
      [50, 'm'],
      [95, 'm'],
    ]);
    assert.deepEqual(told(2), ['gap  e-0', 'message a e-50', 'message a e-95', 'subscribed  e-100']);
  });

  test('that one cursor is beyond the log says nothing of a lower one that waited for the same page', () => {
    open(1, 'channel=a&after=e-900');
    open(2, 'channel=a&after=e-103');
    assert.equal(rig.reports(), 'subscribed a, read 1 900 a');
    rig.history(1, 100, [], 0, HISTORY_BEYOND);
    assert.deepEqual(told(2), []);
    rig.clients.closed(1);
    rig.reports();
    rig.fanOut(103, 'a', 'seen elsewhere');
    rig.confirm(103);
    rig.history(2, 103, []);
    rig.history(3, 103, []);
    assert.deepEqual(told(2), ['subscribed  e-103']);
  });

  test('with timeout=0 a poll that is ahead is answered as soon as its cursor is confirmed', () => {
    rig.get(1, '/v1/poll?channel=a&after=e-105&timeout=0');
    rig.history(1, 100, []);
    assert.match(rig.sent(1), /\{"cursor":"e-105","messages":\[\]\}$/);
  });

  test('who unsubscribes from the channel that it waits for goes on with the others', () => {
    open(1, '');
    rig.say(1, { type: 'subscribe', channels: ['a', 'b'], after: 'e-10' });
    assert.equal(rig.reports(), 'subscribed a, subscribed b, read 1 10 a, read 2 10 b');
    rig.history(1, 100, [[11, 'm']]);
    rig.say(1, { type: 'unsubscribe', channel: 'b' });
    rig.confirm(100);
    assert.deepEqual(told(1), ['unsubscribed  undefined', 'message a e-11', 'subscribed  e-100']);
    assert.equal(rig.clients.streams.catchUps.size, 0);
  });

  test('who unsubscribes from all that it waits for is answered', () => {
    open(1, '');
    rig.say(1, { type: 'subscribe', channel: 'a', after: 'e-10' });
    rig.say(1, { type: 'subscribe', channel: 'b' });
    rig.say(1, { type: 'unsubscribe', channels: ['a', 'b'] });
    rig.lose();
    rig.welcome('e', 100);
    rig.confirm(100);
    assert.deepEqual(told(1), ['unsubscribed  undefined', 'subscribed  e-100', 'subscribed  e-100']);
  });

  test('who subscribes again to what it has is answered, also while others ask', () => {
    open(1, 'channel=a');
    rig.confirm(100);
    open(2, 'channel=c');
    rig.sent(1);
    rig.say(1, { type: 'subscribe', channel: 'a', ref: 1 });
    rig.confirm(100);
    assert.deepEqual(rig.events(1, 'ws'), [{ type: 'subscribed', channels: ['a'], cursor: 'e-100', ref: 1 }]);
  });

  test('a second group that waits for the end of the log is live when the manager knows of it, not before', () => {
    open(1, '');
    rig.say(1, { type: 'subscribe', channel: 'a', after: 'e-10', ref: 1 });
    rig.say(1, { type: 'subscribe', channel: 'b', ref: 2 });
    assert.equal(rig.reports(), 'subscribed a, read 1 10 a, subscribed b, read 2147483649 281474976710655 b');
    rig.history(1, 100, []);
    assert.deepEqual(
      rig.events(1, 'ws').map(({ ref }) => ref),
      [1],
    );
    rig.history(2147483649, 100);
    assert.deepEqual(
      rig.events(1, 'ws').map(({ ref }) => ref),
      [2],
    );
  });

  test('the number of a channel that was given up is not taken for the next one that has it', () => {
    open(1, 'channel=a&after=e-10');
    rig.clients.closed(1);
    open(1, 'channel=b&after=e-10');
    rig.history(1, 100, [[20, 'of a']]);
    assert.deepEqual(told(1), []);
    rig.history(2, 100, [[30, 'of b']]);
    assert.deepEqual(told(1), ['message b e-30', 'subscribed  e-100']);
    rig.clients.closed(1);
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });
});
