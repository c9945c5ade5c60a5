import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CURSOR_NOW, CURSOR_START, Cursor } from '../cursor.js';
import {
  parseClientMessage,
  pongAnswer,
  publishedAnswer,
  refusedAnswer,
  subscribedAnswer,
  unsubscribedAnswer,
} from './messages.js';

const cursor = new Cursor();
const parse = (message: unknown) =>
  parseClientMessage(
    typeof message === 'string' ? message : JSON.stringify(message),
    cursor,
    (name) => name === 'open',
  );

/** Code, field and mark of a refused message. */
function refusal(message: unknown): string {
  const parsed = parse(message);
  assert.equal(parsed.type, 'error', JSON.stringify(parsed));
  assert.ok(parsed.type === 'error');
  return `${parsed.refusal.code} ${parsed.refusal.field ?? '-'} ${parsed.ref}`;
}

test('a client subscribes to one channel or to several, from where it says', () => {
  assert.deepEqual(parse({ type: 'subscribe', channel: 'a' }), { type: 'subscribe', channels: ['a'], ref: '' });
  assert.equal(cursor.position, CURSOR_NOW);
  assert.deepEqual(parse({ type: 'subscribe', channels: ['b', 'ü', 'b'], after: 'e-7', ref: 'x"' }), {
    type: 'subscribe',
    channels: ['b', 'ü'],
    ref: '"x\\""',
  });
  assert.equal(cursor.position, 7);
  parse({ type: 'subscribe', channel: 'a', after: 'start' });
  assert.equal(cursor.position, CURSOR_START);
  parse({ type: 'subscribe', channel: 'a' });
  assert.equal(cursor.position, CURSOR_NOW);
});

test('a client unsubscribes, publishes and asks for a sign of life', () => {
  assert.deepEqual(parse({ type: 'unsubscribe', channels: ['a'], ref: -1 }), {
    type: 'unsubscribe',
    channels: ['a'],
    ref: '-1',
  });
  assert.deepEqual(parse({ type: 'ping', ref: 0 }), { type: 'ping', ref: '0' });
  const published = parse({ type: 'publish', channel: 'open', data: [1], id: 'i', ref: '' });
  assert.ok(published.type === 'publish');
  assert.equal(published.ref, '""');
  assert.equal(published.publication.data.toString(), '[1]');
  assert.equal(published.publication.id, 'i');
});

test('what cannot be understood is refused, with the mark where there is one', () => {
  for (const [message, expected] of [
    ['', 'invalid - '],
    ['{', 'invalid - '],
    ['[]', 'invalid - '],
    ['null', 'invalid - '],
    ['"subscribe"', 'invalid - '],
    [{}, 'invalid type '],
    [{ type: 'x', ref: 1 }, 'invalid type 1'],
    [{ type: ['ping'] }, 'invalid type '],
    [{ type: 'toString' }, 'invalid type '],
    [{ type: '__proto__' }, 'invalid type '],
    [{ type: 'ping', ref: 1.5 }, 'invalid ref '],
    [{ type: 'ping', ref: null }, 'invalid ref '],
    [{ type: 'ping', ref: {} }, 'invalid ref '],
    [{ type: 'ping', ref: 'x'.repeat(65) }, 'invalid ref '],
    [{ type: 'ping', channel: 'a' }, 'invalid channel '],
    [{ type: 'subscribe', ref: 1 }, 'invalid channel 1'],
    [{ type: 'subscribe', channel: 'a', channels: ['b'] }, 'invalid channel '],
    [{ type: 'subscribe', channel: ['a'] }, 'invalid channel '],
    [{ type: 'subscribe', channels: [] }, 'invalid channels '],
    [{ type: 'subscribe', channels: 'a' }, 'invalid channels '],
    [{ type: 'subscribe', channels: ['a', '\n'] }, 'invalid channels '],
    [{ type: 'subscribe', channels: ['a', 1] }, 'invalid channels '],
    [{ type: 'subscribe', channels: Array(1025).fill('a') }, 'too_many_channels channels '],
    [{ type: 'subscribe', channel: 'a', after: 7 }, 'invalid after '],
    [{ type: 'subscribe', channel: 'a', after: 'e' }, 'invalid after '],
    [{ type: 'subscribe', channel: 'a', after: null }, 'invalid after '],
    [{ type: 'unsubscribe', channel: 'a', after: 'e-1' }, 'invalid after '],
    [{ type: 'publish', channel: 'open', ref: 2 }, 'invalid data 2'],
    [{ type: 'publish', channel: 'shut', data: 1, ref: 2 }, 'forbidden channel 2'],
  ] as const) {
    assert.equal(refusal(message), expected, JSON.stringify(message).slice(0, 80));
  }
});

test('answers are JSON with the mark of their request', () => {
  assert.equal(
    subscribedAnswer(['a', '"'], 'e-7', '"r"'),
    '{"type":"subscribed","channels":["a","\\""],"cursor":"e-7","ref":"r"}',
  );
  assert.equal(unsubscribedAnswer(['a'], ''), '{"type":"unsubscribed","channels":["a"]}');
  assert.equal(publishedAnswer('e-7', false, '1'), '{"type":"published","cursor":"e-7","ref":1}');
  assert.equal(publishedAnswer('e-7', true, ''), '{"type":"published","cursor":"e-7","duplicate":true}');
  assert.equal(pongAnswer(''), '{"type":"pong"}');
  assert.equal(
    refusedAnswer({ code: 'invalid', message: '"' }, '1'),
    '{"type":"error","code":"invalid","message":"\\"","ref":1}',
  );
});

test('any JSON is understood or refused, and a mark comes back as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.oneof(fc.string({ maxLength: 64 }), fc.integer()), (value, ref) => {
      assert.ok(['error', 'ping', 'subscribe', 'unsubscribe', 'publish'].includes(parse(JSON.stringify(value)).type));
      const pong = JSON.parse(pongAnswer(parse({ type: 'ping', ref }).ref));
      assert.deepEqual(pong, { type: 'pong', ref });
    }),
    { numRuns: 200 },
  );
});
