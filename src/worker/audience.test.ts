import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Audience } from './audience.js';
import type { Walk } from './questions.js';
import { Subscriptions } from './subscriptions.js';

/** Walks to the end; `between` is called after each piece. */
export function finish<T>(walk: Walk<T>, between: (piece: number) => void = () => {}): T {
  for (let piece = 0; ; piece++) {
    const step = walk.next();
    if (step.done) return step.value;
    between(piece);
  }
}

const CONNECTIONS = 200_000;

function put(subscriptions: Subscriptions, connection: number, channel: string): void {
  const name = Buffer.from(channel);
  subscriptions.add(connection, name, 0, name.length);
}

describe('occupancy', () => {
  test('counts who is on a channel, in both tables', () => {
    const subscribers = new Subscriptions(16, 16, [1, 2]);
    const waiters = new Subscriptions(16, 0, [1, 2]);
    const audience = new Audience(subscribers, waiters);
    assert.deepEqual(finish(audience.occupancy('news')), { subscribers: 0, waiting: 0 });
    for (let connection = 0; connection < 5; connection++) put(subscribers, connection, 'other');
    for (let connection = 0; connection < 3; connection++) put(subscribers, connection, 'news');
    put(waiters, 7, 'news');
    assert.deepEqual(finish(audience.occupancy('news')), { subscribers: 3, waiting: 1 });
  });

  test('a crowd is counted in pieces, each of its members once, though others come and go', () => {
    const subscribers = new Subscriptions(CONNECTIONS + 100, 16, [1, 2]);
    const audience = new Audience(subscribers, new Subscriptions(1, 0, [1, 2]));
    for (let connection = 0; connection < CONNECTIONS; connection += 2) put(subscribers, connection, 'news');
    let pieces = 0;
    const { subscribers: counted } = finish(audience.occupancy('news'), (piece) => {
      pieces++;
      // Behind and before the walk.
      put(subscribers, CONNECTIONS + piece, 'other');
      put(subscribers, 1 + 2 * piece, 'news');
    });
    assert.ok(pieces > 2, `${pieces} pieces`);
    assert.equal(counted, CONNECTIONS / 2);
  });

  test('a crowd that leaves while it is counted is nobody', () => {
    const subscribers = new Subscriptions(10_000, 16, [1, 2]);
    const audience = new Audience(subscribers, new Subscriptions(1, 0, [1, 2]));
    for (let connection = 0; connection < 10_000; connection++) put(subscribers, connection, 'news');
    const { subscribers: counted } = finish(audience.occupancy('news'), (piece) => {
      if (piece > 0) return;
      for (let connection = 0; connection < 10_000; connection++) subscribers.removeAll(connection, () => {});
      put(subscribers, 0, 'takes the number');
    });
    assert.equal(counted, 0);
  });
});
