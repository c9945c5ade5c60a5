import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import { SendBuffers } from '../reactor/send-buffers.js';
import { textFrame } from '../websocket/frame.js';
import { Encoder, encodePollAnswer, encodeText, encodeTextFrame } from './encoder.js';
import {
  FORMAT_POLL,
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM_CHUNKED,
  FORMAT_WEBSOCKET,
  gapText,
} from './formats.js';

describe('the encoder', () => {
  let buffers: SendBuffers;
  let encoder: Encoder;

  beforeEach(() => {
    buffers = new SendBuffers();
    encoder = new Encoder(buffers);
    encoder.epoch = 'e';
  });

  /** Begins with a publication that stands within a frame. */
  function begin(sequence: number, kind: number, channel: string, data: string): void {
    const frame = Buffer.from(`head${channel}${data}next`);
    const nameEnd = 4 + Buffer.byteLength(channel);
    encoder.begin(sequence, 1700000000000, kind, frame, 4, nameEnd, nameEnd, frame.length - 4);
  }

  const sent = (handle: number): string => Buffer.from(buffers.bytes(handle)).toString();

  test('writes a WebSocket message behind the head of its frame', () => {
    const handle = encodeTextFrame(buffers, 'ü!');
    assert.equal(Buffer.from(buffers.bytes(handle)).toString('hex'), '8103c3bc21');
    for (const length of [1, 125, 126, 65_535, 65_536]) {
      const text = 'x'.repeat(length);
      assert(textFrame(text).equals(buffers.bytes(encodeTextFrame(buffers, text))));
    }
  });

  test('encodes a publication once for a format, and lets go of all at the end', () => {
    begin(7, KIND_TEXT, 'ü', 'x"y');
    const handle = encoder.encoded(FORMAT_SSE);
    assert.equal(sent(handle), 'id: e-7\ndata: {"channel":"ü","data":"x\\"y","time":1700000000000}\n\n');
    assert.equal(encoder.encoded(FORMAT_SSE), handle);
    assert.equal(sent(encoder.encoded(FORMAT_SSE_RAW)), 'id: e-7\ndata: x"y\n\n');
    assert.match(sent(encoder.encoded(FORMAT_STREAM_CHUNKED)), /^54\r\n\{"type":"message"/);
    assert.notEqual(encoder.encodedPoll(true), encoder.encodedPoll(false));
    encoder.encodedJsonp(true, Buffer.from('f'));
    assert.ok(buffers.liveBytes > 0);
    encoder.end();
    assert.equal(buffers.liveBytes, 0);
  });

  test('what is pending outlives the end', () => {
    begin(7, KIND_TEXT, 'a', 'x');
    const handle = encoder.encoded(FORMAT_WEBSOCKET);
    buffers.retain(handle);
    encoder.end();
    begin(8, KIND_TEXT, 'b', 'y');
    assert.notEqual(encoder.encoded(FORMAT_WEBSOCKET), handle);
    assert.equal(JSON.parse(sent(handle)).cursor, 'e-7');
    assert.deepEqual(JSON.parse(sent(encoder.encoded(FORMAT_WEBSOCKET))), {
      type: 'message',
      channel: 'b',
      cursor: 'e-8',
      data: 'y',
      time: 1700000000000,
    });
    encoder.end();
    buffers.release(handle);
    assert.equal(buffers.liveBytes, 0);
  });

  test('a poll that waited is answered with the one publication', () => {
    begin(7, KIND_JSON, 'a', '{"b":["ü"]}');
    for (const keepAlive of [true, false]) {
      const [head, body] = sent(encoder.encodedPoll(keepAlive)).split('\r\n\r\n') as [string, string];
      const lines = head.split('\r\n');
      assert.ok(lines.includes('ETag: "e-7"'));
      assert.ok(lines.includes(`Content-Length: ${Buffer.byteLength(body)}`));
      assert.ok(lines.includes('Content-Type: application/json; charset=utf-8'));
      assert.ok(lines.includes(`Connection: ${keepAlive ? 'keep-alive' : 'close'}`));
      const message = { channel: 'a', cursor: 'e-7', data: { b: ['ü'] }, time: 1700000000000 };
      assert.deepEqual(JSON.parse(body), { cursor: 'e-7', messages: [message] });
    }
  });

  test('JSONP is encoded for each name, and the last one is kept', () => {
    begin(7, KIND_TEXT, 'a', '\u2028');
    const [one, two] = [Buffer.from('one'), Buffer.from('two')];
    const handle = encoder.encodedJsonp(true, one);
    assert.equal(encoder.encodedJsonp(true, Buffer.from('one')), handle);
    assert.match(sent(handle), /\r\n\r\none\(\{"cursor":"e-7","messages":\[\{.*"data":"\\u2028".*\}\]\}\);$/);
    assert.match(sent(handle), /\r\nContent-Type: text\/javascript; charset=utf-8\r\n/);
    assert.match(sent(encoder.encodedJsonp(true, two)), /\r\n\r\ntwo\(/);
    assert.match(sent(encoder.encodedJsonp(false, two)), /\r\nConnection: close\r\n/);
    encoder.end();
    assert.equal(buffers.liveBytes, 0);
  });

  test('a poll that returns gets all that it missed, in one answer', () => {
    const messages: string[] = [];
    for (const sequence of [60, 70]) {
      begin(sequence, KIND_TEXT, 'a', String(sequence));
      messages.push(encoder.text(FORMAT_POLL));
      encoder.end();
    }
    const gaps = [
      gapText(FORMAT_POLL, { channel: 'b', cursor: 'e-20', lost: 'e-50' }),
      gapText(FORMAT_POLL, { cursor: 'e-0' }),
    ];
    const body = sent(encodePollAnswer(buffers, { cursor: 'e-99', messages, gaps }, true)).split('\r\n\r\n')[1]!;
    assert.deepEqual(JSON.parse(body), {
      cursor: 'e-99',
      messages: [60, 70].map((n) => ({ channel: 'a', cursor: `e-${n}`, data: `${n}`, time: 1700000000000 })),
      gap: [{ channel: 'b', cursor: 'e-20', lost: 'e-50' }, { cursor: 'e-0' }],
    });
    const empty = sent(encodePollAnswer(buffers, { cursor: 'e-99', messages: [], gaps: [] }, false));
    assert.match(empty, /\r\nETag: "e-99"\r\nContent-Length: 31\r\n\r\n\{"cursor":"e-99","messages":\[\]\}$/);
  });

  test('texts of several events are sent as one', () => {
    begin(1, KIND_TEXT, 'a', 'ü');
    const text = encoder.text(FORMAT_SSE_RAW) + gapText(FORMAT_SSE_RAW, { cursor: 'e-2' });
    const handle = encodeText(buffers, text);
    assert.equal(sent(handle), text);
    encoder.end();
    buffers.release(handle);
    assert.equal(buffers.liveBytes, 0);
  });
});
