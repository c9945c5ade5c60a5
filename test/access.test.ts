/** Clients with tokens against real processes: every transport, keys of every kind, keys that change, and nothing of a token in the log. */

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Issuer } from '../src/tokens/testing/issuer.js';
import { OPCODE_TEXT } from '../src/websocket/frame.js';
import { clientFrame } from '../src/websocket/testing/client-frame.js';
import { readWebSocket, splitHead } from '../src/worker/testing/client-events.js';
import { HANDSHAKE } from '../src/worker/testing/worker-rig.js';
import { type RawClient, rawClient, rawRequest, runCommand, startServer, type TestServer, waitFor } from './helpers.js';

const hs = new Issuer('HS256');
const rs = new Issuer('RS256', 'rs');
const ed = new Issuer('EdDSA', 'ed');
const es = new Issuer('ES256', 'es-1');
const nextEs = new Issuer('ES256', 'es-2');

const now = () => Math.floor(Date.now() / 1000);

/** A set of the public keys of several issuers. */
const setOf = (...issuers: Issuer[]) =>
  JSON.stringify({ keys: issuers.flatMap(({ file }) => (JSON.parse(file) as { keys: object[] }).keys) });

describe('clients with tokens', () => {
  let directory: string;
  let jwks: Server;
  let published: string;
  let server: TestServer;
  let port: number;
  const tokens = new Set<string>();

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'megacomet-access-'));
    const file = (name: string, text: string) => {
      writeFileSync(join(directory, name), text, { mode: 0o600 });
      return join(directory, name);
    };
    published = es.file;
    jwks = createServer((_request, response) => response.end(published)).listen(0, '127.0.0.1');
    await once(jwks, 'listening');
    server = await startServer([
      ...['--token-secret-file', file('secret', hs.file), '--token-keys', file('keys.json', setOf(rs, ed))],
      ...['--token-jwks-url', `http://127.0.0.1:${(jwks.address() as AddressInfo).port}/jwks`],
      ...[
        '--token-audience',
        'push',
        '--token-tolerance-seconds',
        '0',
        '--anonymous',
        'public/*',
        '--log-level',
        'debug',
      ],
    ]);
    port = server.ports.client;
  });

  after(async () => {
    const output = server.output();
    await server.stop();
    jwks.close();
    jwks.closeAllConnections();
    rmSync(directory, { recursive: true });
    for (const token of tokens) assert(!output.includes(token.slice(-20)), 'a token is in the log');
  });

  /** A token that the test after all finds nowhere in the log. */
  async function tokenOf(issuer: Issuer, sub: string, subscribe: string[], claims = {}): Promise<string> {
    const token = await issuer.token(sub, { subscribe, publish: ['chat/*'] }, { aud: 'push', ...claims });
    tokens.add(token);
    return token;
  }

  const bearer = (token: string) => `Authorization: Bearer ${token}\r\n`;
  const get = (target: string, fields = '') =>
    rawRequest(port, `GET ${target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n${fields}\r\n`);
  const open = (target: string, fields = ''): Promise<RawClient> =>
    rawClient(port, `GET ${target} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);
  const statusOf = (answer: string) => Number(answer.slice(9, 12));
  const codeOf = (answer: string) => /"code":"(\w+)"/.exec(answer)?.[1];
  const eventsOf = (client: RawClient) => {
    const rest = splitHead(Buffer.from(client.received(), 'latin1'))?.rest;
    return rest === undefined ? [] : readWebSocket(rest).events;
  };

  for (const issuer of [hs, rs, ed, es]) {
    test(`of ${issuer.alg} listen on every transport to what the token allows`, async () => {
      const channel = `${issuer.alg}/news`;
      const token = await tokenOf(issuer, 'alice', [`${issuer.alg}/*`]);
      const clients = await Promise.all([
        open(`/v1/sse?channel=${channel}`, bearer(token)),
        open(`/v1/stream?channel=${channel}&token=${token}`),
        open(`/v1/poll?channel=${channel}&timeout=30`, bearer(token)),
        open(
          `/v1/ws?channel=${channel}`,
          `${HANDSHAKE}Sec-WebSocket-Protocol: megacomet, megacomet.token.${token}\r\n`,
        ),
        open(`/${encodeURIComponent(channel)}.js?token=${token}`),
      ]);
      // A poll has no sign of being live; all have been read when none waits any more.
      await waitFor('all to listen', async () => {
        const { workers } = (await server.status()) as {
          workers: { subscriptions: number; waiting: number; catchingUp: number }[];
        };
        const sum = (figure: 'subscriptions' | 'waiting' | 'catchingUp') =>
          workers.reduce((n, worker) => n + worker[figure], 0);
        return sum('subscriptions') === 4 && sum('waiting') === 1 && sum('catchingUp') === 0;
      });
      await server.publish(channel, 'hello');
      for (const client of clients) await client.until('hello');
      for (const client of clients) client.socket.destroy();
      await waitFor(
        'all to be gone',
        async () => ((await server.status()) as { connections: number }).connections === 0,
      );
    });
  }

  test('are refused what it does not allow, on every transport', async () => {
    const token = await tokenOf(hs, 'alice', ['alice']);
    for (const target of [
      '/v1/sse?channel=bob',
      '/v1/stream?channel=alice&channel=bob',
      '/v1/poll?channel=bob',
      '/bob.js',
    ]) {
      const refused = await get(target, bearer(token));
      assert.equal(statusOf(refused), 403, target);
      assert.match(refused, /WWW-Authenticate: Bearer error="insufficient_scope"[\s\S]*"code":"forbidden"/);
      const anonymous = await get(target);
      assert.equal(statusOf(anonymous), 401, target);
      assert.match(anonymous, /WWW-Authenticate: Bearer\r\n[\s\S]*"code":"token_required"/);
    }
    const client = await open('/v1/ws?channel=bob', `${HANDSHAKE}${bearer(token)}`);
    await client.closed;
    assert.deepEqual(
      eventsOf(client).map(({ type, code }) => [type, code]),
      [
        ['disconnect', 'forbidden'],
        ['close', 4403],
      ],
    );
  });

  test('may come without one to the anonymous channels', async () => {
    const client = await open('/v1/sse?channel=public/news');
    await client.until('event: subscribed');
    client.socket.destroy();
  });

  test('publish by POST and in a WebSocket where the token allows it', async () => {
    const token = await tokenOf(ed, 'alice', ['chat/*']);
    const post = (channel: string, fields: string) => {
      const body = JSON.stringify({ channel, data: 1 });
      const head = `POST /v1/publish HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n`;
      return rawRequest(port, `${head}${fields}Content-Length: ${body.length}\r\n\r\n${body}`);
    };
    assert.equal(statusOf(await post('chat/a', bearer(token))), 200);
    assert.deepEqual([statusOf(await post('news', bearer(token))), statusOf(await post('chat/a', ''))], [403, 401]);
    const client = await open(`/v1/ws?token=${token}`, HANDSHAKE);
    await client.until('101');
    for (const channel of ['chat/a', 'news']) {
      client.socket.write(
        clientFrame({ opcode: OPCODE_TEXT, data: JSON.stringify({ type: 'publish', channel, data: 1 }) }),
      );
    }
    await waitFor('two answers', () => eventsOf(client).length === 2);
    assert.deepEqual(
      eventsOf(client)
        .map(({ type, code }) => code ?? type)
        .sort(),
      ['forbidden', 'published'],
    );
    client.socket.destroy();
  });

  test('of another issuer or audience, or whose time is over, are refused with 401 that says which', async () => {
    for (const [token, code] of [
      [await tokenOf(new Issuer('HS256'), 'alice', ['*']), 'token_invalid'],
      [await tokenOf(new Issuer('ES256', 'es-1'), 'alice', ['*']), 'token_invalid'],
      [await tokenOf(hs, 'alice', ['*'], { aud: 'other' }), 'token_invalid'],
      [await tokenOf(hs, 'alice', ['*'], { nbf: now() + 60 }), 'token_invalid'],
      [await tokenOf(hs, 'alice', ['*'], { exp: now() - 1 }), 'token_expired'],
    ]) {
      const answer = await get('/v1/sse?channel=a', bearer(token));
      assert.deepEqual([statusOf(answer), codeOf(answer)], [401, code]);
      assert.match(answer, /WWW-Authenticate: Bearer error="invalid_token"/);
      assert(!answer.includes(token.slice(-20)), 'the answer repeats the token');
    }
  });

  test('are ended when their token expires, unless they renew it', async () => {
    const exp = now() + 5;
    const token = await tokenOf(hs, 'alice', ['a'], { exp });
    const [ends, renews] = await Promise.all([
      open(`/v1/ws?channel=a&token=${token}`, HANDSHAKE),
      open(`/v1/ws?channel=a&token=${token}`, HANDSHAKE),
    ]);
    await renews.until('subscribed');
    const next = await tokenOf(hs, 'alice', ['a'], { exp: exp + 3600 });
    renews.socket.write(
      clientFrame({ opcode: OPCODE_TEXT, data: JSON.stringify({ type: 'token', token: next, ref: 1 }) }),
    );
    await renews.until(`{"type":"token","expiresAt":${(exp + 3600) * 1000},"ref":1}`);
    await ends.closed;
    const late = Date.now() - exp * 1000;
    assert(late >= 0 && late < 3000, `${late} ms after its time`);
    assert.deepEqual(
      eventsOf(ends)
        .slice(-2)
        .map(({ type, code, reconnect }) => [type, code, reconnect]),
      [
        ['disconnect', 'token_expired', true],
        ['close', 4401, undefined],
      ],
    );
    await server.publish('a', 'still here');
    await renews.until('still here');
    renews.socket.destroy();
  });

  test('with a key that their issuer has just begun to use are let in', async () => {
    const token = await tokenOf(nextEs, 'alice', ['a']);
    published = setOf(es, nextEs);
    // A set is fetched not oftener than every 5 s, whoever asks; both workers may be asked.
    await waitFor(
      'the new key',
      async () => {
        const client = await open('/v1/sse?channel=a', bearer(token));
        await waitFor('an answer', () => client.received() !== '');
        client.socket.destroy();
        return statusOf(client.received()) === 200;
      },
      20_000,
    );
    assert.match(server.output(), /keys of tokens fetched.*es-2 \(ES256\)/);
    const old = await open('/v1/sse?channel=a', bearer(await tokenOf(es, 'bob', ['a'])));
    await old.until('event: subscribed');
    old.socket.destroy();
  });

  test('stay when keys are exchanged by a reload; who comes then needs a token of the new ones', async () => {
    const token = await tokenOf(hs, 'alice', ['a']);
    const client = await open('/v1/sse?channel=a', bearer(token));
    await client.until('event: subscribed');
    const next = new Issuer('HS256');
    writeFileSync(join(directory, 'secret'), 'too short');
    assert.match(
      (await runCommand(['reload', '--run-dir', server.runDirectory])).stderr,
      /--token-secret-file .*at least 32 bytes/,
    );
    assert.equal(statusOf((await open('/v1/sse?channel=public/a')).received() || 'HTTP/1.1 200'), 200);
    writeFileSync(join(directory, 'secret'), next.file);
    assert.equal((await runCommand(['reload', '--run-dir', server.runDirectory])).exitCode, 0);
    await waitFor('the old secret to be refused', async () => {
      const answer = await get('/v1/poll?channel=a&timeout=0', bearer(token));
      return statusOf(answer) === 401;
    });
    const answer = await get('/v1/poll?channel=a&timeout=0', bearer(await tokenOf(next, 'bob', ['a'])));
    assert.equal(statusOf(answer), 200);
    await server.publish('a', 'to who stayed');
    await client.until('to who stayed');
    client.socket.destroy();
  });
});

describe('serve', () => {
  test('does not start with keys that it cannot use, and says which and why', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'megacomet-access-'));
    try {
      const path = join(directory, 'private.pem');
      const { privateKey } = generateKeyPairSync('ed25519');
      writeFileSync(path, privateKey.export({ format: 'pem', type: 'pkcs8' }));
      const refused = async (message: RegExp, ...args: string[]) => {
        const result = await runCommand(['serve', '--run-dir', join(directory, 'run'), '--client-ports', '0', ...args]);
        assert.match(result.stderr, message);
        assert.equal(result.stderr.trim().split('\n').length, 1, result.stderr);
        assert.notEqual(result.exitCode, 0);
      };
      await refused(/--token-keys .*private\.pem: it has a private key/, '--token-keys', path);
      await refused(
        /--token-secret-file .*none: there is no such file/,
        '--token-secret-file',
        join(directory, 'none'),
      );
      await refused(/--token-issuer needs keys of tokens/, '--token-issuer', 'a');
      await refused(/--origin.*Allowed: an origin/, '--origin', '*');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
