import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Book, ChannelLedger, Follower } from './ledger.js';

describe('the ledger of the soak', () => {
  let book: Book;
  let ledger: ChannelLedger;
  let follower: Follower;

  const start = (keeps?: number) => {
    book = new Book();
    ledger = new ChannelLedger('c', keeps);
    follower = new Follower(book, ledger, 'one');
  };
  /** Publishes some numbers more, which are acknowledged at ten times the number. */
  const publish = (count: number) => {
    for (let i = 0; i < count; i++) {
      const number = ledger.next();
      ledger.sequences[number] = 10 * number;
    }
  };
  const judge = (): string => {
    follower.judge();
    book.judgeClaims();
    return book.errors.map((error) => error.replace('one, channel c: ', '')).join('; ');
  };

  beforeEach(() => start());

  test('is content with everything once and in order', () => {
    publish(3);
    for (const number of [1, 2, 3]) follower.got(number, 10 * number);
    assert.equal(follower.complete, true);
    assert.deepEqual([judge(), book.delivered, book.missing], ['', 3, 0]);
  });

  test('finds what is missing in the middle and at the end', () => {
    publish(4);
    follower.got(1, 10);
    follower.got(3, 30);
    assert.equal(follower.complete, false);
    assert.equal(judge(), 'number 2 is missing, acknowledged at 20; number 4 is missing, acknowledged at 40');
    assert.equal(book.missing, 2);
  });

  test('finds what comes twice, in disorder, at two places, or was never published', () => {
    publish(2);
    follower.got(2, 20);
    follower.got(1, 10);
    follower.got(2, 25);
    follower.got(3, 30);
    const found = judge();
    assert.match(found, /number 1 after 2, though/);
    assert.match(found, /number 2 has two sequences, 20 and 25; number 2 after 2/);
    assert.match(found, /number 3, which was never published/);
  });

  test('excuses what a gap covers, also where its acknowledgement came later', () => {
    start(2);
    publish(2);
    const numbers = [ledger.next(), ledger.next(), ledger.next()];
    follower.lost(30);
    assert.equal(follower.complete, false);
    follower.got(4, 40);
    follower.got(5, 50);
    for (const number of numbers) ledger.sequences[number] = 10 * number;
    assert.deepEqual([judge(), book.lostInGaps, book.missing], ['', 2, 0]);
  });

  test('does not excuse what comes above a gap, nor a gap that retention cannot have made', () => {
    start(3);
    publish(4);
    follower.lost(20);
    follower.got(4, 40);
    const found = judge();
    assert.match(found, /number 3 is missing, acknowledged at 30/);
    assert.match(found, /a gap at 20, though only 2 of 3 came since/);
    start();
    publish(2);
    follower.lost(10);
    follower.got(2, 20);
    assert.match(judge(), /a gap at 10, where nothing is dropped/);
  });

  test('excuses what a gap reaches to also when something of it comes, but nothing above', () => {
    start(1);
    publish(5);
    follower.got(1, 10);
    follower.lost(40);
    follower.got(3, 30);
    follower.got(5, 50);
    assert.deepEqual([judge(), book.lostInGaps, book.missing], ['', 2, 0]);
  });

  test('does not miss what was dropped before it began', () => {
    start(2);
    publish(5);
    follower.begin();
    follower.got(4, 40);
    follower.got(5, 50);
    assert.deepEqual([judge(), book.missing], ['', 0]);
    start(2);
    publish(5);
    follower.begin();
    follower.got(5, 50);
    assert.match(judge(), /number 4 is missing/);
  });

  test('lets a publication that was given up be or not be, but for all alike', () => {
    publish(1);
    const number = ledger.next();
    ledger.givenUp.set(number, false);
    publish(1);
    const other = new Follower(book, ledger, 'other');
    for (const each of [follower, other]) each.got(1, 10);
    follower.got(3, 30);
    assert.deepEqual([judge(), follower.complete], ['', true]);
    other.got(2, 20);
    other.got(3, 30);
    assert.equal(judge(), 'number 2 is missing, which others got');
  });

  test('counts gaps in which nothing was lost', () => {
    start(1);
    publish(2);
    follower.got(1, 10);
    follower.lost(10);
    follower.got(2, 20);
    assert.deepEqual([judge(), book.idleGaps], ['', 1]);
  });
});
