import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KIND_JSON, KIND_RAW, KIND_TEXT } from '../link/frames.js';
import {
  dataJson,
  FORMAT_POLL,
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM,
  FORMAT_STREAM_CHUNKED,
  FORMAT_WEBSOCKET,
  gapText,
  messageText,
  rawEvent,
  subscribedText,
} from './formats.js';

const parts = (kind: number, data: string | Buffer, channel = 'a') => ({
  cursor: 'e-7',
  channel: JSON.stringify(channel),
  data: dataJson(kind, Buffer.from(data as string)),
  timeMs: 1700000000000,
});

interface StreamEvent {
  type: string;
  data: string;
  lastEventId: string;
}

/** What an EventSource makes of a stream (HTML standard, section 9.2.6), and the id that it remembers. */
function eventsOf(stream: string): { events: StreamEvent[]; lastEventId: string } {
  const events: StreamEvent[] = [];
  let [type, data, id, lastEventId] = ['', '', '', ''];
  for (const line of stream.split(/\r\n|\r|\n/).slice(0, -1)) {
    const colon = line.indexOf(':');
    if (line === '') {
      lastEventId = id;
      if (data !== '') events.push({ type: type || 'message', data: data.slice(0, -1), lastEventId });
      [type, data] = ['', ''];
    } else if (colon !== 0) {
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') data += `${value}\n`;
      else if (field === 'event') type = value;
      else if (field === 'id' && !value.includes('\0')) id = value;
    }
  }
  return { events, lastEventId };
}

test('a message in each format', () => {
  const message = parts(KIND_JSON, '{"b":1}');
  const json = '{"type":"message","channel":"a","cursor":"e-7","data":{"b":1},"time":1700000000000}';
  assert.equal(
    messageText(FORMAT_SSE, message),
    'id: e-7\ndata: {"channel":"a","data":{"b":1},"time":1700000000000}\n\n',
  );
  assert.equal(messageText(FORMAT_STREAM, message), `${json}\n`);
  assert.equal(messageText(FORMAT_STREAM_CHUNKED, message), `${(json.length + 1).toString(16)}\r\n${json}\n\r\n`);
  assert.equal(messageText(FORMAT_WEBSOCKET, message), json);
  assert.equal(messageText(FORMAT_POLL, message), '{"channel":"a","cursor":"e-7","data":{"b":1},"time":1700000000000}');
  assert.equal(rawEvent('e-7', Buffer.from('{"b":1}')), 'id: e-7\ndata: {"b":1}\n\n');
});

test('a gap in each format, of one channel and of all', () => {
  const one = { channel: 'b', cursor: 'e-5', lost: 'e-9' };
  const all = { cursor: 'e-0' };
  const json = '"channel":"b","cursor":"e-5","lost":"e-9"';
  assert.equal(gapText(FORMAT_SSE, one), `event: gap\nid: e-5\ndata: {${json}}\n\n`);
  assert.equal(gapText(FORMAT_SSE_RAW, all), 'event: gap\nid: e-0\ndata: {"cursor":"e-0"}\n\n');
  assert.equal(gapText(FORMAT_STREAM, one), `{"type":"gap",${json}}\n`);
  assert.equal(gapText(FORMAT_STREAM_CHUNKED, all), '1e\r\n{"type":"gap","cursor":"e-0"}\n\r\n');
  assert.equal(gapText(FORMAT_WEBSOCKET, { ...one, channel: '"' }), `{"type":"gap",${json.replace('"b"', '"\\""')}}`);
  assert.equal(gapText(FORMAT_POLL, one), `{${json}}`);
});

test('being live is no message of an event stream, which remembers the cursor', () => {
  for (const format of [FORMAT_SSE, FORMAT_SSE_RAW]) {
    const { events, lastEventId } = eventsOf(subscribedText(format, 'e-9'));
    assert.deepEqual(events, [{ type: 'subscribed', data: '{"cursor":"e-9"}', lastEventId: 'e-9' }]);
    assert.equal(lastEventId, 'e-9');
  }
  assert.equal(subscribedText(FORMAT_WEBSOCKET, 'e-9'), '{"type":"subscribed","cursor":"e-9"}');
  assert.equal(subscribedText(FORMAT_STREAM, 'e-9'), '{"type":"subscribed","cursor":"e-9"}\n');
});

test('a chunk counts bytes, not characters', () => {
  const text = messageText(FORMAT_STREAM_CHUNKED, parts(KIND_TEXT, 'ü\u{1f600}'));
  const [size, line] = text.split('\r\n') as [string, string];
  assert.equal(Number.parseInt(size, 16), Buffer.byteLength(line));
});

test('text and bytes are JSON strings, JSON stays what it is', () => {
  assert.equal(dataJson(KIND_TEXT, Buffer.from('{"a":1}')), '"{\\"a\\":1}"');
  assert.equal(dataJson(KIND_RAW, Buffer.from('[1]')), '"[1]"');
  assert.equal(dataJson(KIND_RAW, Buffer.from([0x61, 0xff, 0xc3])), '"a\ufffd\ufffd"');
  assert.equal(dataJson(KIND_TEXT, Buffer.alloc(0)), '""');
  assert.equal(dataJson(KIND_JSON, Buffer.from('{"a":"\u2028"}')), '{"a":"\u2028"}');
});

test('JSON on several lines means the same on one', () => {
  const value = { a: [1, { b: 'c' }], d: '\n' };
  const pretty = JSON.stringify(value, null, '\r\n  ');
  assert.deepEqual(JSON.parse(dataJson(KIND_JSON, Buffer.from(pretty))), value);
  assert.doesNotMatch(dataJson(KIND_JSON, Buffer.from(pretty)), /[\r\n]/);
});

const INJECTIONS = [
  '\n\nevent: gap\nid: e-999\ndata: {}\n\n',
  'x\r\rdata: y',
  '\r\n\r\nid: e-999\r\n\r\n',
  '\n',
  '\r',
  '\n\n',
  'id: e-999',
  ':\nretry: 1\n',
  '\0\nid: \0',
  '"}\n{"type":"gap"}\n',
  '\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n',
  '\ufeffdata: x',
  '\u2028\u2029\x85\v\f',
];

const data = fc.oneof(
  fc.constantFrom(...INJECTIONS),
  fc
    .array(fc.constantFrom('\r', '\n', '\r\n', 'data:', 'id: x', ': ', ' ', 'a', '"', '\\', '\0', 'ü', '\ufeff'), {
      maxLength: 12,
    })
    .map((words) => words.join('')),
  fc.string({ unit: 'binary', maxLength: 30 }),
);
const name = fc.oneof(
  fc.constantFrom('a', '"', '\\', 'ü', "'", '</script>'),
  fc.string({ unit: 'grapheme', minLength: 1 }),
);

test('no text of a publisher ends an event or a line, or begins another', () => {
  fc.assert(
    fc.property(data, name, fc.constantFrom(KIND_TEXT, KIND_RAW), (text, channel, kind) => {
      const message = parts(kind, text, channel);
      const { events, lastEventId } = eventsOf(messageText(FORMAT_SSE, message));
      assert.equal(lastEventId, 'e-7');
      assert.equal(events.length, 1);
      assert.equal(events[0]!.type, 'message');
      const expected = { channel, data: text, time: 1700000000000 };
      assert.deepEqual(JSON.parse(events[0]!.data), expected);

      const line = messageText(FORMAT_STREAM, message);
      assert.equal(line.indexOf('\n'), line.length - 1);
      assert.equal(line.indexOf('\r'), -1);
      assert.deepEqual(JSON.parse(line).data, text);
      assert.equal(JSON.parse(messageText(FORMAT_WEBSOCKET, message)).data, text);
      assert.equal(JSON.parse(messageText(FORMAT_POLL, message)).data, text);
    }),
    { numRuns: 500 },
  );
});

test('raw data arrives as it was, but for the ends of its lines', () => {
  fc.assert(
    fc.property(data, (text) => {
      const { events, lastEventId } = eventsOf(rawEvent('e-7', Buffer.from(text)));
      const received = text.replace(/\r\n|\r/g, '\n');
      assert.deepEqual(events, [{ type: 'message', data: received, lastEventId: 'e-7' }]);
      assert.equal(lastEventId, 'e-7');
    }),
    { numRuns: 500 },
  );
});

test('what claims to be JSON cannot end a line either', () => {
  for (const text of INJECTIONS) {
    const message = parts(KIND_JSON, text);
    assert.doesNotMatch(messageText(FORMAT_WEBSOCKET, message), /[\r\n]/);
    assert.equal(messageText(FORMAT_STREAM, message).indexOf('\n'), messageText(FORMAT_STREAM, message).length - 1);
    assert.equal(eventsOf(messageText(FORMAT_SSE, message)).events.length, 1);
    assert.equal(eventsOf(rawEvent('e-7', Buffer.from(text))).events.length, 1);
  }
});
