import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Deliveries } from './deliveries.js';
import { Identities } from './identities.js';
import { trace } from './trace.js';
import { ENTRIES_MAX, Trail } from './trail.js';

describe('why a client did or did not get a publication', () => {
  let position: number;
  let nowMs: number;
  /** Up to where connections are that are not live. */
  let behind: Map<number, number>;
  let unread: number;
  let identities: Identities;
  let deliveries: Deliveries;
  let trail: Trail;

  beforeEach(() => {
    position = 0;
    nowMs = 1000;
    behind = new Map();
    unread = 0;
    identities = new Identities(16);
    deliveries = new Deliveries();
    const reached = (connection: number) => behind.get(connection) ?? position;
    trail = new Trail({ identities, position: () => position, reached, wallMs: () => nowMs });
    identities.listen(trail);
  });

  /** A client comes and asks for channels; null: for none. */
  function come(connection: number, client: string, channels: string[] | null, after: number | null = null): void {
    nowMs++;
    identities.begin(connection, { subject: client, expiresAtMs: Infinity, subscribe: ['*'], publish: [] });
    if (channels !== null) ask(connection, channels, after);
  }

  const ask = (connection: number, channels: string[], after: number | null = null) =>
    trail.asked(connection, after, channels.length, (max) => channels.slice(0, max));

  function leave(connection: number): void {
    nowMs++;
    identities.end(connection);
  }

  /** The fan-out has come to a publication. */
  function publish(sequence: number): void {
    position = sequence;
    deliveries.note(sequence, ++nowMs, 1, 0);
  }

  const ask7 = (client: string | null, channel = 'news') =>
    trace(
      {
        deliveries,
        trail,
        position: () => position,
        reached: (connection) => behind.get(connection) ?? position,
        unreadBytes: () => unread,
      },
      { sequence: 7, channel, client },
    );
  const outcomes = (client = 'alice') => ask7(client).visits.map(({ outcome }) => outcome);

  test('who was there and live was sent it when the fan-out handed it out', () => {
    come(1, 'alice', ['other', 'news']);
    publish(7);
    assert.deepEqual(ask7('alice').visits, [{ outcome: 'sent', sinceMs: 1001, sentMs: 1002 }]);
    assert.deepEqual(ask7('alice').delivery, { atMs: 1002, receivers: 1, slow: 0 });
    unread = 12;
    assert.equal(ask7('alice').visits[0].unreadBytes, 12);
    trail.ending(1, 'slow_consumer', 7);
    leave(1);
    assert.deepEqual(ask7('alice').visits, [
      { outcome: 'sent', sinceMs: 1001, leftMs: 1003, reason: 'slow_consumer', sentMs: 1002 },
    ]);
  });

  test('who came later was sent it from the log, or has it, or did not ask for it', () => {
    publish(7);
    position = 9;
    come(1, 'alice', ['news'], 3);
    come(2, 'alice', ['news'], 8);
    come(3, 'alice', ['news']);
    const [log, , now] = ask7('alice').visits;
    assert.deepEqual([log.outcome, log.sentMs, now.outcome], ['sent', undefined, 'asked_for_later']);
    come(4, 'bob', ['news'], 9);
    position = 6;
    come(5, 'bob', ['news'], 8);
    assert.deepEqual(outcomes('bob'), ['had_it', 'had_it']);
  });

  test('who asked for what comes from now on, of a worker that was a little behind, was not sent it', () => {
    position = 6;
    come(1, 'alice', ['news']);
    assert.deepEqual(outcomes(), ['on_its_way'], 'it may yet come by the fan-out');
    position = 8;
    assert.deepEqual(outcomes(), ['asked_for_later'], 'the worker had nobody for it');
  });

  test('who is being caught up with, or behind a worker that is, has yet to get it', () => {
    position = 9;
    come(1, 'alice', ['news'], 3);
    behind.set(1, 5);
    assert.deepEqual(outcomes(), ['catching_up']);
    leave(1);
    assert.deepEqual(outcomes(), ['left_while_catching_up']);
    position = 6;
    come(2, 'bob', ['news'], 3);
    assert.deepEqual(outcomes('bob'), ['on_its_way']);
  });

  test('who was there but not on the channel is told apart from who was not there', () => {
    come(1, 'alice', ['other']);
    come(2, 'bob', ['news']);
    leave(2);
    come(3, 'carol', ['news']);
    trail.dropped(3, () => 'news');
    publish(7);
    come(4, 'dave', ['other']);
    assert.deepEqual(outcomes('alice'), ['not_subscribed']);
    assert.deepEqual(outcomes('bob'), [], 'left before it');
    assert.deepEqual(outcomes('carol'), ['not_subscribed'], 'unsubscribed before it');
    assert.deepEqual(outcomes('dave'), [], 'came behind it');
  });

  test('of a connection that is used again each stay counts by itself', () => {
    come(1, 'alice', ['news']);
    leave(1);
    come(1, 'alice', ['news']);
    publish(7);
    trail.ending(1, 'answered', 7);
    leave(1);
    come(1, 'bob', ['news']);
    assert.deepEqual(
      ask7('alice').visits.map(({ outcome, reason }) => [outcome, reason]),
      [['sent', 'answered']],
    );
  });

  test('a reason is that of its own connection, and clients without a token leave no trail', () => {
    come(1, 'alice', ['news']);
    publish(7);
    trail.ending(2, 'answered', 7);
    leave(1);
    assert.equal(ask7('alice').visits[0].reason, 'closed');
    ask(3, ['news']);
    assert.equal(trail.sinceMs, null);
    assert.deepEqual(ask7(null).visits, []);
  });

  test('the memory is bounded, and says since when it is whole', () => {
    come(1, 'alice', ['news']);
    for (let i = 0; i < ENTRIES_MAX; i++) {
      nowMs++;
      come(2, 'bob', ['news']);
      leave(2);
    }
    publish(7);
    assert.deepEqual(outcomes(), []);
    assert.ok(ask7('alice').sinceMs! > 1001);
    assert.equal([...trail.of('bob')].length, ENTRIES_MAX);
    trail.clear();
    deliveries.clear();
    assert.deepEqual(ask7('bob'), { position: 7, delivery: null, sinceMs: null, visits: [] });
  });
});
