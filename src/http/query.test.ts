import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ascii } from './characters.js';
import { DECODING_FAILED, PARAMETER_ABSENT, parameterName, percentDecode, queryParameter, validUtf8 } from './query.js';

/** The decoded text as Latin-1, or the negative result. */
function decoded(text: string, room = 64): string | number {
  const target = new Uint8Array(room);
  const bytes = ascii(`%41${text}%42`);
  const length = percentDecode(bytes, 3, bytes.length - 3, target);
  return length < 0 ? length : Buffer.from(target.subarray(0, length)).toString('latin1');
}

function parameter(query: string, name: string, room = 64): string | number {
  const target = new Uint8Array(room);
  const bytes = ascii(`a=0&${query}&a=9`);
  const length = queryParameter(bytes, 4, bytes.length - 4, parameterName(name), target);
  return length < 0 ? length : Buffer.from(target.subarray(0, length)).toString('latin1');
}

test('percent-encoding is decoded once, and nothing but it', () => {
  assert.equal(decoded(''), '');
  assert.equal(decoded('abc'), 'abc');
  assert.equal(decoded('a%20b%2Fc%2fd'), 'a b/c/d');
  assert.equal(decoded('%c3%BC%00%ff'), '\xc3\xbc\0\xff');
  assert.equal(decoded('%2541'), '%41');
  assert.equal(decoded('a+b'), 'a+b');
});

test('broken percent-encoding fails, also where bytes that would complete it follow the end', () => {
  for (const text of ['%', '%4', 'a%', 'a%4', '%zz', '%4g', '%g4', '%%41', '% 1', '%+1', '%-1', '%u0041']) {
    assert.equal(decoded(text), DECODING_FAILED, text);
  }
});

test('what does not fit the target fails, what just fits does not', () => {
  assert.equal(decoded('abcd', 4), 'abcd');
  assert.equal(decoded('%61%62%63%64', 4), 'abcd');
  assert.equal(decoded('abcde', 4), DECODING_FAILED);
  assert.equal(decoded('%61%62%63%64%65', 4), DECODING_FAILED);
  assert.equal(decoded('', 0), '');
});

test('what encodeURIComponent makes decodes back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const bytes = ascii(encodeURIComponent(text));
      const target = new Uint8Array(bytes.length);
      const length = percentDecode(bytes, 0, bytes.length, target);
      assert.equal(Buffer.from(target.subarray(0, length)).toString(), text);
    }),
  );
});

test('a parameter is found by its whole name, the first of several counts', () => {
  assert.equal(parameter('callback=cb', 'callback'), 'cb');
  assert.equal(parameter('x=1&callback=cb&y=2', 'callback'), 'cb');
  assert.equal(parameter('callback=one&callback=two', 'callback'), 'one');
  assert.equal(parameter('callback=a=b', 'callback'), 'a=b');
  assert.equal(parameter('callback', 'callback'), '');
  assert.equal(parameter('callback=', 'callback'), '');
  assert.equal(parameter('x&callback&y', 'callback'), '');
  assert.equal(parameter('&&callback=cb&&', 'callback'), 'cb');
  assert.equal(parameter('callback=a+b%2Bc', 'callback'), 'a b+c');
});

test('a parameter of another name, or outside of the query, is absent', () => {
  for (const query of [
    '',
    'x',
    'x=callback',
    'callbacks=1',
    'xcallback=1',
    'callbac=k',
    'Callback=1',
    '%63allback=1',
  ]) {
    assert.equal(parameter(query, 'callback'), PARAMETER_ABSENT, query);
  }
  assert.equal(parameter('b=1', 'a'), PARAMETER_ABSENT);
});

test('a parameter that cannot be decoded is malformed, not absent', () => {
  assert.equal(parameter('callback=%', 'callback'), DECODING_FAILED);
  assert.equal(parameter('callback=%4&x', 'callback'), DECODING_FAILED);
  assert.equal(parameter('callback=abcde', 'callback', 4), DECODING_FAILED);
});

test('parameters are found as URLSearchParams finds them', () => {
  const pair = fc.tuple(fc.constantFrom('a', 'b', 'ab', 'c'), fc.string({ unit: 'grapheme', maxLength: 5 }));
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 5 }), fc.constantFrom('a', 'b', 'ab'), (pairs, name) => {
      const parameters = new URLSearchParams(pairs);
      const bytes = ascii(parameters.toString());
      const target = new Uint8Array(256);
      const length = queryParameter(bytes, 0, bytes.length, parameterName(name), target);
      const value = length < 0 ? null : Buffer.from(target.subarray(0, length)).toString();
      assert.equal(value, parameters.get(name));
    }),
  );
});

test('UTF-8 at the edges of each length is told from what only looks like it', () => {
  const valid = ['', '41', 'c280', 'dfbf', 'e0a080', 'ed9fbf', 'ee8080', 'efbfbf', 'f0908080', 'f48fbfbf', '41c3bc42'];
  const invalid = [
    ...['80', 'bf', 'c0', 'c080', 'c1bf', 'c2', 'c241', 'c2c2', 'e0', 'e0a0', 'e09fbf', 'e08080', 'eda080', 'edbfbf'],
    ...['e1804180', 'f08fbfbf', 'f0908041', 'f09080', 'f4908080', 'f5808080', 'f8888080', 'fe', 'ff', '41c3'],
  ];
  const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(`${hex}bf`, 'hex'));
  for (const hex of valid) assert.equal(validUtf8(bytesOf(hex), 0, hex.length / 2), true, hex);
  for (const hex of invalid) assert.equal(validUtf8(bytesOf(hex), 0, hex.length / 2), false, hex);
});

test('bytes are UTF-8 exactly when a fatal TextDecoder takes them', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const bytesNearUtf8 = fc.array(
    fc.oneof(
      fc.constantFrom(0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf4),
      fc.nat(255),
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(bytesNearUtf8, (array) => {
      const bytes = Uint8Array.from(array);
      let expected = true;
      try {
        decoder.decode(bytes);
      } catch {
        expected = false;
      }
      assert.equal(validUtf8(bytes, 0, bytes.length), expected);
    }),
    { numRuns: 3000 },
  );
});
