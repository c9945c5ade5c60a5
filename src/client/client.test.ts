import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { settled, World } from './testing/world.js';
import type { Gap, Message } from './types.js';

const message = (sequence: number, data: unknown = sequence, channel = 'a') => ({
  type: 'message',
  channel,
  cursor: `e-${sequence}`,
  data,
  time: 1,
});

/** A client that is live by WebSocket at e-1. */
async function live(options = {}) {
  const world = new World();
  const client = await world.client<number>({ channels: ['a'], ...options });
  await world.socket.goLive();
  return { world, client, socket: world.socket };
}

describe('an iterator', () => {
  test('has what came before it, then what comes', async () => {
    const { client, socket } = await live();
    await socket.says(message(2), message(3));
    const iterator = client[Symbol.asyncIterator]();
    assert.equal((await iterator.next()).value?.data, 2);
    assert.equal((await iterator.next()).value?.data, 3);
    const next = iterator.next();
    await socket.says(message(4));
    assert.equal((await next).value?.data, 4);
  });

  test('may be left, and the next one goes on from there', async () => {
    const { client, socket } = await live();
    await socket.says(message(2), message(3), message(4));
    for await (const { data } of client) if (data === 3) break;
    assert.equal((await client[Symbol.asyncIterator]().next()).value?.data, 4);
  });

  test('of events has gaps in their place, one of messages has none', async () => {
    const gap = { type: 'gap', channel: 'a', cursor: 'e-2', lost: 'e-5' };
    const { client, socket } = await live();
    await socket.says(message(2), gap, message(6));
    const kinds: string[] = [];
    for await (const { type } of client.events()) if (kinds.push(type) === 3) break;
    assert.deepEqual(kinds, ['message', 'gap', 'message']);
    const other = await live();
    await other.socket.says(message(2), gap, message(6));
    const data: number[] = [];
    for await (const each of other.client) if (data.push(each.data) === 2) break;
    assert.deepEqual(data, [2, 6]);
  });

  test('hands out what waits when the client is closed, and then ends', async () => {
    const { client, socket } = await live();
    await socket.says(message(2));
    client.close();
    const data: number[] = [];
    for await (const each of client) data.push(each.data);
    assert.deepEqual(data, [2]);
    const waiting = await live();
    const next = waiting.client[Symbol.asyncIterator]().next();
    await settled();
    waiting.client.close();
    assert.deepEqual(await next, { value: undefined, done: true });
  });
});

describe('a full queue', () => {
  test('ends the connection until half of it is taken, and the rest comes from the cursor', async () => {
    const { world, client, socket } = await live({ queueMax: 4 });
    await socket.says(message(2), message(3), message(4), message(5), message(6), message(7));
    assert.equal(client.state, 'idle');
    assert.equal(socket.isClosed, true);
    assert.equal(world.timers, 0);
    const iterator = client[Symbol.asyncIterator]();
    const data = [(await iterator.next()).value?.data];
    await settled();
    assert.equal(world.sockets.length, 1);
    data.push((await iterator.next()).value?.data);
    await settled();
    assert.equal(world.sockets.length, 2);
    await world.socket.open();
    assert.equal(world.socket.sent[0].after, 'e-5');
    await world.socket.says(message(6));
    for (let i = 0; i < 3; i++) data.push((await iterator.next()).value?.data);
    assert.deepEqual(data, [2, 3, 4, 5, 6]);
  });

  test('does not fill while there are listeners and no iterator', async () => {
    const { client, socket } = await live({ queueMax: 2 });
    const heard: number[] = [];
    const off = client.on('message', ({ data }) => heard.push(data));
    for (let i = 2; i < 12; i++) await socket.says(message(i));
    assert.equal(heard.length, 10);
    assert.equal(client.state, 'live');
    off();
    await socket.says(message(12));
    assert.equal(heard.length, 10);
    client.on('message', ({ data }) => heard.push(data));
    assert.equal(heard.at(-1), 12, 'a listener that comes late is given what nobody has had');
  });
});

describe('the cursor', () => {
  test('does not move past what no iterator has taken', async () => {
    const { client, socket } = await live();
    assert.equal(client.cursor, 'e-1');
    await socket.says(message(2), message(3));
    assert.equal(client.cursor, 'e-1');
    const iterator = client[Symbol.asyncIterator]();
    await iterator.next();
    assert.equal(client.cursor, 'e-2');
    await iterator.next();
    assert.equal(client.cursor, 'e-3');
  });

  test('is what has been heard, where there are listeners', async () => {
    const { client, socket } = await live();
    client.on('message', () => {});
    await socket.says(message(2));
    assert.equal(client.cursor, 'e-2');
  });
});

describe('listeners', () => {
  test('that fail are heard of by nobody but the application', async () => {
    const { client, socket } = await live();
    const heard: number[] = [];
    client.on('message', () => {
      throw new Error('a bug of the application');
    });
    client.on('message', ({ data }) => heard.push(data));
    const uncaught = new Promise<Error>((resolve) => {
      // The test's own handler would end the test.
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const other of others) process.on('uncaughtException', other);
        resolve(error);
      });
    });
    await socket.says(message(2));
    assert.equal((await uncaught).message, 'a bug of the application');
    assert.deepEqual(heard, [2]);
    assert.equal(client.state, 'live');
  });

  test('hear each message and gap once, whatever is repeated', async () => {
    const { world, client, socket } = await live();
    const heard: (Message<number> | Gap)[] = [];
    client.on('message', (event) => heard.push(event));
    client.on('gap', (event) => heard.push(event));
    const gap = { type: 'gap', channel: 'a', cursor: 'e-2', lost: 'e-9' };
    await socket.says(message(2), gap);
    await socket.ends();
    await world.page('online');
    await world.socket.open();
    await world.socket.says(message(2), gap, message(3));
    assert.deepEqual(heard, [message(2), gap, message(3)]);
  });
});

describe('channels', () => {
  test('of several places are asked for in as many messages', async () => {
    const { world, client, socket } = await live();
    client.subscribe(['b', 'a', 'b'], { after: 'start' });
    client.subscribe('c');
    assert.deepEqual(socket.sent.slice(1), [
      { type: 'subscribe', channels: ['b'], after: 'start', ref: 2 },
      { type: 'subscribe', channels: ['c'], after: 'now', ref: 3 },
    ]);
    assert.equal(client.state, 'connecting');
    await socket.says({ type: 'subscribed', channels: ['c'], cursor: 'e-4', ref: 3 });
    assert.equal(client.state, 'connecting');
    await socket.ends();
    await world.page('online');
    await world.socket.open();
    assert.deepEqual(
      world.socket.sent.map(({ channels, after }) => [channels, after]),
      [
        [['a', 'c'], 'e-4'],
        [['b'], 'start'],
      ],
    );
  });

  test('of several places are brought to cursors first, where one address has to say all', async () => {
    const world = new World();
    const client = await world.client({ channels: ['a'], transports: ['sse'] });
    await world.request.streams();
    await world.request.sends('event: subscribed\nid: e-9\ndata: {"cursor":"e-9"}\n\n');
    client.subscribe('b', { after: 'start' });
    await settled();
    assert.equal(world.requests[0]!.signal?.aborted, true);
    const asked = () => [world.request.path, world.request.after, world.request.channels.join()];
    assert.deepEqual(asked(), ['/v1/poll', 'e-9', 'a']);
    await world.request.answers(200, { cursor: 'e-10', messages: [] });
    assert.deepEqual(asked(), ['/v1/poll', 'start', 'b']);
    await world.request.answers(200, { cursor: 'e-3', messages: [{ channel: 'b', cursor: 'e-3', data: 1, time: 1 }] });
    assert.deepEqual(asked(), ['/v1/sse', 'e-3', 'a,b']);
  });

  test('that are refused are named, and the others stay', async () => {
    const { client, socket } = await live();
    const errors: unknown[] = [];
    client.on('error', ({ code, channels }) => errors.push([code, channels]));
    client.subscribe(['b', 'c']);
    await socket.says({ type: 'error', code: 'forbidden', message: 'no', ref: 2 });
    assert.deepEqual(errors, [['forbidden', ['b', 'c']]]);
    assert.deepEqual(client.channels, ['a']);
    assert.equal(client.state, 'live');
    assert.deepEqual(socket.sent.at(-1), { type: 'unsubscribe', channels: ['b', 'c'] });
  });

  test('that the server is too busy for are asked for again later, on another connection', async () => {
    const { world, client, socket } = await live();
    client.subscribe('b');
    await socket.says({ type: 'error', code: 'unavailable', message: 'busy', ref: 2 });
    assert.equal(client.state, 'waiting');
    await world.pass(5_000);
    await world.socket.open();
    assert.deepEqual(
      world.socket.sent.flatMap(({ channels }) => channels),
      ['a', 'b'],
    );
  });

  test('of a client that is over are a matter of indifference', async () => {
    const { world, client } = await live();
    client.close();
    client.subscribe('b');
    client.unsubscribe('a');
    await world.pass(60_000);
    assert.equal(world.sockets.length, 1);
  });
});

describe('a token', () => {
  test('is shown as a subprotocol and in a header, and never in an address', async () => {
    const world = new World();
    await world.client({ channels: ['a'], token: 'secret.token.x' });
    assert.deepEqual(world.socket.protocols, ['megacomet', 'megacomet.token.secret.token.x']);
    await world.socket.ends();
    await world.request.breaks();
    for (const { headers, url } of world.requests) {
      assert.equal(headers['authorization'], 'Bearer secret.token.x');
      assert.doesNotMatch(url.href, /secret/);
    }
    assert.doesNotMatch(world.socket.url, /secret/);
  });

  test('that takes long to fetch is waited for, and a client that is closed meanwhile does not connect', async () => {
    const world = new World();
    let give = (_: string) => {};
    const client = await world.client({ channels: ['a'], token: () => new Promise((resolve) => (give = resolve)) });
    await world.pass(30_000);
    assert.equal(world.sockets.length, 0);
    client.close();
    give('late');
    await settled();
    assert.equal(world.sockets.length, 0);
  });
});

test('an application may await the first message as an event', async () => {
  const { client, socket } = await live();
  const target = new EventTarget();
  client.on('message', ({ data }) => target.dispatchEvent(new CustomEvent('heard', { detail: data })));
  const heard = once(target, 'heard');
  await socket.says(message(2));
  const [event] = (await heard) as [CustomEvent];
  assert.equal(event.detail, 2);
});
