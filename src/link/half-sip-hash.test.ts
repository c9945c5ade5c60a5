import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { halfSipHash, halfSipHashRounds } from './half-sip-hash.js';

/** Inputs are 00, 00 01, 00 01 02 … under the key 00 01 … 07 (vectors.h of the reference code, 32-bit output). */
const VECTORS_2_4_64 = ['218d1f59b9b83cc8', 'be552412f8387315'];
const VECTORS_2_4 = ['a9359f5b', '27475ab8', 'fa62a603', '8afee704', '2a6e4689'];

test('HalfSipHash-2-4 gives the reference vectors', () => {
  const input = Uint8Array.from({ length: 64 }, (_, i) => i);
  for (const [length, hex] of VECTORS_2_4.entries()) {
    const hash = halfSipHashRounds(input, 0, length, 0x03020100, 0x07060504, 2, 4);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(hash);
    assert.equal(bytes.toString('hex'), hex, `input of ${length} bytes`);
  }
});

test('HalfSipHash-2-4 with 64 bits gives the reference vectors', () => {
  const input = Uint8Array.from({ length: 64 }, (_, i) => i);
  const words = new Uint32Array(2);
  for (const [length, hex] of VECTORS_2_4_64.entries()) {
    words[0] = halfSipHashRounds(input, 0, length, 0x03020100, 0x07060504, 2, 4, words);
    assert.equal(Buffer.from(words.buffer).toString('hex'), hex, `input of ${length} bytes`);
  }
});

test('the hash depends on the bytes of the range alone, wherever they lie', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 140 }), fc.nat(9), fc.integer(), fc.integer(), (name, before, k0, k1) => {
      const around = new Uint8Array(before + name.length + 5).fill(0xa5);
      around.set(name, before);
      assert.equal(
        halfSipHash(around, before, before + name.length, k0, k1),
        halfSipHash(name, 0, name.length, k0, k1),
      );
    }),
  );
});

test('another key gives another hash, and hashes spread evenly over slots', () => {
  const counts = new Uint32Array(64);
  let same = 0;
  for (let i = 0; i < 64_000; i++) {
    const name = Buffer.from(`client${i}`);
    const hash = halfSipHash(name, 0, name.length, 0x1234, 0x5678);
    counts[hash & 63]!++;
    if (hash === halfSipHash(name, 0, name.length, 0x1235, 0x5678)) same++;
  }
  assert.ok(same < 3, `${same} names have the same hash under two keys`);
  for (const count of counts)
    assert.ok(count > 800 && count < 1200, `a slot got ${count} of 64,000 names, not about 1000`);
});
