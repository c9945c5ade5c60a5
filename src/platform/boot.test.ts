import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSameBoot, readBootId } from './boot.js';

test('a boot is the same as itself', () => {
  assert(isSameBoot(readBootId(), readBootId()));
});

test('boots that are known by their time are the same where it differs by no more than a clock that is set', () => {
  assert(isSameBoot('time 1700000000', 'time 1700000030'));
  assert(!isSameBoot('time 1700000000', 'time 1700000031'));
  assert(!isSameBoot('time 1700000000', 'a9d0f1c4'));
  assert(!isSameBoot('a9d0f1c4', 'b9d0f1c4'));
});
