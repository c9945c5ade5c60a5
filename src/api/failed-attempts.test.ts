import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADDRESSES_MAX, ATTEMPT_MS, ATTEMPTS, FailedAttempts } from './failed-attempts.js';

test('an address may fail so often at once, and then once in a while', () => {
  let nowMs = 1000;
  const attempts = new FailedAttempts(() => nowMs);
  for (let i = 0; i < ATTEMPTS; i++) {
    assert.equal(attempts.waitMs('10.0.0.1'), 0, `attempt ${i}`);
    attempts.failed('10.0.0.1');
  }
  assert.equal(attempts.waitMs('10.0.0.1'), ATTEMPT_MS);
  assert.equal(attempts.waitMs('10.0.0.2'), 0);
  nowMs += ATTEMPT_MS;
  assert.equal(attempts.waitMs('10.0.0.1'), 0);
  attempts.failed('10.0.0.1');
  assert.equal(attempts.waitMs('10.0.0.1'), ATTEMPT_MS);
  nowMs += ATTEMPTS * ATTEMPT_MS;
  assert.equal(attempts.waitMs('10.0.0.1'), 0);
  assert.equal(attempts.size, 0, 'whose bucket is full again is forgotten');
});

test('IPv6 counts by its first 64 bits, and IPv4 is IPv4 in whatever form', () => {
  const attempts = new FailedAttempts(() => 0);
  const same = [
    ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2'],
    ['::1', '::2'],
    ['fe80::1%eth0', 'fe80::2%eth0'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
  ];
  for (const [one, other] of same) {
    for (let i = 0; i < ATTEMPTS; i++) attempts.failed(one);
    assert.ok(attempts.waitMs(other) > 0, `${one} ${other}`);
  }
  assert.equal(attempts.waitMs('2001:db8:0:2::1'), 0);
});

test('the memory is bounded: who failed the longest ago is forgotten', () => {
  const attempts = new FailedAttempts(() => 0);
  for (let i = 0; i < ATTEMPTS; i++) attempts.failed('first');
  for (let i = 0; i < ADDRESSES_MAX; i++) attempts.failed(`a${i}`);
  assert.equal(attempts.size, ADDRESSES_MAX);
  assert.equal(attempts.waitMs('first'), 0);
});
