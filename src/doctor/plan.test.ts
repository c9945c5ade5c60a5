import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { descriptorsNeeded, makePlan, messagesUnderWay, ringsNeeded } from './plan.js';
import { fakeReading, NO_IO_URING } from './testing/fake-reading.js';

const request = { connections: 1_000_000, reactor: 'auto', loopback: false } as const;

describe('a plan', () => {
  it('uses io_uring where it is usable, with a worker a core', () => {
    const plan = makePlan(request, fakeReading());
    assert.equal(plan.backend, 'io-uring');
    assert.equal(plan.workers, 4);
    assert.equal(plan.perWorker, 250_000);
  });

  it('uses epoll where io_uring is not usable or not wanted, with as many workers as descriptors ask for', () => {
    const descriptors = { soft: 1024, hard: 20_064 };
    for (const plan of [
      makePlan(request, fakeReading({ descriptors, ioUring: NO_IO_URING })),
      makePlan({ ...request, reactor: 'epoll' }, fakeReading({ descriptors })),
    ]) {
      assert.equal(plan.backend, 'epoll');
      assert.equal(plan.workers, 50);
    }
  });

  it('keeps the number of workers that was asked for', () => {
    assert.equal(makePlan({ ...request, workers: 3 }, fakeReading()).perWorker, 333_334);
  });
});

describe('rings', () => {
  it('have a power of two of places, within 16,384 and what RLIMIT_NOFILE leaves beside listeners', () => {
    assert.equal(ringsNeeded(524_288, 20_000), 32);
    assert.equal(ringsNeeded(524_288, 1_000_000), 32);
    assert.equal(ringsNeeded(10_000, 1024), 20);
    assert.equal(ringsNeeded(10_000, 1024 + 16), 10);
    assert.equal(ringsNeeded(10_000, 2048 + 15), 10);
  });

  it('are few enough for the descriptors that they need themselves', () => {
    for (const connections of [1, 1000, 20_000, 250_000, 1_048_576]) {
      const plan = makePlan({ ...request, connections, workers: 1 }, fakeReading());
      const limit = descriptorsNeeded(plan);
      assert(ringsNeeded(connections, limit) + 64 <= limit, `${connections} connections, RLIMIT_NOFILE ${limit}`);
    }
    const plan = makePlan({ ...request, connections: 524_288, workers: 1 }, fakeReading());
    assert.equal(descriptorsNeeded(plan), 1024 + 16);
  });
});

describe('messages under way', () => {
  it('are as many as workers send within a round trip, or all', () => {
    assert.equal(messagesUnderWay(makePlan({ ...request, workers: 2 }, fakeReading())), 50_000);
    assert.equal(messagesUnderWay(makePlan({ ...request, workers: 2, connections: 300 }, fakeReading())), 300);
  });
});
