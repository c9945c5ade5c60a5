import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CALLBACK_BYTES_MAX } from '../limits.js';
import { validCallbackName } from './callback-name.js';
import { ascii } from './characters.js';

/** The name stands between bytes that would complete or spoil it. */
function valid(name: string): boolean {
  const bytes = ascii(`a${name}]`);
  return validCallbackName(bytes, 1, bytes.length - 1);
}

test('names of functions, members and elements are callbacks', () => {
  const names = ['cb', '_', '$', 'a1', 'jQuery1720_130', 'a.b', 'a.b.c', 'a[0]', 'a[12].b', 'a.b[3]', 'a[0][1]', '$.x'];
  for (const name of names) assert.equal(valid(name), true, name);
});

test('whatever is not plainly a name is not a callback', () => {
  const names = [
    ...['', '1', '1a', '.', '.a', 'a.', 'a..b', 'a.1', '[0]', 'a[]', 'a[', 'a[0', 'a]', 'a[x]', 'a[-1]', 'a["b"]'],
    ...['a[0]b', 'a[0].', 'a b', ' a', 'a ', 'a()', 'a(', 'alert(1)//', 'a;b', 'a,b', 'a=b', 'a-b', '<script>', 'a\n'],
    ...['a\0', 'a/*', 'a\\u0041', '\xc3\xbc', 'a`', "a'", 'a"', 'a[0.5]', 'a?.b'],
  ];
  for (const name of names) assert.equal(valid(name), false, JSON.stringify(name));
});

test('a name has a longest length', () => {
  assert.equal(valid('a'.repeat(CALLBACK_BYTES_MAX)), true);
  assert.equal(valid('a'.repeat(CALLBACK_BYTES_MAX + 1)), false);
});

test('names are told as a regular expression tells them', () => {
  const grammar = /^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*|\[\d+\])*$/;
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aZ_$09.[](- '), maxLength: 12 }), (name) => {
      assert.equal(valid(name), grammar.test(name));
    }),
    { numRuns: 3000 },
  );
});
