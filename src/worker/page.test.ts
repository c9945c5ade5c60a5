import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Page } from './page.js';

test('a page has the first names behind a place, in order, in whatever order they are met', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 3 })),
      fc.string({ maxLength: 1 }),
      fc.integer({ min: 1, max: 9 }),
      (names, after, limit) => {
        const page = new Page(after, limit);
        for (const name of names) page.add(name);
        const expected = [...new Set(names)].filter((name) => name > after).sort();
        assert.deepEqual(page.take(), { names: expected.slice(0, limit), more: expected.length > limit });
      },
    ),
  );
});
