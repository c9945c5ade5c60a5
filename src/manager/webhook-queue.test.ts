import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebhookQueue } from './webhook-queue.js';
import type { WebhookEvent } from './webhooks.js';

const connected = (client: string) => ({ type: 'connected' as const, client, channels: [], time: 0 });
const disconnected = (client: string) => ({ type: 'disconnected' as const, client, channels: [], time: 0 });
const names = (events: WebhookEvent[]) => events.map((event) => ('client' in event ? event.client : event.type));

test('events leave in the order in which they came, without those that were taken back', () => {
  const queue = new WebhookQueue(10);
  queue.add({ type: 'started', time: 0 });
  for (const client of ['a', 'b', 'c']) queue.add(connected(client));
  assert.equal(queue.undo(disconnected('b')), true);
  assert.equal(queue.undo(disconnected('b')), false, 'it does not wait any more');
  assert.equal(queue.size, 3);
  assert.deepEqual(names(queue.take(2)), ['started', 'a']);
  assert.equal(queue.undo(disconnected('a')), false, 'it has left');
  queue.add(disconnected('a'));
  assert.deepEqual(names(queue.take(10)), ['c', 'a']);
  assert.deepEqual([queue.size, queue.take(1)], [0, []]);
});

test('of more than fit the oldest go', () => {
  const queue = new WebhookQueue(2);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((client) => queue.add(connected(client))),
    [0, 0, 1, 1],
  );
  assert.equal(queue.undo(disconnected('a')), false);
  assert.deepEqual(names(queue.take(3)), ['c', 'd']);
});

test('what is taken back again and again, while nothing is sent, leaves nothing behind', () => {
  const queue = new WebhookQueue(100_000);
  for (let i = 0; i < 3000; i++) queue.add(connected(`client ${i}`));
  for (let i = 0; i < 100_000; i++) {
    queue.add(connected('flapping'));
    assert.equal(queue.undo(disconnected('flapping')), true);
  }
  assert.equal(queue.size, 3000);
  assert.ok(queue.places <= 2 * 3000 + 1, `${queue.places} places`);
  assert.equal(queue.undo(disconnected('client 2999')), true, 'each client is found where it is now');
  assert.equal(names(queue.take(3000)).join(), Array.from({ length: 2999 }, (_, i) => `client ${i}`).join());
});
