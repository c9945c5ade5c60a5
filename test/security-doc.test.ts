/** docs/security.md names tests: each is there, by that name. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** The cells of the rows of the table "Attacks tried". */
function attacks(): string[][] {
  const section = read('docs/security.md').split('## Attacks tried')[1];
  const rows = section.split('\n').filter((line) => line.startsWith('| '));
  // The first row has the headings.
  return rows.slice(1).map((row) => row.slice(2, -2).split(' | '));
}

for (const [attack, , tests] of attacks()) {
  test(`the tests of '${attack}' exist`, () => {
    let source = '';
    let named = 0;
    for (const [, path, name] of tests.matchAll(/`((?:src|test)\/[^`]+)`|"([^"]+)"/g)) {
      if (path !== undefined) source = read(path);
      else assert(source.includes(name), name);
      named++;
    }
    assert(named > 0, 'no test is named');
  });
}
