import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GapMarks } from './gap-marks.js';

test('within half its bound every mark is exact, and strangers have none', () => {
  const marks = new GapMarks(20_000);
  for (let i = 1; i <= 10_000; i++) marks.set(`user/${i}`, i);
  for (let i = 1; i <= 10_000; i++) {
    assert.equal(marks.get(`user/${i}`), i);
    assert.deepEqual([marks.isAbove(`user/${i}`, i - 1), marks.isAbove(`user/${i}`, i)], [true, false]);
  }
  for (let i = 0; i < 10_000; i++) assert.equal(marks.get(`other/${i}`), 0);
  assert.equal(marks.floor, 0);
});

test('the latest mark of a channel counts, also across the change of tables', () => {
  const marks = new GapMarks(2048);
  for (let i = 1; i <= 1500; i++) marks.set(`c${i % 100 === 0 ? 0 : i}`, i);
  assert.deepEqual([marks.get('c0'), marks.known('c0')], [1500, 1500]);
});

test('what was forgotten is answered by the floor: never too low', () => {
  const marks = new GapMarks(1000);
  for (let i = 1; i <= 10_000; i++) {
    marks.set(`c${i}`, i);
    assert(marks.floor <= Math.max(0, i - 500), 'the latest half is known');
  }
  for (let i = 1; i <= 10_000; i++) assert(marks.get(`c${i}`) >= i);
  assert.equal(marks.get('c10000'), 10_000);
  assert.equal(marks.get('stranger'), marks.floor);
  assert.equal(marks.known('stranger'), 0);
});

test('a floor of before counts for whoever is not known', () => {
  const marks = new GapMarks(1000, 77);
  assert.deepEqual([marks.get('a'), marks.isAbove('a', 76), marks.isAbove('a', 77)], [77, true, false]);
  marks.set('a', 99);
  assert.deepEqual([marks.get('a'), marks.get('b')], [99, 77]);
});
