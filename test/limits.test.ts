/** Limits of connections against a real server: who is refused, how, and who is not. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { poll, type RawClient, rawClient, rawRequest, startServer, type TestServer, waitFor } from './helpers.js';

const GET = (target: string, fields = '') =>
  `GET ${target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n${fields}\r\n`;

describe('--connections-per-address', () => {
  let server: TestServer;
  const held: RawClient[] = [];

  before(async () => {
    // One worker: each counts for itself.
    server = await startServer(['--workers', '1', '--connections-per-address', '3', '--trusted-proxy', '127.0.0.9']);
  });

  after(() => server.stop());

  const waiting = (count: number) =>
    waitFor(`${count} wait`, async () => (await server.status()).workers[0].waiting === count);

  test('the fourth connection is refused with a time to come back, and one that leaves makes room', async () => {
    const { client: port } = server.ports;
    for (let i = 0; i < 3; i++) held.push(await poll(port, `client-${i}`));
    await waiting(3);
    const refused = await rawRequest(port, GET('/healthz'));
    assert.match(refused, /^HTTP\/1\.1 503 [\s\S]*\r\nRetry-After: \d+\r\n[\s\S]*"code":"too_many_connections"/);
    held.pop()!.socket.destroy();
    await waiting(2);
    assert.match(await rawRequest(port, GET('/healthz')), /^HTTP\/1\.1 200 /);
  });

  test('a trusted proxy is counted by the client that it names', async () => {
    const { client: port } = server.ports;
    const forwarded = (client: string) =>
      rawRequest(port, GET('/healthz', `X-Forwarded-For: ${client}\r\n`), '127.0.0.1', '127.0.0.9');
    held.push(await poll(port, 'client-3'));
    await waiting(3);
    assert.match(await forwarded('127.0.0.1'), /^HTTP\/1\.1 503 /);
    assert.match(await forwarded('192.0.2.1'), /^HTTP\/1\.1 200 /);
  });

  test('the status counts who was refused', async () => {
    await waitFor('the refusals are reported', async () => {
      const { rejected, ended } = (await server.status()).workers[0];
      return rejected[503] === 2 && ended.too_many_connections === 1;
    });
  });
});

describe('--connections-per-address with several workers', () => {
  test('counts the connections of all of them', async () => {
    const server = await startServer(['--workers', '3', '--connections-per-address', '30']);
    const { client: port } = server.ports;
    const held: RawClient[] = [];
    const isServed = async (): Promise<boolean> => {
      const client = await rawClient(port, 'GET /v1/stream?channel=a HTTP/1.1\r\nHost: test\r\n\r\n');
      const answer = await client.until(/^HTTP\/1\.1 (200|503) /);
      if (answer.startsWith('HTTP/1.1 200')) held.push(client);
      return held.at(-1) === client;
    };
    // One after the other until one is refused: the workers hear of each other a little later.
    while (await isServed()) assert(held.length < 90, 'nobody is refused');
    assert(held.length >= 30, `${held.length} were served`);
    const refusedInARow = async (count: number): Promise<boolean> => {
      for (let i = 0; i < count; i++) if (await isServed()) return false;
      return true;
    };
    await waitFor('no worker takes another one', () => refusedInARow(20));
    assert(held.length < 60, `${held.length} were served`);

    // Who leaves one worker makes room on another.
    for (const client of held.splice(5)) client.socket.destroy();
    await waitFor('there is room', isServed);
    await server.stop();
  });
});

describe('--accept-rate', () => {
  test('refuses who is too many in a second, and takes those who come later', async () => {
    const server = await startServer(['--workers', '1', '--accept-rate', '5']);
    const { client: port } = server.ports;
    const answers = await Promise.all(Array.from({ length: 20 }, () => rawRequest(port, GET('/healthz'))));
    const served = answers.filter((answer) => answer.startsWith('HTTP/1.1 200 ')).length;
    assert(served >= 5 && served < 15, `${served} of 20 were served`);
    for (const answer of answers) {
      assert.match(answer, /^HTTP\/1\.1 (200 |503 [\s\S]*\r\nRetry-After: \d+\r\n[\s\S]*"code":"rate_limited")/);
    }
    await waitFor('one is served again', async () => {
      const client = await rawClient(port, GET('/healthz'));
      return (await client.closed).received.startsWith('HTTP/1.1 200 ');
    });
    await server.stop();
  });

  test('is that of all workers together, whichever of them the kernel wakes', async () => {
    const server = await startServer(['--workers', '3', '--accept-rate', '50']);
    const { client: port } = server.ports;
    const isServed = async () => (await rawRequest(port, GET('/healthz'))).startsWith('HTTP/1.1 200 ');
    // With epoll one worker has nearly all of a trickle, which is more than its third.
    for (let i = 0; i < 60; i++) {
      assert(await isServed(), `client ${i} is refused`);
      await delay(30);
    }
    const flood = await Promise.all(Array.from({ length: 300 }, isServed));
    const served = flood.filter(Boolean).length;
    assert(served < 150, `${served} of 300 were served at once`);
    await server.stop();
  });
});
