import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ADDED, ADDED_FIRST, ALREADY, FULL, NONE, Subscriptions } from './subscriptions.js';

const KEY = [0x01234567, -0x76543211] as const;
const target = Buffer.alloc(200);

/** Subscribes to a channel by its name, which stands between other bytes. */
function add(subscriptions: Subscriptions, connection: number, name: string): number {
  const bytes = Buffer.from(`<${name}>`);
  return subscriptions.add(connection, bytes, 1, bytes.length - 1);
}

function find(subscriptions: Subscriptions, name: string): number {
  return subscriptions.find(Buffer.from(name), 0, Buffer.byteLength(name));
}

function remove(subscriptions: Subscriptions, connection: number, name: string): boolean {
  return subscriptions.remove(connection, find(subscriptions, name));
}

/** Ends all subscriptions of a connection; the names of the channels that lost their last one. */
function removeAll(subscriptions: Subscriptions, connection: number): string[] {
  const lost: string[] = [];
  subscriptions.removeAll(connection, (channel) => lost.push(nameOf(subscriptions, channel)));
  return lost.sort();
}

function nameOf(subscriptions: Subscriptions, channel: number): string {
  const name = target.toString('utf8', 3, 3 + subscriptions.copyName(channel, target, 3));
  assert.equal(subscriptions.nameOf(channel), name);
  return name;
}

function namesOf(subscriptions: Subscriptions): string[] {
  const names: string[] = [];
  subscriptions.forEachChannel((channel) => names.push(nameOf(subscriptions, channel)));
  return names.sort();
}

/** The connections on a channel, the latest first. */
function connectionsOn(subscriptions: Subscriptions, name: string): number[] {
  const channel = find(subscriptions, name);
  const connections: number[] = [];
  if (channel === NONE) return connections;
  for (let row = subscriptions.first(channel); row !== NONE; row = subscriptions.next(row)) {
    assert.equal(subscriptions.channelOf(row), channel);
    connections.push(subscriptions.connectionOf(row));
  }
  return connections;
}

function channelsOf(subscriptions: Subscriptions, connection: number): string[] {
  const names: string[] = [];
  for (let row = subscriptions.firstRow(connection); row !== NONE; row = subscriptions.nextRow(row)) {
    assert.equal(subscriptions.connectionOf(row), connection);
    assert(subscriptions.has(connection, subscriptions.channelOf(row)));
    names.push(nameOf(subscriptions, subscriptions.channelOf(row)));
  }
  assert.deepEqual([...subscriptions.channelsOf(connection)], names);
  return names.sort();
}

test('the first connection on a channel and the last are told, and the latest comes first', () => {
  const subscriptions = new Subscriptions(8, 0, KEY);
  assert.equal(add(subscriptions, 0, 'alice'), ADDED_FIRST);
  assert.equal(add(subscriptions, 7, 'alice'), ADDED);
  assert.equal(add(subscriptions, 3, 'bob'), ADDED_FIRST);
  assert.equal(add(subscriptions, 5, 'alice'), ADDED);
  assert.deepEqual(namesOf(subscriptions), ['alice', 'bob']);
  assert.deepEqual(connectionsOn(subscriptions, 'alice'), [5, 7, 0]);
  assert.equal(remove(subscriptions, 7, 'alice'), false);
  assert.deepEqual(removeAll(subscriptions, 5), []);
  assert.deepEqual(removeAll(subscriptions, 0), ['alice']);
  assert.equal(find(subscriptions, 'alice'), NONE);
  assert.deepEqual([subscriptions.channels, subscriptions.size], [1, 1]);
});

test('a connection is on many channels, on each of them once', () => {
  const subscriptions = new Subscriptions(4, 10, KEY);
  for (const name of ['a', 'b', 'c']) assert.equal(add(subscriptions, 2, name), ADDED_FIRST);
  assert.equal(add(subscriptions, 1, 'b'), ADDED);
  for (const name of ['a', 'b', 'c']) assert.equal(add(subscriptions, 2, name), ALREADY);
  assert.deepEqual(channelsOf(subscriptions, 2), ['a', 'b', 'c']);
  assert.deepEqual(connectionsOn(subscriptions, 'b'), [1, 2]);
  assert.deepEqual([subscriptions.channels, subscriptions.size], [3, 4]);
  assert.deepEqual(removeAll(subscriptions, 2), ['a', 'c']);
  assert.deepEqual(removeAll(subscriptions, 2), []);
  assert.deepEqual(channelsOf(subscriptions, 1), ['b']);
});

test('the first subscription of a connection may end before the others, and its row is used again', () => {
  const subscriptions = new Subscriptions(4, 2, KEY);
  for (const name of ['a', 'b', 'c']) add(subscriptions, 3, name);
  assert.equal(subscriptions.firstRow(3), 3);
  assert.equal(remove(subscriptions, 3, 'a'), true);
  assert.notEqual(subscriptions.firstRow(3), 3);
  assert.deepEqual(channelsOf(subscriptions, 3), ['b', 'c']);
  assert.equal(add(subscriptions, 3, 'b'), ALREADY);
  // Both rows of the pool are taken.
  assert.equal(add(subscriptions, 3, 'd'), ADDED_FIRST);
  assert.equal(subscriptions.firstRow(3), 3);
  assert.deepEqual(channelsOf(subscriptions, 3), ['b', 'c', 'd']);
  assert.equal(remove(subscriptions, 3, 'd'), true);
  assert.deepEqual(removeAll(subscriptions, 3), ['b', 'c']);
  assert.deepEqual([subscriptions.firstRow(3), subscriptions.size], [NONE, 0]);
});

test('without a free row a further subscription is refused and leaves nothing behind', () => {
  const subscriptions = new Subscriptions(3, 1, KEY);
  add(subscriptions, 0, 'a');
  assert.equal(add(subscriptions, 0, 'b'), ADDED_FIRST);
  assert.equal(add(subscriptions, 0, 'c'), FULL);
  assert.equal(find(subscriptions, 'c'), NONE);
  assert.equal(add(subscriptions, 1, 'c'), ADDED_FIRST);
  assert.equal(add(subscriptions, 1, 'a'), FULL);
  remove(subscriptions, 0, 'b');
  assert.equal(add(subscriptions, 1, 'a'), ADDED);
});

test('a walk over a channel or a connection may end the subscription that it is at', () => {
  const subscriptions = new Subscriptions(10, 100, KEY);
  for (let connection = 0; connection < 10; connection++) {
    for (const name of ['x', 'y', 'all']) add(subscriptions, connection, name);
  }
  const visited: number[] = [];
  for (let row = subscriptions.first(find(subscriptions, 'all')); row !== NONE; ) {
    const following = subscriptions.next(row);
    const connection = subscriptions.connectionOf(row);
    visited.push(connection);
    if (connection % 2 === 0) removeAll(subscriptions, connection);
    row = following;
  }
  assert.deepEqual(visited, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  for (let row = subscriptions.firstRow(5); row !== NONE; ) {
    const following = subscriptions.nextRow(row);
    subscriptions.remove(5, subscriptions.channelOf(row));
    row = following;
  }
  assert.deepEqual(connectionsOn(subscriptions, 'all'), [9, 7, 3, 1]);
});

test('what is not there cannot be removed', () => {
  const subscriptions = new Subscriptions(4, 4, KEY);
  add(subscriptions, 1, 'a');
  add(subscriptions, 2, 'b');
  assert.throws(() => remove(subscriptions, 1, 'b'), /on the channel/);
  assert.throws(() => remove(subscriptions, 3, 'b'), /on the channel/);
  assert.throws(() => subscriptions.remove(3, NONE), /a channel/);
});

test('a million channels are found again, and doubling the table takes no noticeable time', (context) => {
  const count = 2 ** 20;
  const subscriptions = new Subscriptions(count, 0, KEY);
  const name = Buffer.alloc(11);
  // The last doubling, to 2 ** 21 entries, at two thirds of 2 ** 20.
  const doubling = Math.floor(2 ** 20 / 1.5);
  for (let connection = 0; connection < count; connection++) {
    name.writeUInt32LE(connection);
    const before = connection === doubling ? process.cpuUsage() : undefined;
    subscriptions.add(connection, name, 0, name.length);
    if (before === undefined) continue;
    const cpuMs = process.cpuUsage(before).user / 1000;
    context.diagnostic(`doubling took ${cpuMs.toFixed(1)} ms`);
    assert(cpuMs > 1 && cpuMs < 200, `${cpuMs} ms`);
  }
  for (let connection = 0; connection < count; connection += 997) {
    name.writeUInt32LE(connection);
    assert.equal(subscriptions.find(name, 0, name.length), subscriptions.channelOf(connection));
  }
});

test('whatever comes and goes, it agrees with a Map of arrays, also when it is as full as it gets', () => {
  const connections = 12;
  const extraRows = 30;
  const names = Array.from({ length: 40 }, (_, i) => `channel-${i}`.repeat(1 + (i % 9)));
  // 0: remove all; 1, 2: toggle one; 3: add whether it is there or not.
  const step = fc.tuple(fc.nat(3), fc.nat(connections - 1), fc.nat(names.length - 1));
  fc.assert(
    fc.property(fc.array(step, { size: 'max', maxLength: 600 }), (steps) => {
      const subscriptions = new Subscriptions(connections, extraRows, KEY);
      // Connections of a channel, the latest first; own rows in use and rows of the pool in use.
      const model = new Map<string, number[]>();
      const own = new Map<number, string>();
      let extra = 0;
      const drop = (connection: number, name: string): boolean => {
        const rest = model.get(name)!.filter((other) => other !== connection);
        if (own.get(connection) === name) own.delete(connection);
        else extra--;
        if (rest.length > 0) model.set(name, rest);
        else model.delete(name);
        return rest.length === 0;
      };
      for (const [action, connection, nameIndex] of steps) {
        const name = names[nameIndex];
        const isOn = model.get(name)?.includes(connection) ?? false;
        if (action === 0) {
          const all = [...model.keys()].filter((key) => model.get(key)!.includes(connection));
          const lost = all.filter((key) => drop(connection, key));
          assert.deepEqual(removeAll(subscriptions, connection), lost.sort());
        } else if (isOn && action !== 3) {
          assert.equal(remove(subscriptions, connection, name), drop(connection, name));
        } else {
          let expected = ALREADY;
          if (!isOn && own.has(connection) && extra === extraRows) {
            expected = FULL;
          } else if (!isOn) {
            expected = model.has(name) ? ADDED : ADDED_FIRST;
            model.set(name, [connection, ...(model.get(name) ?? [])]);
            if (own.has(connection)) extra++;
            else own.set(connection, name);
          }
          assert.equal(add(subscriptions, connection, name), expected);
        }
      }
      assert.deepEqual(namesOf(subscriptions), [...model.keys()].sort());
      for (const name of names) assert.deepEqual(connectionsOn(subscriptions, name), model.get(name) ?? []);
      for (let connection = 0; connection < connections; connection++) {
        const all = [...model.keys()].filter((key) => model.get(key)!.includes(connection));
        assert.deepEqual(channelsOf(subscriptions, connection), all.sort());
      }
      assert.deepEqual([subscriptions.channels, subscriptions.size], [model.size, own.size + extra]);
    }),
  );
});

test('the table holds through many doublings and as many removals', () => {
  const subscriptions = new Subscriptions(20_000, 0, KEY);
  for (let round = 0; round < 3; round++) {
    for (let connection = 0; connection < 20_000; connection++)
      add(subscriptions, connection, `${connection % 15_000}`);
    for (let connection = 0; connection < 20_000; connection += 2) removeAll(subscriptions, connection);
    for (let connection = 1; connection < 20_000; connection += 2) {
      assert.equal(find(subscriptions, `${connection % 15_000}`), subscriptions.channelOf(connection));
    }
    assert.equal(find(subscriptions, '14998'), NONE);
    for (let connection = 1; connection < 20_000; connection += 2) removeAll(subscriptions, connection);
    assert.deepEqual([subscriptions.channels, subscriptions.size], [0, 0]);
  }
});
