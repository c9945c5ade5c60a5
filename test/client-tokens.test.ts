/** The client library with tokens, and what it makes of the server's advice: real servers, all transports. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Client, type ConnectOptions, connect, type Disconnect, type TransportName } from 'megacomet/client';
import WebSocket from 'ws';
import { Issuer } from '../src/tokens/testing/issuer.js';
import { FaultyProxy } from './faulty-proxy.js';
import { startServer, type TestServer, waitFor } from './helpers.js';

const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'poll'];
const QUICK: ConnectOptions = { WebSocket, backoff: { firstMs: 40, maxMs: 200 } };

const isLive = (client: Client) => waitFor(`live, not ${client.state}`, () => client.state === 'live', 15_000);

describe('a client with a token', () => {
  const issuer = new Issuer('HS256');
  let directory: string;
  let server: TestServer;
  let url: string;
  const clients: Client[] = [];

  /** A token that expires in so many seconds. */
  const sign = (seconds: number, rights: { subscribe?: string[]; publish?: string[] } = { subscribe: ['mine/*'] }) =>
    issuer.sign({ sub: 'alice', exp: Math.floor(Date.now() / 1000) + seconds, megacomet: rights });

  const open = (options: ConnectOptions) => {
    const client = connect(url, { ...QUICK, ...options });
    clients.push(client);
    const errors: { code: string; channels: readonly string[] | undefined }[] = [];
    const states: string[] = [];
    client.on('error', ({ code, channels }) => errors.push({ code, channels }));
    client.on('state', ({ state }) => states.push(state));
    return { client, errors, states };
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'megacomet-tokens-'));
    const secret = join(directory, 'secret');
    await writeFile(secret, issuer.file);
    // A second: a machine that is busy renews its tokens late.
    server = await startServer([
      '--token-secret-file',
      secret,
      '--token-tolerance-seconds',
      '1',
      '--anonymous',
      'public',
    ]);
    url = `http://127.0.0.1:${server.ports.client}`;
  });

  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
    await rm(directory, { recursive: true });
  });

  for (const transport of TRANSPORTS) {
    test(`by ${transport}: gets what it may, and is told what it may not`, async () => {
      const token = await sign(60, { subscribe: ['mine/*'], publish: ['mine/*'] });
      const { client, errors } = open({ channels: ['mine/a', 'public'], transports: [transport], token });
      const heard: unknown[] = [];
      client.on('message', ({ data }) => heard.push(data));
      await isLive(client);
      await client.publish('mine/a', transport);
      await waitFor('it', () => heard.length === 1);
      await assert.rejects(client.publish('public', 1), { code: 'forbidden' });

      client.subscribe('theirs');
      await waitFor('the refusal', () => errors.length === 1);
      assert.deepEqual(errors, [{ code: 'forbidden', channels: ['theirs'] }]);
      await isLive(client);
      assert.deepEqual(client.channels, ['mine/a', 'public']);
      await server.publish('public', 'still here');
      await waitFor('the second', () => heard.length === 2);
    });

    test(`by ${transport}: fetches another token before the old one expires, and loses nothing`, async () => {
      let fetched = 0;
      const token = () => {
        fetched++;
        return sign(3);
      };
      const channel = `mine/${transport}`;
      const { client, errors, states } = open({ channels: [channel], transports: [transport], token });
      const disconnects: Disconnect[] = [];
      client.on('disconnect', (advice) => disconnects.push(advice));
      const heard: unknown[] = [];
      client.on('message', ({ data }) => heard.push(data));
      await isLive(client);
      let sent = 0;
      await waitFor('three tokens', async () => {
        await server.publish(channel, sent++);
        return fetched >= 3;
      });
      await waitFor('all', () => heard.length === sent);
      assert.deepEqual(
        heard,
        Array.from({ length: sent }, (_, i) => i),
      );
      assert.deepEqual(errors, []);
      assert.deepEqual(disconnects, []);
      // A WebSocket and polls go on as they are; an event stream begins anew.
      if (transport !== 'sse') assert.deepEqual(states, ['connecting', 'live']);
    });

    test(`by ${transport}: fetches another one when the server says that it has expired`, async () => {
      // By the client's reading they never expire: it reads no other tokens than JWTs, of which it believes `exp`.
      const tokens = [await sign(-5), await sign(60)];
      const { client, errors } = open({
        channels: ['mine/a'],
        transports: [transport],
        token: () => tokens.shift()!,
      });
      await isLive(client);
      assert.deepEqual(errors, []);
      assert.equal(tokens.length, 0);
    });

    test(`by ${transport}: goes on asking where its tokens are refused`, async () => {
      let good = false;
      const { client, errors } = open({
        channels: ['mine/a'],
        transports: [transport],
        token: () => sign(good ? 60 : -60),
      });
      await waitFor('two refusals', () => errors.length >= 2);
      assert.deepEqual(
        errors.slice(0, 2).map(({ code }) => code),
        ['token_expired', 'token_expired'],
      );
      good = true;
      await isLive(client);
    });

    test(`by ${transport}: is closed where there is no other token to be had`, async () => {
      for (const [token, code] of [
        [await sign(-60), 'token_expired'],
        ['no.token.atall', 'token_invalid'],
        [null, 'token_required'],
      ] as const) {
        const { client, errors } = open({
          channels: ['mine/a'],
          transports: [transport],
          ...(token !== null && { token }),
        });
        const ended = assert.rejects(client[Symbol.asyncIterator]().next(), { code });
        await waitFor('the end', () => client.state === 'closed');
        await ended;
        assert.deepEqual(errors, [{ code, channels: code === 'token_required' ? ['mine/a'] : undefined }]);
      }
    });

    test(`by ${transport}: is closed where it may listen to none of its channels`, async () => {
      const { client, errors } = open({ channels: ['theirs'], transports: [transport], token: await sign(60) });
      await waitFor('the end', () => client.state === 'closed');
      assert.deepEqual(errors, [{ code: 'forbidden', channels: ['theirs'] }]);
    });
  }

  test('whose callback fails says so and asks it again', async () => {
    let failures = 2;
    const { client, errors } = open({
      channels: ['mine/a'],
      token: () => {
        if (failures-- > 0) throw new Error('the login service is down');
        return sign(60);
      },
    });
    await isLive(client);
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['token_failed', 'token_failed'],
    );
  });
});

describe('a client that an administrator disconnects', () => {
  let server: TestServer;
  const clients: Client<number>[] = [];
  before(async () => {
    server = await startServer();
  });
  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
  });

  for (const transport of TRANSPORTS) {
    test(`by ${transport}: comes back when it is told to, and is closed when it is not to`, async () => {
      const channel = `d-${transport}`;
      const url = `http://127.0.0.1:${server.ports.client}`;
      const client = connect<number>(url, { ...QUICK, channels: [channel], transports: [transport] });
      clients.push(client);
      const said: string[] = [];
      client.on('state', ({ state }) => said.push(state));
      client.on('disconnect', ({ code, afterMs }) => said.push(`${code} ${afterMs !== undefined}`));
      client.on('error', ({ code, message }) => said.push(`${code}: ${message}`));
      client.on('message', ({ data }) => said.push(`message ${data}`));
      // Between two polls a client has no connection that could be told.
      const disconnect = (body: object) => waitFor('its connection', async () => (await disconnected(body)) === 1);
      const disconnected = async (body: object) => {
        const response = await fetch(`${server.api}/v1/disconnect`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ channel, ...body }),
        });
        return ((await response.json()) as { connections: number }).connections;
      };
      await isLive(client);
      await disconnect({ reconnect: true, afterMs: 100 });
      await waitFor('the wait', () => said.includes('waiting'));
      await server.publish(channel, 1);
      await waitFor('what it missed', () => said.includes('message 1'));
      await isLive(client);
      await disconnect({ reason: 'your account is closed' });
      await waitFor('the end', () => client.state === 'closed');
      const end = ['disconnected false', 'closed', 'disconnected: your account is closed'];
      const connecting = ['connecting', 'live', 'disconnected true', 'waiting', 'connecting'];
      assert.deepEqual(
        said.filter((each) => each !== 'message 1'),
        [...connecting, 'live', ...end],
      );
    });
  }
});

describe('a server that is drained', () => {
  for (const transport of TRANSPORTS) {
    test(`says when to come back, and its client by ${transport} does, to the next one`, async () => {
      const [first, second] = await Promise.all([startServer(), startServer()]);
      const proxy = await FaultyProxy.start(first.ports.client);
      const client = connect<number>(proxy.url, { ...QUICK, channels: ['a'], transports: [transport] });
      try {
        const heard: unknown[] = [];
        client.on('message', ({ data }) => heard.push(data));
        client.on('gap', ({ channel }) => heard.push(channel ?? 'gap of all'));
        const advices: Disconnect[] = [];
        let toldMs = 0;
        client.on('disconnect', (advice) => {
          toldMs = performance.now();
          advices.push(advice);
        });
        await isLive(client);
        await first.publish('a', 1);
        await waitFor('the first', () => heard.length === 1);
        // After a message there is no poll for a moment, and the next one is to come to the first server.
        await waitFor('its next poll', async () => {
          const response = await fetch(`${first.api}/v1/channels/a`);
          return ((await response.json()) as { subscribers: number }).subscribers === 1;
        });
        proxy.target = second.ports.client;
        const waiting = waitFor('the wait', () => client.state === 'waiting');
        const response = await fetch(`${first.api}/v1/drain`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"seconds":1,"returnAfterSeconds":2}',
        });
        assert.equal(response.status, 202);
        await waiting;
        assert.equal(advices.length, 1);
        const { code, reconnect, afterMs } = advices[0]!;
        assert.deepEqual([code, reconnect], ['drain', true]);
        await isLive(client);
        assert.ok(performance.now() - toldMs >= afterMs! - 50, `${afterMs} ms`);
        await second.publish('a', 2);
        await waitFor('what the second server says', () => heard.length === 3);
        assert.deepEqual(heard, [1, 'gap of all', 2]);
      } finally {
        client.close();
        await proxy.stop();
        await Promise.all([first.stop(), second.stop()]);
      }
    });
  }
});
