import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ring } from './ring.js';
import { SERIES } from './shared/snapshot.js';
import { pointOf } from './shared/testing.js';

test('the oldest points make room for the newest, and come out in the order of time', () => {
  const ring = new Ring(3);
  assert.deepEqual(ring.history(0).timesMs, []);
  for (let i = 1; i <= 5; i++) ring.add(i * 1000, pointOf(i));
  assert.equal(ring.length, 3);
  const { timesMs, series } = ring.history(0);
  assert.deepEqual(timesMs, [3000, 4000, 5000]);
  for (const name of SERIES) assert.deepEqual(series[name], [3, 4, 5]);
});

test('what is not known stays unknown, and is no 0', () => {
  const ring = new Ring(4);
  ring.add(1, pointOf(0));
  ring.add(2, pointOf(null));
  assert.deepEqual(ring.history(0).series.messages, [0, null]);
});

test('points before the time that is asked for are left out', () => {
  const ring = new Ring(4);
  for (let i = 1; i <= 6; i++) ring.add(i, pointOf(i));
  assert.deepEqual(ring.history(5).timesMs, [5, 6]);
  assert.deepEqual(ring.history(7).series.opened, []);
});
