/** Routes against a simulated world of workers and clients: whatever happens, nothing is lost and order is kept. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KIND_RAW } from '../link/frames.js';
import type { Publication } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import { Routes, type WorkerChannel } from './routes.js';

const CHANNELS = ['a', 'b', 'c'];

/** A worker as the link's contract has it: NOT_WAITING before DELIVERED, verdicts in the order of what was sent. */
class SimulatedWorker implements WorkerChannel {
  readonly number: number;
  readonly #routes: Routes;
  readonly #received: (channel: string, sequence: number) => void;
  readonly #waiting = new Map<string, number>();
  readonly #told: Publication[] = [];
  readonly #handedOut = new Set<number>();

  constructor(number: number, routes: Routes, received: (channel: string, sequence: number) => void) {
    this.number = number;
    this.#routes = routes;
    this.#received = received;
    routes.workerJoined(number, this);
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
    this.#routes.delivered(this.number, sequence, broken ? 0 : count);
    return true;
  }

  waits(channel: string): boolean {
    return (this.#waiting.get(channel) ?? 0) > 0;
  }

  #change(channel: string, by: number): void {
    const before = this.#waiting.get(channel) ?? 0;
    const name = Buffer.from(channel);
    this.#waiting.set(channel, before + by);
    if (before === 0) this.#routes.subscribed(this.number, name, 0, name.length);
    else if (before + by === 0) this.#routes.unsubscribed(this.number, name, 0, name.length);
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
      const routes = new Routes(log);
      const received = new Map(CHANNELS.map((channel) => [channel, [] as number[]]));
      const published = new Map(CHANNELS.map((channel) => [channel, [] as number[]]));
      const receipts: Promise<unknown>[] = [];
      const note = (channel: string, sequence: number) => {
        const sequences = received.get(channel)!;
        const last = sequences.at(-1) ?? 0;
        assert.ok(sequence >= last, `${sequence} on ${channel} came after ${last}`);
        if (sequence > last) sequences.push(sequence);
      };
      const workers = [0, 1, 2].map((number) => new SimulatedWorker(number, routes, note));
      for (const action of steps) {
        if ('publish' in action) {
          receipts.push(routes.publish(action.publish, KIND_RAW, Buffer.from('x')));
          published.get(action.publish)!.push(receipts.length);
        } else if ('poll' in action) workers[action.at]!.poll(action.poll);
        else if ('leave' in action) workers[action.at]!.leave(action.leave);
        else if ('work' in action) workers[action.work]!.work(action.broken);
        else {
          routes.workerLeft(action.die);
          workers[action.die] = new SimulatedWorker(action.die, routes, note);
        }
      }

      // When all is quiet, no channel has both a client that waits and a publication that it should have got.
      const settle = () => {
        while (workers.map((worker) => worker.work(false)).includes(true));
        for (const channel of CHANNELS) {
          if (log.oldest(channel) === undefined) continue;
          assert.ok(!workers.some((worker) => worker.waits(channel)), `a client of ${channel} waits in vain`);
        }
        assert.equal(routes.inFlight, 0);
        assert.equal(routes.counters.publishersWaiting, 0);
      };
      settle();

      // Now every client polls again and nothing breaks: each poll must bring one publication of its channel.
      for (let round = 0; log.counters.publications > 0; round++) {
        assert.ok(round <= steps.length, `${log.counters.publications} publications are stuck`);
        for (const channel of CHANNELS) workers[0]!.poll(channel);
        settle();
      }
      assert.deepEqual(received, published);
      await Promise.all(receipts);
      assert.equal(routes.counters.delivered, receipts.length);
    }),
  );
});

test('the subscriptions of a worker go with it', () => {
  const routes = new Routes(new MemoryLog({ seconds: 60, messages: 1, bytes: 1, totalBytes: 1 }));
  routes.workerJoined(0, { deliver: () => assert.fail('nothing is queued') });
  const name = Buffer.from('client000000');
  for (let i = 0; i < 200_000; i++) {
    name.writeUInt32LE(i, 8);
    routes.subscribed(0, name, 0, name.length);
  }
  assert.equal(routes.counters.subscriptions, 200_000);
  routes.workerLeft(0);
  assert.equal(routes.counters.subscriptions, 0);
});
