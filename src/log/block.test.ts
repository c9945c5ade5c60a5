import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BLOCK_BYTES, BlockWriter, blockOf, offsetOf, placeOf, readRecord, walkBlock } from './block.js';

const RECORD = {
  sequence: 5,
  previous: 3,
  channel: 'é',
  kind: 2,
  timeMs: 0x123456789,
  data: Buffer.from('data'),
  id: 'i',
};

test('a record is what the format says', () => {
  const writer = new BlockWriter(9);
  assert.equal(writer.add(RECORD), placeOf(9, 0));
  writer.seal();
  const [block] = writer.blocks;
  assert.equal(block!.number, 9);
  assert.equal(writer.nextBlock, 10);
  const hex = '04000000 02 01 02 00 050000000000 896745230100 030000000000 c3a9 69 64617461 00000000000000';
  assert.equal(block!.bytes.toString('hex'), hex.replaceAll(' ', ''));
  assert.deepEqual(readRecord(block!.bytes, 0), RECORD);
});

test('a block takes what fits, a larger record has one to itself', () => {
  const writer = new BlockWriter(1);
  const places = [100, 16_000, 300, 1 << 20, 5].map((length, i) =>
    writer.add({ ...RECORD, sequence: i + 1, data: Buffer.alloc(length, i) }),
  );
  writer.seal();
  writer.seal();
  assert.deepEqual(places.map(blockOf), [1, 1, 2, 3, 4]);
  assert.deepEqual(places.map(offsetOf), [0, 136, 0, 0, 0]);
  assert(writer.blocks.every(({ bytes }) => bytes.length <= BLOCK_BYTES || bytes.length > 1 << 20));
  const copies = new BlockWriter(writer.nextBlock);
  for (const [i, place] of places.entries()) {
    const { bytes } = writer.blocks[blockOf(place) - 1]!;
    const copy = copies.copy(bytes, offsetOf(place));
    copies.seal();
    const record = readRecord(copies.blocks.at(-1)!.bytes, offsetOf(copy));
    assert.deepEqual([record.sequence, record.id, record.data[0]], [i + 1, 'i', i]);
  }
});

test('a walk finds each record, and whatever cuts one off', () => {
  const writer = new BlockWriter(1);
  for (let sequence = 1; sequence <= 3; sequence++) writer.add({ ...RECORD, sequence });
  writer.seal();
  const { bytes } = writer.blocks[0]!;
  const found: number[][] = [];
  assert.equal(
    walkBlock(bytes, (...record) => void found.push(record)),
    true,
  );
  assert.deepEqual(found, [
    [1, 0, 4],
    [2, 40, 4],
    [3, 80, 4],
  ]);
  for (let length = 1; length < bytes.length; length++) {
    const whole = length % 40 === 0 || length % 40 >= 33;
    assert.equal(
      walkBlock(bytes.subarray(0, length), () => {}),
      whole,
      `${length} bytes`,
    );
  }
});
