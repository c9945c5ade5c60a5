import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import { SendBuffers } from '../reactor/send-buffers.js';
import {
  FORMAT_POLL,
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM,
  FORMAT_STREAM_CHUNKED,
  FORMAT_WEBSOCKET,
} from '../transports/formats.js';
import { NO_DEFLATE } from '../websocket/handshake.js';
import type { CachedPublication } from './history.js';
import { readSse, readStream, readWebSocket } from './testing/client-events.js';
import {
  FORMAT_WEBSOCKET_DEFLATE,
  FORMAT_WEBSOCKET_INFLATE,
  inflates,
  isWebSocket,
  Wire,
  webSocketFormat,
} from './wire.js';

const FORMATS = [
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM,
  FORMAT_STREAM_CHUNKED,
  FORMAT_WEBSOCKET,
  FORMAT_WEBSOCKET_DEFLATE,
  FORMAT_WEBSOCKET_INFLATE,
];

describe('Wire', () => {
  let buffers: SendBuffers;
  let wire: Wire;
  let ownBytes: number;

  beforeEach(() => {
    buffers = new SendBuffers();
    wire = new Wire(buffers);
    wire.epoch = 'e';
    ownBytes = buffers.liveBytes;
  });

  const begin = (sequence: number, channel: string, data: string, kind = KIND_TEXT) => {
    const bytes = Buffer.from(`..${channel}${data}`);
    wire.begin(sequence, 1000, kind, bytes, 2, 2 + Buffer.byteLength(channel), bytes.length);
  };
  const bytesOf = (buffer: number) => Buffer.from(buffers.bytes(buffer));
  const cached = (sequence: number, data: string): CachedPublication => {
    return { sequence, timeMs: 1000, kind: KIND_TEXT, data: Buffer.from(data), encodings: null };
  };
  const read = (format: number, bytes: Buffer) => {
    if (isWebSocket(format)) return readWebSocket(bytes);
    if (format === FORMAT_SSE || format === FORMAT_SSE_RAW) return readSse(bytes, format === FORMAT_SSE_RAW);
    return readStream(bytes, format === FORMAT_STREAM_CHUNKED);
  };

  for (const data of ['m', 'grüße\r\nzwei', 'long '.repeat(200), '']) {
    test(`in every format a publication of the past is what it was when it was live: ${JSON.stringify(data.slice(0, 20))}`, () => {
      begin(7, 'kanäle', data);
      for (const format of FORMATS) {
        const live = bytesOf(wire.buffer(format));
        wire.collect(format);
        wire.collectMessage(cached(7, data), Buffer.from('kanäle'));
        const buffer = wire.collected();
        assert.deepEqual(bytesOf(buffer), live, `format ${format}`);
        wire.release(buffer);
        const { events, rest } = read(format, live);
        assert.equal(rest.length, 0);
        assert.equal(events.length, 1);
        assert.equal(events[0]!.cursor, 'e-7');
        if (format !== FORMAT_SSE_RAW) assert.deepEqual([events[0]!.channel, events[0]!.data], ['kanäle', data]);
      }
      wire.end();
      assert.equal(buffers.liveBytes, ownBytes);
    });
  }

  test('a publication is encoded once for each format', () => {
    begin(7, 'a', 'long '.repeat(200));
    for (const format of FORMATS) assert.equal(wire.buffer(format), wire.buffer(format));
    assert.equal(wire.buffer(FORMAT_WEBSOCKET), wire.buffer(FORMAT_WEBSOCKET_INFLATE));
    assert.notEqual(wire.buffer(FORMAT_WEBSOCKET), wire.buffer(FORMAT_WEBSOCKET_DEFLATE));
    assert.equal(wire.pollBuffer(true), wire.pollBuffer(true));
    assert.equal(wire.publication(), wire.publication());
    wire.end();
    const one = cached(8, 'm');
    wire.collect(FORMAT_POLL);
    wire.collectMessage(one, Buffer.from('a'));
    const first = one.encodings![FORMAT_POLL];
    wire.collect(FORMAT_POLL);
    wire.collectMessage(one, Buffer.from('a'));
    assert.equal(one.encodings![FORMAT_POLL], first);
  });

  test('the copy of a publication outlives the borrowed bytes', () => {
    const bytes = Buffer.from('a{"n":1}');
    wire.begin(7, 1000, KIND_JSON, bytes, 0, 1, bytes.length);
    const copy = wire.publication();
    wire.end();
    bytes.fill(0);
    assert.equal(copy.data.toString(), '{"n":1}');
    assert.deepEqual([copy.sequence, copy.timeMs, copy.kind], [7, 1000, KIND_JSON]);
  });

  test('what is collected is one buffer, in order: gaps, messages, the moment of being live', () => {
    for (const format of FORMATS) {
      wire.collect(format);
      wire.collectLost();
      wire.collectGap(3, Buffer.from('a'), 9);
      wire.collectMessage(cached(4, 'm'), Buffer.from('a'));
      wire.collectSubscribed(5, null);
      const buffer = wire.collected();
      const events = read(format, bytesOf(buffer)).events.map(({ type, cursor }) => `${type} ${cursor}`);
      assert.deepEqual(events, ['gap e-0', 'gap e-3', 'message e-4', 'subscribed e-5'], `format ${format}`);
      wire.release(buffer);
    }
    assert.equal(buffers.liveBytes, ownBytes);
  });

  test('heartbeats and the close frame for slow consumers', () => {
    for (const format of FORMATS) {
      const { events } = read(format, bytesOf(wire.heartbeat(format)));
      assert.deepEqual(events, [{ type: 'heartbeat' }], `format ${format}`);
    }
    assert.deepEqual(readWebSocket(Buffer.from(wire.slowConsumerClose())).events, [{ type: 'close', code: 4008 }]);
  });

  test('the format of a WebSocket follows from what was negotiated', () => {
    assert.equal(webSocketFormat(NO_DEFLATE), FORMAT_WEBSOCKET);
    assert.equal(webSocketFormat(15), FORMAT_WEBSOCKET_DEFLATE);
    assert.equal(webSocketFormat(10), FORMAT_WEBSOCKET_INFLATE);
    assert.deepEqual(FORMATS.map(inflates), [false, false, false, false, false, true, true]);
  });
});
