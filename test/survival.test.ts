/** Processes that survive each other: kill -9 of workers and managers, and clients that end in every way. */

import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FrameWriter } from '../src/link/frame-writer.js';
import { SEND_LISTENERS } from '../src/link/frames.js';
import { processCpu } from '../src/linux/proc.js';
import { assertWithin } from '../src/testing/assert-within.js';
import {
  isAlive,
  poll,
  type RawClient,
  rawClient,
  startServer,
  type TestServer,
  temporaryRunDirectory,
  waitFor,
  workersEndWithManager,
} from './helpers.js';

const bodyOf = (response: string) => response.slice(response.indexOf('\r\n\r\n') + 4);

async function waiting(server: TestServer, count: number): Promise<void> {
  await waitFor(`${count} connections`, async () => (await server.status()).connections === count);
}

/** Polls for `count` ids, `prefix0` …, all held. */
async function hold(server: TestServer, prefix: string, count: number): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  for (let n = 0; n < count; n++) clients.push(await poll(server.ports.client, `${prefix}${n}`));
  await waiting(server, count);
  return clients;
}

/** Resolves when two workers serve, and none of them is this one. */
async function replaced(server: TestServer, killed: number): Promise<void> {
  await waitFor('two workers', async () => {
    const now = (await server.status()).workers as { pid: number }[];
    return now.length === 2 && now.every(({ pid }) => pid !== killed);
  });
}

describe('a worker that is killed', () => {
  test('is replaced within two seconds', async () => {
    const server = await startServer();
    try {
      await assertWithin(2000, async () => {
        const [pid] = await server.workerPids();
        const killedMs = performance.now();
        process.kill(pid!, 'SIGKILL');
        await replaced(server, pid!);
        return performance.now() - killedMs;
      });
    } finally {
      await server.stop();
    }
  });

  test('takes only its own connections along; another serves, and what was queued is delivered', async () => {
    const server = await startServer();
    try {
      await server.publish('w0', 'queued before');
      const clients = await hold(server, 'x', 60);
      const { workers } = await server.status();
      // The kernel decides who accepts; kill the one that holds more.
      workers.sort((a: { connections: number }, b: { connections: number }) => b.connections - a.connections);
      const victim = workers[0];
      process.kill(victim.pid, 'SIGKILL');
      await waitFor('the connections of the victim to end', () => {
        return clients.filter((client) => client.socket.closed).length === victim.connections;
      });
      await replaced(server, victim.pid);
      assert.equal(clients.filter((client) => client.socket.closed).length, victim.connections);

      assert.equal(bodyOf((await (await poll(server.ports.client, 'w0')).closed).received), 'queued before');
      for (const [n, client] of clients.entries()) {
        const lost = client.socket.closed;
        const answer = await server.publish(`x${n}`, `m${n}`);
        assert.equal(answer.status, lost ? 'queued' : 'delivered', `x${n}`);
        const receiver = lost ? await poll(server.ports.client, `x${n}`) : client;
        assert.equal(bodyOf((await receiver.closed).received), `m${n}`);
      }
    } finally {
      await server.stop();
    }
  });

  test('that was the only one leaves nobody in the accept queue', async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const [pid] = await server.workerPids();
      process.kill(pid, 'SIGKILL');
      let client = await poll(server.ports.client, 'early');
      // The kernel ends a killed worker's accepts a moment after the worker: one that took this client resets it.
      await waitFor('the client to be held', async () => {
        if (client.socket.closed) client = await poll(server.ports.client, 'early');
        return (await server.status()).workers[0]?.waiting === 1;
      });
      await server.publish('early', 'm');
      assert.equal(bodyOf((await client.closed).received), 'm');
    } finally {
      await server.stop();
    }
  });

  test('gently (SIGTERM) exits 0 and is replaced', async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const client = await poll(server.ports.client, 'c');
      await waiting(server, 1);
      const [pid] = await server.workerPids();
      process.kill(pid, 'SIGTERM');
      assert.equal((await client.closed).error, null);
      await waitFor('another worker', async () => (await server.workerPids()).some((other) => other !== pid));
      const next = await poll(server.ports.client, 'c');
      await waiting(server, 1);
      await server.publish('c', 'm');
      assert.equal(bodyOf((await next.closed).received), 'm');
    } finally {
      await server.stop();
    }
  });
});

describe('a manager that is killed', () => {
  test('while it takes over the sockets of its predecessor loses no client either', {
    skip: workersEndWithManager,
  }, async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const client = await poll(server.ports.client, 'c');
      await waiting(server, 1);
      process.kill(server.managerPid, 'SIGKILL');
      await waitFor('the manager to be gone', () => !isAlive(server.managerPid));
      // A manager that asks for the sockets and is no more when they come.
      const path = join(server.runDirectory, 'manager.sock');
      rmSync(path);
      const frames = new FrameWriter();
      frames.frame(SEND_LISTENERS);
      const successor = createServer((socket) => {
        socket.resume();
        socket.write(frames.take());
      }).listen(path);
      await waitFor('the worker to say that nobody took them', () => server.output().includes('cannot hand over'));
      successor.close();
      assert.equal(client.socket.closed, false);
    } finally {
      await server.stop();
    }
  });

  test('loses no client connection; a new one adopts the workers and messages flow again', {
    skip: workersEndWithManager,
  }, async () => {
    const run = await temporaryRunDirectory();
    let server = await startServer([], { runDirectory: run.path });
    try {
      const clients = await hold(server, 'k', 30);
      const pids = await server.workerPids();
      server.process.kill('SIGKILL');
      await waitFor(
        'the manager to be gone',
        () => server.process.exitCode !== null || server.process.signalCode !== null,
      );
      // Clients come and go while there is no manager.
      clients.pop()!.socket.destroy();
      const newcomer = await poll(server.ports.client, 'newcomer');
      await delay(500);
      assert.equal(clients.filter((client) => client.socket.closed).length, 0);

      const { clients: ports } = server.ports;
      server = await startServer(['--client-ports', ports.join(',')], { runDirectory: run.path });
      assert.deepEqual((await server.workerPids()).sort(), pids.sort());
      await waiting(server, 30);
      for (const [n, client] of clients.entries()) {
        assert.deepEqual((await server.publish(`k${n}`, `m${n}`)).receivers, 1);
        assert.equal(bodyOf((await client.closed).received), `m${n}`);
      }
      await server.publish('newcomer', 'hi');
      assert.equal(bodyOf((await newcomer.closed).received), 'hi');
      assert.equal((await server.publish('k29', 'm')).status, 'queued', 'who left in between is not waited on');

      // What the new manager starts has the sockets of the old one.
      process.kill(pids[0], 'SIGKILL');
      await waitFor('a new worker', async () => {
        const now = await server.workerPids();
        return now.length === 2 && !now.includes(pids[0]);
      });
      process.kill(pids[1], 'SIGKILL');
      await waitFor('its end to be seen', async () => !(await server.workerPids()).includes(pids[1]));
      // A dying worker may still have taken a client along; it comes again, as clients do.
      const late = await waitFor('a poll that is held', async () => {
        const client = await poll(server.ports.client, 'late');
        await Promise.race([client.closed, waiting(server, 1)]);
        return client.socket.closed ? null : client;
      });
      await server.publish('late', 'm');
      assert.equal(bodyOf((await late.closed).received), 'm');
    } finally {
      await server.stop();
      await run.remove();
    }
  });

  test('leaves workers that end themselves after --orphan-seconds', { skip: workersEndWithManager }, async () => {
    const run = await temporaryRunDirectory();
    const server = await startServer(['--orphan-seconds', '1'], { runDirectory: run.path });
    try {
      const client = await poll(server.ports.client, 'o');
      await waiting(server, 1);
      const pids = await server.workerPids();
      server.process.kill('SIGKILL');
      await client.closed;
      await waitFor('the orphans to end', () => pids.every((pid) => !isAlive(pid)));
    } finally {
      await server.stop();
      await run.remove();
    }
  });
});

describe('clients that end in every way', () => {
  const stages: [string, string][] = [
    ['before the request', ''],
    ['inside the request line', 'GET /leak'],
    ['inside the headers', 'GET /leak.js HTTP/1.1\r\nHost: h\r\nX-'],
    ['while waiting', 'GET /leak.js HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['with more sent than asked', 'GET /leak.js HTTP/1.1\r\nHost: h\r\n\r\nGET /leak2.js HTTP/1.1\r\nHost'],
    ['after a refused request', 'NONSENSE\r\n\r\n'],
    ['between requests', 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n'],
  ];
  const endings: [string, (client: RawClient) => void][] = [
    ['a reset', (client) => client.socket.resetAndDestroy()],
    ['a half-close', (client) => client.socket.end()],
    ['a close', (client) => client.socket.destroy()],
  ];

  test('cost nothing and leak nothing', async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const [pid] = await server.workerPids();
      const descriptors = () => readdirSync(`/proc/${pid}/fd`).length;
      const before = descriptors();
      const bystander = await poll(server.ports.client, 'bystander');
      for (const [, bytes] of stages) {
        for (const [, end] of endings) {
          const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(server.ports.client, bytes)));
          for (const client of clients) client.socket.on('data', () => {});
          await delay(30);
          for (const client of clients) end(client);
        }
      }
      // Half-closed ones that were refused linger for two seconds at the most.
      await waiting(server, 1);
      await waitFor('all descriptors to be closed', () => descriptors() <= before + 1);
      assert.equal((await server.publish('leak', 'm')).status, 'queued');
      assert.deepEqual((await server.publish('bystander', 'm')).receivers, 1);
      assert.equal(bodyOf((await bystander.closed).received), 'm');
      assert.deepEqual(await server.workerPids(), [pid]);
    } finally {
      await server.stop();
    }
  });

  test('a reset does not make the worker spin, as it did the one of 2011', async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const [pid] = await server.workerPids();
      for (let n = 0; n < 50; n++) {
        const client = await poll(server.ports.client, `r${n}`);
        client.socket.resetAndDestroy();
      }
      await waiting(server, 0);
      const cpu = () => {
        const { userSeconds, systemSeconds } = processCpu(pid);
        return userSeconds + systemSeconds;
      };
      const before = cpu();
      await delay(1500);
      assert(cpu() - before < 0.3, `${cpu() - before} s of CPU in 1.5 s of rest`);
    } finally {
      await server.stop();
    }
  });
});
