import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Block, makeBlockReader } from './event-stream.js';

const STREAM =
  'retry: 2713\n\n' +
  'id: e-19\ndata: {"channel":"news","data":"a: b","time":1}\n\n' +
  ':\n\n' +
  'event: gap\nid: e-19\ndata: {"channel":"alice","cursor":"e-19","lost":"e-50"}\n\n' +
  'event: subscribed\nid: e-52\ndata: {"cursor":"e-52"}\n\n' +
  'id: e-53\ndata: {"channel":"ü","data":"half of it';

const BLOCKS = [
  { retry: '2713' },
  { id: 'e-19', data: '{"channel":"news","data":"a: b","time":1}' },
  { '': '' },
  { event: 'gap', id: 'e-19', data: '{"channel":"alice","cursor":"e-19","lost":"e-50"}' },
  { event: 'subscribed', id: 'e-52', data: '{"cursor":"e-52"}' },
];

test('blocks are read when they are whole, wherever the text is split', () => {
  for (let at = 0; at <= STREAM.length; at++) {
    for (const step of [0, 1, 7]) {
      const blocks: Block[] = [];
      const read = makeBlockReader((block) => blocks.push(block));
      read(STREAM.slice(0, at));
      read(STREAM.slice(at, at + step));
      read(STREAM.slice(at + step));
      assert.deepEqual(blocks, BLOCKS, `split at ${at} and ${at + step}`);
    }
  }
});
