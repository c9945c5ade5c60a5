/** Webhooks of a real server: clients with tokens that come, flap and go, workers and servers that end. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { signatureOf, type WebhookEvent } from '../src/manager/webhooks.js';
import { Issuer } from '../src/tokens/testing/issuer.js';
import { type RawClient, rawClient, runCommand, startServer, type TestServer, waitFor } from './helpers.js';

const SECRET = 'a-secret-of-webhooks-that-is-long-enough';

describe('webhooks', () => {
  const issuer = new Issuer('HS256');
  const events: WebhookEvent[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'megacomet-hooks-'));
  let receiver: Server;
  let server: TestServer;
  let args: string[];

  before(async () => {
    receiver = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      const [, seconds, signature] = /^t=(\d+),v1=(.*)$/.exec(String(request.headers['megacomet-signature']))!;
      assert.equal(signature, signatureOf(Buffer.from(SECRET), Number(seconds), body));
      events.push(...(JSON.parse(body) as { events: WebhookEvent[] }).events);
      response.writeHead(204).end();
    });
    await once(receiver.listen(0, '127.0.0.1'), 'listening');
    const secretFile = join(directory, 'hook.secret');
    const tokenFile = join(directory, 'token.secret');
    writeFileSync(secretFile, `${SECRET}\n`, { mode: 0o600 });
    writeFileSync(tokenFile, issuer.file, { mode: 0o600 });
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
    args = ['--webhook-url', url, '--webhook-secret-file', secretFile, '--token-secret-file', tokenFile];
    server = await startServer([...args, '--presence-grace-seconds', '1']);
  });

  after(async () => {
    await server.stop();
    receiver.closeAllConnections();
    receiver.close();
    rmSync(directory, { recursive: true });
  });

  async function enter(client: string, transport = 'sse', channel = 'news'): Promise<RawClient> {
    const token = await issuer.token(client, { subscribe: ['*'] });
    const head = `GET /v1/${transport}?channel=${channel} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    const raw = await rawClient(server.ports.client, head);
    if (transport === 'sse') await raw.until('event: subscribed');
    return raw;
  }

  const told = (client: string): string[] =>
    events.flatMap((event) => ('client' in event && event.client === client ? [event.type] : []));

  test('say that the server begins, which clients come, on which channels, and that they go', async () => {
    await waitFor('the server begins', () => events[0]?.type === 'started');
    const alice = await enter('alice');
    await waitFor('alice comes', () => told('alice').length === 1);
    const event = events.find((each) => 'client' in each && each.client === 'alice')!;
    assert('channels' in event);
    assert.deepEqual(event.channels, ['news']);
    assert(Math.abs(event.time - Date.now()) < 10_000);
    alice.socket.destroy();
    await waitFor('alice goes', () => told('alice').length === 2);
    assert.deepEqual(told('alice'), ['connected', 'disconnected']);
  });

  test('say nothing of a client that polls on and on, or comes back at once', async () => {
    for (let i = 0; i < 6; i++) {
      const poll = await enter('bob', 'poll');
      await waitFor('it waits', async () => (await server.publish('news', i)).receivers > 0);
      await poll.until('HTTP/1.1 200');
      poll.socket.destroy();
    }
    const bob = await enter('bob');
    bob.socket.destroy();
    const again = await enter('bob');
    await waitFor('bob has come', () => told('bob').length > 0);
    again.socket.destroy();
    await waitFor('bob goes', () => told('bob').includes('disconnected'));
    assert.deepEqual(told('bob'), ['connected', 'disconnected']);
  });

  test('say nothing of a client whose other connection stays, nor of who has no token', async () => {
    const [first, second] = [await enter('carol'), await enter('carol')];
    await waitFor('carol comes', () => told('carol').length === 1);
    first.socket.destroy();
    // One who comes and goes after her is told of, and she is not.
    (await enter('dave')).socket.destroy();
    await waitFor('dave goes', () => told('dave').includes('disconnected'));
    assert.deepEqual(told('carol'), ['connected']);
    second.socket.destroy();
    await waitFor('carol goes', () => told('carol').length === 2);
  });

  test('say that the clients of a killed worker have gone, if they do not come back', async () => {
    await enter('erin');
    await waitFor('erin comes', () => told('erin').length === 1);
    for (const pid of await server.workerPids()) process.kill(pid, 'SIGKILL');
    await waitFor('erin goes', () => told('erin').length === 2);
  });

  test('the status counts them, and the end of the server is told', async () => {
    const { webhooks } = await waitFor('all to be answered', async () => {
      const status = await server.status();
      return status.webhooks.pending === 0 && status.webhooks.sent === events.length ? status : null;
    });
    assert.equal(webhooks.dropped, 0);
    await server.stop();
    assert.equal(events.at(-1)!.type, 'stopped');
  });

  test('are checked as docs/operations.md says', async () => {
    const docs = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const snippet = /```js\n(import \{ createHmac, timingSafeEqual \}[\s\S]*?)```/.exec(docs)![1];
    const path = join(directory, 'check.mjs');
    writeFileSync(path, `${snippet}\nexport { isGenuine };\n`);
    const { isGenuine } = (await import(pathToFileURL(path).href)) as { isGenuine: (...args: unknown[]) => boolean };
    const header = `t=1000,v1=${signatureOf(Buffer.from(SECRET), 1000, '{}')}`;
    assert(isGenuine(header, '{}', SECRET, 1_100_000));
    assert(!isGenuine(header, '{} ', SECRET, 1_100_000), 'another body');
    assert(!isGenuine(header, '{}', `${SECRET}2`, 1_100_000), 'another secret');
    assert(!isGenuine(header.replace('t=1000', 't=1001'), '{}', SECRET, 1_100_000), 'another time');
    assert(!isGenuine(header, '{}', SECRET, 1_301_000), 'too old');
    assert(!isGenuine('', '{}', SECRET, 1_100_000));
  });

  test('a secret that is wrong keeps the server from its start', async () => {
    const short = join(directory, 'short.secret');
    writeFileSync(short, 'short');
    const serve = ['serve', '--run-dir', join(directory, 'run'), '--client-ports', '0', '--api-port', '0'];
    const { exitCode, stderr } = await runCommand([
      ...serve,
      '--webhook-url',
      'http://a/',
      '--webhook-secret-file',
      short,
    ]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /--webhook-secret-file .*: the secret has 5 bytes, and needs 32 at least/);
  });
});
