/** The queue against a simulated world of workers and clients: whatever happens, nothing is lost and order is kept. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KIND_RAW } from '../link/frames.js';
import type { Publication } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import { FanOut } from './fan-out.js';
import { createLogger } from './logger.js';
import { Publisher } from './publisher.js';
import { Queue, type QueueLink } from './queue.js';
import { Receipts } from './receipts.js';

/** The way of publications from a publisher to the queue; nobody subscribes to streams. */
function build(log: MemoryLog): { receipts: Receipts; queue: Queue; publisher: Publisher } {
  const logger = createLogger((line) => assert.fail(line));
  const receipts = new Receipts();
  const queue = new Queue(log, receipts, assert.ifError);
  const publisher = new Publisher({ log, queue, fanOut: new FanOut(receipts, log.last), receipts, logger });
  return { receipts, queue, publisher };
}

const CHANNELS = ['a', 'b', 'c'];

/** A worker as the link's contract has it: NOT_WAITING before DELIVERED, verdicts in the order of what was sent. */
class SimulatedWorker implements QueueLink {
  readonly number: number;
  readonly #queue: Queue;
  readonly #received: (channel: string, sequence: number) => void;
  readonly #waiting = new Map<string, number>();
  readonly #told: Publication[] = [];
  readonly #handedOut = new Set<number>();

  constructor(number: number, queue: Queue, received: (channel: string, sequence: number) => void) {
    this.number = number;
    this.#queue = queue;
    this.#received = received;
    queue.workerJoined(number, this);
  }

  deliver(publication: Publication): void {
    this.#told.push(publication);
  }

  poll(channel: string): void {
    this.#change(channel, 1);
  }

  leave(channel: string): void {
    if ((this.#waiting.get(channel) ?? 0) > 0) this.#change(channel, -1);
  }

  /** Works off the next DELIVER; `broken` has all its connections die with the message half-written. */
  work(broken: boolean): boolean {
    const publication = this.#told.shift();
    if (publication === undefined) return false;
    const { channel, sequence } = publication;
    const count = this.#waiting.get(channel) ?? 0;
    if (count > 0) this.#change(channel, -count);
    if (count > 0 && !broken) {
      assert.ok(!this.#handedOut.has(sequence), `${sequence} was handed out twice`);
      this.#handedOut.add(sequence);
      this.#received(channel, sequence);
    }
    this.#queue.delivered(this.number, sequence, broken ? 0 : count);
    return true;
  }

  waits(channel: string): boolean {
    return (this.#waiting.get(channel) ?? 0) > 0;
  }

  #change(channel: string, by: number): void {
    const before = this.#waiting.get(channel) ?? 0;
    const name = Buffer.from(channel);
    this.#waiting.set(channel, before + by);
    if (before === 0) this.#queue.waiting(this.number, name, 0, name.length);
    else if (before + by === 0) this.#queue.notWaiting(this.number, name, 0, name.length);
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ publish: fc.constantFrom(...CHANNELS) }) },
  { weight: 4, arbitrary: fc.record({ poll: fc.constantFrom(...CHANNELS), at: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ leave: fc.constantFrom(...CHANNELS), at: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ work: fc.nat(2), broken: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ die: fc.nat(2) }) },
);

test('no publication is lost, reordered or delivered again after its verdict, whatever workers and clients do', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const log = new MemoryLog({ seconds: 60, messages: 1000, bytes: 1 << 20, totalBytes: 1 << 26 });
      const { receipts: waiting, queue, publisher } = build(log);
      const received = new Map(CHANNELS.map((channel) => [channel, [] as number[]]));
      const published = new Map(CHANNELS.map((channel) => [channel, [] as number[]]));
      const receipts: Promise<unknown>[] = [];
      const note = (channel: string, sequence: number) => {
        const sequences = received.get(channel)!;
        const last = sequences.at(-1) ?? 0;
        assert.ok(sequence >= last, `${sequence} on ${channel} came after ${last}`);
        if (sequence > last) sequences.push(sequence);
      };
      const workers = [0, 1, 2].map((number) => new SimulatedWorker(number, queue, note));
      for (const action of steps) {
        if ('publish' in action) {
          const publication = { channel: action.publish, kind: KIND_RAW, data: Buffer.from('x') };
          receipts.push(publisher.publish([publication]));
          // Its continuation: the log has it at once.
          await Promise.resolve();
          published.get(action.publish)!.push(receipts.length);
        } else if ('poll' in action) workers[action.at]!.poll(action.poll);
        else if ('leave' in action) workers[action.at]!.leave(action.leave);
        else if ('work' in action) workers[action.work]!.work(action.broken);
        else {
          queue.workerLeft(action.die);
          workers[action.die] = new SimulatedWorker(action.die, queue, note);
        }
      }

      // When all is quiet, no channel has both a client that waits and a publication that it should have got.
      const settle = () => {
        while (workers.map((worker) => worker.work(false)).includes(true));
        for (const channel of CHANNELS) {
          if (log.oldestQueued(channel) === undefined) continue;
          assert.ok(!workers.some((worker) => worker.waits(channel)), `a client of ${channel} waits in vain`);
        }
        assert.equal(queue.inFlight, 0);
        assert.equal(waiting.size, 0);
      };
      settle();

      // Now every client polls again and nothing breaks: each poll must bring one publication of its channel.
      for (let round = 0; log.counters.queued > 0; round++) {
        assert.ok(round <= steps.length, `${log.counters.queued} publications are stuck`);
        for (const channel of CHANNELS) workers[0]!.poll(channel);
        settle();
      }
      assert.deepEqual(received, published);
      await Promise.all(receipts);
      assert.equal(queue.counters.delivered, receipts.length);
    }),
  );
});

test('what a worker has waiting goes with it', () => {
  const { queue } = build(new MemoryLog({ seconds: 60, messages: 1, bytes: 1, totalBytes: 1 }));
  queue.workerJoined(0, { deliver: () => assert.fail('nothing is queued') });
  const name = Buffer.from('client000000');
  for (let i = 0; i < 200_000; i++) {
    name.writeUInt32LE(i, 8);
    queue.waiting(0, name, 0, name.length);
  }
  assert.equal(queue.counters.waiting, 200_000);
  queue.workerLeft(0);
  assert.equal(queue.counters.waiting, 0);
});
