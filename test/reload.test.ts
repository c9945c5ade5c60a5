/** A server that is told to read its configuration again, by the command and by the signal. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { SignJWT } from 'jose';
import {
  poll,
  type RawClient,
  rawClient,
  rawRequest,
  runCommand,
  startServer,
  type TestServer,
  temporaryRunDirectory,
  waitFor,
} from './helpers.js';

let server: TestServer;
let stream: RawClient;
let directory: { path: string; remove(): Promise<void> };
let configPath: string;

const configure = (text: string): void => writeFileSync(configPath, text);
const reload = () => runCommand(['reload', '--run-dir', server.runDirectory]);

/** The status of the answer to a client that publishes to a channel. */
async function publishAsClient(channel: string): Promise<string> {
  const body = JSON.stringify({ channel, data: 'x' });
  const head = `POST /v1/publish HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n`;
  const answer = await rawRequest(
    server.ports.client,
    `${head}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  return answer.split(' ')[1]!;
}

const GET = (target: string) => `GET ${target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`;

/** How many of the publications of a channel are still there. */
async function retained(channel: string): Promise<number> {
  const path = `/v1/poll?channel=${channel}&after=start&timeout=0`;
  const answer = await rawRequest(
    server.ports.client,
    `GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`,
  );
  return (JSON.parse(answer.slice(answer.indexOf('{'))) as { messages: unknown[] }).messages.length;
}

before(async () => {
  directory = await temporaryRunDirectory();
  configPath = `${directory.path}.yaml`;
  rmSync(configPath, { force: true });
  configure('log: memory\n');
  // One worker: each counts the connections of an address for itself.
  server = await startServer(['--config', configPath, '--workers', '1']);
  stream = await rawClient(server.ports.client, 'GET /v1/sse?channel=a HTTP/1.1\r\nHost: test\r\n\r\n');
  await stream.until('200 OK');
});
after(async () => {
  stream.socket.destroy();
  await server.stop();
  rmSync(configPath, { force: true });
  await directory.remove();
});
beforeEach(async () => {
  configure('log: memory\n');
  assert.equal((await reload()).exitCode, 0);
});

describe('megacomet reload', () => {
  test('changes what clients may do, and drops nobody', async () => {
    assert.equal(await publishAsClient('a'), '403');
    configure('log: memory\nclient-publish: [a]\n');
    const { stdout, exitCode } = await reload();
    assert.deepEqual([stdout, exitCode], [`reloaded (manager ${server.managerPid}): changed: client-publish\n`, 0]);
    // Workers are told by the link.
    await waitFor('the workers to know', async () => (await publishAsClient('a')) === '200');
    await stream.until('"data":"x"');
    assert.equal(stream.socket.destroyed, false);
  });

  test('changes retention: what is too much goes at once', async () => {
    for (let i = 0; i < 5; i++) await server.publish('news', i);
    assert.equal(await retained('news'), 5);
    configure('log: memory\nretain:\n  news: 2\n');
    assert.match((await reload()).stdout, /changed: retain-\*\n$/);
    assert.equal(await retained('news'), 2);
  });

  test('changes nothing where anything is wrong, and says what', async () => {
    configure('log: memory\nclient-publish: [b]\nretain-bytes: many\n');
    const { stderr, exitCode } = await reload();
    assert.equal(exitCode, 1);
    assert.match(stderr, /^megacomet: not reloaded: [^\n]*\.yaml:3:15: retain-bytes 'many' is invalid\. [^\n]*\n$/);
    assert.equal(await publishAsClient('b'), '403');
    assert.match(server.output(), /"level":"error".*"msg":"not reloaded: everything stays as it was"/);
  });

  test('finds contradictions before anything changes', async () => {
    configure('log: memory\nclient-publish: [b]\nretain-total-bytes: 1KiB\n');
    const { stderr } = await reload();
    assert.match(stderr, /not reloaded: --retain-total-bytes 1KiB is less than --retain-bytes/);
    assert.equal(await publishAsClient('b'), '403');
  });

  test('names what needs a restart', async () => {
    configure('log: memory\norphan-seconds: 5\nclient-publish: [c]\n');
    const { stdout } = await reload();
    assert.match(stdout, /changed: client-publish; needs a restart: orphan-seconds\n$/);
    assert.match(server.output(), /"level":"warn".*"msg":"not changed while serving","options":"orphan-seconds"/);
  });

  test('what the command line says stays, whatever the file says', async () => {
    configure('log: memory\nworkers: 2\n');
    const { stdout } = await reload();
    assert.match(stdout, /options are as before/);
    assert.equal((await server.workerPids()).length, 1);
  });

  test('takes API keys away and gives them', async () => {
    const keys = join(server.runDirectory, 'keys');
    const made = await runCommand(['key', '--name', 'app', '--rights', 'admin', '--append', keys]);
    configure(`log: memory\napi-keys: ${keys}\n`);
    assert.match((await reload()).stdout, /changed: api-keys\n$/);
    const status = async (key?: string) =>
      (await fetch(`${server.api}/v1/status`, { headers: key === undefined ? {} : { authorization: `Bearer ${key}` } }))
        .status;
    assert.equal(await status(), 401);
    assert.equal(await status(made.stdout.trim()), 200);
    // A file that is wrong leaves the keys that were valid; one with other keys takes them away.
    writeFileSync(keys, 'no list\n');
    assert.match((await reload()).stderr, /^megacomet: not reloaded: .*keys:1:1: /);
    assert.equal(await status(made.stdout.trim()), 200);
    rmSync(keys);
    const other = await runCommand(['key', '--name', 'app', '--rights', 'admin', '--append', keys]);
    assert.equal((await reload()).exitCode, 0);
    assert.equal(await status(made.stdout.trim()), 401);
    assert.equal(await status(other.stdout.trim()), 200);
  });

  test('takes tokens of a secret away, and gives those of another', async () => {
    const secretPath = join(server.runDirectory, 'secret');
    // Text: of random bytes the last may be white space, which does not count.
    const secrets = [randomBytes(32), randomBytes(32)].map((bytes) => Buffer.from(bytes.toString('base64')));
    const tokens = await Promise.all(
      secrets.map((secret) =>
        new SignJWT({ megacomet: { subscribe: ['private'] } })
          .setProtectedHeader({ alg: 'HS256' })
          .setExpirationTime('1h')
          .sign(secret),
      ),
    );
    const useSecret = (i: number) => {
      rmSync(secretPath, { force: true });
      writeFileSync(secretPath, secrets[i]!, { mode: 0o600 });
      configure(`log: memory\ntoken-secret-file: ${secretPath}\nanonymous: [a]\n`);
      return reload();
    };
    const statusOf = async (token: string) => {
      const path = `/v1/poll?channel=private&after=start&timeout=0&token=${token}`;
      return (await rawRequest(server.ports.client, GET(path))).split(' ')[1];
    };
    assert.match((await useSecret(0)).stdout, /changed: .*token-secret-file/);
    await waitFor('the first secret to count', async () => (await statusOf(tokens[0]!)) === '200');
    assert.equal(await statusOf(tokens[1]!), '401');
    assert.match((await useSecret(1)).stdout, /options are as before; key files were read again/);
    await waitFor('the second secret to count', async () => (await statusOf(tokens[1]!)) === '200');
    assert.equal(await statusOf(tokens[0]!), '401');
    assert.equal(stream.socket.destroyed, false, 'who listens where everybody may is not touched');
  });

  test('changes limits: who is too many is refused, and who is here stays', async () => {
    configure('log: memory\nconnections-per-address: 1\n');
    assert.match((await reload()).stdout, /changed: connections-per-address\n$/);
    const isRefused = async () => / 503 /.test(await rawRequest(server.ports.client, GET('/healthz')));
    // Those who were here before the limit do not count.
    const held: RawClient[] = [];
    await waitFor('the limit', async () => {
      held.push(await poll(server.ports.client, 'held'));
      return isRefused();
    });
    for (const { socket } of held) socket.destroy();
    assert.equal(stream.socket.destroyed, false);
    configure('log: memory\n');
    await reload();
    await waitFor('the limit to be gone', async () => !(await isRefused()));
  });

  test('says so where nothing runs', async () => {
    const { stderr, exitCode } = await runCommand(['reload', '--run-dir', directory.path]);
    assert.deepEqual([stderr, exitCode], [`megacomet: no server runs in ${directory.path}\n`, 1]);
  });
});

describe('SIGHUP', () => {
  test('does the same, once for each signal', async () => {
    configure('log: memory\nclient-publish: [d]\n');
    process.kill(server.managerPid, 'SIGHUP');
    await waitFor('the line', () => /"msg":"reloaded","changed":"client-publish"/.test(server.output()));
    await waitFor('the workers to know', async () => (await publishAsClient('d')) === '200');
  });

  test('whose outcome cannot be written down counts all the same, and ends nobody', async () => {
    const report = join(server.runDirectory, 'reload.json');
    rmSync(report, { force: true });
    mkdirSync(report);
    try {
      configure('log: memory\nclient-publish: [e]\n');
      process.kill(server.managerPid, 'SIGHUP');
      await waitFor('the line', () =>
        /"megacomet reload cannot be told of a reload","reason":"E/.test(server.output()),
      );
      await waitFor('the workers to know', async () => (await publishAsClient('e')) === '200');
    } finally {
      rmSync(report, { recursive: true });
    }
  });
});
