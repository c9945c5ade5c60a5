import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HeadFacts, REQUESTS } from '../../test/corpus/requests.js';
import { REQUEST_HEAD_BYTES_MAX } from '../limits.js';
import { ascii } from './characters.js';
import {
  HEAD_PARTIAL,
  HEADER_HOST,
  HEADER_LAST_EVENT_ID,
  HEADER_ORIGIN,
  METHOD_GET,
  METHOD_HEAD,
  METHOD_OPTIONS,
  METHOD_POST,
  parseRequestHead,
  RequestHead,
} from './request-head.js';

/** Heads stand behind and before bytes that nobody may read as theirs: a parser that does finds a head's end in them. */
const MARGIN = ascii('\r\n\r\nGET / HTTP/1.1\r\n\r\n');

interface Framed {
  bytes: Uint8Array;
  start: number;
  end: number;
}

function framed(text: string): Framed {
  const bytes = new Uint8Array(text.length + 2 * MARGIN.length);
  bytes.set(MARGIN);
  bytes.set(ascii(text), MARGIN.length);
  bytes.set(MARGIN, MARGIN.length + text.length);
  return { bytes, start: MARGIN.length, end: MARGIN.length + text.length };
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.subarray(start, end)).toString('latin1');
}

const METHODS: Record<number, HeadFacts['method']> = {
  [METHOD_GET]: 'GET',
  [METHOD_HEAD]: 'HEAD',
  [METHOD_OPTIONS]: 'OPTIONS',
  [METHOD_POST]: 'POST',
};

function factsOf(head: RequestHead, { bytes, start, end }: Framed): Required<HeadFacts> {
  const value = (header: number) => textOf(bytes, head.valueStart[header]!, head.valueEnd[header]!);
  return {
    method: METHODS[head.method] ?? 'other',
    minorVersion: head.minorVersion === 0 ? 0 : 1,
    path: textOf(bytes, head.pathStart, head.pathEnd),
    query: textOf(bytes, head.queryStart, head.queryEnd),
    keepAlive: head.keepAlive,
    contentLength: head.contentLength,
    chunked: head.chunked,
    upgradeWebSocket: head.upgradeWebSocket,
    expectContinue: head.expectContinue,
    host: value(HEADER_HOST),
    origin: value(HEADER_ORIGIN),
    lastEventId: value(HEADER_LAST_EVENT_ID),
    rest: textOf(bytes, start + head.headLength, end),
  };
}

/** What a parser has said: a result that is not positive, or the facts of a head. */
type Outcome = number | Required<HeadFacts>;

function outcomeOf(result: number, head: RequestHead, input: Framed): Outcome {
  if (result <= 0) return result;
  assert.equal(result, head.headLength);
  assert.ok(result <= input.end - input.start);
  return factsOf(head, input);
}

function parseWhole(input: Framed): Outcome {
  const head = new RequestHead();
  return outcomeOf(parseRequestHead(input.bytes, input.start, input.end, head, 0), head, input);
}

/** Hands over the input up to each of the ends in turn, as a caller would whose buffer grows, and so moves. */
function parseSplit(input: Framed, ends: Iterable<number>): Outcome {
  const head = new RequestHead();
  let resume = 0;
  let result = HEAD_PARTIAL;
  for (const end of ends) {
    result = parseRequestHead(input.bytes, input.start, end, head, resume);
    if (result !== HEAD_PARTIAL) break;
    resume = head.resume;
    // Between two calls the same object serves other connections.
    parseRequestHead(OTHER.bytes, OTHER.start, OTHER.end, head, 0);
  }
  return outcomeOf(result, head, input);
}

const OTHER = framed(
  'POST http://x/y?z HTTP/1.0\r\nHost: x\r\nOrigin: x\r\nOrigin: y\r\nLast-Event-ID: 1\r\nConnection: upgrade, close, keep-alive\r\n' +
    'Upgrade: websocket\r\nExpect: 100-continue\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n',
);

function* everyByte({ start, end }: Framed): Iterable<number> {
  for (let at = start; at <= end; at++) yield at;
}

test('the corpus is large and no name is used twice', () => {
  assert.ok(REQUESTS.length >= 150);
  assert.equal(new Set(REQUESTS.map(([name]) => name)).size, REQUESTS.length);
});

for (const [name, text, expected] of REQUESTS) {
  const wanted = typeof expected === 'object' ? 'parsed' : expected;
  test(`${name}: ${wanted}, whole, byte by byte and split in two anywhere`, () => {
    const input = framed(text);
    const outcome = parseWhole(input);
    if (typeof expected === 'object') {
      if (typeof outcome === 'number') assert.fail(`expected a head, not ${outcome}`);
      assert.deepEqual({ ...outcome, ...expected }, outcome);
    } else {
      assert.equal(outcome, expected === 'partial' ? HEAD_PARTIAL : -expected);
    }
    assert.deepEqual(parseSplit(input, everyByte(input)), outcome);
    // Of a long input every byte is a split too, but only some of them are tried alone.
    const step = Math.max(1, Math.floor(text.length / 300));
    for (let at = input.start; at < input.end; at += step) {
      assert.deepEqual(parseSplit(input, [at, input.end]), outcome, `split at ${at - input.start}`);
    }
  });
}

test('malformed bytes are refused with the byte that shows them, not at the end of the head', () => {
  const cases: [text: string, status: number][] = [
    ['\n', 400],
    ['GET\0', 400],
    ['GET / HTTP/1.1\n', 400],
    ['GET / HTTP/1.1\rH', 400],
    ['GET / HTTP/1.1\r\nHost: a\x7f', 400],
    ['GET / HTTP/1.2x\r\n', 400],
    ['GET / HTTP/2.0\r\n', 505],
    ['GET / HTTP/1.1\r\nContent-Length: x\r\n', 400],
    ['GET / HTTP/1.1\r\n folded\r\n', 400],
    [`GET /${'a'.repeat(8188)}`, 414],
  ];
  for (const [text, status] of cases) {
    assert.equal(parseWhole(framed(text.slice(0, -1))), HEAD_PARTIAL, text);
    assert.equal(parseWhole(framed(text)), -status, text);
  }
});

test('a head that moves to another buffer is resumed there', () => {
  const text = 'GET /a?b HTTP/1.1\r\nHost: c\r\n\r\n';
  const head = new RequestHead();
  const before = ascii(text.slice(0, 22));
  assert.equal(parseRequestHead(before, 0, before.length, head, 0), HEAD_PARTIAL);
  const after = framed(text);
  assert.equal(parseRequestHead(after.bytes, after.start, after.end, head, head.resume), text.length);
  assert.equal(factsOf(head, after).host, 'c');
  assert.equal(factsOf(head, after).path, '/a');
});

/** Counts reads, and fails on those outside of what may be read. */
function watched({ bytes, start, end }: Framed): { bytes: Uint8Array; reads: () => number } {
  let reads = 0;
  const proxy = new Proxy(bytes, {
    get(target, key) {
      if (key === 'subarray') return target.subarray.bind(target); // by these tests, of what was parsed
      if (typeof key !== 'string' || !/^-?\d+$/.test(key)) throw new Error(`read of ${String(key)}`);
      const at = Number(key);
      assert.ok(at >= start && at < end, `read at ${at}, outside of ${start} to ${end}`);
      reads++;
      return target[at];
    },
  });
  return { bytes: proxy, reads: () => reads };
}

test('the cost is linear in the length of the head, even byte by byte', () => {
  // The worst of lines: every word of a list is compared, a long name, and a long value behind it.
  const heads = [
    `GET /${'a'.repeat(8000)} HTTP/1.1\r\nHost: a\r\nX: ${'b'.repeat(8000)}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: ${'close,'.repeat(1300)}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: a\r\n${'sec-websocket-kez: a\r\n'.repeat(99)}\r\n`,
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: ${','.repeat(8000)}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ${'chunke,'.repeat(1100)}chunked\r\n\r\n`,
  ];
  for (const text of heads) {
    const input = framed(text);
    const whole = watched(input);
    parseRequestHead(whole.bytes, input.start, input.end, new RequestHead(), 0);
    assert.ok(whole.reads() <= 9 * text.length, `${whole.reads()} reads of ${text.length} bytes`);
    const split = watched(input);
    const outcome = parseSplit({ ...input, bytes: split.bytes }, everyByte(input));
    assert.deepEqual(outcome, parseWhole(input));
    assert.ok(split.reads() <= 25 * text.length, `${split.reads()} reads of ${text.length} bytes, byte by byte`);
  }
});

// Property tests -----------------------------------------------------------------------------------------------------

const stringOf = (characters: string, minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength, maxLength });

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const token = stringOf(`${LETTERS}${LETTERS.toUpperCase()}0123456789!#$%&'*+-.^_\`|~`, 1, 20);
const pathCharacters = stringOf(`${LETTERS}0123456789-._~%/!$&'()*+,;=:@`, 0, 40);
const queryCharacters = stringOf(`${LETTERS}0123456789-._~%/!$&'()*+,;=:@?`, 0, 40);
const fieldValue = stringOf(`${LETTERS}0123456789 \t,;="'()<>@[]{}?/:\\\x80\xff`, 0, 40);
const white = stringOf(' \t', 0, 3);

const randomCase = (word: string) =>
  fc
    .array(fc.boolean(), { minLength: word.length, maxLength: word.length })
    .map((upper) => [...word].map((character, i) => (upper[i] ? character.toUpperCase() : character)).join(''));

/** A field that the parser does not know: its name begins with a letter pair that no known one has. */
const unknownField = fc
  .tuple(token, white, fieldValue, white)
  .map(([name, a, value, b]) => `zz${name}:${a}${value}${b}`);

const knownField = (name: string, value: string) =>
  fc.tuple(randomCase(name), white, white).map(([spelled, a, b]) => `${spelled}:${a}${value}${b}`);

const validHead = fc
  .record({
    blank: fc.constantFrom('', '\r\n', '\r\n\r\n'),
    method: fc.oneof(fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'POST'), token),
    path: pathCharacters.map((path) => `/${path}`),
    query: fc.option(queryCharacters, { nil: undefined }),
    minorVersion: fc.constantFrom<0 | 1>(0, 1),
    host: stringOf(`${LETTERS}0123456789-.`, 1, 20),
    contentLength: fc.option(fc.nat(1e9), { nil: -1 }),
    keepAlive: fc.option(fc.boolean(), { nil: undefined }),
    others: fc.array(unknownField, { maxLength: 8 }),
    rest: fc.string({ unit: 'binary-ascii', maxLength: 30 }),
  })
  .chain((wanted) => {
    const known = [knownField('host', wanted.host)];
    if (wanted.contentLength >= 0) known.push(knownField('content-length', String(wanted.contentLength)));
    if (wanted.keepAlive !== undefined)
      known.push(knownField('connection', wanted.keepAlive ? 'keep-alive' : 'x, close'));
    return fc.tuple(...known).chain((lines) =>
      fc
        .shuffledSubarray([...lines, ...wanted.others], { minLength: lines.length + wanted.others.length })
        .map((all) => {
          const { method, path, query, minorVersion } = wanted;
          const target = query === undefined ? path : `${path}?${query}`;
          const requestLine = `${method} ${target} HTTP/1.${minorVersion}\r\n`;
          const text = `${wanted.blank}${requestLine}${all.map((line) => `${line}\r\n`).join('')}\r\n${wanted.rest}`;
          return { wanted, text };
        }),
    );
  });

test('a generated head parses back to what it was made from', () => {
  fc.assert(
    fc.property(validHead, ({ wanted, text }) => {
      const outcome = parseWhole(framed(text));
      if (typeof outcome === 'number') assert.fail(`refused with ${outcome}`);
      assert.equal(outcome.method, /^(GET|HEAD|OPTIONS|POST)$/.test(wanted.method) ? wanted.method : 'other');
      assert.equal(outcome.path, wanted.path);
      assert.equal(outcome.query, wanted.query ?? '');
      assert.equal(outcome.minorVersion, wanted.minorVersion);
      assert.equal(outcome.host, wanted.host);
      assert.equal(outcome.contentLength, wanted.contentLength);
      assert.equal(outcome.keepAlive, wanted.keepAlive ?? wanted.minorVersion === 1);
      assert.equal(outcome.rest, wanted.rest);
    }),
    { numRuns: 300 },
  );
});

/** What mutations put in: what parsers trip over. */
const fragment = fc.oneof(
  fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    '\0',
    ' ',
    '\t',
    ':',
    ',',
    'chunked',
    'Host: b\r\n',
    'Content-Length: 1\r\n',
    '\x7f',
    '\xff',
    '#',
  ),
  fc.string({ unit: 'binary-ascii', maxLength: 4 }),
);

const mutatedHead = fc
  .tuple(
    fc.oneof(
      validHead.map(({ text }) => text),
      fc.constantFrom(...REQUESTS.map(([, text]) => text).filter((text) => text.length < 400)),
    ),
    fc.array(fc.tuple(fc.nat(500), fc.nat(3), fragment), { maxLength: 5 }),
  )
  .map(([text, edits]) => {
    for (const [position, cut, insert] of edits) {
      const at = position % (text.length + 1);
      text = text.slice(0, at) + insert + text.slice(at + cut);
    }
    return text;
  });

const KNOWN_RESULTS = [HEAD_PARTIAL, -400, -414, -431, -501, -505];

test('a mutated head never throws, is never read outside, and means the same however it is split', () => {
  fc.assert(
    fc.property(mutatedHead, fc.array(fc.nat(500), { maxLength: 6 }), (text, cuts) => {
      const input = framed(text);
      const { bytes } = watched(input);
      const head = new RequestHead();
      const result = parseRequestHead(bytes, input.start, input.end, head, 0);
      assert.ok(result > 0 ? result <= text.length : KNOWN_RESULTS.includes(result), `result ${result}`);
      const outcome = parseWhole(input);
      const ends = cuts.map((cut) => input.start + Math.min(cut, text.length)).sort((a, b) => a - b);
      assert.deepEqual(parseSplit(input, [...ends, input.end]), outcome);
      assert.deepEqual(parseSplit(input, everyByte(input)), outcome);
    }),
    { numRuns: 1500 },
  );
});

test('random bytes are refused or are partial, and never more than the limit is awaited', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const result = parseRequestHead(bytes, 0, bytes.length, new RequestHead(), 0);
      assert.ok(KNOWN_RESULTS.includes(result) || result <= bytes.length);
    }),
    { numRuns: 500 },
  );
  const endless = framed(`GET / HTTP/1.1\r\n${`X: ${'y'.repeat(500)}\r\n`.repeat(40)}`);
  const full = endless.start + REQUEST_HEAD_BYTES_MAX;
  assert.equal(parseSplit(endless, [full - 1]), HEAD_PARTIAL);
  assert.equal(parseSplit(endless, [full]), -431);
});
