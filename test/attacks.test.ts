/**
 * Attacks on a server as people run it, in raw bytes against real processes: each is answered as docs/security.md says, costs a bounded
 * amount, and leaves whoever else is there alone. Those that have a file of their own are not repeated here; the table in
 * docs/security.md names them all.
 */

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  API_BODY_BYTES_MAX,
  BATCH_PUBLICATIONS_MAX,
  CHANNELS_PER_CONNECTION_MAX,
  CLIENT_BODY_BYTES_MAX,
  CLIENT_MESSAGE_BYTES_MAX,
  FAILED_TOKENS_MAX,
  MESSAGE_BYTES_MAX,
  TOKEN_BYTES_MAX,
} from '../src/limits.js';
import { processMemory } from '../src/linux/proc.js';
import { Issuer } from '../src/tokens/testing/issuer.js';
import { deflateMessage } from '../src/websocket/deflate.js';
import { OPCODE_CONTINUATION, OPCODE_TEXT, RSV1 } from '../src/websocket/frame.js';
import { type ClientFrame, clientFrame } from '../src/websocket/testing/client-frame.js';
import { readWebSocket, splitHead } from '../src/worker/testing/client-events.js';
import { HANDSHAKE } from '../src/worker/testing/worker-rig.js';
import { type RawClient, rawClient, rawRequest, startServer, type TestServer, waitFor } from './helpers.js';

const MEGABYTE = 1 << 20;
const DEFLATE = 'Sec-WebSocket-Extensions: permessage-deflate\r\n';

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('attacks', () => {
  const issuer = new Issuer('HS256');
  const rsa = new Issuer('RS256', 'rs');
  let directory: string;
  let server: TestServer;
  let port: number;
  let bystander: RawClient;
  let served = 0;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'megacomet-attacks-'));
    writeFileSync(join(directory, 'secret'), issuer.file, { mode: 0o600 });
    writeFileSync(join(directory, 'keys.json'), rsa.file);
    const keys = ['--token-secret-file', join(directory, 'secret'), '--token-keys', join(directory, 'keys.json')];
    server = await startServer([...keys, '--anonymous', 'open/*', '--client-publish', 'open/*', '--workers', '1']);
    port = server.ports.client;
    bystander = await rawClient(port, 'GET /v1/sse?channel=open/bystander HTTP/1.1\r\nHost: test\r\n\r\n');
    await bystander.until('event: subscribed');
  });

  after(async () => {
    bystander.socket.destroy();
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  /** Whoever was there before the attack is served as before. */
  async function bystanderIsServed(): Promise<void> {
    await server.publish('open/bystander', `after attack ${++served}`);
    await bystander.until(`after attack ${served}`);
  }

  const get = (target: string, fields = '') =>
    rawRequest(port, `GET ${target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n${fields}\r\n`);
  const statusOf = (answer: string) => Number(answer.slice(9, 12));

  async function webSocket(query = '', fields = ''): Promise<RawClient> {
    const client = await rawClient(port, `GET /v1/ws${query} HTTP/1.1\r\nHost: test\r\n${HANDSHAKE}${fields}\r\n`);
    await client.until('\r\n\r\n');
    return client;
  }
  const eventsOf = (client: RawClient) =>
    readWebSocket(splitHead(Buffer.from(client.received(), 'latin1'))!.rest).events;

  /** The close code that a WebSocket gets for these frames. */
  async function closeCode(frames: (ClientFrame | Buffer)[], fields = ''): Promise<unknown> {
    const client = await webSocket('', fields);
    for (const sent of frames) client.socket.write(Buffer.isBuffer(sent) ? sent : clientFrame(sent as ClientFrame));
    await client.closed;
    return eventsOf(client).at(-1)?.code;
  }

  test('tokens that nobody has signed, or with something else than a key for them, open no transport', async () => {
    const claims = { sub: 'mallory', exp: Math.floor(Date.now() / 1000) + 60, megacomet: { subscribe: ['*'] } };
    const signed = (alg: string, secret: string | Buffer) => {
      const input = `${base64({ alg, typ: 'JWT' })}.${base64(claims)}`;
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    };
    const targets = [
      '/v1/sse?channel=alice',
      '/v1/stream?channel=alice',
      '/v1/poll?channel=alice',
      '/alice.js?',
      '/v1/ws?channel=alice',
    ];
    const tokens = [
      `${base64({ alg: 'none' })}.${base64(claims)}.`,
      signed('HS256', 'guessed'),
      // The public key is public: a server that takes it for a secret is lost.
      signed('HS256', rsa.file),
    ];
    for (const [i, target] of targets.entries()) {
      const answer = await get(
        `${target}&token=${tokens[i % tokens.length]}`.replace('?&', '?'),
        target.includes('/ws') ? HANDSHAKE : '',
      );
      assert.match(answer, /"code":"token_invalid"/, target);
      assert.doesNotMatch(answer, /event: subscribed|"type":"subscribed"/);
    }
  });

  test('wrong tokens are soon not looked at any more; good ones that are known, and everybody else, are', async () => {
    const good = await issuer.token('alice', { subscribe: ['alice'] });
    const known = () => get('/v1/poll?channel=alice&timeout=0', `Authorization: Bearer ${good}\r\n`);
    // A test before this one has sent wrong ones too: whether there is room for a good one is a matter of seconds.
    await waitFor('a first good one', async () => statusOf(await known()) === 200, 40_000);
    const strangers = new Issuer('HS256');
    const statuses = new Map<number, number>();
    for (let guess = 0; guess < 10 * FAILED_TOKENS_MAX; guess++) {
      const token = await strangers.token(`guess-${guess}`, { subscribe: ['*'] });
      const status = statusOf(await get('/v1/poll?channel=alice', `Authorization: Bearer ${token}\r\n`));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    assert.deepEqual([...statuses.keys()].sort(), [401, 503]);
    // While they come some are forgotten again.
    assert(statuses.get(401)! < 2 * FAILED_TOKENS_MAX, `${statuses.get(401)} were verified`);
    assert.equal(statusOf(await known()), 200);
    await bystanderIsServed();
  });

  describe('too much of everything is refused:', () => {
    const head = 'Host: test\r\nConnection: close\r\n';
    const post = 'POST /v1/publish HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n';
    const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`;
    const json = (body: string) => `${post}Content-Length: ${body.length}\r\n\r\n${body}`;
    const long = (bytes: number) => 'x'.repeat(bytes);
    const cases: [string, number, () => string][] = [
      ['a request line', 414, () => `GET /v1/sse?channel=${long(8200)} HTTP/1.1\r\n${head}\r\n`],
      ['a header field', 431, () => `GET / HTTP/1.1\r\n${head}X: ${long(8200)}\r\n\r\n`],
      ['many header fields', 431, () => `GET / HTTP/1.1\r\n${head}${'X: y\r\n'.repeat(101)}\r\n`],
      ['a head', 431, () => `GET / HTTP/1.1\r\n${head}${`X: ${long(4000)}\r\n`.repeat(5)}\r\n`],
      ['the name of a channel', 400, () => `GET /v1/sse?channel=${long(129)} HTTP/1.1\r\n${head}\r\n`],
      ['a client id', 414, () => `GET /${long(129)}.js HTTP/1.1\r\n${head}\r\n`],
      ['a callback', 400, () => `GET /v1/poll?channel=a&callback=${long(121)} HTTP/1.1\r\n${head}\r\n`],
      ['a cursor', 400, () => `GET /v1/poll?channel=a&after=${long(65)} HTTP/1.1\r\n${head}\r\n`],
      ['a time', 400, () => `GET /v1/poll?channel=a&timeout=${'9'.repeat(400)} HTTP/1.1\r\n${head}\r\n`],
      ['a token', 401, () => `GET /v1/sse?channel=a&token=${long(TOKEN_BYTES_MAX + 1)} HTTP/1.1\r\n${head}\r\n`],
      ['an announced body', 413, () => `${post}Content-Length: ${CLIENT_BODY_BYTES_MAX + 1}\r\n\r\n`],
      ['a length', 400, () => `${post}Content-Length: ${'9'.repeat(30)}\r\n\r\n`],
      ['a chunk', 413, () => `${chunked}fffffff\r\n`],
      ['the size of a chunk', 413, () => `${chunked}${'f'.repeat(200)}\r\n`],
      ['extensions of chunks', 413, () => chunked + `1${';a=b'.repeat(60)}\r\nx\r\n`.repeat(20)],
      ['trailer fields', 431, () => `${chunked}0\r\n${`X: ${long(1000)}\r\n`.repeat(5)}\r\n`],
      ['data', 413, () => json(JSON.stringify({ channel: 'open/a', data: long(MESSAGE_BYTES_MAX + 1) }))],
      [
        'a batch',
        400,
        () => json(JSON.stringify(Array(BATCH_PUBLICATIONS_MAX + 1).fill({ channel: 'open/a', data: 1 }))),
      ],
      ['an id', 400, () => json(JSON.stringify({ channel: 'open/a', data: 1, id: long(129) }))],
      ['nesting', 400, () => json(`{"channel":"open/a","data":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)],
    ];
    for (const [name, status, request] of cases) {
      test(`${name}: ${status}`, async () => {
        const answer = await rawRequest(port, request());
        // The address may have sent too many wrong tokens by now.
        if (name === 'a token') assert.match(answer, /^HTTP\/1\.1 401 [\s\S]*token_invalid/);
        else assert.equal(statusOf(answer), status, answer.slice(0, 300));
      });
    }

    test('a body of the API: 413', async () => {
      const fields = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${API_BODY_BYTES_MAX + 1}\r\n`;
      const answer = await rawRequest(
        server.ports.api,
        `POST /v1/publish HTTP/1.1\r\nConnection: close\r\n${fields}\r\n`,
      );
      assert.equal(statusOf(answer), 413);
    });

    test('messages of a WebSocket, announced or in pieces: 1009', async () => {
      const announced = Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]), Buffer.alloc(4)]);
      assert.equal(await closeCode([announced]), 1009);
      const piece = 'x'.repeat(CLIENT_MESSAGE_BYTES_MAX / 4);
      const pieces = [OPCODE_TEXT, ...Array(4).fill(OPCODE_CONTINUATION)].map((opcode) => ({
        opcode,
        data: piece,
        final: false,
      }));
      assert.equal(await closeCode(pieces), 1009);
    });

    test('channels of one WebSocket: too_many_channels', async () => {
      const client = await webSocket();
      const channels = Array.from({ length: CHANNELS_PER_CONNECTION_MAX + 1 }, (_, n) => `open/${n}`);
      client.socket.write(clientFrame({ opcode: OPCODE_TEXT, data: JSON.stringify({ type: 'subscribe', channels }) }));
      // Fails at once where the connection ends, and says what came instead.
      await client.until('too_many_channels');
      const answers = eventsOf(client).filter(({ type }) => type === 'error');
      assert.deepEqual(
        answers.map(({ code }) => code),
        ['too_many_channels'],
      );
      client.socket.destroy();
    });

    test('and who was there before is served', bystanderIsServed);
  });

  test('a WebSocket whose client does not mask is closed with 1002', async () => {
    const data = '{"type":"ping"}';
    assert.equal(await closeCode([Buffer.concat([Buffer.from([0x81, data.length]), Buffer.from(data)])]), 1002);
  });

  test('compression bombs are stopped while they inflate, however many come', async () => {
    // 64 MiB in 64 KiB, a thousandfold.
    const bomb = deflateMessage(Buffer.alloc(64 * MEGABYTE, 'x'));
    assert(bomb.length < MEGABYTE / 8, `${bomb.length} bytes`);
    const [pid] = await server.workerPids();
    const before = processMemory(pid!).privateBytes;
    const frame = { opcode: OPCODE_TEXT, rsv: RSV1, data: bomb };
    const codes = await Promise.all(Array.from({ length: 50 }, () => closeCode([frame], DEFLATE)));
    assert.deepEqual(new Set(codes), new Set([1009]));
    const grown = processMemory(pid!).privateBytes - before;
    assert(grown < 64 * MEGABYTE, `${grown} bytes more than before`);
    await bystanderIsServed();
  });

  test('a million names of channels leave nothing behind', async (t) => {
    const [pid] = await server.workerPids();
    const memory = () => processMemory(pid!).privateBytes + processMemory(server.managerPid).privateBytes;
    const client = await webSocket();
    let seen = 0;
    let rest = '';
    client.socket.on('data', (chunk: string) => {
      const parts = (rest + chunk).split('"type":"unsubscribed"');
      seen += parts.length - 1;
      rest = parts.at(-1)!.slice(-30);
    });
    const say = (message: unknown) =>
      client.socket.write(clientFrame({ opcode: OPCODE_TEXT, data: JSON.stringify(message) }));
    const rounds = Math.ceil(1_000_000 / CHANNELS_PER_CONNECTION_MAX);
    let before = 0;
    for (let round = 0; round < rounds; round++) {
      const channels = Array.from({ length: CHANNELS_PER_CONNECTION_MAX }, (_, n) => `open/name-${round}-${n}`);
      say({ type: 'subscribe', channels });
      say({ type: 'unsubscribe', channels });
      // Whoever does not wait for the answers is a slow consumer: those of 20 rounds are some 800 KB.
      if (round % 20 === 19) await waitFor('the answers', () => seen > round, 60_000);
      if (round === 50) before = memory();
    }
    await waitFor('all answers', () => seen >= rounds, 60_000);
    client.socket.destroy();
    t.diagnostic(`${memory() - before} bytes more than after the first 50,000`);
    await waitFor('the memory to come back', () => memory() - before < 48 * MEGABYTE, 30_000);
    await waitFor('no channel but one', async () => (await server.status()).workers[0].channels === 1);
    await bystanderIsServed();
  });
});
