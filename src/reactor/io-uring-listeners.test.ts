import assert from 'node:assert/strict';
import net from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { EAGAIN, ENFILE } from '../linux/errno.js';
import { IORING_ACCEPT_DONTWAIT, IORING_ACCEPT_POLL_FIRST } from '../linux/io-uring.js';
import { accept4 } from '../linux/libc.js';
import { acceptQueueLength, closeDescriptor, openListener } from '../linux/sockets.js';
import { nodeUntil } from './contract-harness.js';
import { IoUringListeners } from './io-uring-listeners.js';
import { probeIoUring } from './io-uring-probe.js';
import { Rings } from './io-uring-rings.js';
import type { ReactorEvents } from './reactor.js';

const WAIT = IORING_ACCEPT_POLL_FIRST;
const BATCH = IORING_ACCEPT_DONTWAIT;

/** The listeners with a real queue of clients; the test completes the accepts. */
describe('listeners over io_uring', { skip: probeIoUring() ?? false }, () => {
  let rings: Rings;
  let told: string[];
  /** Accepts that were submitted: how, and into which slot. */
  let submitted: [how: number, slot: number][];
  let clients: net.Socket[];
  let fd: number;
  let port: number;

  beforeEach(() => {
    rings = new Rings({ capacity: 100, slotsPerRing: 64, submissions: 64, completions: 128 });
    told = [];
    submitted = [];
    clients = [];
    ({ fd, port } = openListener({ host: '127.0.0.1', port: 0 }));
  });

  afterEach(() => {
    for (const client of clients) client.destroy();
    rings.destroy();
  });

  function make(): IoUringListeners {
    const events = {
      acceptingStopped: (errno: number) => told.push(`stopped ${errno}`),
      acceptingResumed: () => told.push('resumed'),
    } as Partial<ReactorEvents> as ReactorEvents;
    const owner = {
      submitAccept: (slot: number, _fd: number, _listener: number, how: number) => submitted.push([how, slot]),
      returnSlot: (slot: number) => rings.release(slot),
      acceptedInto: () => told.push('accepted'),
    };
    const listeners = new IoUringListeners(owner, events, rings);
    listeners.add(fd);
    return listeners;
  }

  /** Lets so many more clients wait in the queue. */
  async function queue(count: number): Promise<void> {
    const length = acceptQueueLength(fd) + count;
    for (let i = 0; i < count; i++) clients.push(net.connect(port, '127.0.0.1').on('error', () => {}));
    await nodeUntil('all clients are queued', () => acceptQueueLength(fd) === length);
  }

  const takeSubmitted = (): [number, number][] => submitted.splice(0);

  test('one accept waits; a batch as long as the queue follows when there are more', async () => {
    const listeners = make();
    listeners.submit(false);
    const [[how, slot], ...others] = takeSubmitted();
    assert.equal(how, WAIT);
    assert.deepEqual(others, []);

    await queue(5);
    listeners.completed(slot, 0, 0, true);
    assert(listeners.more);
    listeners.submit(false);
    const batch = takeSubmitted();
    assert.deepEqual(
      batch.map(([h]) => h),
      Array(5).fill(BATCH),
    );
    for (const [i, [, s]] of batch.entries()) listeners.completed(s, 0, 0, i < 4);
    assert.equal(listeners.more, false);
    listeners.submit(false);
    assert.deepEqual(
      takeSubmitted().map(([h]) => h),
      [WAIT],
    );
    assert.equal(rings.free, 100 - 7, 'six clients and the accept that waits');
    listeners.destroy();
  });

  test('no batch follows while requests wait to be read', async () => {
    const listeners = make();
    listeners.submit(false);
    const [[, slot]] = takeSubmitted();
    await queue(2);
    listeners.completed(slot, 0, 0, true);
    listeners.submit(true);
    assert.deepEqual(takeSubmitted(), []);
    listeners.submit(false);
    assert.equal(takeSubmitted().length, 2);
    listeners.destroy();
  });

  test('a batch that others who share the listener were quicker than gives its slots back', async () => {
    const listeners = make();
    listeners.submit(false);
    const [[, slot]] = takeSubmitted();
    await queue(3);
    listeners.completed(slot, 0, 0, true);
    listeners.submit(false);
    for (const [, s] of takeSubmitted()) listeners.completed(s, 0, -EAGAIN, false);
    assert.equal(listeners.more, false);
    listeners.submit(false);
    assert.deepEqual(
      takeSubmitted().map(([h]) => h),
      [WAIT],
    );
    assert.equal(rings.free, 98);
    listeners.destroy();
  });

  test('of a long queue half is fetched without another look, and what others have taken is noticed', async () => {
    rings.destroy();
    rings = new Rings({ capacity: 500, slotsPerRing: 512, submissions: 64, completions: 128 });
    const listeners = make();
    const complete = (slots: [number, number][], last: number, more: boolean) => {
      for (const [i, [, s]] of slots.entries()) listeners.completed(s, 0, i < slots.length - 1 ? 0 : last, more);
    };
    const batch = () => {
      listeners.submit(false);
      return takeSubmitted();
    };
    const takeAllBut = (left: number) => {
      while (acceptQueueLength(fd) > left) closeDescriptor(accept4(fd, 0, 0, 0));
    };
    let slots = batch();
    await queue(300);
    complete(slots, 0, true);
    slots = batch();
    takeAllBut(3);
    for (const size of [64, 64]) {
      assert.equal(slots.length, size, 'half of 300 is sure');
      complete(slots, 0, true);
      slots = batch();
    }
    assert.equal(slots.length, 3, 'then it looks');
    await queue(297);
    complete(slots, 0, true);
    slots = batch();
    assert.equal(slots.length, 64);
    takeAllBut(2);
    complete(slots, -EAGAIN, true);
    slots = batch();
    assert.deepEqual(
      slots.map(([h]) => h),
      [WAIT],
      'nobody was there: one waits',
    );
    complete(slots, 0, true);
    assert.equal(batch().length, 2, 'it has looked again');
    listeners.destroy();
  });

  test('a batch is no larger than there are free slots, and the rest stays in the queue', async () => {
    const listeners = make();
    listeners.submit(false);
    const [[, slot]] = takeSubmitted();
    while (rings.free > 3) rings.allocate();
    await queue(5);
    listeners.completed(slot, 0, 0, true);
    listeners.submit(false);
    const batch = takeSubmitted();
    assert.equal(batch.length, 3);
    for (const [, s] of batch) listeners.completed(s, 0, 0, true);
    assert.deepEqual(told.splice(0), Array(4).fill('accepted'));
    listeners.submit(false);
    assert.deepEqual(takeSubmitted(), []);
    assert.deepEqual(told, ['stopped 0']);
    assert.equal(listeners.more, false, 'it does not try again and again');

    rings.release(batch[0][1]);
    listeners.connectionEnded();
    assert(listeners.more);
    listeners.submit(false);
    assert.equal(takeSubmitted().length, 1);
    listeners.destroy();
  });

  test('a look finds clients for whom nobody was woken', async () => {
    const listeners = make();
    listeners.submit(false);
    assert.equal(takeSubmitted().length, 1);
    await queue(4);
    listeners.look();
    listeners.submit(false);
    assert.deepEqual(
      takeSubmitted().map(([h]) => h),
      Array(4).fill(BATCH),
    );
    listeners.destroy();
  });

  test('an accept that fails for lack of resources stops accepting until a connection ends', () => {
    const listeners = make();
    listeners.submit(false);
    const [[, slot]] = takeSubmitted();
    listeners.completed(slot, 0, -ENFILE, false);
    assert.deepEqual(told.splice(0), [`stopped ${ENFILE}`], 'it is told once');
    assert.equal(rings.free, 100, 'no slot is lost');
    listeners.submit(false);
    assert.deepEqual(takeSubmitted(), [], 'it does not try at once');

    listeners.connectionEnded();
    listeners.submit(false);
    const [[, again]] = takeSubmitted();
    assert.deepEqual(told, [], 'whether there are resources again is not known yet');
    listeners.completed(again, 0, 0, false);
    assert.deepEqual(told.splice(0), ['resumed', 'accepted']);

    listeners.submit(false);
    listeners.completed(takeSubmitted()[0][1], 0, -ENFILE, false);
    assert.deepEqual(told.splice(0), [`stopped ${ENFILE}`], 'a second time is told again');
    listeners.destroy();
  });
});
