/** What a hostile or careless client can send must not crash, stall or bloat a worker, nor starve those that it holds. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { openDescriptors, processMemory } from '../src/linux/proc.js';
import { probeIoUring } from '../src/reactor/io-uring-probe.js';
import { REQUESTS } from './corpus/requests.js';
import { poll, type RawClient, rawClient, rawRequest, startServer, type TestServer, waitFor } from './helpers.js';

const ATTACKS = 10_000;
const AT_ONCE = 64;

/** A small generator of its own, so that a failure can be repeated by its seed (xorshift32). */
function seeded(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function mutated(bytes: Uint8Array, random: (below: number) => number): Buffer {
  const result = [...bytes];
  for (let n = random(4) + 1; n > 0; n--) {
    const at = random(result.length + 1);
    const kind = random(5);
    if (kind === 0) result.splice(at, random(4));
    else if (kind === 1) result.splice(at, 0, ...[13, 10, 0, 32, 58, 255].slice(random(6)));
    else if (kind === 2) result[at % result.length] = random(256);
    else if (kind === 3) result.splice(at, 0, ...result.slice(random(result.length), random(result.length)));
    else result.length = Math.max(1, at);
  }
  return Buffer.from(result.slice(0, 40_000));
}

/** Sends bytes, perhaps in two pieces, then ends in one of three ways; resolves when the connection is over. */
function attack(port: number, bytes: Buffer, random: (below: number) => number): Promise<void> {
  const split = random(bytes.length + 1);
  const ending = random(3);
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    // Resets and broken pipes are what a refused client gets.
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('data', () => {});
    socket.on('connect', () => {
      socket.write(bytes.subarray(0, split));
      socket.write(bytes.subarray(split), () => {
        if (ending === 0) socket.resetAndDestroy();
        else if (ending === 1) socket.destroy();
        else socket.end();
      });
    });
  });
}

async function connectionsOf(server: TestServer): Promise<number> {
  return (await server.status()).connections;
}

describe('hostile clients', () => {
  test(`${ATTACKS} random and mutated requests: every worker lives, nothing is left, bystanders are served`, async (t) => {
    const seed = Number(process.env['MEGACOMET_TEST_SEED'] ?? randomInt(2 ** 31));
    t.diagnostic(`MEGACOMET_TEST_SEED=${seed}`);
    const random = seeded(seed);
    const corpus = REQUESTS.map(([, bytes]) => Buffer.from(bytes, 'latin1'));
    const server = await startServer();
    try {
      const pids = await server.workerPids();
      const bystander = await poll(server.ports.client, 'bystander');
      const before = pids.map((pid) => openDescriptors(pid));
      let left = ATTACKS;
      const attackers = Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) {
          const bytes =
            random(4) === 0
              ? Buffer.from(Array.from({ length: random(600) + 1 }, () => random(256)))
              : mutated(corpus[random(corpus.length)], random);
          await attack(server.ports.client, bytes, random);
        }
      });
      await Promise.all(attackers);
      await waitFor('only the bystander to be left', async () => (await connectionsOf(server)) === 1, 15_000);
      assert.deepEqual(await server.workerPids(), pids, 'no worker was replaced');
      await waitFor('all descriptors to be closed', () => {
        return pids.every((pid, i) => openDescriptors(pid) <= before[i] + 1);
      });
      assert.equal((await server.publish('bystander', 'm')).receivers, 1);
      assert.match((await bystander.closed).received, /\r\n\r\nm$/);
    } finally {
      await server.stop();
    }
  });

  test('endless headers, slow or fast, cost a bounded amount and an answer', async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const [pid] = await server.workerPids();
      const endless = `GET /a.js HTTP/1.1\r\nHost: h\r\n${'X-A: b\r\n'.repeat(99)}`;
      assert.match(await rawRequest(server.ports.client, `${endless}X: y\r\n`), /^HTTP\/1\.1 431 /);
      assert.match(await rawRequest(server.ports.client, `GET /${'a'.repeat(9000)}`), /^HTTP\/1\.1 414 /);
      const before = processMemory(pid).privateBytes;
      const half: RawClient[] = [];
      for (let n = 0; n < 2000; n++)
        half.push(await rawClient(server.ports.client, `${endless}X-Last: ${'v'.repeat(7000)}`));
      await waitFor('the worker to have read them', async () => (await server.status()).connections >= 1000);
      const grown = processMemory(pid).privateBytes - before;
      assert(grown < 48 << 20, `${grown} bytes for 2000 half-read heads of 8 KB`);
      for (const client of half) client.socket.destroy();
      await waitFor('all to be gone', async () => (await connectionsOf(server)) === 0);
    } finally {
      await server.stop();
    }
  });

  test('half a request is answered with 408 after ten seconds, and silence with a close', async () => {
    const server = await startServer(['--workers', '1']);
    try {
      const startedAt = performance.now();
      const half = await rawClient(server.ports.client, 'GET /a.js HT');
      const silent = await rawClient(server.ports.client);
      const [answer, nothing] = await Promise.all([half.closed, silent.closed]);
      assert.match(answer.received, /^HTTP\/1\.1 408 /);
      assert.equal(nothing.received, '');
      const seconds = (performance.now() - startedAt) / 1000;
      assert(seconds > 9.5 && seconds < 14, `${seconds} s`);
    } finally {
      await server.stop();
    }
  });

  test('with io_uring clients take no descriptors of the worker', async (t) => {
    if (probeIoUring() !== null) {
      t.skip('no io_uring here');
      return;
    }
    const server = await startServer(['--workers', '1', '--reactor', 'io-uring']);
    try {
      const [pid] = await server.workerPids();
      execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${openDescriptors(pid) + 2}:20000`]);
      const clients = await Promise.all(Array.from({ length: 200 }, (_, n) => poll(server.ports.client, `c${n}`)));
      await waitFor('all to wait', async () => (await server.status()).workers[0].waiting === 200);
      for (const client of clients) client.socket.destroy();
      await waitFor('all to be gone', async () => (await connectionsOf(server)) === 0);
    } finally {
      await server.stop();
    }
  });

  test('out of descriptors a worker stops accepting, says so once, serves on, and accepts again', async () => {
    const server = await startServer(['--workers', '1', '--reactor', 'epoll']);
    try {
      const [pid] = await server.workerPids();
      const first = await poll(server.ports.client, 'first');
      await waitFor('the first client', async () => (await connectionsOf(server)) === 1);
      const limit = openDescriptors(pid) + 10;
      execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${limit}:20000`]);
      const clients = await Promise.all(Array.from({ length: 30 }, (_, n) => poll(server.ports.client, `c${n}`)));
      await waitFor('the worker to say so', () => server.output().includes('stops accepting'));
      const held = await waitFor('those accepted to be counted', async () => {
        const count = await connectionsOf(server);
        return count >= 8 ? count : null;
      });
      assert(held < 31, `${held} held`);
      assert.equal((await server.publish('first', 'served')).receivers, 1);
      assert.match((await first.closed).received, /served$/);
      execFileSync('prlimit', ['--pid', `${pid}`, '--nofile=20000:20000']);
      await waitFor('all to wait', async () => (await server.status()).workers[0].waiting === 30);
      for (const [n, client] of clients.entries()) {
        assert.equal((await server.publish(`c${n}`, `m${n}`)).receivers, 1);
        assert.match((await client.closed).received, new RegExp(`m${n}$`));
      }
      const lines = server.output().match(/stops accepting/g) ?? [];
      assert(lines.length <= 2, `said ${lines.length} times`);
    } finally {
      await server.stop();
    }
  });
});
