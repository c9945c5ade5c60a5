import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { deflateMessage, deflateWindowBits, inflateMessage, WINDOW_BITS_MAX, WINDOW_BITS_MIN } from './deflate.js';
import { CLOSE_INVALID_DATA, CLOSE_TOO_LARGE } from './frame.js';

const BYTES_MAX = 1 << 20;
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

/** Some 100 KB that compress well, with repetitions that only a large window finds. */
const PROSE = Buffer.from(Array.from({ length: 6000 }, (_, i) => `line ${(i * 7919) % 4001} `).join(''));

test('the examples of RFC 7692 section 7.2.3 are inflated', () => {
  for (const payload of [
    'f248cdc9c90700',
    '000500faff48656c6c6f00',
    'f348cdc9c9070000',
    'f248050000 00ffff cac9c90700',
  ]) {
    assert.equal(inflateMessage(hex(payload), BYTES_MAX).toString(), 'Hello');
  }
  assert.equal(inflateMessage(hex('00'), BYTES_MAX).toString(), '');
});

test('Hello and nothing are deflated as in RFC 7692 section 7.2.3', () => {
  assert.equal(deflateMessage(Buffer.from('Hello')).toString('hex'), 'f248cdc9c90700');
  assert.equal(deflateMessage(Buffer.alloc(0)).toString('hex'), '00');
});

test('any message comes back, compressed in any window', () => {
  const size = fc.nat(5000);
  fc.assert(
    fc.property(
      fc.nat(PROSE.length),
      size,
      fc.integer({ min: WINDOW_BITS_MIN, max: WINDOW_BITS_MAX }),
      (at, bytes, bits) => {
        const message = PROSE.subarray(at, at + bytes);
        assert.ok(message.equals(inflateMessage(deflateMessage(message, bits), BYTES_MAX) as Buffer));
      },
    ),
    { numRuns: 50 },
  );
  const noise = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 0xff));
  assert.ok(noise.equals(inflateMessage(deflateMessage(noise), BYTES_MAX) as Buffer));
});

test('a message is compressed within the window that was negotiated', () => {
  for (let bits = WINDOW_BITS_MIN; bits <= WINDOW_BITS_MAX; bits++) {
    const stream = Buffer.concat([deflateMessage(PROSE, bits), hex('0000ffff 0300')]);
    // A receiver with that window, and no more, can read it.
    assert.ok(inflateRawSync(stream, { windowBits: bits }).equals(PROSE));
  }
  const withTheLargest = Buffer.concat([deflateMessage(PROSE), hex('0000ffff 0300')]);
  assert.throws(() => inflateRawSync(withTheLargest, { windowBits: WINDOW_BITS_MIN }), { code: 'Z_DATA_ERROR' });
});

test('a small message has the same payload for every window that holds it', () => {
  assert.equal(deflateWindowBits(100, 15), 9);
  assert.equal(deflateWindowBits(250, 15), 9);
  assert.equal(deflateWindowBits(251, 15), 10);
  assert.equal(deflateWindowBits(251, 9), 9);
  assert.equal(deflateWindowBits(1 << 20, 15), 15);
  const message = PROSE.subarray(0, 700);
  for (let bits = deflateWindowBits(700, 15); bits <= 15; bits++) {
    assert.ok(deflateMessage(message, bits).equals(deflateMessage(message)));
  }
});

test('a message of several streams is read, one of very many is not', () => {
  // Each is a last block with the fixed code: "Hello".
  const hello = 'f348cdc9c90700';
  assert.equal(inflateMessage(hex(hello.repeat(3)), BYTES_MAX).toString(), 'HelloHelloHello');
  assert.equal(inflateMessage(hex(`${hello.repeat(3)}00`), BYTES_MAX).toString(), 'HelloHelloHello');
  assert.equal(inflateMessage(hex('0300'.repeat(1000)), BYTES_MAX), CLOSE_INVALID_DATA);
  assert.equal(inflateMessage(hex(hello.repeat(3)), 15).toString(), 'HelloHelloHello');
  assert.equal(inflateMessage(hex(hello.repeat(3)), 14), CLOSE_TOO_LARGE);
});

test('what is no DEFLATE is invalid, and what is too large is stopped', () => {
  for (const payload of ['', 'ff', '02', '07', '000500faff4865', 'f248']) {
    assert.equal(inflateMessage(hex(payload), BYTES_MAX), CLOSE_INVALID_DATA, payload);
  }
  const bomb = deflateMessage(Buffer.alloc(50_000_000));
  assert.ok(bomb.length < 50_000);
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(inflateMessage(bomb, BYTES_MAX), CLOSE_TOO_LARGE);
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * BYTES_MAX);
  assert.equal(inflateMessage(deflateMessage(Buffer.alloc(0)), 0).toString(), '');
  assert.equal(inflateMessage(deflateMessage(Buffer.alloc(1)), 0), CLOSE_TOO_LARGE);
});
