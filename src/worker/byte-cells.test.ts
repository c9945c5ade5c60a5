import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteCells, cellsFor } from './byte-cells.js';

test('a string of any length up to 255 comes back as it was stored', () => {
  const cells = new ByteCells(cellsFor(255));
  const target = new Uint8Array(300);
  for (let length = 0; length <= 255; length++) {
    const source = Uint8Array.from({ length: length + 4 }, (_, i) => (i * 7 + length) & 255);
    const reference = cells.store(source, 2, 2 + length);
    assert.equal(cells.length(reference), length);
    assert.equal(cells.copyTo(reference, target, 9), length);
    assert.deepEqual(target.slice(9, 9 + length), source.slice(2, 2 + length));
    assert(cells.equals(reference, source, 2, 2 + length));
    assert(!cells.equals(reference, source, 2, 3 + length));
    if (length > 0) {
      source[1 + length] ^= 1;
      assert(!cells.equals(reference, source, 2, 2 + length), 'the last byte counts');
    }
    cells.release(reference);
  }
});

test('any order of storing and releasing keeps every string, and never takes more cells than are in use', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 128 }), fc.nat()), { maxLength: 200 }),
      (steps) => {
        const live: { reference: number; bytes: Uint8Array }[] = [];
        let most = 0;
        let used = 0;
        const run = (cells: ByteCells) => {
          for (const [store, bytes, pick] of steps) {
            if (store || live.length === 0) {
              live.push({ reference: cells.store(bytes, 0, bytes.length), bytes });
              used += cellsFor(bytes.length);
              most = Math.max(most, used);
            } else {
              const [gone] = live.splice(pick % live.length, 1);
              assert(cells.equals(gone.reference, gone.bytes, 0, gone.bytes.length));
              cells.release(gone.reference);
              used -= cellsFor(gone.bytes.length);
            }
          }
          for (const { reference, bytes } of live) assert(cells.equals(reference, bytes, 0, bytes.length));
        };
        run(new ByteCells(200 * cellsFor(128)));
        live.length = 0;
        used = 0;
        run(new ByteCells(most));
      },
    ),
  );
});

test('storing past the capacity is a bug and stops', () => {
  const cells = new ByteCells(1);
  cells.store(new Uint8Array(3), 0, 3);
  assert.throws(() => cells.store(new Uint8Array(3), 0, 3), /capacity/);
});
