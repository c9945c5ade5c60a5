import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cellsFor } from './byte-cells.js';
import { LongTexts } from './long-texts.js';

test('a text of any length comes back as it was stored', () => {
  const texts = new LongTexts(200);
  for (let length = 0; length <= 1300; length++) {
    const text = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255));
    const reference = texts.store(text);
    assert(reference > 0);
    assert.deepEqual(texts.read(reference, length), text);
    texts.release(reference, length);
  }
});

test('any order of storing and releasing keeps every text, and gives back all room', () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 900 }), fc.nat()), { maxLength: 100 });
  fc.assert(
    fc.property(steps, (run) => {
      const texts = new LongTexts(1000);
      const live: { reference: number; text: Buffer }[] = [];
      for (const [store, bytes, pick] of run) {
        if (store || live.length === 0) {
          const text = Buffer.from(bytes);
          const reference = texts.store(text);
          if (reference > 0) live.push({ reference, text });
        } else {
          const [{ reference, text }] = live.splice(pick % live.length, 1);
          texts.release(reference, text.length);
        }
        for (const { reference, text } of live) assert.deepEqual(texts.read(reference, text.length), text);
      }
      for (const { reference, text } of live) texts.release(reference, text.length);
      const all = Array.from({ length: 1000 }, () => texts.store(Buffer.from('a')));
      assert(all.every((reference) => reference > 0));
      assert.equal(texts.store(Buffer.alloc(0)), 0);
    }),
    { numRuns: 50 },
  );
});

test('a pool that is full says so, and has room again when a text is gone', () => {
  const texts = new LongTexts(cellsFor(252));
  const long = Buffer.alloc(252, 'x');
  const reference = texts.store(long);
  assert(reference > 0);
  assert.equal(texts.store(Buffer.from('a')), 0);
  texts.release(reference, long.length);
  assert(texts.store(Buffer.from('a')) > 0);
});
