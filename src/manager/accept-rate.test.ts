import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { OPEN_POLICY } from '../link/policy.js';
import { AcceptRate } from './accept-rate.js';
import { Policies } from './policies.js';

describe('the rate of new clients over all workers', () => {
  let policies: Policies;
  let rate: AcceptRate;
  let granted: number[];
  let nowMs: number;

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    granted = [0, 0];
    nowMs = 0;
    policies = new Policies({ ...OPEN_POLICY, acceptRate: 100 });
    const takers = new Map(
      granted.map((_, worker) => [worker, { granted: (n: number) => void (granted[worker]! += n) }]),
    );
    rate = new AcceptRate(takers, policies, () => nowMs);
  });

  afterEach(() => {
    rate.close();
    mock.timers.reset();
  });

  const pass = (ms: number) => {
    for (const end = nowMs + ms; nowMs < end; ) {
      nowMs += 20;
      mock.timers.tick(20);
    }
  };

  test('one worker alone may have all of it', () => {
    for (let i = 0; i < 50; i++) {
      rate.wanted(0, 10);
      pass(20);
    }
    assert(granted[0]! >= 95 && granted[0]! <= 100, String(granted[0]));
  });

  test('several have it together, in turn', () => {
    rate.wanted(0, 1000);
    rate.wanted(1, 1000);
    pass(1000);
    const [one, other] = granted;
    assert(one! + other! >= 95 && one! + other! <= 100, granted.join());
    assert(Math.abs(one! - other!) <= 5, granted.join());
  });

  test('what is wanted is granted later, without being asked for again, and no more than that', () => {
    rate.wanted(0, 5);
    assert.deepEqual(granted, [0, 0]);
    pass(1000);
    assert.deepEqual(granted, [5, 0]);
  });

  test('nobody collects more than a quarter of a second', () => {
    pass(60_000);
    rate.wanted(0, 1000);
    assert.deepEqual(granted, [25, 0]);
  });

  test('a rate below one a second grants one at some time', () => {
    policies.change({ acceptRate: 0.5 });
    rate.wanted(0, 1);
    pass(1800);
    assert.deepEqual(granted, [0, 0]);
    pass(400);
    assert.deepEqual(granted, [1, 0]);
  });

  test('another rate makes void what was asked for, and none grants nothing', () => {
    rate.wanted(0, 1000);
    policies.change({ acceptRate: 0 });
    pass(1000);
    rate.wanted(1, 10);
    pass(1000);
    assert.deepEqual(granted, [0, 0]);
  });

  test('a worker that has left gets nothing', () => {
    rate.wanted(0, 10);
    rate.workerLeft(0);
    rate.wanted(1, 10);
    pass(1000);
    assert.deepEqual(granted, [0, 10]);
  });
});
