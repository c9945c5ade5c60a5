import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONNECTION_BYTES, CONNECTION_BYTES_MAX, SUBSCRIPTION_BYTES } from './limits.js';
import { sendBuffersFor } from './reactor/choose.js';
import { EpollReactor } from './reactor/epoll.js';
import type { ReactorEvents } from './reactor/reactor.js';
import { Connections } from './worker/connections.js';
import { Subscriptions } from './worker/subscriptions.js';

const CONNECTIONS = 2 ** 20;

/** Bytes of array buffers that `make` allocates, for each connection. Memory that is only reserved counts too. */
function arrayBytes(make: () => unknown): number {
  globalThis.gc?.();
  const before = process.memoryUsage().arrayBuffers;
  const made = make();
  const bytes = process.memoryUsage().arrayBuffers - before;
  assert(made);
  return bytes / CONNECTIONS;
}

// Besides the columns there are some tables of fixed size: less than one byte for each.
function about(bytes: number, planned: number, what: string): void {
  assert(bytes >= planned && bytes < planned + 1, `${what}: ${bytes} bytes, planned ${planned}`);
}

test('the columns of an idle connection are what limits.ts says, and together within the budget', () => {
  const noEvents = {} as ReactorEvents;
  const reactor = arrayBytes(
    () => new EpollReactor({ capacity: CONNECTIONS, events: noEvents, buffers: sendBuffersFor('epoll') }),
  );
  about(reactor, CONNECTION_BYTES.reactor, 'reactor');
  about(new Connections(CONNECTIONS).columnBytes / CONNECTIONS, CONNECTION_BYTES.row, 'row');

  const subscriptions = new Subscriptions(CONNECTIONS, 0, [1, 2]);
  // The seventh column, which only connections with a second channel touch.
  const columns = CONNECTION_BYTES.subscription + 4;
  about(subscriptions.columnBytes / CONNECTIONS, columns, 'subscription');
  const further = new Subscriptions(CONNECTIONS, CONNECTIONS, [1, 2]).columnBytes - subscriptions.columnBytes;
  about(further / CONNECTIONS, SUBSCRIPTION_BYTES.row + SUBSCRIPTION_BYTES.channel, 'further subscription');
  const name = Buffer.alloc(11);
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    name.writeUInt32LE(connection);
    subscriptions.add(connection, name, 0, name.length);
  }
  about(subscriptions.columnBytes / CONNECTIONS, columns + CONNECTION_BYTES.table, 'subscription and table');
  about(subscriptions.nameBytes / CONNECTIONS, CONNECTION_BYTES.name, 'name');

  const sum = Object.values(CONNECTION_BYTES).reduce((total, bytes) => total + bytes, 0);
  assert(sum <= CONNECTION_BYTES_MAX, `${sum} bytes`);
});
