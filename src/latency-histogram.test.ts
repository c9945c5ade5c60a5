import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyHistogram, percentileMs, sumOfLatencies } from './latency-histogram.js';

const BOUNDS = [1, 2, 5];

test('a bound belongs to the class below it, and what exceeds all bounds is counted last', () => {
  const histogram = new LatencyHistogram(BOUNDS);
  for (const ms of [0, 1, 1.5, 2, 5, 5.1, 1e9]) histogram.observe(ms);
  assert.deepEqual(histogram.counted.counts, [2, 2, 1, 2]);
});

test('one observation may stand for many, and a clock that was set back counts as no time', () => {
  const histogram = new LatencyHistogram(BOUNDS);
  histogram.observe(2, 1_000_000);
  histogram.observe(-50, 3);
  assert.deepEqual(histogram.counted, { counts: [3, 1_000_000, 0, 0], sumMs: 2_000_000 });
});

test('histograms of several workers are summed class by class', () => {
  const all = [
    { counts: [1, 0, 2, 0], sumMs: 7 },
    { counts: [0, 4, 0, 1], sumMs: 30 },
  ];
  assert.deepEqual(sumOfLatencies(BOUNDS, all), { counts: [1, 4, 2, 1], sumMs: 37 });
  assert.deepEqual(sumOfLatencies(BOUNDS, []), { counts: [0, 0, 0, 0], sumMs: 0 });
});

test('a percentile lies on a straight line within its class, and never beyond the last bound', () => {
  const counted = { counts: [50, 30, 10, 10], sumMs: 0 };
  assert.equal(percentileMs(BOUNDS, counted, 25), 0.5);
  assert.equal(percentileMs(BOUNDS, counted, 50), 1);
  assert.equal(percentileMs(BOUNDS, counted, 65), 1.5);
  assert.equal(percentileMs(BOUNDS, counted, 99), 5);
  assert.equal(percentileMs(BOUNDS, { counts: [0, 0, 4, 0], sumMs: 0 }, 50), 3.5);
  assert.equal(percentileMs(BOUNDS, { counts: [0, 0, 0, 0], sumMs: 0 }, 50), null);
});
