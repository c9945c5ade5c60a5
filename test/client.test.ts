/**
 * The client library in Node against a real server, through a proxy that misbehaves. What holds for every case: each message
 * comes once, in order, or a gap says that it is gone.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Client, type ConnectOptions, connect, type Message, type TransportName } from 'megacomet/client';
import ws from 'ws';
import { FaultyProxy } from './faulty-proxy.js';
import { startServer, type TestServer, waitFor } from './helpers.js';

const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'poll'];

/** Node's own, from Node 22 on. */
const { WebSocket = ws } = globalThis as unknown as Pick<ConnectOptions, 'WebSocket'>;

/** Times of a test, not of the world: nobody waits ten seconds here. */
const QUICK: ConnectOptions = { WebSocket: WebSocket!, backoff: { firstMs: 40, maxMs: 200 }, openMs: 1_000 };

/** Random numbers that a failure can be repeated with. */
function seeded(): { seed: number; random: () => number } {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  let state = seed;
  const random = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { seed, random };
}

interface Rig {
  server: TestServer;
  proxy: FaultyProxy;
  /** A client through the proxy, which the rig closes. */
  open<Data>(options: ConnectOptions): Client<Data>;
}

async function withRig(args: string[], body: (rig: Rig) => Promise<void>): Promise<void> {
  const server = await startServer(args);
  const proxy = await FaultyProxy.start(server.ports.client);
  const clients: Client<never>[] = [];
  try {
    await body({
      server,
      proxy,
      open<Data>(options: ConnectOptions) {
        const client = connect<Data>(proxy.url, { ...QUICK, ...options });
        clients.push(client as Client<never>);
        return client;
      },
    });
  } finally {
    for (const client of clients) client.close();
    await proxy.stop();
    await server.stop();
  }
}

const isLive = (client: Client<never>) => waitFor(`live, not ${client.state}`, () => client.state === 'live', 20_000);

/** What a client hears, by channel, and what else it says. */
function ears(client: Client<number>) {
  const heard: Record<string, number[]> = {};
  const messages: Message<number>[] = [];
  const gaps: unknown[] = [];
  const errors: string[] = [];
  const states: string[] = [];
  client.on('message', (message) => {
    messages.push(message);
    (heard[message.channel] ??= []).push(message.data);
  });
  client.on('gap', (gap) => gaps.push(gap));
  client.on('error', ({ code }) => errors.push(code));
  client.on('state', ({ state, transport }) => states.push(`${state} ${transport}`));
  return { heard, messages, gaps, errors, states };
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('through a proxy that cuts', () => {
  for (const transports of [...TRANSPORTS.map((name) => [name]), TRANSPORTS]) {
    test(`${transports.join(', ')}: nothing is lost, nothing twice, all in order`, async (t) => {
      const { seed, random } = seeded();
      t.diagnostic(`SEED=${seed}`);
      await withRig([], async ({ server, proxy, open }) => {
        const client = open<number>({ channels: ['a', 'b'], transports });
        const { heard, gaps, errors } = ears(client);
        await isLive(client as Client<never>);
        proxy.cutEvery(100, random);
        for (const i of numbers(150)) {
          await server.publish(i % 3 === 0 ? 'a' : 'b', i);
          if (i === 75) client.subscribe('c', { after: 'start' });
          if (i > 50 && i % 10 === 0) await server.publish('c', i);
          if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 20 * random()));
        }
        proxy.stopCutting();
        await waitFor(
          'all',
          () => (heard['a']?.length ?? 0) + (heard['b']?.length ?? 0) >= 150 && heard['c']?.length === 9,
        );
        assert.deepEqual(heard, {
          a: numbers(150).filter((i) => i % 3 === 0),
          b: numbers(150).filter((i) => i % 3 !== 0),
          c: [60, 70, 80, 90, 100, 110, 120, 130, 140],
        });
        assert.deepEqual(gaps, []);
        assert.deepEqual(
          errors.filter((code) => code !== 'unavailable'),
          [],
        );
        assert.ok(proxy.seen.length > 3, 'it was cut');
      });
    });
  }

  test('what the client publishes is published once and in order', async (t) => {
    const { seed, random } = seeded();
    t.diagnostic(`SEED=${seed}`);
    await withRig(['--client-publish', '*'], async ({ proxy, open }) => {
      const writer = open<number>({ channels: ['w'] });
      const { heard } = ears(writer);
      await isLive(writer as Client<never>);
      proxy.cutEvery(60, random);
      const published: Promise<{ cursor: string }>[] = [];
      for (const i of numbers(100)) {
        published.push(writer.publish('w', i));
        await new Promise((resolve) => setTimeout(resolve, 10 * random()));
      }
      const cursors = await Promise.all(published);
      proxy.stopCutting();
      await waitFor('all', () => heard['w']?.length === 100);
      assert.deepEqual(heard['w'], numbers(100));
      const sequences = cursors.map(({ cursor }) => Number(cursor.split('-')[1]));
      assert.deepEqual(
        sequences,
        sequences.toSorted((a, b) => a - b),
      );
    });
  });
});

describe('through a proxy that', () => {
  const hearsBy = async (rig: Rig, transport: TransportName) => {
    const client = rig.open<number>({ channels: ['a'] });
    const { heard } = ears(client);
    await isLive(client as Client<never>);
    assert.equal(client.transport, transport);
    await rig.server.publish('a', 1);
    await waitFor('the message', () => heard['a']?.length === 1);
    return { client, heard };
  };

  for (const upgrades of ['refuse', 'strip', 'swallow'] as const) {
    test(`${upgrades}s upgrades, Server-Sent Events are used, and again after a cut without trying WebSocket first`, async () => {
      await withRig([], async (rig) => {
        rig.proxy.faults.upgrades = upgrades;
        const { heard } = await hearsBy(rig, 'sse');
        rig.proxy.cut();
        await rig.server.publish('a', 2);
        await waitFor('the second', () => heard['a']?.length === 2);
        assert.equal(rig.proxy.seen.filter(({ path }) => path === '/v1/ws').length, 1);
      });
    });
  }

  test('buffers event streams too, long-polls are used', async () => {
    await withRig([], async (rig) => {
      Object.assign(rig.proxy.faults, { upgrades: 'refuse', buffersStreams: true });
      const { heard } = await hearsBy(rig, 'poll');
      await rig.server.publish('a', 2);
      await waitFor('the second', () => heard['a']?.length === 2);
    });
  });

  test('gives up waiting for polls, they are asked again and nothing is lost', async () => {
    await withRig([], async (rig) => {
      Object.assign(rig.proxy.faults, { upgrades: 'refuse', buffersStreams: true, pollTimeoutMs: 150 });
      const { heard } = await hearsBy(rig, 'poll');
      for (const i of [2, 3, 4]) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        await rig.server.publish('a', i);
      }
      await waitFor('all', () => heard['a']?.length === 4);
      assert.deepEqual(heard['a'], [1, 2, 3, 4]);
    });
  });

  test('changes its mind, the client changes its transport and loses nothing', async () => {
    await withRig([], async ({ server, proxy, open }) => {
      const client = open<number>({ channels: ['a'] });
      const { heard, gaps } = ears(client);
      await isLive(client as Client<never>);
      const used = new Set<string>();
      const turns: Partial<typeof proxy.faults>[] = [
        {},
        { upgrades: 'refuse' },
        { buffersStreams: true },
        { upgrades: 'pass', buffersStreams: false, answer: { status: 404, body: 'nothing here' } },
        { answer: null },
      ];
      for (const [i, faults] of turns.entries()) {
        Object.assign(proxy.faults, faults);
        proxy.cut();
        await server.publish('a', i);
        await waitFor(`message ${i}`, () => heard['a']?.length === i + 1, 20_000);
        used.add(client.transport);
      }
      assert.deepEqual(heard['a'], numbers(5));
      assert.deepEqual(used, new Set(TRANSPORTS));
      assert.deepEqual(gaps, []);
    });
  });

  test('answers with 503 and Retry-After is obeyed', async () => {
    await withRig([], async ({ proxy, open }) => {
      Object.assign(proxy.faults, {
        upgrades: 'refuse',
        answer: { status: 503, headers: { 'retry-after': '1' }, body: 'busy' },
      });
      const client = open<number>({ channels: ['a'] });
      const delays: (number | undefined)[] = [];
      client.on('state', ({ state, delayMs }) => state === 'waiting' && delays.push(delayMs));
      await waitFor('a wait', () => delays.length === 1);
      assert.ok(delays[0]! > 900 && delays[0]! <= 2_000, `${delays[0]} ms`);
      proxy.faults.answer = null;
      await isLive(client as Client<never>);
    });
  });

  test('is down for a while, errors say so and the client goes on', async () => {
    await withRig([], async ({ server, proxy, open }) => {
      proxy.faults.isDown = true;
      const client = open<number>({ channels: ['a'], after: 'start' });
      const { heard, errors } = ears(client);
      await server.publish('a', 1);
      await waitFor('two rounds', () => errors.length >= 2);
      assert.deepEqual(new Set(errors), new Set(['unavailable']));
      proxy.faults.isDown = false;
      await waitFor('the message', () => heard['a']?.length === 1);
    });
  });
});

describe('a client', () => {
  test('that was away for too long is told of the gap, in its place', async () => {
    await withRig(['--retain-messages', '3'], async ({ server, proxy, open }) => {
      for (const transport of TRANSPORTS) {
        const channel = `gap-${transport}`;
        const client = open<number>({ channels: [channel], transports: [transport] });
        const events: unknown[] = [];
        void (async () => {
          for await (const event of client.events()) events.push(event.type === 'gap' ? 'gap' : event.data);
        })();
        await isLive(client as Client<never>);
        await server.publish(channel, 0);
        await waitFor('the first', () => events.length === 1);
        proxy.faults.isDown = true;
        proxy.cut();
        for (const i of [1, 2, 3, 4, 5]) await server.publish(channel, i);
        proxy.faults.isDown = false;
        await waitFor('the rest', () => events.length === 5);
        assert.deepEqual(events, [0, 'gap', 3, 4, 5], transport);
        client.close();
      }
    });
  });

  test('whose iterator is slow lets the server keep what it cannot take, and gets all', async () => {
    await withRig([], async ({ server, open }) => {
      for (const transport of TRANSPORTS) {
        const channel = `slow-${transport}`;
        const client = open<number>({ channels: [channel], transports: [transport], queueMax: 10 });
        const states: string[] = [];
        client.on('state', ({ state }) => states.push(state));
        await isLive(client as Client<never>);
        for (const i of numbers(60)) await server.publish(channel, i);
        await waitFor('a full queue', () => client.state === 'idle');
        const before = client.cursor!;
        const heard: number[] = [];
        for await (const { data } of client) if (heard.push(data) === 60) break;
        assert.deepEqual(heard, numbers(60), transport);
        assert.ok(states.filter((state) => state === 'idle').length > 1, `${transport}: ${states}`);
        assert.notEqual(client.cursor, before);
        client.close();
      }
    });
  });

  test('goes on where another one was, by its cursor', async () => {
    await withRig([], async ({ server, open }) => {
      const first = open<number>({ channels: ['a', 'b'] });
      const { heard } = ears(first);
      await isLive(first as Client<never>);
      await server.publish('a', 1);
      await waitFor('it', () => heard['a']?.length === 1);
      first.close();
      await server.publish('b', 2);
      const second = open<number>({ channels: ['a', 'b'], after: first.cursor! });
      const { value } = await second[Symbol.asyncIterator]().next();
      assert.equal(value?.data, 2);
    });
  });

  test('has what it published itself, and can say no to a channel again', async () => {
    await withRig(['--client-publish', 'p*'], async ({ server, open }) => {
      for (const transport of TRANSPORTS) {
        const client = open<number>({ channels: [`p-${transport}`, 'other'], transports: [transport] });
        const { heard } = ears(client);
        await isLive(client as Client<never>);
        const { cursor } = await client.publish(`p-${transport}`, 1, { id: 'one' });
        assert.deepEqual((await client.publish(`p-${transport}`, 1, { id: 'one' })).cursor, cursor);
        await assert.rejects(client.publish('not-mine', 1), { name: 'Error', code: 'forbidden' });
        await assert.rejects(client.publish('p', undefined), { code: 'invalid' });
        client.unsubscribe('other');
        await isLive(client as Client<never>);
        await server.publish('other', 2);
        await server.publish(`p-${transport}`, 3);
        await waitFor('the third', () => heard[`p-${transport}`]?.length === 2);
        assert.deepEqual(heard, { [`p-${transport}`]: [1, 3] });
        assert.deepEqual(client.channels, [`p-${transport}`]);
        client.close();
        await assert.rejects(client.publish('p', 1), { code: 'closed' });
      }
    });
  });

  test('ends its iterators when it is closed, and when its signal says so', async () => {
    await withRig([], async ({ open, proxy }) => {
      const controller = new AbortController();
      const client = open<number>({ channels: ['a'], signal: controller.signal });
      const ended = (async () => {
        for await (const _ of client);
      })();
      await isLive(client as Client<never>);
      controller.abort();
      await ended;
      assert.equal(client.state, 'closed');
      await waitFor('its connections to go', () => proxy.connections === 0);
    });
  });

  test('without channels is idle, and connects with the first', async () => {
    await withRig([], async ({ server, proxy, open }) => {
      const client = open<number>({});
      const { heard, states } = ears(client);
      await waitFor('nothing', () => client.state === 'idle');
      assert.equal(proxy.seen.length, 0);
      client.subscribe('a');
      await isLive(client as Client<never>);
      await server.publish('a', 1);
      await waitFor('it', () => heard['a']?.length === 1);
      client.unsubscribe('a');
      await waitFor('nothing again', () => client.state === 'idle');
      assert.deepEqual(states, ['connecting websocket', 'live websocket', 'idle websocket']);
    });
  });
});
