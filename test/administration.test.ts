/** What the API says of clients that came with a token, and does to them: a real server, real transports. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SignJWT } from 'jose';
import { type RawClient, rawClient, startServer, type TestServer, waitFor } from './helpers.js';

const SECRET = 'a secret of at least 32 bytes for HS256';
const GRACE_S = 2;

describe('administration of clients', () => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-admin-'));
  let server: TestServer;

  before(async () => {
    const path = join(folder, 'secret');
    writeFileSync(path, SECRET, { mode: 0o600 });
    const grace = ['--presence-grace-seconds', String(GRACE_S)];
    server = await startServer(['--token-secret-file', path, '--anonymous', '*', ...grace]);
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  const tokenOf = (subject: string) =>
    new SignJWT({ megacomet: { subscribe: ['*'] } })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(subject)
      .setExpirationTime('1h')
      .sign(Buffer.from(SECRET));

  /** A request of a client; null: of nobody in particular. */
  async function open(client: string | null, target: string): Promise<RawClient> {
    const authorization = client === null ? '' : `Authorization: Bearer ${await tokenOf(client)}\r\n`;
    return rawClient(server.ports.client, `GET ${target} HTTP/1.1\r\nHost: h\r\n${authorization}\r\n`);
  }

  async function listen(client: string | null, target: string): Promise<RawClient> {
    const raw = await open(client, target);
    await raw.until('event: subscribed');
    return raw;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the tests look at what came
  async function get(path: string): Promise<any> {
    return (await fetch(server.api + path)).json();
  }

  // biome-ignore lint/suspicious/noExplicitAny: the tests look at what came
  async function post(path: string, body: object): Promise<any> {
    const headers = { 'content-type': 'application/json' };
    return (await fetch(server.api + path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
  }

  // biome-ignore lint/suspicious/noExplicitAny: the tests look at what came
  async function outcomeOf(cursor: string, client: string): Promise<any> {
    return (await get(`/v1/trace?cursor=${cursor}&client=${client}`)).client;
  }

  it('channels and clients are those of all workers', async () => {
    const clients = [
      await listen('alice', '/v1/sse?channel=room/1&channel=room/2'),
      await listen('alice', '/v1/sse?channel=room/1'),
      await listen('bob', '/v1/sse?channel=room/1'),
      await listen(null, '/v1/sse?channel=room/1'),
    ];
    assert.deepEqual(await get('/v1/channels?pattern=room/*'), {
      channels: [
        { channel: 'room/1', subscribers: 4, waiting: 0 },
        { channel: 'room/2', subscribers: 1, waiting: 0 },
      ],
    });
    assert.deepEqual(await get('/v1/channels/room%2F1/presence'), {
      clients: [
        { client: 'alice', connections: 2 },
        { client: 'bob', connections: 1 },
      ],
      connections: 4,
    });
    for (const { socket } of clients) socket.destroy();
    await waitFor('their end', async () => (await get('/v1/channels?pattern=room/*')).channels.length === 0);
  });

  it('a client that polls is there between two polls, until the grace time is over', async () => {
    const poll = await open('carol', '/v1/poll?channel=polled');
    await waitFor('carol', async () => (await get('/v1/channels/polled')).subscribers === 1);
    assert.deepEqual((await get('/v1/channels/polled/presence')).clients, [{ client: 'carol', connections: 1 }]);
    await post('/v1/publish', { channel: 'polled', data: 'x' });
    await poll.until('"data":"x"');
    const between = await get('/v1/channels/polled/presence');
    assert.deepEqual(between, { clients: [{ client: 'carol', connections: 0 }], connections: 0 });
    await waitFor('the end of the grace', async () => (await get('/v1/channels/polled/presence')).clients.length === 0);
    poll.socket.destroy();
  });

  it('a trace tells where a publication went, and why a client did or did not get it', async () => {
    const dave = await listen('dave', '/v1/sse?channel=traced');
    const erin = await listen('erin', '/v1/sse?channel=other');
    const { cursor } = await post('/v1/publish', { channel: 'traced', data: 'hello' });
    await dave.until('hello');
    const trace = await get(`/v1/trace?cursor=${cursor}&client=dave`);
    assert.deepEqual([trace.channel, trace.bytes, trace.retained, trace.receivers], ['traced', 5, true, 1]);
    assert.equal(trace.workers.length, 1);
    assert.equal(trace.workers[0].via, 'fan_out');
    assert.ok(trace.workers[0].sent >= trace.time);
    assert.equal(trace.client.outcome, 'sent');
    assert.equal(trace.client.visits[0].sent, trace.workers[0].sent);
    assert.equal((await outcomeOf(cursor, 'erin')).outcome, 'not_subscribed');
    assert.equal((await outcomeOf(cursor, 'frank')).outcome, 'not_connected');

    // Later, from the log, and with the cursor of it.
    const frank = await open('frank', '/v1/poll?channel=traced&after=start');
    await frank.until('hello');
    const { outcome, visits } = await outcomeOf(cursor, 'frank');
    assert.deepEqual([outcome, visits[0].reason, visits[0].sent], ['sent', 'answered', undefined]);
    const grace = await listen('grace', `/v1/sse?channel=traced&after=${cursor}`);
    assert.equal((await outcomeOf(cursor, 'grace')).outcome, 'had_it');
    const heidi = await listen('heidi', '/v1/sse?channel=traced');
    assert.equal((await outcomeOf(cursor, 'heidi')).outcome, 'asked_for_later');

    dave.socket.destroy();
    await waitFor('the end of dave', async () => (await outcomeOf(cursor, 'dave')).visits[0].reason === 'closed');
    assert.equal((await outcomeOf(cursor, 'dave')).outcome, 'sent');
    for (const { socket } of [erin, frank, grace, heidi]) socket.destroy();
  });

  it('a trace tells of classic clients too', async () => {
    const classic = await rawClient(server.ports.client, 'GET /old.js HTTP/1.1\r\nHost: h\r\n\r\n');
    await waitFor('the poll', async () => (await get('/v1/channels/old')).waiting === 1);
    const { cursor, receivers } = await post('/v1/publish', { channel: 'old', data: 'hello' });
    await classic.until('hello');
    const trace = await get(`/v1/trace?cursor=${cursor}`);
    assert.deepEqual([trace.receivers, receivers], [1, 1]);
    assert.deepEqual(
      trace.workers.map(({ via }: { via: string }) => via),
      ['queue'],
    );
  });

  it('connections are ended with advice, and nobody else is', async () => {
    const clients = [
      await listen('ivan', '/v1/sse?channel=lobby'),
      await listen('ivan', '/v1/sse?channel=elsewhere'),
      await listen('judy', '/v1/sse?channel=lobby'),
    ];
    const poll = await open('ivan', '/v1/poll?channel=lobby');
    await waitFor('the poll', async () => (await get('/v1/channels/lobby')).subscribers === 3);
    const reason = 'be good';
    assert.deepEqual(await post('/v1/disconnect', { client: 'ivan', channel: 'lobby', reason }), { connections: 2 });
    const { received } = await clients[0].closed;
    assert.match(
      received,
      /event: disconnect\n(id: .*\n)?data: \{"code":"disconnected","reason":"be good","reconnect":false\}/,
    );
    assert.match(
      (await poll.closed).received,
      /"disconnect":\{"code":"disconnected","reason":"be good","reconnect":false\}/,
    );
    assert.deepEqual((await get('/v1/channels/lobby/presence')).clients, [{ client: 'judy', connections: 1 }]);

    const { cursor } = await post('/v1/publish', { channel: 'lobby', data: 1 });
    const { outcome } = await outcomeOf(cursor, 'ivan');
    assert.equal(outcome, 'not_subscribed', 'his other connection was there');
    const everybody = { channel: 'lobby', reconnect: true, afterMs: 3000 };
    assert.deepEqual(await post('/v1/disconnect', everybody), { connections: 1 });
    const [, afterMs] = /"reconnect":true,"afterMs":(\d+)/.exec((await clients[2].closed).received)!;
    assert.ok(Number(afterMs) >= 3000 && Number(afterMs) <= 6000, afterMs);
    clients[1].socket.destroy();
  });
});
