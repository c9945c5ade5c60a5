import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMarker, encodeMarker, markerBytesMax, monotonicUs } from './marker.js';

const MARKER = { run: '1f0e33ab', sequence: 12, id: 'a77', sentUs: 86_400_000_123 };

test('a marker is read back from the message that carries it, at any length', () => {
  for (const bytes of [markerBytesMax('a'), 100, 100_000]) {
    const text = encodeMarker(MARKER, bytes);
    assert.equal(text.length, bytes);
    assert.deepEqual(decodeMarker(text, bytes), MARKER);
  }
});

test('the longest marker fits the shortest message that is allowed', () => {
  const marker = { run: 'ffffffff', sequence: 99_999_999, id: 'prefix99999999', sentUs: 9_007_199_254_740_991 };
  const bytes = markerBytesMax('prefix');
  assert.equal(encodeMarker(marker, 0).length, bytes);
  assert.deepEqual(decodeMarker(encodeMarker(marker, bytes), bytes), marker);
});

test('a message that was cut, lengthened, damaged or is none of ours is no marker', () => {
  const text = encodeMarker(MARKER, 100);
  for (const other of [
    text.slice(0, 99),
    `${text}x`,
    text.replace('x', 'y'),
    `${text.slice(0, 99)}\n`,
    `mt:${'x'.repeat(97)}`,
  ]) {
    assert.equal(decodeMarker(other, 100), null, other);
  }
});

test('the clock runs forward in microseconds', () => {
  const before = monotonicUs();
  assert.ok(Number.isSafeInteger(before));
  assert.ok(monotonicUs() >= before);
});
