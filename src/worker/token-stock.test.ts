import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { TokenStock } from './token-stock.js';

describe('a stock of tokens', () => {
  let stock: TokenStock;

  beforeEach(() => {
    stock = new TokenStock();
    stock.size = 10;
  });

  /** How many can be taken at this time. */
  const takeAll = (nowMs: number): number => {
    let taken = 0;
    while (stock.take(nowMs)) taken++;
    return taken;
  };

  test('is full at first, and fills by itself up to its size', () => {
    assert.equal(takeAll(0), 10);
    assert.equal(takeAll(500), 5);
    assert.equal(takeAll(60_000), 10);
    assert.equal(stock.wanted(), 0, 'nobody is asked');
  });

  test('that is leased is filled by the manager alone, who is asked when half is gone', () => {
    stock.isLeased = true;
    for (let i = 0; i < 4; i++) stock.take(0);
    assert.equal(stock.wanted(), 0);
    stock.take(0);
    assert.equal(stock.wanted(), 5);
    assert.equal(stock.wanted(), 0, 'it has been asked');
    assert.equal(takeAll(60_000), 5);
    stock.granted(2);
    assert.equal(takeAll(60_000), 2);
    assert.equal(stock.wanted(), 7);
    stock.granted(100);
    assert.equal(takeAll(60_000), 10);
  });

  test('without its manager fills by itself again, and asks anew when there is one', () => {
    stock.isLeased = true;
    takeAll(0);
    stock.wanted();
    stock.isLeased = false;
    assert.equal(takeAll(1000), 0, 'time counts from here');
    assert.equal(takeAll(2000), 10);
    stock.isLeased = true;
    assert.equal(stock.wanted(), 10);
  });

  test('of another size is full, whatever was asked for', () => {
    stock.isLeased = true;
    takeAll(0);
    stock.wanted();
    stock.size = 0.5;
    assert.equal(takeAll(0), 1);
    assert.equal(stock.wanted(), 1);
    stock.size = 0;
    assert.equal(stock.wanted(), 0);
  });
});
