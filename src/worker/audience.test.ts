import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Absences, Leavers } from './absences.js';
import { Audience } from './audience.js';
import { Connections } from './connections.js';
import { disconnectWalk } from './disconnect-walk.js';
import { Identities } from './identities.js';
import { Subscriptions } from './subscriptions.js';
import { finish } from './testing/finish.js';

/** The tables of a worker, without connections. */
function tables(capacity = 64) {
  let nowMs = 0;
  const parts = {
    subscribers: new Subscriptions(capacity, 64, [1, 2]),
    waiters: new Subscriptions(capacity, 0, [1, 2]),
    identities: new Identities(capacity),
    absences: new Absences(),
    clock: () => nowMs,
  };
  parts.identities.listen(new Leavers(parts));
  const audience = new Audience(parts);
  return {
    ...parts,
    audience,
    wait: (ms: number) => (nowMs += ms),
    /** Puts a connection on channels, of a client or of nobody. */
    join(connection: number, client: string | null, ...channels: string[]): void {
      const grant = { subject: client, expiresAtMs: Infinity, subscribe: ['*'], publish: [] };
      if (client !== null) assert.ok(parts.identities.begin(connection, grant));
      for (const channel of channels) put(parts.subscribers, connection, channel);
    },
    leave(connection: number): void {
      parts.identities.end(connection);
      parts.subscribers.removeAll(connection, () => {});
    },
    presence: (channel: string, after = '', limit = 10) => finish(audience.presence({ channel, after, limit })),
    channels: (question: Partial<Parameters<Audience['channels']>[0]> = {}) =>
      finish(audience.channels({ within: ['*'], pattern: '*', after: '', limit: 10, ...question })),
  };
}

function put(table: Subscriptions, connection: number, channel: string): void {
  const name = Buffer.from(channel);
  table.add(connection, name, 0, name.length);
}

describe('occupancy', () => {
  test('counts who is on a channel, in both tables', () => {
    const { audience, subscribers, waiters } = tables();
    assert.deepEqual(finish(audience.occupancy({ channel: 'news' })), { subscribers: 0, waiting: 0 });
    for (let connection = 0; connection < 5; connection++) put(subscribers, connection, 'other');
    for (let connection = 0; connection < 3; connection++) put(subscribers, connection, 'news');
    put(waiters, 7, 'news');
    assert.deepEqual(finish(audience.occupancy({ channel: 'news' })), { subscribers: 3, waiting: 1 });
  });

  test('a crowd is counted in pieces, each of its members once, though others come and go', () => {
    const crowd = 200_000;
    const { audience, subscribers } = tables(crowd + 100);
    for (let connection = 0; connection < crowd; connection += 2) put(subscribers, connection, 'news');
    let pieces = 0;
    const counted = finish(audience.occupancy({ channel: 'news' }), (piece) => {
      pieces++;
      // Behind and before the walk.
      put(subscribers, crowd + piece, 'other');
      put(subscribers, 1 + 2 * piece, 'news');
    });
    assert.ok(pieces > 2, `${pieces} pieces`);
    assert.equal(counted.subscribers, crowd / 2);
  });

  test('a crowd that leaves while it is counted is nobody', () => {
    const { audience, subscribers } = tables(10_000);
    for (let connection = 0; connection < 10_000; connection++) put(subscribers, connection, 'news');
    const counted = finish(audience.occupancy({ channel: 'news' }), (piece) => {
      if (piece > 0) return;
      for (let connection = 0; connection < 10_000; connection++) subscribers.removeAll(connection, () => {});
      put(subscribers, 0, 'takes the number');
    });
    assert.equal(counted.subscribers, 0);
  });
});

describe('channels', () => {
  test('are listed by name, with who is on them, page by page', () => {
    const { channels, join, waiters } = tables();
    join(0, null, 'b', 'c');
    join(1, null, 'b', 'ünï');
    join(2, null, 'a');
    put(waiters, 3, 'b');
    put(waiters, 4, 'd');
    const first = channels({ limit: 2 });
    assert.deepEqual(first, {
      channels: [
        { channel: 'a', subscribers: 1, waiting: 0 },
        { channel: 'b', subscribers: 2, waiting: 1 },
      ],
      more: true,
    });
    const rest = channels({ after: 'b' });
    assert.deepEqual([rest.channels.map(({ channel }) => channel), rest.more], [['c', 'd', 'ünï'], false]);
  });

  test('can be asked for by a pattern, and a key sees only its own', () => {
    const { channels, join } = tables();
    join(0, null, 'news/1', 'news/2', 'news', 'user/1', 'user/2');
    const names = (question: Parameters<typeof channels>[0]) =>
      channels(question).channels.map(({ channel }) => channel);
    assert.deepEqual(names({ pattern: 'news/*' }), ['news/1', 'news/2']);
    assert.deepEqual(names({ pattern: 'news' }), ['news']);
    assert.deepEqual(names({ within: ['user/1', 'news/*'] }), ['news/1', 'news/2', 'user/1']);
    assert.deepEqual(names({ within: ['user/*'], pattern: 'news*' }), []);
    assert.deepEqual(names({ within: [] }), []);
  });

  test('of a hundred thousand the page is small, and a crowded one is counted right', () => {
    const capacity = 120_000;
    const { audience, join } = tables(capacity);
    for (let connection = 0; connection < 100_000; connection++) join(connection, null, `c${connection % 50_000}`);
    for (let connection = 100_000; connection < 110_000; connection++) join(connection, null, 'c0');
    let pieces = 0;
    const question = { within: ['*'], pattern: 'c*', after: '', limit: 3 };
    const { channels } = finish(audience.channels(question), () => pieces++);
    assert.ok(pieces > 20, `${pieces} pieces`);
    assert.deepEqual(
      channels.map(({ channel, subscribers }) => [channel, subscribers]),
      [
        ['c0', 10_002],
        ['c1', 2],
        ['c10', 2],
      ],
    );
  });
});

describe('presence', () => {
  test('names the clients of a channel with their connections; those who are nobody are only counted', () => {
    const { presence, join, waiters } = tables();
    join(0, 'bob', 'news', 'other');
    join(1, 'alice', 'news');
    join(2, 'bob', 'news');
    join(3, null, 'news');
    join(4, 'carol', 'other');
    put(waiters, 5, 'news');
    assert.deepEqual(presence('news'), {
      clients: [
        { client: 'alice', connections: 1 },
        { client: 'bob', connections: 2 },
      ],
      more: false,
      connections: 5,
    });
    assert.deepEqual(presence('news', '', 1).clients, [{ client: 'alice', connections: 1 }]);
    assert.equal(presence('news', '', 1).more, true);
    assert.deepEqual(presence('news', 'alice').clients, [{ client: 'bob', connections: 2 }]);
    assert.deepEqual(presence('nobody'), { clients: [], more: false, connections: 0 });
  });

  test('who comes back within the grace time was never gone', () => {
    const { presence, join, leave, absences, wait } = tables();
    absences.graceMs = 1000;
    join(0, 'alice', 'news', 'sports');
    leave(0);
    assert.deepEqual(presence('news').clients, [{ client: 'alice', connections: 0 }]);
    wait(900);
    join(3, 'alice', 'news');
    assert.deepEqual(presence('news').clients, [{ client: 'alice', connections: 1 }]);
    assert.deepEqual(presence('sports').clients, [{ client: 'alice', connections: 0 }]);
    leave(3);
    wait(101);
    assert.deepEqual(presence('sports').clients, [], 'the grace time is over there');
    assert.deepEqual(presence('news').clients, [{ client: 'alice', connections: 0 }]);
    wait(900);
    absences.expire(2000);
    assert.deepEqual([presence('news').clients, absences.size], [[], 0]);
  });

  test('a crowd is walked in pieces, and whoever ends meanwhile moves nobody out of it', () => {
    const capacity = 20_000;
    const { audience, join, leave } = tables(capacity);
    for (let connection = 0; connection < capacity; connection++) join(connection, `u${connection % 1000}`, 'news');
    let next = 0;
    let pieces = 0;
    const walk = audience.presence({ channel: 'news', after: '', limit: 2 });
    const page = finish(walk, () => {
      pieces++;
      // Clients of the third page, from the front: the last rows take their places.
      for (let i = 0; i < 5; i++) leave(100 + 1000 * (next++ % 20));
    });
    assert.ok(pieces > 50, `${pieces} pieces`);
    assert.deepEqual(page.clients, [
      { client: 'u0', connections: 20 },
      { client: 'u1', connections: 20 },
    ]);
    assert.equal(page.more, true);
  });
});

describe('disconnecting', () => {
  function rig(capacity = 64) {
    const all = tables(capacity);
    const ended: [number, object][] = [];
    const disconnect = (connection: number, advice: object) => {
      ended.push([connection, advice]);
      all.leave(connection);
      all.waiters.removeAll(connection, () => {});
    };
    const parts = { ...all, connections: new Connections(capacity), disconnects: { disconnect }, random: () => 0.5 };
    const run = (question: { client?: string; channel?: string; afterMs?: number }) => {
      ended.length = 0;
      const { client = null, channel = null, afterMs = null } = question;
      const walk = disconnectWalk(parts, { client, channel, reason: 'bye', reconnect: afterMs !== null, afterMs });
      const { connections } = finish(walk);
      assert.equal(connections, ended.length);
      return ended.map(([connection]) => connection).sort((a, b) => a - b);
    };
    return { ...all, ended, run };
  }

  test('ends all connections of a client, or those on one channel, and the client is not waited for', () => {
    const { join, run, ended, absences, presence } = rig();
    absences.graceMs = 1000;
    for (const connection of [0, 2, 4]) join(connection, 'alice', 'news');
    join(1, 'bob', 'news');
    join(3, 'alice', 'other');
    assert.deepEqual(run({ client: 'alice', channel: 'other' }), [3]);
    assert.deepEqual(run({ client: 'alice', afterMs: 1000 }), [0, 2, 4]);
    assert.deepEqual(ended[0][1], { code: 'disconnected', reason: 'bye', reconnect: true, afterMs: 1500 });
    assert.deepEqual(presence('news').clients, [{ client: 'bob', connections: 1 }]);
    assert.deepEqual(run({ client: 'nobody' }), []);
  });

  test('ends everybody on a channel, few or many, with a token or without', () => {
    const { join, run, waiters, ended } = rig(10_000);
    for (let connection = 0; connection < 9000; connection++)
      join(connection, null, connection < 6000 ? 'big' : 'other');
    put(waiters, 9001, 'big');
    assert.equal(run({ channel: 'big' }).length, 6001);
    assert.deepEqual(ended[0][1], { code: 'disconnected', reason: 'bye', reconnect: false });
    join(1, 'alice', 'small');
    join(2, null, 'small');
    assert.deepEqual(run({ channel: 'small' }), [1, 2]);
  });
});
