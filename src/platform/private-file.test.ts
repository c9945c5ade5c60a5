import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isOpenToOthers } from './private-file.js';

test('a file is open to others where its mode gives them anything', () => {
  const directory = mkdtempSync(join(tmpdir(), 'private-'));
  const path = join(directory, 'secret');
  writeFileSync(path, 'secret');
  for (const [mode, open] of [
    [0o600, false],
    [0o400, false],
    [0o640, true],
    [0o604, true],
  ] as const) {
    chmodSync(path, mode);
    assert.equal(isOpenToOthers(path), open, mode.toString(8));
  }
  rmSync(directory, { recursive: true });
});
