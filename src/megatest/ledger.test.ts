import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from './ledger.js';

test('what was sent is missing until it is received', () => {
  const ledger = new Ledger(3);
  ledger.markSent(0);
  ledger.markSent(1);
  assert.equal(ledger.missing, 2);
  assert.equal(ledger.markReceived(1), true);
  assert.deepEqual([ledger.sent, ledger.received, ledger.missing, ledger.duplicates], [2, 1, 1, 0]);
});

test('a message may arrive before its publication was answered', () => {
  const ledger = new Ledger(1);
  ledger.markReceived(0);
  assert.equal(ledger.missing, 0);
  ledger.markSent(0);
  assert.deepEqual([ledger.sent, ledger.received, ledger.missing], [1, 1, 0]);
});

test('a second receipt is a duplicate and makes up for no other loss', () => {
  const ledger = new Ledger(2);
  ledger.markSent(0);
  ledger.markSent(1);
  ledger.markReceived(0);
  assert.equal(ledger.markReceived(0), false);
  assert.deepEqual([ledger.received, ledger.missing, ledger.duplicates], [1, 1, 1]);
});

test('a number outside the run is not received, and sending one twice is a bug', () => {
  const ledger = new Ledger(1);
  assert.equal(ledger.markReceived(1), false);
  assert.equal(ledger.received, 0);
  ledger.markSent(0);
  assert.throws(() => ledger.markSent(0), /message 0 was sent twice/);
});

test('a ledger of a part of the run knows only its own numbers', () => {
  const ledger = new Ledger(10, 100);
  ledger.markSent(100);
  assert.equal(ledger.markReceived(99), false);
  assert.equal(ledger.markReceived(110), false);
  assert.equal(ledger.markReceived(100), true);
  assert.deepEqual([ledger.received, ledger.missing], [1, 0]);
});
