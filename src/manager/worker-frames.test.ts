import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CHANGE_CHANNELS_MAX } from '../link/client-changes.js';
import { LinkError, readAddressCounts, readClientChanges, readTokens } from './worker-frames.js';

type Reader = (bytes: Uint8Array, start: number, end: number) => unknown;

function read(reader: Reader, value: unknown): unknown {
  const json = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  return reader(Buffer.concat([Buffer.from('xx'), json, Buffer.from('yy')]), 2, 2 + json.length);
}

function refuses(reader: Reader, values: readonly unknown[]): void {
  for (const value of values) assert.throws(() => read(reader, value), LinkError, JSON.stringify(value));
}

describe('frames of workers', () => {
  test('EVENTS: changes of clients, or of all that there are', () => {
    const changes = [
      [1, 'alice', 'news', 'chat'],
      [-1, 'bob'],
    ];
    assert.deepEqual(read(readClientChanges, { changes }), { changes });
    assert.deepEqual(read(readClientChanges, { all: 'begin', changes: [] }), { all: 'begin', changes: [] });
    refuses(readClientChanges, [
      '',
      '[]',
      {},
      { changes: {} },
      { all: 'some', changes: [] },
      { changes: [[2, 'alice']] },
      { changes: [[1]] },
      { changes: [[1, 7]] },
      { changes: [[1, 'alice', null]] },
      { changes: [[1, 'alice', ...Array<string>(CHANGE_CHANNELS_MAX + 1).fill('a')]] },
    ]);
  });

  test('ADDRESSES: connections by address', () => {
    const counts = [
      ['ffffffffc0000201', 3],
      ['20010db800000000', 0],
    ];
    assert.deepEqual(read(readAddressCounts, counts), counts);
    refuses(readAddressCounts, ['{', {}, [['192.0.2.1', 3]], [['ffffffffc0000201']], [['ffffffffc0000201', -1]]]);
    refuses(readAddressCounts, [[['ffffffffc0000201', 1.5]], [['ffffffffc0000201', 1, 2]], [null]]);
  });

  test('WANTED: a number of tokens, one at least', () => {
    assert.equal(read(readTokens, { tokens: 7 }), 7);
    refuses(readTokens, ['7', {}, { tokens: 0 }, { tokens: -1 }, { tokens: 1.5 }, { tokens: '7' }]);
  });
});
