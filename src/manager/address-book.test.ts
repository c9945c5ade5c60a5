import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { AddressCounts } from '../link/frames.js';
import { AddressBook } from './address-book.js';

const A = '00000000c0000201';
const B = '00000000c0000202';

describe('connections of addresses over all workers', () => {
  let book: AddressBook;
  let told: AddressCounts[];

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    told = [[], [], []];
    const takers = new Map(
      told.map((list, worker) => [worker, { elsewhere: (c: AddressCounts) => void list.push(...c) }]),
    );
    book = new AddressBook(takers);
  });

  afterEach(() => mock.timers.reset());

  const collected = (): AddressCounts[] => {
    mock.timers.tick(1000);
    return told.map((list) => list.splice(0));
  };

  test('each worker hears what the others have together', () => {
    book.reported(0, [[A, 5]]);
    book.reported(1, [
      [A, 2],
      [B, 1],
    ]);
    assert.deepEqual(collected(), [
      [
        [A, 2],
        [B, 1],
      ],
      [
        [A, 5],
        [B, 0],
      ],
      [
        [A, 7],
        [B, 1],
      ],
    ]);
  });

  test('an address that nobody has any more is told once more, and forgotten', () => {
    book.reported(0, [[A, 5]]);
    collected();
    book.reported(0, [[A, 0]]);
    assert.deepEqual(collected(), [[[A, 0]], [[A, 0]], [[A, 0]]]);
    assert.equal(book.size, 0);
    assert.deepEqual(collected(), [[], [], []]);
  });

  test('what a worker had that is gone counts no more', () => {
    book.reported(0, [[A, 5]]);
    book.reported(1, [[A, 3]]);
    collected();
    book.workerLeft(0);
    assert.deepEqual(collected()[2], [[A, 3]]);
    assert.equal(book.size, 1);
  });
});
