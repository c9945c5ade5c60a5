import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram } from './histogram.js';

test('an empty histogram answers 0 everywhere', () => {
  const histogram = new Histogram();
  assert.deepEqual([histogram.count, histogram.max, histogram.percentile(50)], [0, 0, 0]);
});

test('values below 128 are kept exactly, by nearest rank', () => {
  const histogram = new Histogram();
  for (let value = 1; value <= 100; value++) histogram.record(value);
  assert.deepEqual(
    [0, 1, 50, 90, 99, 99.1, 100].map((percent) => histogram.percentile(percent)),
    [1, 1, 50, 90, 99, 100, 100],
  );
});

test('every value is found again, at most 1.6 % too high and never too low, up to 2^32 - 1', () => {
  for (let value = 1; value < 2 ** 32; value = Math.ceil(value * 1.01)) {
    for (const exact of [value - 1, value, Math.min(value * 2, 2 ** 32 - 1)]) {
      const histogram = new Histogram();
      histogram.record(exact);
      histogram.record(2 ** 32 - 1);
      const found = histogram.percentile(50);
      assert.ok(found >= exact && found <= exact * (1 + 1 / 64), `${exact} was found as ${found}`);
    }
  }
});

test('the maximum is exact, and no percentile exceeds it', () => {
  const histogram = new Histogram();
  histogram.record(1_000_001);
  assert.equal(histogram.max, 1_000_001);
  assert.equal(histogram.percentile(99), 1_000_001);
});

test('what is out of range counts as the nearest that is in range', () => {
  const histogram = new Histogram();
  histogram.record(-5);
  histogram.record(2 ** 40);
  assert.deepEqual([histogram.count, histogram.percentile(50), histogram.max], [2, 0, 2 ** 32 - 1]);
});
