import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readNamedFile, readNamedText, withoutSpaceAtEnd } from './named-file.js';

describe('a file that an operator names', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'named-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const refused = (reason: string, code = 'none') => Object.assign(new Error(reason), { code });
  const file = (bytes: Uint8Array | string): string => {
    const path = join(directory, 'file');
    writeFileSync(path, bytes);
    return path;
  };

  test('is read whole, up to its bound', () => {
    const path = file('0123456789');
    assert.equal(readNamedFile(path, 10, refused).toString(), '0123456789');
    assert.throws(() => readNamedFile(path, 9, refused), { message: 'it has 10 bytes, of 9 at most', code: 'none' });
  });

  test('without an end is not read to its end', { skip: process.platform === 'win32' }, () => {
    assert.throws(() => readNamedFile('/dev/zero', 200_000, refused), { message: 'it has more than 200000 bytes' });
    assert.equal(readNamedFile('/dev/null', 10, refused).length, 0);
  });

  test('that cannot be read is refused in words, with the code of the system', () => {
    const missing = { message: 'there is no such file', code: 'ENOENT' };
    assert.throws(() => readNamedFile(join(directory, 'missing'), 10, refused), missing);
    assert.throws(() => readNamedFile(directory, 1 << 20, refused), { message: 'it is a directory', code: 'EISDIR' });
  });

  test('of text is UTF-8', () => {
    assert.equal(readNamedText(file('grün'), 10, refused), 'grün');
    assert.throws(() => readNamedText(file(Uint8Array.of(0x67, 0xfc)), 10, refused), { message: 'it is not UTF-8' });
  });

  test('of a secret has its secret without white space of ASCII at its end, and every other byte', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const space = [...all].filter((byte) => withoutSpaceAtEnd(Buffer.of(0x78, byte)).length === 1);
    assert.deepEqual(space, [...Buffer.from('\t\n\v\f\r ')]);
    assert.equal(withoutSpaceAtEnd(Buffer.from(' x y \r\n')).toString(), ' x y');
    assert.equal(withoutSpaceAtEnd(Buffer.from('\n\n')).length, 0);
  });
});
