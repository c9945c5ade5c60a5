/** Drains of real servers: what each client is told, who is refused, what the operator sees, and how it ends. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import { freePort } from '../src/testing/free-port.js';
import { readWebSocket, splitHead } from '../src/worker/testing/client-events.js';
import { HANDSHAKE } from '../src/worker/testing/worker-rig.js';
import {
  isAlive,
  type RawClient,
  rawClient,
  runCommand,
  startServer,
  type TestServer,
  waitFor,
  workersEndWithManager,
} from './helpers.js';

const get = (port: number, target: string, fields = '') =>
  rawClient(port, `GET ${target} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);

const websocket = (port: number) => get(port, '/v1/ws?channel=a', HANDSHAKE);

/** Resolves when so many connections are subscribed or waiting. */
async function settled(server: TestServer, count: number): Promise<void> {
  await waitFor(`${count} connections are served`, async () => {
    const { workers } = await server.status();
    const sum = workers.reduce(
      (total: number, { waiting, subscriptions }: { waiting: number; subscriptions: number }) =>
        total + waiting + subscriptions,
      0,
    );
    return sum === count;
  });
}

async function isRefused(port: number): Promise<boolean> {
  try {
    const client = await rawClient(port);
    client.socket.destroy();
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  }
}

describe('a drain', () => {
  let server: TestServer;

  afterEach(() => server.stop());

  test('tells clients of all transports when to come back, and ends the server', async () => {
    server = await startServer();
    const { client: port } = server.ports;
    const clients: Record<string, RawClient> = {
      classic: await get(port, '/alice.js'),
      poll: await get(port, '/v1/poll?channel=a&timeout=60'),
      sse: await get(port, '/v1/sse?channel=a'),
      stream: await get(port, '/v1/stream?channel=a'),
      ws: await websocket(port),
    };
    await settled(server, 5);
    const response = await fetch(`${server.api}/v1/drain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"seconds":1,"returnAfterSeconds":2}',
    });
    assert.equal(response.status, 202);
    const begun = (await response.json()) as Record<string, number>;
    assert.deepEqual([begun.seconds, begun.returnAfterSeconds, begun.connections], [1, 2, 5]);

    const ended: Record<string, string> = {};
    for (const [transport, client] of Object.entries(clients)) {
      const { received, error } = await client.closed;
      assert.equal(error, null, transport);
      ended[transport] = received;
    }
    const advice = /"code":"drain","reason":"[^"]+","reconnect":true,"afterMs":2\d{3}\}/;
    assert.match(ended.classic, /^HTTP\/1\.1 503 [\s\S]*\r\nRetry-After: [23]\r\n/);
    assert.match(ended.poll, /^HTTP\/1\.1 200 [\s\S]*\r\nRetry-After: [23]\r\n/);
    for (const transport of ['poll', 'sse', 'stream']) assert.match(ended[transport], advice, transport);
    assert.match(ended.sse, /retry: 2\d{3}\nevent: disconnect\nid: [\w-]+-0\n/);
    assert.match(ended.stream, /\{"type":"disconnect",.*\}\n\r\n0\r\n\r\n$/);
    const { events } = readWebSocket(splitHead(Buffer.from(ended.ws, 'latin1'))!.rest);
    assert.deepEqual(
      events.slice(-2).map(({ type, code }) => [type, code]),
      [
        ['disconnect', 'drain'],
        ['close', 1012],
      ],
    );
    await waitFor('its end', () => server.process.exitCode !== null);
    assert.equal(server.process.exitCode, 0);
  });

  test('frees the client port at once, goes on publishing, and tells a load balancer', async () => {
    server = await startServer();
    const { client: port } = server.ports;
    const health = await get(port, '/healthz');
    await health.until('{"status":"ok"}');
    const stream = await get(port, '/v1/stream?channel=news');
    await settled(server, 1);
    const workers = await server.workerPids();
    const draining = runCommand(['drain', '--run-dir', server.runDirectory, '--seconds', '2']);
    // Whoever knocks before that would be counted.
    await waitFor('all workers know', async () => (await server.status()).drain?.connections === 2);
    await waitFor('the port is free', () => isRefused(port));
    health.socket.write('GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n');
    // Its connection may be ended before it asks, which is an answer too.
    await Promise.race([health.until(/503 [\s\S]*\{"status":"draining"\}/), health.closed]);
    assert.equal((await server.publish('news', 'still here')).receivers, 1);
    await stream.until('still here');
    const { received } = await stream.closed;
    assert.match(received, /still here[\s\S]*"type":"disconnect"/);

    const { exitCode, stdout, stderr } = await draining;
    assert.deepEqual([exitCode, stderr], [0, '']);
    assert.match(stdout, /^draining 2 connections over 2 s\n(\d+ left\n)+drained \(manager \d+ has ended\)\n$/);
    assert(!isAlive(server.managerPid));
    for (const pid of workers) assert(!isAlive(pid));
  });

  test('begins with SIGTERM where the server was started so, and a second signal does not wait for it', async () => {
    server = await startServer(['--drain-seconds', '60']);
    const clients = await Promise.all([1, 2, 3, 4].map(() => get(server.ports.client, '/v1/sse?channel=a')));
    await settled(server, 4);
    server.process.kill('SIGTERM');
    await waitFor('it drains', async () => (await server.status()).drain !== null);
    await waitFor('all workers know', async () => (await server.status()).drain.connections === 4);
    const { drain } = await server.status();
    assert.deepEqual([drain.seconds, drain.connections], [60, 4]);
    const exited = once(server.process, 'exit');
    // Two signals within 300 ms count as one.
    await waitFor('the second signal is another one', () => {
      server.process.kill('SIGTERM');
      return server.process.exitCode !== null;
    });
    await exited;
    for (const client of clients) await client.closed;
  });

  test('is nothing that SIGINT or megacomet stop wait for', async () => {
    server = await startServer(['--drain-seconds', '60']);
    const client = await get(server.ports.client, '/v1/sse?channel=a');
    await settled(server, 1);
    const { exitCode, stdout } = await runCommand(['stop', '--run-dir', server.runDirectory]);
    assert.deepEqual([exitCode, stdout], [0, `stopped (manager ${server.managerPid})\n`]);
    await client.closed;
  });

  test('has the wrong options told', async () => {
    server = await startServer();
    const wrong = await fetch(`${server.api}/v1/drain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"seconds":-1}',
    });
    assert.equal(wrong.status, 400);
    const none = await runCommand(['drain', '--run-dir', `${server.runDirectory}-none`]);
    assert.equal(none.exitCode, 1);
    assert.match(none.stderr, /no server runs in/);
  });

  test('that a manager was killed in gives way to the next server on the same port', {
    skip: workersEndWithManager,
  }, async () => {
    server = await startServer(['--client-ports', String(await freePort())]);
    const { client: port } = server.ports;
    const client = await get(port, '/v1/sse?channel=a');
    await settled(server, 1);
    const draining = runCommand(['drain', '--run-dir', server.runDirectory, '--seconds', '600']);
    await waitFor('it drains', () => isRefused(port));
    server.process.kill('SIGKILL');
    await once(server.process, 'exit');
    const next = await startServer(['--client-ports', String(port)], { runDirectory: server.runDirectory });
    await client.closed;
    const health = await get(port, '/healthz');
    await health.until('{"status":"ok"}');
    assert.equal((await next.status()).workers.length, 2);
    await next.stop();
    // It was told to end the first one's drain, which has ended with it.
    await draining;
  });

  test('that its manager does not survive is finished by the workers', { skip: workersEndWithManager }, async () => {
    server = await startServer();
    const client = await get(server.ports.client, '/v1/sse?channel=a');
    await settled(server, 1);
    const workers = await server.workerPids();
    const draining = runCommand(['drain', '--run-dir', server.runDirectory, '--seconds', '5']);
    // Before that the command has no answer yet, and fails when the manager dies. Whoever knocked at the port might be counted.
    await waitFor('all workers know', async () => (await server.status()).drain?.connections === 1);
    server.process.kill('SIGKILL');
    assert.match((await client.closed).received, /event: disconnect/);
    await waitFor('the workers have ended', () => workers.every((pid) => !isAlive(pid)));
    assert.equal((await draining).exitCode, 0);
  });
});
