import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closest, editDistance } from './suggest.js';

test('a distance counts letters that are inserted, removed, replaced or swapped', () => {
  const cases: [string, string, number][] = [
    ['', '', 0],
    ['retain', 'retain', 0],
    ['retain', 'retains', 1],
    ['retain', 'retan', 1],
    ['retain', 'retail', 1],
    ['retain', 'retian', 1],
    ['', 'abc', 3],
    ['host', 'port', 2],
  ];
  for (const [one, other, distance] of cases) {
    assert.equal(editDistance(one, other), distance, `${one} ${other}`);
    assert.equal(editDistance(other, one), distance, `${other} ${one}`);
  }
});

test('the closest word is found, and none where all are far', () => {
  const words = ['host', 'api-host', 'client-ports', 'retain', 'retain-bytes'];
  assert.equal(closest('hots', words), 'host');
  assert.equal(closest('client', words), 'client-ports');
  assert.equal(closest('retain-byte', words), 'retain-bytes');
  assert.equal(closest('zzz', words), null);
  assert.equal(closest('', words), null);
});
