import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX } from '../limits.js';
import { BODY_COMPLETE, BODY_PARTIAL, BodyReader } from './body.js';
import { ascii } from './characters.js';

const CHUNKED = -1;
const BYTES_MAX = 1000;

interface Outcome {
  result: number;
  /** Of a whole body. */
  body?: string;
  /** What follows it. */
  rest?: string;
}

/** Feeds the text in pieces that end at `cuts`; each piece is wiped after it was read, as a borrowed view may be. */
function read(text: string, contentLength: number, cuts: Iterable<number>, bytesMax = BYTES_MAX): Outcome {
  const reader = new BodyReader(contentLength, bytesMax);
  let result = reader.feed(new Uint8Array(0), 0, 0);
  let at = 0;
  for (const cut of [...cuts, text.length]) {
    if (result !== BODY_PARTIAL) break;
    const view = ascii(`5\r\n${text.slice(at, cut)}\r\n0\r\n\r\n`);
    result = reader.feed(view, 3, 3 + cut - at);
    view.fill(0x58);
    if (result === BODY_PARTIAL) assert.equal(reader.consumed, cut - at);
    at += reader.consumed;
  }
  // What has ended stays as it ended.
  assert.equal(reader.feed(ascii('xyz'), 0, 3), result === BODY_PARTIAL ? reader.feed(ascii(''), 0, 0) : result);
  if (result !== BODY_COMPLETE) return { result };
  assert.equal(reader.consumed, 0);
  return { result, body: reader.bytes.toString('latin1'), rest: text.slice(at) };
}

function readWhole(text: string, contentLength = CHUNKED, bytesMax = BYTES_MAX): Outcome {
  const whole = read(text, contentLength, [], bytesMax);
  assert.deepEqual(
    read(
      text,
      contentLength,
      Array.from(text, (_, i) => i + 1),
      bytesMax,
    ),
    whole,
    'split at every byte',
  );
  for (let cut = 0; cut < Math.min(text.length, 300); cut++) {
    assert.deepEqual(read(text, contentLength, [cut], bytesMax), whole, `cut at ${cut}`);
  }
  return whole;
}

const complete = (body: string, rest = ''): Outcome => ({ result: BODY_COMPLETE, body, rest });

test('a body of a known length ends with its last byte', () => {
  assert.deepEqual(readWhole('abc', 3), complete('abc'));
  assert.deepEqual(readWhole('abcGET / HTTP/1.1\r\n', 3), complete('abc', 'GET / HTTP/1.1\r\n'));
  assert.deepEqual(readWhole('ab', 3), { result: BODY_PARTIAL });
  assert.deepEqual(readWhole('', 0), complete(''));
  assert.deepEqual(readWhole('x', 0), complete('', 'x'));
  assert.deepEqual(readWhole('\r\n\0\xff', 4), complete('\r\n\0\xff'));
});

test('a length over the limit is refused before its body comes, the limit itself is not', () => {
  assert.deepEqual(readWhole('', BYTES_MAX + 1), { result: -413 });
  assert.deepEqual(readWhole('x', 999_999_999_999_999), { result: -413 });
  assert.equal(readWhole('x'.repeat(BYTES_MAX), BYTES_MAX).result, BODY_COMPLETE);
});

test('an announced length takes no memory before its bytes come', () => {
  const reader = new BodyReader(1 << 20, 1 << 20);
  assert.equal(reader.heldBytes, 0);
  reader.feed(ascii('abc'), 0, 3);
  assert.ok(reader.heldBytes <= 1024);
});

const CHUNKED_BODIES: [name: string, text: string, body: string, rest?: string][] = [
  ['one chunk', '3\r\nabc\r\n0\r\n\r\n', 'abc'],
  ['two chunks', '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', 'abcde'],
  ['no chunk', '0\r\n\r\n', ''],
  ['the next request follows', '1\r\na\r\n0\r\n\r\nGET', 'a', 'GET'],
  ['sizes in both cases', 'A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n', '01234567890123456789'],
  ['leading zeros', '0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n', 'abc'],
  ['data that looks like the end', '7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n', '\r\n0\r\n\r\n'],
  ['an extension without a value', '3;a\r\nabc\r\n0;b\r\n\r\n', 'abc'],
  ['extensions with values', '3;a=b;c="d;e\\"\\\\";f\r\nabc\r\n0\r\n\r\n', 'abc'],
  ['white space around an extension', '3 ; a = b\t;\tc\r\nabc\r\n0\r\n\r\n', 'abc'],
  ['obs-text in quotes', '3;a="\xff"\r\nabc\r\n0\r\n\r\n', 'abc'],
  ['trailer fields', '1\r\na\r\n0\r\nX: y\r\nDigest:\r\n\r\n', 'a'],
  ['names that begin like forbidden ones', '0\r\nContent-Length-X: 5\r\nHos: a\r\n\r\n', ''],
];

test('chunked bodies are read, whole and split anywhere', () => {
  for (const [name, text, body, rest] of CHUNKED_BODIES) assert.deepEqual(readWhole(text), complete(body, rest), name);
});

const REFUSED: [name: string, text: string, status: number][] = [
  ['no size', '\r\nabc\r\n0\r\n\r\n', -400],
  ['a sign', '+3\r\nabc\r\n', -400],
  ['a minus', '-3\r\nabc\r\n', -400],
  ['a prefix 0x', '0x3\r\nabc\r\n', -400],
  ['an underscore', '1_0\r\n', -400],
  ['a letter that is no digit', '3g\r\nabc\r\n', -400],
  ['a space before the size', ' 3\r\nabc\r\n', -400],
  ['a space after the size', '3 \r\nabc\r\n', -400],
  ['a tab after the size', '3\t\r\nabc\r\n', -400],
  ['two sizes', '3 3\r\nabc\r\n', -400],
  ['a comma', '3,3\r\nabc\r\n', -400],
  ['a size of seventeen digits', '00000000000000003\r\nabc\r\n', -400],
  ['a size that wraps round 32 bits', '100000003\r\nabc\r\n', -413],
  ['a size that wraps round 64 bits', '10000000000000003\r\nabc\r\n', -413],
  ['a bare LF after the size', '3\nabc\r\n0\r\n\r\n', -400],
  ['a bare CR after the size', '3\rabc\r\n0\r\n\r\n', -400],
  ['CR CR LF after the size', '3\r\r\nabc\r\n', -400],
  ['LF after the data', '3\r\nabc\n0\r\n\r\n', -400],
  ['nothing after the data', '3\r\nabc0\r\n\r\n', -400],
  ['more data than its size', '3\r\nabcd\r\n0\r\n\r\n', -400],
  ['CR and something after the data', '3\r\nabc\rx0\r\n\r\n', -400],
  ['a full-width digit', '\xef\xbc\x93\r\nabc\r\n', -400],
  ['NUL in the size', '3\0\r\nabc\r\n', -400],
  ['a vertical tab after the size', '3\x0b\r\nabc\r\n', -400],
  ['an empty extension', '3;\r\nabc\r\n', -400],
  ['an extension that is empty before another', '3;;a\r\nabc\r\n', -400],
  ['an extension without a name', '3;=a\r\nabc\r\n', -400],
  ['an extension without a value', '3;a=\r\nabc\r\n', -400],
  ['an extension with white space at its end', '3;a \r\nabc\r\n', -400],
  ['an open quote', '3;a="b\r\nabc\r\n', -400],
  ['a quote that escapes its end', '3;a="b\\"\r\nabc\r\n', -400],
  ['something after a quote', '3;a="b"c\r\nabc\r\n', -400],
  ['a bare LF in an extension', '3;a\nb\r\nabc\r\n', -400],
  ['a bare LF in quotes', '3;a="\n"\r\nabc\r\n', -400],
  ['a bare CR in an extension', '3;a\rb\r\nabc\r\n', -400],
  ['a control in an extension', '3;a\x01\r\nabc\r\n', -400],
  ['a bare LF at the end', '0\r\n\n', -400],
  ['a bare CR at the end', '0\r\n\rx', -400],
  ['a trailer without a colon', '0\r\nX\r\n\r\n', -400],
  ['a trailer without a name', '0\r\n: x\r\n\r\n', -400],
  ['a trailer with a space before the colon', '0\r\nX : y\r\n\r\n', -400],
  ['a folded trailer', '0\r\nX: y\r\n z\r\n\r\n', -400],
  ['a trailer with a bare LF', '0\r\nX: y\n\r\n', -400],
  ['a trailer with NUL', '0\r\nX: \0\r\n\r\n', -400],
  ['a length in the trailer', '0\r\nContent-Length: 5\r\n\r\n', -400],
  ['a coding in the trailer', '0\r\nTRANSFER-ENCODING: chunked\r\n\r\n', -400],
  ['a Host in the trailer', '0\r\nX: y\r\nhost: b\r\n\r\n', -400],
  ['a request where a trailer may be', '0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', -400],
];

test('what two readers could understand in two ways is refused', () => {
  for (const [name, text, status] of REFUSED) assert.deepEqual(readWhole(text), { result: status }, name);
});

test('chunks together may be as large as the limit', () => {
  assert.deepEqual(readWhole('3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', CHUNKED, 5), complete('abcde'));
  assert.deepEqual(readWhole('3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n', CHUNKED, 5), { result: -413 });
  assert.deepEqual(readWhole('6\r\n', CHUNKED, 5), { result: -413 });
  assert.deepEqual(readWhole('6', CHUNKED, 5), { result: BODY_PARTIAL });
});

test('extensions and trailers are bounded, each and together', () => {
  const extension = (bytes: number): string => `1;${'e'.repeat(bytes - 1)}\r\na\r\n`;
  const longest = CHUNK_LINE_BYTES_MAX - 2;
  assert.equal(read(extension(longest), CHUNKED, []).result, BODY_PARTIAL);
  assert.equal(read(extension(longest + 1), CHUNKED, []).result, -413);
  const many = Math.floor(CHUNK_EXTENSIONS_BYTES_MAX / 100);
  assert.equal(read(extension(100).repeat(many), CHUNKED, []).result, BODY_PARTIAL);
  assert.equal(read(extension(100).repeat(many + 1), CHUNKED, []).result, -413);

  const trailer = (bytes: number): string => `X: ${'y'.repeat(bytes - 4)}\r\n`;
  assert.equal(read(`0\r\n${trailer(TRAILER_BYTES_MAX - 1)}\r\n`, CHUNKED, []).result, BODY_COMPLETE);
  assert.equal(read(`0\r\n${trailer(TRAILER_BYTES_MAX + 1)}\r\n`, CHUNKED, []).result, -431);
  assert.equal(read(`0\r\n${trailer(101).repeat(50)}\r\n`, CHUNKED, []).result, -431);
  assert.equal(read('0'.repeat(CHUNK_LINE_BYTES_MAX + 1), CHUNKED, []).result, -413);
});

const chunk = fc.tuple(
  fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 }),
  fc.boolean(),
  fc.constantFrom('', ';a', ';a=b', ' ; a="b c"'),
);

test('what was chunked comes out as it went in, however it is split', () => {
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 6 }), fc.array(fc.nat(500)), (chunks, cuts) => {
      const coded = chunks.map(([data, upper, extension]) => {
        const size = data.length.toString(16);
        return `${upper ? size.toUpperCase() : size}${extension}\r\n${data}\r\n`;
      });
      const text = `${coded.join('')}0\r\n\r\nrest`;
      const sorted = cuts.map((cut) => cut % text.length).sort((a, b) => a - b);
      assert.deepEqual(read(text, CHUNKED, sorted), complete(chunks.map(([data]) => data).join(''), 'rest'));
    }),
    { numRuns: 300 },
  );
});

test('a mutated body never throws and means the same however it is split', () => {
  const edit = fc.tuple(
    fc.nat(200),
    fc.nat(2),
    fc.constantFrom('\r', '\n', '\r\n', '0', ';', '"', ' ', '\0', 'f', '='),
  );
  const base = fc.constantFrom(...CHUNKED_BODIES.map(([, text]) => text), ...REFUSED.map(([, text]) => text));
  fc.assert(
    fc.property(
      base,
      fc.array(edit, { maxLength: 4 }),
      fc.array(fc.nat(200), { maxLength: 5 }),
      (text, edits, cuts) => {
        for (const [position, cut, insert] of edits) {
          const at = position % (text.length + 1);
          text = text.slice(0, at) + insert + text.slice(at + cut);
        }
        const whole = read(text, CHUNKED, []);
        assert.ok([BODY_PARTIAL, BODY_COMPLETE, -400, -413, -431].includes(whole.result));
        const sorted = cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b);
        assert.deepEqual(read(text, CHUNKED, sorted), whole);
        assert.deepEqual(
          read(
            text,
            CHUNKED,
            Array.from(text, (_, i) => i + 1),
          ),
          whole,
        );
      },
    ),
    { numRuns: 1500 },
  );
});
