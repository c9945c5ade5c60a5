/** Memory that subscriptions really touch, against limits.ts. In a process of its own: it reads the resident set. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CONNECTION_BYTES, SUBSCRIPTION_BYTES } from '../limits.js';
import { Subscriptions } from './subscriptions.js';

const CONNECTIONS = 2 ** 20;
/** The heap of JavaScript may grow or shrink by a few MB at the same time. */
const NOISE_BYTES = 8;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes that `act` makes resident, for each connection. */
function touchedBytes(act: () => void): number {
  collectGarbage();
  const before = process.memoryUsage.rss();
  act();
  collectGarbage();
  return (process.memoryUsage.rss() - before) / CONNECTIONS;
}

function sum(budget: Record<string, number>): number {
  return Object.values(budget).reduce((total, bytes) => total + bytes, 0);
}

function subscribeAllToOne(subscriptions: Subscriptions): void {
  const name = Buffer.from('shared');
  for (let connection = 0; connection < CONNECTIONS; connection++) subscriptions.add(connection, name, 0, name.length);
}

/** Each to a channel that nobody else is on. */
function subscribeEachToItsOwn(subscriptions: Subscriptions, distinction: number): void {
  const name = Buffer.alloc(11, distinction);
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    name.writeUInt32LE(connection);
    subscriptions.add(connection, name, 0, name.length);
  }
}

test('subscriptions touch no more memory than limits.ts says', (context) => {
  const atMost = (planned: number, what: string, act: () => void) => {
    const bytes = touchedBytes(act);
    context.diagnostic(`${what}: ${bytes.toFixed(1)} bytes`);
    assert(bytes > planned / 4 && bytes < planned + NOISE_BYTES, `${what}: ${bytes} bytes, planned ${planned}`);
  };
  const { subscription, table, name } = CONNECTION_BYTES;
  const toOne = new Subscriptions(CONNECTIONS, 0, [1, 2]);
  atMost(subscription, 'one channel, shared by all', () => subscribeAllToOne(toOne));
  const toMany = new Subscriptions(CONNECTIONS, 2 * CONNECTIONS, [1, 2]);
  atMost(subscription + table + name, 'one channel of its own', () => subscribeEachToItsOwn(toMany, 0));
  // Now the rows of the connections get a list: one link more.
  atMost(SUBSCRIPTION_BYTES.row + 4, 'a further channel, shared by all', () => subscribeAllToOne(toMany));
  atMost(sum(SUBSCRIPTION_BYTES), 'a further channel of its own', () => subscribeEachToItsOwn(toMany, 1));
  assert.deepEqual([toOne.channels, toMany.size], [1, 3 * CONNECTIONS]);
});
