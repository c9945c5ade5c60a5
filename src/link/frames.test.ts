/** Reader and writer together: what was written is read, however the stream is split. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameReader, readJson, readSequence, readUint32 } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import { ASK, DELIVER, DELIVERED, HELLO, HELLO_END, KIND_JSON, NOT_WAITING, READ_NOW, WAITING } from './frames.js';

type Seen = [type: number, payload: string];

/** A frame byte by byte. */
function frameOf(type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32LE(1 + payload.length);
  header[4] = type;
  return Buffer.concat([header, payload]);
}

/** Feeds chunks to a new reader and copies what it shows. */
function readAll(chunks: Uint8Array[], frameBytesMax?: number): { frames: Seen[]; ok: boolean } {
  const reader = new FrameReader(frameBytesMax);
  const frames: Seen[] = [];
  let ok = true;
  for (const chunk of chunks) {
    ok = reader.read(chunk, (type, bytes, start, end) => {
      frames.push([type, Buffer.from(bytes.subarray(start, end)).toString('hex')]);
    });
  }
  return { frames, ok };
}

test('any split of the stream gives the same frames', () => {
  const frame = fc.tuple(fc.integer({ min: 1, max: 255 }), fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat(30), { minLength: 1 }), (frames, cuts) => {
      const stream = Buffer.concat(frames.map(([type, payload]) => frameOf(type, payload)));
      const chunks: Uint8Array[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const end = Math.min(stream.length, at + cuts[i % cuts.length]! + (i % cuts.length === 0 ? 1 : 0));
        chunks.push(stream.subarray(at, end));
        at = end;
      }
      const expected = frames.map(([type, payload]): Seen => [type, Buffer.from(payload).toString('hex')]);
      assert.deepEqual(readAll(chunks), { frames: expected, ok: true });
    }),
  );
});

test('each kind of frame survives a split at every byte', () => {
  const writer = new FrameWriter();
  writer.json(HELLO, { worker: 3, host: 'ä' });
  writer.frame(HELLO_END);
  writer.name(WAITING, Buffer.from('xalicex'), 1, 6);
  writer.deliver(2 ** 40 + 7, KIND_JSON, Buffer.from('bob'), Buffer.from('{"a":1}'));
  writer.delivered(2 ** 47 + 1, 4_000_000_000);
  const stream = writer.take();
  assert.equal(writer.length, 0);
  assert.equal(writer.take().length, 0);

  for (let cut = 0; cut <= stream.length; cut++) {
    const types: number[] = [];
    const reader = new FrameReader();
    const visit = (type: number, bytes: Uint8Array, start: number, end: number) => {
      types.push(type);
      const text = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString();
      if (type === HELLO) assert.deepEqual(readJson(bytes, start, end), { worker: 3, host: 'ä' });
      if (type === WAITING) assert.equal(text(start, end), '\x05alice');
      if (type === DELIVER) {
        assert.equal(readSequence(bytes, start), 2 ** 40 + 7);
        assert.deepEqual([bytes[start + 6], bytes[start + 7]], [KIND_JSON, 3]);
        assert.equal(text(start + 8, end), 'bob{"a":1}');
      }
      if (type === DELIVERED) {
        assert.equal(readSequence(bytes, start), 2 ** 47 + 1);
        assert.equal(readUint32(bytes, start + 6), 4_000_000_000);
      }
    };
    assert.ok(reader.read(stream.subarray(0, cut), visit));
    assert.ok(reader.read(stream.subarray(cut), visit));
    assert.deepEqual(types, [HELLO, HELLO_END, WAITING, DELIVER, DELIVERED]);
  }
});

test('each frame of the streams has the bytes that frames.ts draws', () => {
  const a = Buffer.from('a');
  const bytes = Buffer.from('xay');
  const publication = { sequence: 2 ** 40 + 7, timeMs: 258, kind: KIND_JSON, data: Buffer.from('{}') };
  const vectors: [name: string, write: (writer: FrameWriter) => void, type: number, payload: string][] = [
    ['WELCOME', (w) => w.welcome(7, 'ef'), 35, '070000000000 6566'],
    ['FAN_OUT', (w) => w.fanOut(publication, 1, a), 36, '070000000001 020100000000 01 01 01 61 7b7d'],
    ['HISTORY without publications', (w) => w.history(9, 7, 0, 0, []), 37, '09000000 070000000000 000000000000 00'],
    [
      'HISTORY',
      (w) => w.history(9, publication.sequence, 3, 1, [publication, publication]),
      37,
      `09000000 070000000001 030000000000 01 ${'070000000001 020100000000 01 02000000 7b7d'.repeat(2)}`,
    ],
    ['GAP', (w) => w.gap(2 ** 32, a), 38, '000000000100 61'],
    ['PUBLISHED', (w) => w.published(0xffff_ffff, 1, 7), 39, 'ffffffff 01 070000000000'],
    ['POSITION', (w) => w.position(7), 40, '070000000000'],
    ['RECEIVED', (w) => w.received(7, 3), 10, '070000000000 03000000'],
    ['READ', (w) => w.read(9, READ_NOW, bytes, 1, 2), 11, '09000000 ffffffffffff 61'],
    ['ASK', (w) => w.numberedJson(ASK, 9, { op: 'ü' }), 42, '09000000 7b226f70223a22c3bc227d'],
    ['PUBLISH', (w) => w.publish(9, 1, Buffer.from('id'), a, publication.data), 12, '09000000 01 02 6964 01 61 7b7d'],
  ];
  for (const [name, write, type, payload] of vectors) {
    const writer = new FrameWriter();
    write(writer);
    const frame = writer.take();
    writer.append(frame);
    writer.append(frame);
    const expected: Seen = [type, payload.replaceAll(' ', '')];
    assert.deepEqual(readAll([writer.take()]), { frames: [expected, expected], ok: true }, name);
  }
});

test('names of one kind that come after each other share frames of some 4,000 bytes', () => {
  const writer = new FrameWriter();
  const say = (type: number, name: string) => writer.name(type, Buffer.from(`<${name}>`), 1, 1 + name.length);
  const read = () =>
    readAll([writer.take()]).frames.map(([type, payload]) => [type, Buffer.from(payload, 'hex').toString('latin1')]);
  say(WAITING, 'a');
  say(WAITING, 'bc');
  say(NOT_WAITING, 'a');
  say(WAITING, 'd');
  writer.delivered(1, 0);
  say(WAITING, 'e');
  const joined = writer.since(0).slice();
  writer.append(joined);
  say(WAITING, 'f');
  const frames = read();
  const once = [
    [WAITING, '\x01a\x02bc'],
    [NOT_WAITING, '\x01a'],
    [WAITING, '\x01d'],
    [DELIVERED, '\x01\0\0\0\0\0\0\0\0\0'],
    [WAITING, '\x01e'],
  ];
  assert.deepEqual(frames, [...once, ...once, [WAITING, '\x01f']]);

  for (let i = 0; i < 1000; i++) say(WAITING, 'n'.repeat(1 + (i % 200)));
  const many = read();
  assert(many.every(([type, payload]) => type === WAITING && (payload as string).length < 4200));
  const lengths: number[] = [];
  for (const [, payload] of many as [number, string][]) {
    for (let at = 0; at < payload.length; at += 1 + lengths.at(-1)!) lengths.push(payload.charCodeAt(at));
  }
  assert.deepEqual(
    lengths,
    Array.from({ length: 1000 }, (_, i) => 1 + (i % 200)),
  );
  assert(many.length < 30);
});

test('a length of 0 or above the maximum ends the stream, whole and split', () => {
  for (const header of ['00000000ff', '2100000001', 'ffffffff01']) {
    const bytes = Buffer.concat([Buffer.from('0100000007', 'hex'), Buffer.from(header, 'hex')]);
    assert.deepEqual(readAll([bytes, bytes], 36), { frames: [[7, '']], ok: false });
    assert.deepEqual(
      readAll(
        [...bytes].map((byte) => Uint8Array.of(byte)),
        36,
      ),
      { frames: [[7, '']], ok: false },
    );
  }
});

test('a frame of the largest size passes, byte-exact, in chunks of any size', () => {
  const payload = Buffer.alloc(100_000, 'm');
  const stream = frameOf(9, payload);
  for (const chunkBytes of [1000, 65_536]) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += chunkBytes) chunks.push(stream.subarray(at, at + chunkBytes));
    assert.deepEqual(readAll(chunks, stream.length), { frames: [[9, payload.toString('hex')]], ok: true });
  }
  assert.equal(readAll([stream], stream.length - 1).ok, false);
});
