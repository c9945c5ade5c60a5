import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChannelIndex } from './channel-index.js';

const workers = new Uint8Array(256);

function workersOf(index: ChannelIndex, channel: string): number[] {
  const name = Buffer.from(channel);
  return [...workers.subarray(0, index.workersOf(name, 0, name.length, workers))].sort((a, b) => a - b);
}

function add(index: ChannelIndex, channel: string, worker: number): void {
  const name = Buffer.from(channel);
  index.add(name, 0, name.length, worker);
}

function remove(index: ChannelIndex, channel: string, worker: number): boolean {
  const name = Buffer.from(channel);
  return index.remove(name, 0, name.length, worker);
}

test('several workers may have one channel, each is named once', () => {
  const index = new ChannelIndex();
  for (const worker of [0, 7, 249]) add(index, 'alice', worker);
  assert.deepEqual(workersOf(index, 'alice'), [0, 7, 249]);
  assert.deepEqual(workersOf(index, 'bob'), []);
  assert.equal(remove(index, 'alice', 7), true);
  assert.equal(remove(index, 'alice', 7), false);
  assert.deepEqual(workersOf(index, 'alice'), [0, 249]);
});

test('names of one fingerprint do not take each other out: a waiting channel is never missed', () => {
  const index = new ChannelIndex();
  add(index, 'alice', 1);
  add(index, 'alice', 1);
  assert.deepEqual(workersOf(index, 'alice'), [1]);
  remove(index, 'alice', 1);
  assert.deepEqual(workersOf(index, 'alice'), [1]);
  remove(index, 'alice', 1);
  assert.deepEqual(workersOf(index, 'alice'), []);
});

test('any sequence of operations leaves what a multiset would hold', () => {
  const channel = fc.integer({ min: 0, max: 2000 }).map((n) => `c${n}`);
  const operation = fc.oneof(
    { weight: 3, arbitrary: fc.record({ add: fc.array(channel, { maxLength: 400 }), worker: fc.nat(3) }) },
    { weight: 3, arbitrary: fc.record({ remove: fc.array(channel, { maxLength: 400 }), worker: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ dies: fc.nat(3) }) },
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
      const index = new ChannelIndex(Buffer.from('8 secret'));
      const model = new Map<string, number>();
      for (const step of operations) {
        if ('add' in step) {
          for (const name of step.add) {
            const key: string = `${name}/${step.worker}`;
            add(index, name, step.worker);
            model.set(key, (model.get(key) ?? 0) + 1);
          }
        } else if ('remove' in step) {
          for (const name of step.remove as string[]) {
            const key: string = `${name}/${step.worker}`;
            const count: number = model.get(key) ?? 0;
            assert.equal(remove(index, name, step.worker), count > 0);
            if (count > 1) model.set(key, count - 1);
            else model.delete(key);
          }
        } else {
          index.removeWorker(step.dies);
          for (const key of [...model.keys()]) if (key.endsWith(`/${step.dies}`)) model.delete(key);
        }
      }
      assert.equal(
        index.size,
        [...model.values()].reduce((sum, count) => sum + count, 0),
      );
      for (let n = 0; n <= 2000; n++) {
        const expected = [0, 1, 2, 3].filter((worker) => model.has(`c${n}/${worker}`));
        assert.deepEqual(workersOf(index, `c${n}`), expected, `channel c${n}`);
      }
    }),
    { numRuns: 40 },
  );
});

test('an entry costs at most 15 bytes, and the memory comes back when they leave', () => {
  const index = new ChannelIndex();
  const name = Buffer.alloc(4);
  for (let i = 0; i < 300_000; i++) {
    name.writeUInt32LE(i);
    index.add(name, 0, 4, i % 4);
  }
  assert.equal(index.size, 300_000);
  assert.ok(index.bytes / index.size <= 15, `${index.bytes / index.size} bytes for each entry`);
  for (let i = 0; i < 300_000; i += 4) {
    name.writeUInt32LE(i);
    assert.equal(index.remove(name, 0, 4, 0), true);
  }
  for (const worker of [1, 2, 3]) index.removeWorker(worker);
  assert.equal(index.size, 0);
  assert.ok(index.bytes <= 6 * 1024);
});
