import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { settled, World } from './testing/world.js';

/** A client that is live by WebSocket. */
async function live(options = {}) {
  const world = new World();
  const client = await world.client({ channels: ['a'], ...options });
  await world.socket.goLive();
  return { world, client, socket: world.socket };
}

/** One that has nothing but HTTP. */
async function without() {
  const world = new World();
  return { world, client: await world.client({}) };
}

const published = (world: World) => world.socket.sent.filter(({ type }) => type === 'publish');

describe('by WebSocket', () => {
  test('what is published is sent at once, and each answer finds its promise', async () => {
    const { world, client, socket } = await live();
    const promises = [client.publish('a', { x: 1 }), client.publish('b', 'text', { id: 'mine' })];
    const [first, second] = published(world);
    assert.deepEqual(
      [first.channel, first.data, second.channel, second.data, second.id],
      ['a', { x: 1 }, 'b', 'text', 'mine'],
    );
    assert.match(first.id, /^0\.5/);
    await socket.says({ type: 'published', cursor: 'e-3', duplicate: true, ref: second.ref });
    await socket.says({ type: 'published', cursor: 'e-2', ref: first.ref });
    assert.equal((await promises[0]!).cursor, 'e-2');
    assert.deepEqual(await promises[1], { cursor: 'e-3', duplicate: true });
  });

  test('what the server refuses fails with its words', async () => {
    const { world, client, socket } = await live();
    const refused = assert.rejects(client.publish('b', 1), { code: 'forbidden', message: 'not yours' });
    await socket.says({ type: 'error', code: 'forbidden', message: 'not yours', ref: published(world)[0].ref });
    await refused;
  });

  test('what was not answered when the connection broke is sent again with the same ids, in order', async () => {
    const { world, client, socket } = await live();
    const promises = [1, 2, 3].map((data) => client.publish('a', data));
    const sent = published(world);
    await socket.says({ type: 'published', cursor: 'e-2', ref: sent[0].ref });
    await socket.ends();
    assert.equal(world.request.path, '/v1/publish');
    assert.deepEqual(world.request.body, { channel: 'a', data: 2, id: sent[1].id });
    assert.equal(world.requests.length, 1, 'one after the other');
    await world.request.answers(200, { cursor: 'e-3', duplicate: true });
    assert.deepEqual(world.request.body, { channel: 'a', data: 3, id: sent[2].id });
    await world.request.answers(200, { cursor: 'e-4' });
    assert.deepEqual(
      (await Promise.all(promises)).map(({ cursor }) => cursor),
      ['e-2', 'e-3', 'e-4'],
    );
  });

  test('what the server cannot take now is tried again', async () => {
    const { world, client, socket } = await live();
    const promise = client.publish('a', 1);
    const [first] = published(world);
    await socket.says({ type: 'error', code: 'unavailable', message: 'no manager', ref: first.ref });
    await settled();
    await socket.says({ type: 'error', code: 'unavailable', message: 'no manager', ref: published(world)[1].ref });
    await world.pass(5_000);
    const third = published(world)[2];
    assert.equal(third.id, first.id);
    await socket.says({ type: 'published', cursor: 'e-2', ref: third.ref });
    assert.equal((await promise).cursor, 'e-2');
  });
});

describe('by POST', () => {
  test('it is one request after the other, with what the server wants to see', async () => {
    const { world, client } = await without();
    const promises = [client.publish('a', 1), client.publish('a', 2)];
    await settled();
    assert.equal(world.requests.length, 1);
    const { method, headers, url } = world.request;
    assert.deepEqual(
      [method, headers['content-type'], url.href],
      ['POST', 'application/json', 'https://push.example/v1/publish'],
    );
    await world.request.answers(200, { cursor: 'e-1' });
    await world.request.answers(200, { cursor: 'e-2' });
    assert.deepEqual(await Promise.all(promises), [{ cursor: 'e-1' }, { cursor: 'e-2' }]);
  });

  test('it is repeated while the network or the server is away, until a WebSocket is open', async () => {
    const { world, client } = await without();
    const promise = client.publish('a', 1);
    await settled();
    await world.request.breaks();
    await world.pass(5_000);
    assert.equal(world.requests.length, 2);
    await world.request.answers(503, { error: { code: 'unavailable', message: 'busy' } }, { 'retry-after': '3' });
    await world.pass(3_499);
    assert.equal(world.requests.length, 2);
    client.subscribe('a');
    await settled();
    await world.socket.open();
    assert.equal(published(world).length, 1);
    assert.equal(published(world)[0].id, (world.requests[0]!.body as { id: string }).id);
    await world.socket.says({ type: 'published', cursor: 'e-1', ref: published(world)[0].ref });
    assert.equal((await promise).cursor, 'e-1');
  });

  test('a token that is refused is fetched anew, once', async () => {
    const world = new World();
    let fetched = 0;
    const client = await world.client({ token: () => `t${++fetched}` });
    const promise = client.publish('a', 1);
    await settled();
    const refusal = { error: { code: 'token_expired', message: 'over' } };
    await world.request.answers(401, refusal);
    await world.pass(0);
    assert.equal(world.request.headers['authorization'], 'Bearer t2');
    await Promise.all([assert.rejects(promise, { code: 'token_expired' }), world.request.answers(401, refusal)]);
  });

  test('refusals fail with their words, and do not hold up what comes after them', async () => {
    const { world, client } = await without();
    const refused = assert.rejects(client.publish('a', 1), { code: 'too_large', message: 'the data is too large' });
    const taken = client.publish('a', 2);
    await settled();
    await world.request.answers(413, { error: { code: 'too_large', message: 'the data is too large' } });
    await refused;
    await world.request.answers(200, { cursor: 'e-1' });
    assert.equal((await taken).cursor, 'e-1');
  });
});

test('what JSON cannot express, and what is too much, is refused at once', async () => {
  const { client } = await live();
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  await assert.rejects(client.publish('a', circle), TypeError);
  const promises = Array.from({ length: 1_000 }, (_, i) => client.publish('a', i));
  await assert.rejects(client.publish('a', 1_000), { code: 'queue_full' });
  const ended = promises.map((promise) => assert.rejects(promise, { code: 'closed' }));
  client.close();
  await Promise.all(ended);
  await assert.rejects(client.publish('a', 1), { code: 'closed' });
});
