import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type History, SERIES } from './snapshot.js';
import { pointOf } from './testing.js';
import { Timeline } from './timeline.js';

function historyOf(timesMs: number[], value: number): History {
  return {
    timesMs,
    series: Object.fromEntries(SERIES.map((name) => [name, timesMs.map(() => value)])) as History['series'],
  };
}

test('snapshots follow the history, and the one that the history has already is not taken twice', () => {
  const timeline = new Timeline(100);
  timeline.replace(historyOf([1000, 2000], 1));
  timeline.add(2000, pointOf(2));
  timeline.add(3000, pointOf(3));
  assert.deepEqual(timeline.times, [1, 2, 3]);
  assert.deepEqual(timeline.column('opened'), [1, 1, 3]);
});

test('what is older than is kept goes', () => {
  const timeline = new Timeline(10);
  for (let second = 1; second <= 30; second++) timeline.add(second * 1000, pointOf(second));
  assert.equal(timeline.times[0], 20);
  assert.equal(timeline.column('closed')[0], 20);
  assert.equal(timeline.times.length, timeline.column('closed').length);
});

test('stacked, each series lies on those after it and the first is the sum; what is not known adds nothing', () => {
  const timeline = new Timeline(10);
  timeline.add(1000, { ...pointOf(0), sse: 2, poll: 3, classic: 5 });
  timeline.add(2000, { ...pointOf(0), sse: null, poll: 1, classic: 1 });
  assert.deepEqual(timeline.stacked(['sse', 'poll', 'classic']), [
    [10, 2],
    [8, 2],
    [5, 1],
  ]);
});
