import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ABSENCES_MAX, Absences } from './absences.js';

test('without a grace time nobody is waited for', () => {
  const absences = new Absences();
  absences.left('a', 'alice', 0);
  assert.deepEqual([[...absences.of('a', 0)], absences.size], [[], 0]);
});

test('who leaves again is waited for anew', () => {
  const absences = new Absences();
  absences.graceMs = 10;
  absences.left('a', 'alice', 0);
  absences.left('a', 'alice', 5);
  absences.expire(10);
  assert.deepEqual([...absences.of('a', 10)], ['alice']);
  absences.expire(15);
  assert.deepEqual([[...absences.of('a', 10)], absences.size], [[], 0]);
});

test('who is forgotten is forgotten on one channel, on all, or with everybody there', () => {
  const absences = new Absences();
  absences.graceMs = 10;
  for (const channel of ['a', 'b', 'c']) for (const client of ['alice', 'bob']) absences.left(channel, client, 0);
  absences.forget('alice', 'a');
  absences.forgetChannel('b');
  assert.deepEqual(
    ['a', 'b', 'c'].map((channel) => [...absences.of(channel, 0)]),
    [['bob'], [], ['alice', 'bob']],
  );
  absences.forget('bob', null);
  assert.deepEqual([...absences.of('c', 0)], ['alice']);
  absences.expire(10);
  assert.equal(absences.size, 0);
});

test('of channels that nobody is waited for on nothing is kept', () => {
  const absences = new Absences();
  absences.graceMs = 10;
  for (const channel of ['a', 'b', 'c']) absences.left(channel, 'alice', 0);
  assert.equal(absences.channels, 3);
  absences.forget('alice', 'a');
  assert.equal(absences.channels, 2);
  absences.forget('alice', null);
  assert.equal(absences.channels, 0);
});

test('the memory is bounded: the first ones are forgotten early', () => {
  const absences = new Absences();
  absences.graceMs = 1000;
  for (let i = 0; i < ABSENCES_MAX + 5000; i++) absences.left(`c${i}`, 'alice', i / 1000);
  assert.equal(absences.size, ABSENCES_MAX);
  assert.deepEqual([...absences.of('c4999', 0)], []);
  assert.deepEqual([...absences.of('c5000', 0)], ['alice']);
});
