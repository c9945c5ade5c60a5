import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NumberList } from './number-list.js';

test('a list gives back what was put in, once, also when it had to grow', () => {
  const list = new NumberList();
  for (let number = 0; number < 5000; number++) list.push(number);
  const taken = list.take();
  assert.equal(taken.length, 5000);
  assert.ok(taken.every((number, index) => number === index));
  assert.equal(list.take().length, 0);
  list.push(2 ** 32 - 1);
  assert.deepEqual([...list.take()], [2 ** 32 - 1]);
});
