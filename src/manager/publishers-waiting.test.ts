import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PUBLISHERS_WAITING_MAX, PublishersWaiting } from './publishers-waiting.js';

test('a publisher hears the verdict once', () => {
  const publishers = new PublishersWaiting(1000);
  const heard: number[] = [];
  publishers.add(1, (receivers) => heard.push(receivers));
  publishers.settle(2, 9);
  publishers.settle(1, 3);
  publishers.settle(1, 4);
  assert.deepEqual(heard, [3]);
  assert.equal(publishers.size, 0);
});

test('who waited too long is told 0, in the order in which they came; those who came later go on waiting', async () => {
  let nowMs = 0;
  const publishers = new PublishersWaiting(100, () => nowMs);
  const heard: number[] = [];
  for (const sequence of [1, 2]) publishers.add(sequence, (receivers) => heard.push(sequence, receivers));
  nowMs = 80;
  publishers.add(3, (receivers) => heard.push(3, receivers));
  nowMs = 120;
  while (heard.length === 0) await delay(2);
  assert.deepEqual(heard, [1, 0, 2, 0]);
  assert.equal(publishers.size, 1);
  publishers.settleAll();
  assert.deepEqual(heard, [1, 0, 2, 0, 3, 0]);
});

test('above the maximum, publishers are told 0 at once', () => {
  const publishers = new PublishersWaiting(1000);
  let heard = 0;
  for (let i = 0; i < PUBLISHERS_WAITING_MAX + 5; i++) publishers.add(i, () => heard++);
  assert.deepEqual([heard, publishers.size], [5, PUBLISHERS_WAITING_MAX]);
  publishers.settleAll();
  assert.deepEqual([heard, publishers.size], [PUBLISHERS_WAITING_MAX + 5, 0]);
});
