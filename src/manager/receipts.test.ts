import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RECEIPTS_WAITING_MAX, type Receipt, Receipts } from './receipts.js';

function receipt(sequence: number): Receipt {
  return { cursor: `e-${sequence}`, sequence, status: 'queued', receivers: 0, incomplete: false, duplicate: false };
}

const outcome = (receipts: Receipt[]) =>
  receipts.map(({ status, receivers, incomplete }) => `${status} ${receivers}${incomplete ? ' or more' : ''}`);

test('a publisher hears of its batch when the last verdict on the last publication is in', async () => {
  const receipts = new Receipts();
  const heard: string[][] = [];
  const told = receipts.wait([receipt(1), receipt(2), receipt(3)], [2, 0, 1]).then((all) => heard.push(outcome(all)));
  receipts.received(1, 2);
  receipts.received(1, 3);
  receipts.settled(1);
  receipts.received(2, 9);
  receipts.settled(2);
  receipts.received(3, 0);
  receipts.settled(3);
  await delay(0);
  assert.deepEqual([heard, receipts.size, receipts.has(1), receipts.has(3)], [[], 1, true, false]);
  receipts.settled(1);
  await told;
  assert.deepEqual(heard, [['delivered 5', 'queued 0', 'queued 0']]);
  receipts.settled(1);
  assert.equal(receipts.size, 0);
});

test('who waited too long is told what is known, in the order in which they came; others go on waiting', async () => {
  let nowMs = 0;
  const receipts = new Receipts(100, () => nowMs);
  const heard: string[] = [];
  const wait = async (sequence: number) => {
    heard.push(`${sequence} ${outcome(await receipts.wait([receipt(sequence)], [1]))}`);
  };
  void wait(1);
  void wait(2);
  receipts.received(2, 7);
  nowMs = 80;
  void wait(3);
  nowMs = 120;
  while (heard.length === 0) await delay(2);
  assert.deepEqual(heard, ['1 queued 0 or more', '2 delivered 7 or more']);
  assert.equal(receipts.size, 1);
  receipts.settleAll();
  await delay(0);
  assert.deepEqual(heard.slice(2), ['3 queued 0 or more']);
});

test('above the maximum, publishers are told at once', async () => {
  const receipts = new Receipts();
  const all = Array.from({ length: RECEIPTS_WAITING_MAX }, (_, i) => receipt(i));
  const first = receipts.wait(all, Array(all.length).fill(1));
  assert.deepEqual(outcome(await receipts.wait([receipt(-1)], [1])), ['queued 0 or more']);
  assert.equal(receipts.size, RECEIPTS_WAITING_MAX);
  receipts.settleAll();
  await first;
  assert.equal(receipts.size, 0);
});
