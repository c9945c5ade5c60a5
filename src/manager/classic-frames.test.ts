import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MESSAGE_BYTES_MAX } from '../limits.js';
import {
  CLASSIC_ID_INVALID,
  CLASSIC_ID_LENGTH,
  CLASSIC_MESSAGE_LENGTH,
  CLASSIC_OK,
  CLASSIC_OPCODE,
  ClassicFrames,
} from './classic-frames.js';

function parse(chunks: Buffer[]): { messages: string[]; result: number } {
  const frames = new ClassicFrames();
  const messages: string[] = [];
  let result = CLASSIC_OK;
  for (const chunk of chunks) {
    result = frames.read(chunk, (id, message) => messages.push(`${id.toString()}=${message.toString('latin1')}`));
  }
  return { messages, result };
}

/** The input whole, in single bytes, and in two parts cut at every byte: all must give the same. */
function check(input: string | Buffer, expected: { messages: string[]; result: number }): void {
  const bytes = Buffer.from(input);
  assert.deepEqual(parse([bytes]), expected);
  assert.deepEqual(parse([...bytes].map((byte) => Buffer.of(byte))), expected);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.deepEqual(parse([bytes.subarray(0, cut), bytes.subarray(cut)]), expected, `cut at ${cut}`);
  }
}

test('messages follow each other in one write, and may be empty', () => {
  check('\x02alice\0hello\0\x02bob\0\0\x02ünï\0\x02\x03\0', {
    messages: ['alice=hello', 'bob=', 'ünï=\x02\x03'],
    result: CLASSIC_OK,
  });
});

test('what is not complete is no message', () => {
  check('\x02alice\0hello\0\x02bob\0wor', { messages: ['alice=hello'], result: CLASSIC_OK });
});

test('another opcode ends the stream after what was complete before it', () => {
  check('\x02alice\0hello\0\x03bob\0x\0\x02carol\0x\0', { messages: ['alice=hello'], result: CLASSIC_OPCODE });
});

test('a client id has 1 to 128 bytes of UTF-8 and no dot', () => {
  const longest = 'x'.repeat(128);
  check(`\x02${longest}\0m\0`, { messages: [`${longest}=m`], result: CLASSIC_OK });
  check(`\x02a\0m\0\x02${longest}x\0m\0`, { messages: ['a=m'], result: CLASSIC_ID_LENGTH });
  check('\x02a\0m\0\x02\0m\0', { messages: ['a=m'], result: CLASSIC_ID_LENGTH });
  check('\x02a\0m\0\x02b.js\0m\0', { messages: ['a=m'], result: CLASSIC_ID_INVALID });
  check(Buffer.from('0261006d0002ff006d00', 'hex'), { messages: ['a=m'], result: CLASSIC_ID_INVALID });
});

test('a client id that does not end is refused without being collected', () => {
  assert.equal(parse([Buffer.from('\x02'), Buffer.alloc(129, 'x')]).result, CLASSIC_ID_LENGTH);
});

test('a message has at most MESSAGE_BYTES_MAX bytes', () => {
  const largest = Buffer.alloc(MESSAGE_BYTES_MAX, 'm');
  for (const parts of [[largest], [largest.subarray(0, 7), largest.subarray(7, 900_000), largest.subarray(900_000)]]) {
    const head = Buffer.from('\x02a\0');
    const { messages, result } = parse([head, ...parts, Buffer.from('\0')]);
    assert.deepEqual([messages[0]?.length, result], [MESSAGE_BYTES_MAX + 2, CLASSIC_OK]);
    const tooLong = parse([head, ...parts, Buffer.from('m\0')]);
    assert.deepEqual(tooLong, { messages: [], result: CLASSIC_MESSAGE_LENGTH });
  }
});

test('any messages, split anywhere, come out as they went in', () => {
  const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((s) => !/[.\0]/.test(s));
  const message = fc.uint8Array({ min: 1, maxLength: 600 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(id, message)),
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }),
      (list, cuts) => {
        const zero = Buffer.of(0);
        const stream = Buffer.concat(
          list.flatMap(([name, data]) => [Buffer.of(2), Buffer.from(name), zero, data, zero]),
        );
        const chunks: Buffer[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          chunks.push(stream.subarray(at, at + cuts[i % cuts.length]!));
          at += cuts[i % cuts.length]!;
        }
        const messages = list.map(([name, data]) => `${name}=${Buffer.from(data).toString('latin1')}`);
        assert.deepEqual(parse(chunks), { messages, result: CLASSIC_OK });
      },
    ),
  );
});
