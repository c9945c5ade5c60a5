import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyTotals } from './latency-totals.js';

const report = (worker: number, pid: number, first: number) => ({
  worker,
  pid,
  delivery: { counts: [first, 0], sumMs: first },
});

test('a worker that is replaced leaves its counts, and its successor begins at none', () => {
  const totals = new LatencyTotals([1]);
  totals.look([report(0, 10, 5), report(1, 11, 7)]);
  assert.deepEqual(totals.total, { counts: [12, 0], sumMs: 12 });
  totals.look([report(0, 10, 6)]);
  assert.deepEqual(totals.total, { counts: [13, 0], sumMs: 13 }, 'one that has no link now still counts');
  totals.look([report(1, 12, 1)]);
  assert.deepEqual(totals.total, { counts: [14, 0], sumMs: 14 });
  totals.look([report(1, 12, 3)]);
  assert.deepEqual(totals.total, { counts: [16, 0], sumMs: 16 });
});
