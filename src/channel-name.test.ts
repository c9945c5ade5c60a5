import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isChannelName, validChannelName } from './channel-name.js';

/** Judges bytes that stand between others which would make the name invalid. */
function valid(name: string | Uint8Array): boolean {
  const bytes = Buffer.concat([Uint8Array.of(0xc2), Buffer.from(name as string), Uint8Array.of(0x80, 0)]);
  return validChannelName(bytes, 1, bytes.length - 2);
}

test('a name has 1 to 128 bytes of UTF-8', () => {
  for (const name of ['a', 'a.b/c d', '"\\<>', 'ü', '\u00a0', '\u{1f600}', 'x'.repeat(128), 'ü'.repeat(64)]) {
    assert.equal(valid(name), true, name);
    assert.equal(isChannelName(name), true, name);
  }
  for (const name of ['', 'x'.repeat(129), `${'ü'.repeat(64)}x`]) {
    assert.equal(valid(name), false, name);
    assert.equal(isChannelName(name), false, name);
  }
});

test('control characters are refused, C1 too', () => {
  for (let code = 0; code < 0xa0; code++) {
    const name = `a${String.fromCharCode(code)}`;
    const printable = code >= 0x20 && code < 0x7f;
    assert.equal(valid(name), printable, `code ${code}`);
    assert.equal(isChannelName(name), printable, `code ${code}`);
  }
});

test('what is not UTF-8 is refused', () => {
  for (const hex of ['ff', 'c3', 'c341', 'c080', 'eda080', 'f4908080', '61c2']) {
    assert.equal(valid(Buffer.from(hex, 'hex')), false, hex);
  }
  assert.equal(isChannelName('a\ud800'), false);
});

test('bytes and string agree on every name', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 140 }), (name) => {
      assert.equal(valid(name), isChannelName(name));
    }),
    { numRuns: 1000 },
  );
});
