import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CLOSE_NO_STATUS,
  CLOSE_NORMAL,
  CLOSE_REASON_BYTES_MAX,
  closeFrame,
  frame,
  frameHeadLength,
  OPCODE_BINARY,
  OPCODE_PING,
  OPCODE_TEXT,
  textFrame,
  writeFrameHead,
} from './frame.js';

test('the unmasked examples of RFC 6455 section 5.7 are written', () => {
  assert.equal(textFrame('Hello').toString('hex'), '810548656c6c6f');
  assert.equal(frame(OPCODE_PING, Buffer.from('Hello')).toString('hex'), '890548656c6c6f');
  assert.equal(frame(OPCODE_BINARY, Buffer.alloc(256)).subarray(0, 4).toString('hex'), '827e0100');
  assert.equal(frame(OPCODE_BINARY, Buffer.alloc(65_536)).subarray(0, 10).toString('hex'), '827f0000000000010000');
});

test('the example of RFC 7692 section 7.2.3.1 is written with RSV1', () => {
  const payload = Buffer.from('f248cdc9c90700', 'hex');
  assert.equal(frame(OPCODE_TEXT, payload, 0, payload.length, true).toString('hex'), 'c107f248cdc9c90700');
});

test('a length is written in its shortest form, and nothing is written around the head', () => {
  const heads: [payloadBytes: number, head: string][] = [
    [0, '8200'],
    [125, '827d'],
    [126, '827e007e'],
    [65_535, '827effff'],
    [65_536, '827f0000000000010000'],
    [2 ** 32 + 5, '827f0000000100000005'],
    [Number.MAX_SAFE_INTEGER, '827f001fffffffffffff'],
  ];
  for (const [payloadBytes, head] of heads) {
    const target = Buffer.alloc(20, 0xaa);
    const end = writeFrameHead(target, 3, OPCODE_BINARY, false, payloadBytes);
    assert.equal(end, 3 + frameHeadLength(payloadBytes));
    assert.equal(target.toString('hex'), `aaaaaa${head}`.padEnd(40, 'a'));
  }
});

test('a frame has the part of the bytes that it was told', () => {
  assert.equal(frame(OPCODE_TEXT, Buffer.from('abcdef'), 2, 4).toString('latin1'), '\x81\x02cd');
});

test('a close frame has a code and a reason, or neither', () => {
  assert.equal(closeFrame(CLOSE_NO_STATUS).toString('hex'), '8800');
  assert.equal(closeFrame(CLOSE_NORMAL).toString('hex'), '880203e8');
  assert.equal(closeFrame(4008, 'slow').toString('hex'), '88060fa8736c6f77');
  assert.equal(closeFrame(CLOSE_NORMAL, 'x'.repeat(CLOSE_REASON_BYTES_MAX)).length, 127);
  assert.throws(() => closeFrame(CLOSE_NORMAL, 'x'.repeat(CLOSE_REASON_BYTES_MAX + 1)), RangeError);
  assert.throws(() => closeFrame(1006), RangeError);
});
