import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { UTF8_COMPLETE, UTF8_INVALID, validateUtf8 } from './utf8.js';

/** Whether some continuation makes the text valid, by trying those that fit each kind of character. */
function canGoOn(prefix: Buffer): boolean {
  if (isUtf8(prefix)) return true;
  for (const more of ['80', 'a0', '8080', 'a080', '9080', '808080', '908080']) {
    if (isUtf8(Buffer.concat([prefix, Buffer.from(more, 'hex')]))) return true;
  }
  return false;
}

test('of all beginnings of one character, those are invalid that no continuation makes valid', () => {
  // Where rows of RFC 3629's table begin and end.
  const edges = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
  for (let first = 0x7f; first < 256; first++) {
    const texts = [
      [first],
      ...edges.flatMap((second) => [[first, second], ...edges.map((third) => [first, second, third])]),
    ];
    for (const text of texts.map((bytes) => Buffer.from(bytes))) {
      const state = validateUtf8(UTF8_COMPLETE, text, 0, text.length);
      assert.equal(state === UTF8_COMPLETE, isUtf8(text), text.toString('hex'));
      assert.equal(state !== UTF8_INVALID, canGoOn(text), text.toString('hex'));
    }
  }
});

test('characters at the edges of their lengths are valid, and what is beyond is not', () => {
  for (const character of [
    '\0',
    '\x7f',
    '\x80',
    '\u07ff',
    '\u0800',
    '\ud7ff',
    '\ue000',
    '\uffff',
    '\u{10000}',
    '\u{10ffff}',
  ]) {
    const text = Buffer.from(character);
    assert.equal(validateUtf8(UTF8_COMPLETE, text, 0, text.length), UTF8_COMPLETE);
  }
  for (const digits of ['c080', 'c1bf', 'e09fbf', 'eda080', 'edbfbf', 'f08fbfbf', 'f4908080', 'f5808080', 'fe', 'ff']) {
    const text = Buffer.from(digits, 'hex');
    assert.equal(validateUtf8(UTF8_COMPLETE, text, 0, text.length), UTF8_INVALID, digits);
  }
});

test('long and short pieces of any bytes come to the same verdict as the whole', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }).map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 3 }),
    fc.constant(Buffer.alloc(150, 'a')),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.array(fc.nat(400), { maxLength: 5 }), (pieces, cuts) => {
      const text = Buffer.concat(pieces);
      const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
      let state = UTF8_COMPLETE;
      for (let i = 1; i < places.length; i++) state = validateUtf8(state, text, places[i - 1]!, places[i]!);
      let bytewise = UTF8_COMPLETE;
      for (let at = 0; at < text.length; at++) bytewise = validateUtf8(bytewise, text, at, at + 1);
      assert.equal(state, bytewise);
      assert.equal(state === UTF8_COMPLETE, isUtf8(text));
    }),
  );
});
