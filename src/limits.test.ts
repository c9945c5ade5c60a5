import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CONNECTION_BYTES, CONNECTION_BYTES_MAX, SUBSCRIPTION_BYTES } from './limits.js';
import { EpollReactor } from './reactor/epoll.js';
import type { ReactorEvents } from './reactor/reactor.js';
import { SendBuffers } from './reactor/send-buffers.js';
import { Connections } from './worker/connections.js';
import { Subscriptions } from './worker/subscriptions.js';

const CONNECTIONS = 2 ** 20;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of array buffers that `make` allocates, for each connection. Memory that is only reserved counts too. */
function arrayBytes(make: () => unknown): number {
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  const made = make();
  const bytes = process.memoryUsage().arrayBuffers - before;
  assert(made);
  return bytes / CONNECTIONS;
}

/** Bytes of memory that `act` makes resident, for each connection: pages touched. */
function touchedBytes(act: () => void): number {
  collectGarbage();
  const before = process.memoryUsage.rss();
  act();
  collectGarbage();
  return (process.memoryUsage.rss() - before) / CONNECTIONS;
}

// Besides the columns there are some tables of fixed size: less than one byte for each.
function about(bytes: number, planned: number, what: string): void {
  assert(bytes >= planned && bytes < planned + 1, `${what}: ${bytes} bytes, planned ${planned}`);
}

function sum(budget: Record<string, number>): number {
  return Object.values(budget).reduce((total, bytes) => total + bytes, 0);
}

/** Subscribes each connection to `channels` channels that nobody else is on. */
function subscribeToOwn(subscriptions: Subscriptions, channels: number, from: number): void {
  const name = Buffer.alloc(11);
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    name.writeUInt32LE(connection);
    for (let i = 0; i < channels; i++) {
      name[4] = from + i;
      subscriptions.add(connection, name, 0, name.length);
    }
  }
}

// The first test here, so that nothing of an earlier one is given back while this one measures.
test('subscriptions touch no more memory than limits.ts says', (context) => {
  const atMost = (planned: number, what: string, act: () => void) => {
    const bytes = touchedBytes(act);
    context.diagnostic(`${what}: ${bytes.toFixed(1)} bytes`);
    // The heap of JavaScript may grow or shrink by a few MB at the same time.
    assert(bytes > planned / 4 && bytes < planned + 4, `${what}: ${bytes} bytes, planned ${planned}`);
  };
  const { subscription, table, name } = CONNECTION_BYTES;
  const shared = Buffer.from('shared');
  const subscribeToShared = (subscriptions: Subscriptions) => {
    for (let i = 0; i < CONNECTIONS; i++) subscriptions.add(i, shared, 0, shared.length);
  };
  const subscriptionsToOne = new Subscriptions(CONNECTIONS, 0, [1, 2]);
  atMost(subscription, 'one channel, shared by all', () => subscribeToShared(subscriptionsToOne));
  const subscriptions = new Subscriptions(CONNECTIONS, 3 * CONNECTIONS, [1, 2]);
  atMost(subscription + table + name, 'one channel of its own', () => subscribeToOwn(subscriptions, 1, 0));
  // Now the rows of the connections get a list.
  const link = 4;
  atMost(SUBSCRIPTION_BYTES.row + link, 'a further channel, shared by all', () => subscribeToShared(subscriptions));
  atMost(2 * sum(SUBSCRIPTION_BYTES), 'two further channels of its own', () => subscribeToOwn(subscriptions, 2, 1));
  assert.deepEqual([subscriptionsToOne.channels, subscriptions.size], [1, 4 * CONNECTIONS]);
});

test('the columns of an idle connection are what limits.ts says, and together within the budget', () => {
  const noEvents = {} as ReactorEvents;
  const reactor = arrayBytes(
    () => new EpollReactor({ capacity: CONNECTIONS, events: noEvents, buffers: new SendBuffers() }),
  );
  about(reactor, CONNECTION_BYTES.reactor, 'reactor');
  about(new Connections(CONNECTIONS).columnBytes / CONNECTIONS, CONNECTION_BYTES.row, 'row');

  const subscriptions = new Subscriptions(CONNECTIONS, 0, [1, 2]);
  // The seventh column, which only connections with a second channel touch.
  const columns = CONNECTION_BYTES.subscription + 4;
  about(subscriptions.columnBytes / CONNECTIONS, columns, 'subscription');
  subscribeToOwn(subscriptions, 1, 0);
  about(subscriptions.columnBytes / CONNECTIONS, columns + CONNECTION_BYTES.table, 'subscription and table');
  about(subscriptions.nameBytes / CONNECTIONS, CONNECTION_BYTES.name, 'name');

  assert(sum(CONNECTION_BYTES) <= CONNECTION_BYTES_MAX, `${sum(CONNECTION_BYTES)} bytes`);
});
