import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NONE, Subscriptions } from './subscriptions.js';

const KEY = [0x01234567, -0x76543211] as const;
const bytes = (name: string) => Buffer.from(name);

function namesOf(subscriptions: Subscriptions): string[] {
  const target = Buffer.alloc(200);
  const names: string[] = [];
  subscriptions.forEachChannel((channel) => {
    names.push(target.toString('utf8', 3, 3 + subscriptions.copyName(channel, target, 3)));
  });
  return names.sort();
}

function waitersOf(subscriptions: Subscriptions, name: string): number[] {
  const channel = subscriptions.find(bytes(name), 0, bytes(name).length);
  const waiters: number[] = [];
  if (channel === NONE) return waiters;
  for (let c = subscriptions.first(channel); c !== NONE; c = subscriptions.next(c)) waiters.push(c);
  return waiters.sort((a, b) => a - b);
}

test('the first connection on a channel and the last are told', () => {
  const subscriptions = new Subscriptions(8, KEY);
  assert.equal(subscriptions.add(0, bytes('alice'), 0, 5), true);
  assert.equal(subscriptions.add(7, bytes('xalicex'), 1, 6), false);
  assert.equal(subscriptions.add(3, bytes('bob'), 0, 3), true);
  assert.deepEqual(namesOf(subscriptions), ['alice', 'bob']);
  assert.deepEqual(waitersOf(subscriptions, 'alice'), [0, 7]);
  assert.equal(subscriptions.remove(0), false);
  assert.equal(subscriptions.remove(7), true);
  assert.deepEqual(waitersOf(subscriptions, 'alice'), []);
  assert.deepEqual([subscriptions.channels, subscriptions.waiting], [1, 1]);
});

test('a connection cannot wait on two channels, nor stop waiting when it does not', () => {
  const subscriptions = new Subscriptions(4, KEY);
  subscriptions.add(1, bytes('a'), 0, 1);
  assert.throws(() => subscriptions.add(1, bytes('b'), 0, 1), /one channel/);
  assert.throws(() => subscriptions.remove(2), /waits/);
});

test('whatever comes and goes, it agrees with a Map of Sets, also when the table is as full as it gets', () => {
  const capacity = 40;
  const names = Array.from({ length: 60 }, (_, i) => `client-${i}`.repeat(1 + (i % 9)));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(capacity - 1), fc.nat(names.length - 1)), { maxLength: 400 }), (steps) => {
      const subscriptions = new Subscriptions(capacity, KEY);
      const model = new Map<string, Set<number>>();
      const at = new Map<number, string>();
      for (const [connection, nameIndex] of steps) {
        const old = at.get(connection);
        if (old === undefined) {
          const name = names[nameIndex];
          const isFirst = subscriptions.add(connection, bytes(name), 0, bytes(name).length);
          assert.equal(isFirst, !model.has(name));
          if (isFirst) model.set(name, new Set());
          model.get(name)!.add(connection);
          at.set(connection, name);
        } else {
          const set = model.get(old)!;
          set.delete(connection);
          at.delete(connection);
          assert.equal(subscriptions.remove(connection), set.size === 0);
          if (set.size === 0) model.delete(old);
        }
      }
      assert.deepEqual(namesOf(subscriptions), [...model.keys()].sort());
      for (const name of names) {
        assert.deepEqual(
          waitersOf(subscriptions, name),
          [...(model.get(name) ?? [])].sort((a, b) => a - b),
        );
      }
      assert.deepEqual([subscriptions.channels, subscriptions.waiting], [model.size, at.size]);
    }),
  );
});
