import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rotateMask, unmask } from './mask.js';

const KEY = [0x37, 0xfa, 0x21, 0xbd];
const MASK = 0xbd21fa37 | 0;

test('each byte is XORed with one of the key in turn, at any alignment and length, and none around them', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 127, 128, 129, 130, 131, 1000, 1003]) {
    for (let start = 8; start < 16; start++) {
      const bytes = Uint8Array.from({ length: start + length + 8 }, (_, i) => i * 7);
      const expected = bytes.map((byte, i) => (i >= start && i < start + length ? byte ^ KEY[(i - start) % 4]! : byte));
      unmask(bytes, start, start + length, MASK);
      assert.deepEqual(bytes, expected, `${length} bytes at ${start}`);
    }
  }
});

test('a view into a larger buffer is unmasked where it lies', () => {
  const whole = new Uint8Array(400);
  unmask(whole.subarray(3), 2, 302, MASK);
  assert.deepEqual([...whole.subarray(0, 10)], [0, 0, 0, 0, 0, ...KEY, KEY[0]]);
  assert.deepEqual([...whole.subarray(304, 308)], [KEY[3], 0, 0, 0]);
});

test('a key goes on where a piece has ended', () => {
  const bytes = new Uint8Array(300);
  for (const cut of [0, 1, 2, 3, 4, 150, 201]) {
    bytes.fill(0);
    unmask(bytes, 0, cut, MASK);
    unmask(bytes, cut, 300, rotateMask(MASK, cut));
    assert.deepEqual(
      [...bytes],
      Array.from({ length: 300 }, (_, i) => KEY[i % 4]!),
    );
  }
});
