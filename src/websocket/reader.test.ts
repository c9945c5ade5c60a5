import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { deflateMessage } from './deflate.js';
import {
  CLOSE_INVALID_DATA,
  CLOSE_NO_STATUS,
  CLOSE_NORMAL,
  CLOSE_PROTOCOL_ERROR,
  CLOSE_TOO_LARGE,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
} from './frame.js';
import { type ReaderState, WebSocketReader } from './reader.js';
import { type ClientFrame, clientFrame, clientFrames } from './testing/client-frame.js';

const CONNECTION = 7;

/** What was reported, in plain words: binary payloads in hex. */
type Event =
  | [what: 'text' | 'binary' | 'ping' | 'pong', payload: string]
  | ['close', number, string]
  | ['failed', number];

/** Feeds a reader and writes down what it reports. */
class Listener {
  readonly events: Event[] = [];
  state: ReaderState | undefined;
  ended = false;
  why = '';
  readonly #reader: WebSocketReader;

  constructor(messageBytesMax = 1 << 20) {
    const say = (event: Event): boolean => {
      assert(!this.ended, 'nothing is reported after the end');
      this.events.push(event);
      return true;
    };
    this.#reader = new WebSocketReader(
      {
        message(connection, opcode, bytes, start, end) {
          assert.equal(connection, CONNECTION);
          const payload = Buffer.from(bytes.subarray(start, end));
          return opcode === OPCODE_TEXT ? say(['text', payload.toString()]) : say(['binary', payload.toString('hex')]);
        },
        ping: (_, bytes, start, end) => say(['ping', Buffer.from(bytes.subarray(start, end)).toString('hex')]),
        pong: (_, bytes, start, end) => say(['pong', Buffer.from(bytes.subarray(start, end)).toString('hex')]),
        close: (_, code, reason) => {
          say(['close', code, reason]);
          this.ended = true;
        },
        failed: (_, code, why) => {
          say(['failed', code]);
          this.why = why;
          this.ended = true;
        },
      },
      messageBytesMax,
    );
  }

  /** Feeds a piece, which stands between bytes that nobody may read as its own, in a fresh and unaligned buffer. */
  feed(piece: Uint8Array, deflate = false): void {
    if (this.ended) return;
    const view = Buffer.alloc(piece.length + 16, 0x81);
    view.set(piece, 5);
    this.state = this.#reader.read(CONNECTION, this.state, deflate, view, 5, 5 + piece.length);
    if (this.ended) assert.equal(this.state, undefined);
  }
}

interface Options {
  deflate?: boolean;
  messageBytesMax?: number;
}

function eventsOf(pieces: Iterable<Uint8Array>, { deflate = false, messageBytesMax }: Options = {}): Event[] {
  const listener = new Listener(messageBytesMax);
  for (const piece of pieces) listener.feed(piece, deflate);
  return listener.events;
}

function* bytewise(stream: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < stream.length; at++) yield stream.subarray(at, at + 1);
}

/** The events of a stream, which have to be the same however it is cut: in two at each byte, and into single bytes. */
function assertEvents(stream: Uint8Array, expected: Event[], options: Options = {}): void {
  assert.deepEqual(eventsOf([stream], options), expected);
  assert.deepEqual(eventsOf(bytewise(stream), options), expected);
  for (let cut = 1; cut < stream.length; cut++) {
    const pieces = [stream.subarray(0, cut), stream.subarray(cut)];
    assert.deepEqual(eventsOf(pieces, options), expected, `cut at ${cut}`);
  }
}

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

test('the masked examples of RFC 6455 section 5.7 are read', () => {
  assertEvents(hex('81 85 37 fa 21 3d 7f 9f 4d 51 58'), [['text', 'Hello']]);
  assertEvents(hex('8a 85 37 fa 21 3d 7f 9f 4d 51 58'), [['pong', '48656c6c6f']]);
  assertEvents(hex('0183 37fa213d 7f9f4d 8082 37fa213d 5b95'), [['text', 'Hello']]);
});

test('a length has 7, 16 or 64 bits', () => {
  for (const length of [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000]) {
    const data = Buffer.alloc(length, 'abcde');
    const stream = clientFrame({ opcode: OPCODE_BINARY, data });
    assert.equal(stream.length, length + (length < 126 ? 6 : length < 65_536 ? 8 : 14));
    const expected: Event[] = [['binary', data.toString('hex')]];
    assert.deepEqual(eventsOf([stream]), expected);
    for (let cut = 1; cut < 20 && cut < stream.length; cut++) {
      assert.deepEqual(eventsOf([stream.subarray(0, cut), stream.subarray(cut)]), expected);
    }
  }
});

test('control frames may come between the frames of a message, and do not disturb it', () => {
  const stream = clientFrames([
    { opcode: OPCODE_TEXT, data: 'ein ', final: false },
    { opcode: OPCODE_PING, data: 'p' },
    { opcode: OPCODE_CONTINUATION, data: '', final: false },
    { opcode: OPCODE_PONG },
    { opcode: OPCODE_CONTINUATION, data: 'Grüß', final: true },
    { opcode: OPCODE_BINARY, data: '' },
  ]);
  assertEvents(stream, [
    ['ping', '70'],
    ['pong', ''],
    ['text', 'ein Grüß'],
    ['binary', ''],
  ]);
});

test('what follows a close frame is not read', () => {
  const more: ClientFrame = { opcode: OPCODE_TEXT, data: 'late' };
  assertEvents(clientFrames([{ opcode: OPCODE_CLOSE, data: hex('03e8') }, more]), [['close', CLOSE_NORMAL, '']]);
  assertEvents(clientFrames([{ opcode: OPCODE_CLOSE }, more]), [['close', CLOSE_NO_STATUS, '']]);
  const reason = Buffer.concat([hex('0fa0'), Buffer.from('adiós')]);
  assertEvents(clientFrames([{ opcode: OPCODE_CLOSE, data: reason }, more]), [['close', 4000, 'adiós']]);
});

test('a close frame has a code that may be sent, and a reason of valid UTF-8', () => {
  const close = (code: number) => clientFrame({ opcode: OPCODE_CLOSE, data: Buffer.from([code >> 8, code & 0xff]) });
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4999]) {
    assert.deepEqual(eventsOf([close(code)]), [['close', code, '']]);
  }
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]) {
    assertEvents(close(code), [['failed', CLOSE_PROTOCOL_ERROR]]);
  }
  assertEvents(clientFrame({ opcode: OPCODE_CLOSE, data: hex('03') }), [['failed', CLOSE_PROTOCOL_ERROR]]);
  assertEvents(clientFrame({ opcode: OPCODE_CLOSE, data: hex('03e8 ce') }), [['failed', CLOSE_INVALID_DATA]]);
});

test('frames that break the protocol fail with 1002, and what came before them is reported', () => {
  const good: ClientFrame = { opcode: OPCODE_TEXT, data: 'good' };
  const open: ClientFrame = { opcode: OPCODE_TEXT, data: 'open', final: false };
  const wrong: [what: string, stream: Uint8Array, deflate?: boolean][] = [
    ['RSV1 without an extension', clientFrame({ opcode: OPCODE_TEXT, data: 'x', rsv: 0x40 })],
    ['RSV2', clientFrame({ opcode: OPCODE_TEXT, data: 'x', rsv: 0x20 }), true],
    ['RSV3', clientFrame({ opcode: OPCODE_TEXT, data: 'x', rsv: 0x10 }), true],
    ['RSV1 and RSV2', clientFrame({ opcode: OPCODE_TEXT, data: 'x', rsv: 0x60 }), true],
    ['RSV1 on a ping', clientFrame({ opcode: OPCODE_PING, rsv: 0x40 }), true],
    ['RSV1 on a continuation', clientFrames([open, { opcode: OPCODE_CONTINUATION, rsv: 0x40 }]), true],
    ...[3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf].map((opcode): [string, Uint8Array] => [
      `opcode ${opcode}`,
      clientFrame({ opcode }),
    ]),
    ['no mask', hex('8105 48656c6c6f')],
    ['no mask on a ping', hex('8900')],
    ['fragmented ping', clientFrame({ opcode: OPCODE_PING, final: false })],
    ['ping of 126 bytes', clientFrame({ opcode: OPCODE_PING, data: Buffer.alloc(126) })],
    ['close of 65,536 bytes', clientFrame({ opcode: OPCODE_CLOSE, data: Buffer.alloc(65_536) }).subarray(0, 40)],
    ['continuation of nothing', clientFrame({ opcode: OPCODE_CONTINUATION, data: 'x' })],
    ['continuation after a whole message', clientFrames([good, { opcode: OPCODE_CONTINUATION, final: false }])],
    ['text within a text', clientFrames([open, good])],
    ['binary within a text', clientFrames([open, { opcode: OPCODE_BINARY }])],
    ['u16 length below 126', hex('82fe 007d 00000000')],
    ['u64 length below 65,536', hex('82ff 000000000000ffff 00000000')],
    ['u64 length with the top bit', hex('82ff 8000000000000000 00000000')],
  ];
  for (const [what, stream, deflate = false] of wrong) {
    const preceded = Buffer.concat([clientFrame({ opcode: OPCODE_BINARY, data: '\x01' }), stream]);
    const expected: Event[] = [
      ['binary', '01'],
      ...(what === 'continuation after a whole message' ? [['text', 'good'] as Event] : []),
      ['failed', CLOSE_PROTOCOL_ERROR],
    ];
    assert.deepEqual(eventsOf([preceded], { deflate }), expected, what);
    assertEvents(preceded, expected, { deflate });
  }
});

test('text that is not UTF-8 fails with 1007', () => {
  const wrong = ['ff', 'c0af', 'eda080', 'f4908080', 'f8888080', 'cebae1bdb9cf83cebcceb5eda080656469746564', 'e282'];
  for (const digits of wrong) {
    const data = hex(digits);
    assertEvents(clientFrame({ opcode: OPCODE_TEXT, data }), [['failed', CLOSE_INVALID_DATA]]);
    for (let cut = 0; cut <= data.length; cut++) {
      const fragments = clientFrames([
        { opcode: OPCODE_TEXT, data: data.subarray(0, cut), final: false },
        { opcode: OPCODE_CONTINUATION, data: data.subarray(cut) },
      ]);
      assertEvents(fragments, [['failed', CLOSE_INVALID_DATA]]);
    }
    assert.deepEqual(eventsOf([clientFrame({ opcode: OPCODE_BINARY, data })]), [['binary', digits]]);
  }
});

test('invalid text fails at its first wrong byte, in the middle of a frame', () => {
  // 300 bytes of ASCII first, so that long pieces go their own way; then F4 90, which would be above U+10FFFF.
  const data = Buffer.concat([Buffer.alloc(300, 'a'), hex('f490'), Buffer.alloc(100, 'b')]);
  const stream = clientFrame({ opcode: OPCODE_TEXT, data, final: false });
  const wrongAt = 8 + 301;
  for (const step of [1, 7, 200, wrongAt]) {
    const listener = new Listener();
    let fed = 0;
    for (; fed < wrongAt; fed = Math.min(wrongAt, fed + step))
      listener.feed(stream.subarray(fed, Math.min(wrongAt, fed + step)));
    assert.equal(fed, wrongAt);
    assert.deepEqual(listener.events, [], `pieces of ${step}`);
    listener.feed(stream.subarray(wrongAt, wrongAt + 1));
    assert.deepEqual(listener.events, [['failed', CLOSE_INVALID_DATA]]);
  }
});

test('a message that is too large fails with 1009 as soon as a head announces it', () => {
  const messageBytesMax = 1000;
  const whole = clientFrame({ opcode: OPCODE_BINARY, data: Buffer.alloc(1000) });
  assert.equal(eventsOf([whole], { messageBytesMax })[0]![0], 'binary');
  const large = clientFrame({ opcode: OPCODE_BINARY, data: Buffer.alloc(1001) }).subarray(0, 8);
  assertEvents(large, [['failed', CLOSE_TOO_LARGE]], { messageBytesMax });
  assertEvents(hex('82ff 7fffffffffffffff 00000000'), [['failed', CLOSE_TOO_LARGE]], { messageBytesMax });
  const fragments = clientFrames([
    { opcode: OPCODE_BINARY, data: Buffer.alloc(600), final: false },
    { opcode: OPCODE_CONTINUATION, data: Buffer.alloc(401) },
  ]);
  assert.deepEqual(eventsOf([fragments.subarray(0, 8 + 600 + 8)], { messageBytesMax }), [['failed', CLOSE_TOO_LARGE]]);
});

test('the compressed examples of RFC 7692 section 7.2.3 are read', () => {
  const compressed = (...payloads: string[]): Buffer =>
    clientFrames(
      payloads.map((payload, i) => ({
        opcode: i === 0 ? OPCODE_TEXT : OPCODE_CONTINUATION,
        rsv: i === 0 ? 0x40 : 0,
        final: i === payloads.length - 1,
        data: hex(payload),
      })),
    );
  const hello: Event[] = [['text', 'Hello']];
  const deflate = { deflate: true };
  assertEvents(compressed('f248cdc9c90700'), hello, deflate);
  assertEvents(compressed('f248cd', 'c9c90700'), hello, deflate);
  assertEvents(compressed('000500faff48656c6c6f00'), hello, deflate);
  assertEvents(compressed('f348cdc9c9070000'), hello, deflate);
  assertEvents(compressed('f248050000 00ffffcac9c90700'.replace(' ', '')), hello, deflate);
  assertEvents(compressed('00'), [['text', '']], deflate);
});

test('compressed messages: corrupt ones fail with 1007, large ones with 1009, plain ones go beside them', () => {
  const compressed = (data: Uint8Array, opcode = OPCODE_TEXT) => clientFrame({ opcode, rsv: 0x40, data });
  const options = { deflate: true, messageBytesMax: 5000 };
  const read = (stream: Uint8Array) => eventsOf([stream], options);
  const whole = deflateMessage(Buffer.from('a compressed message, cut off'));
  for (let cut = 0; cut < whole.length; cut++) {
    assert.deepEqual(read(compressed(whole.subarray(0, cut))), [['failed', CLOSE_INVALID_DATA]], `cut at ${cut}`);
  }
  assert.deepEqual(read(compressed(hex('ffffffff'))), [['failed', CLOSE_INVALID_DATA]]);
  assert.deepEqual(read(compressed(deflateMessage(hex('c328')))), [['failed', CLOSE_INVALID_DATA]]);
  assert.deepEqual(read(compressed(deflateMessage(hex('c328')), OPCODE_BINARY)), [['binary', 'c328']]);
  assert.deepEqual(read(compressed(deflateMessage(Buffer.alloc(5000, 'a')))), [['text', 'a'.repeat(5000)]]);
  assert.deepEqual(read(compressed(deflateMessage(Buffer.alloc(5001, 'a')))), [['failed', CLOSE_TOO_LARGE]]);
  assert.deepEqual(read(compressed(deflateMessage(Buffer.alloc(1 << 24)))), [['failed', CLOSE_TOO_LARGE]]);
  const plain = clientFrame({ opcode: OPCODE_TEXT, data: 'plain' });
  assert.deepEqual(read(Buffer.concat([plain, compressed(whole), plain])), [
    ['text', 'plain'],
    ['text', 'a compressed message, cut off'],
    ['text', 'plain'],
  ]);
});

test('a connection whose frames come whole is not remembered, and one between two messages is not either', () => {
  const listener = new Listener();
  const stream = clientFrames([{ opcode: OPCODE_TEXT, data: 'whole' }, { opcode: OPCODE_PING }]);
  listener.feed(stream);
  assert.equal(listener.state, undefined);
  listener.feed(stream.subarray(0, 3));
  assert.ok(listener.state!.bufferedBytes > 0 && listener.state!.bufferedBytes < 1024);
  listener.feed(stream.subarray(3));
  assert.equal(listener.state, undefined);
  listener.feed(clientFrame({ opcode: OPCODE_BINARY, data: Buffer.alloc(10_000), final: false }));
  assert.ok(listener.state!.bufferedBytes >= 10_000);
  listener.feed(clientFrame({ opcode: OPCODE_CONTINUATION }));
  assert.equal(listener.state, undefined);
});

test('a head that announces much makes nobody hold much', () => {
  const listener = new Listener(1 << 24);
  listener.feed(clientFrame({ opcode: OPCODE_BINARY, data: Buffer.alloc(1 << 24) }).subarray(0, 20));
  assert.ok(listener.state!.bufferedBytes < 2048);
});

test('an event that returns false is the last one', () => {
  const seen: string[] = [];
  const say = (what: string) => () => {
    seen.push(what);
    return false;
  };
  const unexpected = () => assert.fail();
  const reader = new WebSocketReader(
    { message: say('message'), ping: say('ping'), pong: say('pong'), close: unexpected, failed: unexpected },
    100,
  );
  for (const opcode of [OPCODE_TEXT, OPCODE_PING, OPCODE_PONG]) {
    const stream = clientFrames([{ opcode }, { opcode }]);
    assert.equal(reader.read(CONNECTION, undefined, false, stream, 0, stream.length), undefined);
  }
  const fragments = clientFrames([
    { opcode: OPCODE_TEXT, final: false },
    { opcode: OPCODE_CONTINUATION },
    { opcode: OPCODE_PING },
  ]);
  assert.equal(reader.read(CONNECTION, undefined, false, fragments, 0, fragments.length), undefined);
  assert.deepEqual(seen, ['message', 'ping', 'pong', 'message']);
});

test('however messages are fragmented, interleaved with pings, masked and cut, the same ones are reported', () => {
  const message = fc.record({
    text: fc.string({ unit: 'binary', maxLength: 400 }),
    isText: fc.boolean(),
    compressed: fc.boolean(),
    // Where it is cut into frames, as fractions of its length.
    cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 }),
    pings: fc.boolean(),
    key: fc.integer(),
  });
  const cutSizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 6 }), cutSizes, (messages, sizes) => {
      const frames: ClientFrame[] = [];
      const expected: Event[] = [];
      for (const { text, isText, compressed, cuts, pings, key } of messages) {
        const data = Buffer.from(text);
        const payload = compressed ? deflateMessage(data) : data;
        const places = [
          0,
          ...cuts.map((cut) => Math.floor(cut * payload.length)).sort((a, b) => a - b),
          payload.length,
        ];
        for (let i = 1; i < places.length; i++) {
          if (pings) {
            frames.push({ opcode: OPCODE_PING, data: text.slice(0, 30), key });
            expected.push(['ping', Buffer.from(text.slice(0, 30)).toString('hex')]);
          }
          frames.push({
            opcode: i > 1 ? OPCODE_CONTINUATION : isText ? OPCODE_TEXT : OPCODE_BINARY,
            rsv: compressed && i === 1 ? 0x40 : 0,
            final: i === places.length - 1,
            data: payload.subarray(places[i - 1], places[i]),
            key,
          });
        }
        expected.push(isText ? ['text', data.toString()] : ['binary', data.toString('hex')]);
      }
      const stream = clientFrames(frames);
      const pieces: Uint8Array[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        pieces.push(stream.subarray(at, (at += sizes[i % sizes.length]!)));
      }
      assert.deepEqual(eventsOf(pieces, { deflate: true }), expected);
      assert.deepEqual(eventsOf([stream], { deflate: true }), expected);
    }),
    { numRuns: 200 },
  );
});

test('of arbitrary bytes, any cut reports the same', () => {
  const start = fc.constantFrom('8180', '8185', '0181', '8081', '8980', '8882', 'c185', '82fe007e', '82ff0000', '');
  const bytes = fc.array(fc.tuple(start, fc.uint8Array({ maxLength: 12 })), { maxLength: 5 });
  fc.assert(
    fc.property(bytes, (parts) => {
      const stream = Buffer.concat(parts.flatMap(([head, rest]) => [hex(head), rest]));
      assertEvents(stream, eventsOf([stream], { deflate: true }), { deflate: true });
    }),
    { numRuns: 500 },
  );
});

test('the time for a message is linear in its bytes, however small its frames and the pieces they come in', () => {
  const timeOf = (bytes: number): number => {
    const frames: ClientFrame[] = [];
    for (let at = 0; at < bytes; at += 64) {
      frames.push({
        opcode: at === 0 ? OPCODE_TEXT : OPCODE_CONTINUATION,
        data: Buffer.alloc(64, 'x'),
        final: at + 64 >= bytes,
      });
    }
    const stream = clientFrames(frames);
    const listener = new Listener(1 << 24);
    const began = process.cpuUsage();
    for (let at = 0; at < stream.length; at += 1000) listener.feed(stream.subarray(at, at + 1000));
    const { user, system } = process.cpuUsage(began);
    assert.equal(listener.events.length, 1);
    return user + system;
  };
  timeOf(1 << 18);
  const small = Math.min(timeOf(1 << 20), timeOf(1 << 20));
  const large = timeOf(1 << 23);
  // 8 times the bytes: quadratic would be 64 times the time.
  assert.ok(large < 24 * small, `${large} µs against ${small} µs`);
});
