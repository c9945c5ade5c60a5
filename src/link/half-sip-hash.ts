/**
 * HalfSipHash: a keyed 32-bit hash of short byte strings, in 32-bit arithmetic.
 *
 * Channel names are chosen by strangers. Under a fixed hash they could choose a million names that fall into one slot
 * of a table; under a secret random key they cannot. Tables use one compression round and three final rounds
 * (HalfSipHash-1-3, as Linux does for its hash tables, Documentation/security/siphash.rst); the reference vectors are
 * for 2-4, which is the same code with other round counts.
 *
 * Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF"; halfsiphash.c of the reference code.
 */

// What the rounds that were done last were for.
const COMPRESSED = 0;
const LOW_DONE = 1;
const HIGH_DONE = 2;

/** HalfSipHash-1-3 of bytes[start..end) under the key (k0, k1). Returns an unsigned 32-bit number. */
export function halfSipHash(bytes: Uint8Array, start: number, end: number, k0: number, k1: number): number {
  return halfSipHashRounds(bytes, start, end, k0, k1, 1, 3);
}

/** HalfSipHash-1-3 with 64 bits of output: the low half goes to words[0], the high half to words[1]. */
export function halfSipHash64(
  bytes: Uint8Array,
  start: number,
  end: number,
  k0: number,
  k1: number,
  words: Uint32Array,
): void {
  words[0] = halfSipHashRounds(bytes, start, end, k0, k1, 1, 3, words);
}

/**
 * HalfSipHash-c-d: `compressionRounds` for each word of four bytes, `finalRounds` at the end.
 *
 * @param words given, the output has 64 bits: its low half is returned, its high half goes to words[1]
 */
export function halfSipHashRounds(
  bytes: Uint8Array,
  start: number,
  end: number,
  k0: number,
  k1: number,
  compressionRounds: number,
  finalRounds: number,
  words: Uint32Array | null = null,
): number {
  let v0 = k0 | 0;
  let v1 = words === null ? k1 | 0 : k1 ^ 0xee;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1;
  let stage = COMPRESSED;
  let low = 0;
  const length = end - start;
  const wordsEnd = end - (length & 3);

  // One pass more than there are words: the last word holds what is left of the input, and its length on top.
  for (let at = start; ; at += 4) {
    const last = at === wordsEnd;
    let word: number;
    if (last) {
      word = length << 24;
      for (let i = end - 1; i >= at; i--) word |= bytes[i]! << ((i - at) << 3);
    } else {
      word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    }
    v3 ^= word;
    let rounds = compressionRounds;
    for (;;) {
      for (; rounds > 0; rounds--) {
        v0 = (v0 + v1) | 0;
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
        v0 = (v0 << 16) | (v0 >>> 16);
        v2 = (v2 + v3) | 0;
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
        v0 = (v0 + v3) | 0;
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
        v2 = (v2 + v1) | 0;
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
        v2 = (v2 << 16) | (v2 >>> 16);
      }
      if (!last) break;
      if (stage === COMPRESSED) {
        v0 ^= word;
        v2 ^= words === null ? 0xff : 0xee;
        word = 0;
        stage = LOW_DONE;
      } else if (words === null) {
        return (v1 ^ v3) >>> 0;
      } else if (stage === LOW_DONE) {
        low = (v1 ^ v3) >>> 0;
        v1 ^= 0xdd;
        stage = HIGH_DONE;
      } else {
        words[1] = v1 ^ v3;
        return low;
      }
      rounds = finalRounds;
    }
    v0 ^= word;
  }
}
