import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventParser } from './event-parser.js';

const STREAM =
  'event: history\ndata: {"a":1}\n\n:\n\nid: e-7\nevent: message\ndata: one\ndata:two\n\ndata: three\n\nid: e-9\n\n';

const EXPECTED = [
  { name: 'history', data: '{"a":1}', id: null },
  { name: 'message', data: 'one\ntwo', id: 'e-7' },
  { name: 'message', data: 'three', id: null },
];

test('events come out whole, comments and events without data do not', () => {
  assert.deepEqual(new EventParser().push(STREAM), EXPECTED);
});

test('wherever the stream is cut, the events are the same', () => {
  for (let at = 0; at <= STREAM.length; at++) {
    const parser = new EventParser();
    const events = [...parser.push(STREAM.slice(0, at)), ...parser.push(STREAM.slice(at))];
    assert.deepEqual(events, EXPECTED, `cut at ${at}`);
  }
});
