import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { World } from './testing/world.js';
import type { Client, ConnectOptions } from './types.js';

const HELLO = 'retry: 2713\n\nevent: subscribed\nid: e-5\ndata: {"cursor":"e-5"}\n\n';

/** A client on a channel, what it says besides messages, and its world. */
async function begin(options: ConnectOptions = {}) {
  const world = new World();
  const client = await world.client({ channels: ['a'], ...options });
  const said: string[] = [];
  client.on('error', ({ code }) => said.push(`error ${code}`));
  client.on('disconnect', ({ code }) => said.push(`disconnect ${code}`));
  client.on('state', ({ state, transport, delayMs }) =>
    said.push(`${state} ${transport}${delayMs ? ` ${delayMs}` : ''}`),
  );
  client.on('message', ({ data }) => said.push(`message ${data}`));
  return { world, client, said };
}

/** One that is live by Server-Sent Events, since WebSockets fail. */
async function beginBySse(options: ConnectOptions = {}) {
  const begun = await begin(options);
  const { world } = begun;
  await world.socket.ends();
  await world.request.streams();
  await world.request.sends(HELLO);
  assert.equal(begun.client.state, 'live');
  return begun;
}

/** One that is live by long-polls, since nothing else works. */
async function beginByPoll() {
  const begun = await begin();
  const { world } = begun;
  await world.socket.ends();
  await world.request.answers(502, 'bad gateway');
  await world.request.answers(200, { cursor: 'e-5', messages: [] });
  assert.equal(begun.client.state, 'live');
  return begun;
}

describe('transports', () => {
  test('WebSocket comes first, at the address of the server in whatever folder it is', async () => {
    for (const [url, expected] of [
      ['https://push.example', 'wss://push.example/v1/ws'],
      ['http://push.example:8000/', 'ws://push.example:8000/v1/ws'],
      ['https://example/push', 'wss://example/push/v1/ws'],
      ['/push', 'ws://page.example/push/v1/ws'],
    ] as const) {
      const world = new World();
      await world.client({ channels: ['a'] }, url);
      assert.equal(world.socket.url, expected);
      assert.deepEqual(world.socket.protocols, []);
    }
  });

  test('what cannot be an address, and no transport at all, are refused at once', async () => {
    const world = new World();
    world.base = undefined;
    await assert.rejects(world.client({}, '/push'), TypeError);
    await assert.rejects(world.client({ transports: [] }), TypeError);
  });

  test('each that does not work is followed by the next, and after the last one there is a wait', async () => {
    const { world, said } = await begin();
    await world.socket.ends();
    assert.equal(world.request.path, '/v1/sse');
    await world.request.breaks();
    assert.equal(world.request.path, '/v1/poll');
    await world.request.breaks();
    assert.deepEqual(said, ['error unavailable', 'waiting websocket 5000']);
    await world.pass(5_000);
    assert.equal(world.sockets.length, 2);
  });

  test('one that opens and brings nothing is given up after ten seconds', async () => {
    const { world, client } = await begin();
    await world.socket.open();
    await world.pass(9_999);
    assert.equal(client.transport, 'websocket');
    await world.pass(1);
    assert.equal(world.socket.isClosed, true);
    assert.equal(world.request.path, '/v1/sse');
    // The head came through, but its body is kept back by something on the way.
    await world.request.streams();
    await world.pass(10_000);
    assert.equal(world.request.path, '/v1/poll');
    assert.equal(world.requests[0]!.signal?.aborted, true);
  });

  test('a page that is answered instead of an event stream is none', async () => {
    const { world } = await begin();
    await world.socket.ends();
    await world.request.streams('text/html');
    assert.equal(world.request.path, '/v1/poll');
  });

  test('the one that works is used again after a cut; better ones are tried after five minutes, then ten', async () => {
    const { world, client } = await beginBySse();
    await world.request.ends();
    await world.pass(2_713);
    assert.equal(world.request.path, '/v1/sse');
    assert.equal(world.sockets.length, 1);
    await world.request.streams();
    await world.request.sends(HELLO);

    /** Until a WebSocket is tried. @returns after how many minutes */
    const minutesUntilSocket = async (count: number) => {
      for (let minutes = 0.5; ; minutes += 0.5) {
        await world.pass(30_000);
        if (world.sockets.length === count) return minutes;
        await world.request.sends(':\n\n');
      }
    };
    const first = await minutesUntilSocket(2);
    assert.ok(first >= 4.5 && first <= 6, `${first} minutes`);
    await world.socket.ends();
    await world.request.streams();
    await world.request.sends(HELLO);
    assert.equal(client.state, 'live');
    const second = await minutesUntilSocket(3);
    assert.ok(second >= 10 && second <= 11, `${second} minutes`);
    await world.socket.goLive('e-6');
    assert.equal(client.transport, 'websocket');
  });

  test('polls are held for 25 s, one after the other, the first one not at all', async () => {
    const { world, said } = await beginByPoll();
    const seconds = () => world.request.url.searchParams.get('timeout');
    assert.deepEqual(
      world.requests.map(({ url }) => url.searchParams.get('timeout')),
      [null, '0', '25'],
    );
    await world.pass(25_000);
    await world.request.answers(200, { cursor: 'e-5', messages: [] });
    assert.deepEqual([seconds(), world.request.after], ['25', 'e-5']);
    await world.request.answers(200, {
      cursor: 'e-9',
      messages: [
        { channel: 'a', cursor: 'e-7', data: 'x', time: 1 },
        { channel: 'a', cursor: 'e-8', data: 'y', time: 1 },
      ],
    });
    assert.deepEqual(said.slice(-2), ['message x', 'message y']);
    assert.equal(world.request.after, 'e-9');
  });

  test('polls that something answers too early do not become a storm', async () => {
    const { world, said } = await beginByPoll();
    await world.pass(50);
    await world.request.answers(200, { cursor: 'e-5', messages: [] });
    assert.match(said.at(-1)!, /^waiting poll/);
    assert.equal(world.requests.length, 3);
  });
});

describe('waiting', () => {
  test('is a random time that doubles up to a minute, and begins anew once the client was live', async () => {
    const { world, client, said } = await begin({ transports: ['websocket'] });
    const waits: string[] = [];
    world.chance = 0.999;
    for (let i = 0; i < 5; i++) {
      await world.socket.ends();
      waits.push(said.at(-1)!);
      await world.pass(Number(said.at(-1)!.split(' ')[2]));
    }
    assert.deepEqual(
      waits,
      [9_990, 19_980, 39_960, 59_940, 59_940].map((ms) => `waiting websocket ${ms}`),
    );
    await world.socket.goLive();
    assert.equal(client.state, 'live');
    await world.socket.ends();
    assert.equal(said.at(-1), 'waiting websocket 9990');
    world.chance = 0;
    await world.pass(9_990);
    await world.socket.ends();
    assert.equal(client.state, 'connecting', 'no time at all is a random time too');
  });

  test('lasts as long as `retry:` of an event stream that has ended', async () => {
    const { world, said } = await beginBySse();
    await world.request.ends();
    assert.equal(said.at(-1), 'waiting sse 2713');
  });

  test('lasts as long as Retry-After says and a random part of a second, with the same transport', async () => {
    const { world, said } = await begin();
    await world.socket.ends();
    await world.request.answers(503, { error: { code: 'rate_limited', message: 'slow down' } }, { 'retry-after': '7' });
    assert.equal(said.at(-1), 'waiting websocket 7500');
    await world.pass(7_499);
    assert.equal(world.sockets.length, 1);
    await world.pass(1);
    assert.equal(world.sockets.length, 2);
  });

  test('lasts as long as the advice of a server that goes away, on every transport', async () => {
    const advice = { code: 'drain', reason: 'restarts', reconnect: true, afterMs: 12_345 };
    const bySocket = await begin();
    await bySocket.world.socket.goLive();
    await bySocket.world.socket.says({ type: 'disconnect', ...advice });
    await bySocket.world.socket.ends(1012);
    const bySse = await beginBySse();
    await bySse.world.request.sends(`retry: 12345\n\nevent: disconnect\nid: e-5\ndata: ${JSON.stringify(advice)}\n\n`);
    const byPoll = await beginByPoll();
    await byPoll.world.request.answers(
      200,
      { cursor: 'e-6', messages: [], disconnect: advice },
      { 'retry-after': '13' },
    );
    for (const { said, world, client } of [bySocket, bySse, byPoll]) {
      const transport = client.transport;
      assert.deepEqual(said.slice(-2), ['disconnect drain', `waiting ${transport} 12345`]);
      await world.page('visibilitychange');
      await world.page('online');
      await world.pass(12_344);
      assert.equal(client.state, 'waiting', 'nobody hurries the client');
      await world.pass(1);
      assert.equal(client.state, 'connecting');
    }
  });

  test('ends at once when the page is shown again or there is a network again', async () => {
    for (const event of ['visibilitychange', 'online', 'pageshow'] as const) {
      const { world, client } = await begin({ transports: ['websocket'] });
      await world.socket.ends();
      assert.equal(client.state, 'waiting');
      await world.page(event);
      assert.equal(client.state, 'connecting', event);
      assert.equal(world.sockets.length, 2);
    }
  });

  test('is not for ever, whatever a proxy says', async () => {
    const { world, client } = await begin({ transports: ['sse'] });
    await world.request.answers(503, '', { 'retry-after': '99999999999' });
    await world.pass(3_600_000);
    assert.equal(client.state, 'connecting');
  });

  test('is over for a client that the server does not want back', async () => {
    const { world, client, said } = await begin();
    await world.socket.goLive();
    await world.socket.says({ type: 'disconnect', code: 'disconnected', reason: 'go', reconnect: false });
    assert.deepEqual(said.slice(-3), ['disconnect disconnected', 'closed websocket', 'error disconnected']);
    await assert.rejects(client[Symbol.asyncIterator]().next(), { code: 'disconnected', message: 'go' });
    assert.equal(world.timers + world.listeners, 0);
  });
});

describe('a connection that is silent', () => {
  test('is asked by WebSocket after a minute, and dead if it does not answer within ten seconds', async () => {
    const { world, client } = await begin();
    await world.socket.goLive();
    const pings = () => world.sockets[0]!.sent.filter(({ type }) => type === 'ping').length;
    await world.pass(59_999);
    assert.equal(pings(), 0);
    await world.pass(1);
    assert.equal(pings(), 1);
    await world.socket.says({ type: 'pong' });
    await world.pass(60_000);
    assert.equal(pings(), 2);
    await world.pass(9_999);
    assert.equal(client.state, 'live');
    await world.pass(1);
    assert.equal(client.state, 'waiting');
    assert.equal(world.sockets[0]!.isClosed, true);
  });

  test('is not asked while it speaks', async () => {
    const { world } = await begin();
    await world.socket.goLive();
    for (let i = 2; i < 12; i++) {
      await world.pass(50_000);
      await world.socket.says({ type: 'message', channel: 'a', cursor: `e-${i}`, data: i, time: 1 });
    }
    assert.equal(world.socket.sent.length, 1);
  });

  test('is dead as an event stream without a heartbeat for a minute, and as a poll', async () => {
    for (const { world, client } of [await beginBySse(), await beginByPoll()]) {
      await world.pass(59_999);
      assert.equal(client.state, 'live');
      await world.pass(1);
      assert.equal(client.state, 'waiting');
    }
  });

  test('is asked when the machine has slept, the page is shown again, or the network has gone', async () => {
    for (const wakes of [
      async (world: World) => {
        world.sleep(3_600_000);
        await world.pass(1);
      },
      (world: World) => world.page('visibilitychange'),
      (world: World) => world.page('offline'),
    ]) {
      const { world, client } = await begin();
      await world.socket.goLive();
      await world.pass(1_000);
      await wakes(world);
      assert.equal(world.socket.sent.at(-1).type, 'ping');
      await world.pass(10_000);
      assert.notEqual(client.state, 'live');
    }
  });
});

describe('a page', () => {
  test('that goes to the back/forward cache lets its connection go, and takes it up where it was', async () => {
    const { world, client, said } = await begin();
    await world.socket.goLive('e-3');
    await world.socket.says({ type: 'message', channel: 'a', cursor: 'e-4', data: 'x', time: 1 });
    await world.page('pagehide');
    assert.equal(client.state, 'idle');
    assert.equal(world.socket.isClosed, true);
    assert.equal(world.timers, 0);
    await world.page('pageshow');
    await world.socket.open();
    assert.deepEqual(world.socket.sent, [{ type: 'subscribe', channels: ['a'], after: 'e-4', ref: 2 }]);
    assert.deepEqual(said.slice(-2), ['idle websocket', 'connecting websocket']);
  });

  test('that is online again connects anew, with the best transport first', async () => {
    const { world } = await beginBySse();
    await world.page('online');
    assert.equal(world.requests[0]!.signal?.aborted, true);
    assert.equal(world.sockets.length, 2);
  });
});

describe('nothing is left behind', () => {
  const nothing = (world: World) => assert.deepEqual([world.timers, world.listeners], [0, 0]);

  test('by a client that is closed, in whatever state', async () => {
    const states: ((client: Client, world: World) => Promise<void>)[] = [
      async () => {},
      (_, world) => world.socket.open(),
      (_, world) => world.socket.goLive(),
      async (_, world) => {
        await world.socket.ends();
        await world.request.streams();
      },
      async (_, world) => {
        await world.socket.goLive();
        await world.socket.ends();
      },
    ];
    for (const reach of states) {
      const { world, client } = await begin();
      await reach(client, world);
      client.close();
      await world.pass(0);
      assert.equal(client.state, 'closed');
      nothing(world);
      const before = [world.sockets.length, world.requests.length];
      await world.pass(100_000);
      assert.deepEqual([world.sockets.length, world.requests.length], before);
    }
  });

  test('by one whose signal was aborted before', async () => {
    const world = new World();
    const client = await world.client({ channels: ['a'], signal: AbortSignal.abort() });
    assert.equal(client.state, 'closed');
    assert.equal(world.sockets.length, 0);
    nothing(world);
  });

  test('of a socket that speaks after it was let go', async () => {
    const { world, said } = await begin();
    const old = world.socket;
    await old.goLive();
    await world.page('online');
    await old.says({ type: 'message', channel: 'a', cursor: 'e-9', data: 'late', time: 1 });
    await old.ends(1011);
    assert.equal(said.at(-1), 'connecting websocket');
    await world.socket.open();
    assert.equal(world.socket.sent[0].after, 'e-1');
  });

  test('without channels there is no connection and no timer', async () => {
    const { world, client } = await begin({ channels: [] });
    assert.equal(client.state, 'idle');
    assert.equal(world.timers, 0);
    await world.page('visibilitychange');
    assert.equal(world.sockets.length, 0);
  });
});
