/**
 * The server without system calls of its own: the portable reactor, and the rest of the program where koffi cannot be loaded. macOS
 * and Windows are not at hand; what they lack is taken away here: native add-ons (--no-addons), koffi alone, /proc.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../src/testing/free-port.js';
import {
  isAlive,
  poll,
  rawClient,
  runCommand,
  type StartOptions,
  startServer,
  type TestServer,
  temporaryRunDirectory,
  waitFor,
} from './helpers.js';

const bodyOf = (response: string) => response.slice(response.indexOf('\r\n\r\n') + 4);

/** What a process lacks, as its environment says it. */
const NO_ADDONS = { NODE_OPTIONS: '--no-addons' };
const ELSEWHERE = { NODE_OPTIONS: `--import=${new URL('./fakes/elsewhere.js', import.meta.url)}` };

async function serves(server: TestServer): Promise<void> {
  const client = await poll(server.ports.client, 'alice');
  await waitFor('the poll to be held', async () => (await server.status()).connections === 1);
  assert.equal((await server.publish('alice', 'hello')).receivers, 1);
  assert.equal(bodyOf((await client.closed).received), 'hello');
}

async function portable(args: string[] = [], options: StartOptions = {}): Promise<TestServer> {
  return startServer(['--reactor', 'auto', ...args], options);
}

for (const [what, env] of [
  ['native add-ons are not allowed', NO_ADDONS],
  ['the system is another one, without koffi and /proc', ELSEWHERE],
] as const) {
  describe(`where ${what}`, () => {
    test('auto is the portable reactor, with one line that says why and what it costs, and serves', async () => {
      const server = await portable(['--log', 'memory'], { env });
      try {
        assert.equal(server.output().match(/using the portable reactor/g)?.length, 1, server.output());
        assert.match(server.output(), /2,000 to [\d,]+ bytes for each idle connection/);
        await serves(server);
      } finally {
        assert.equal(await server.stop(), 0);
      }
    });

    test('another reactor is refused with the cure', async () => {
      for (const reactor of ['epoll', 'io-uring']) {
        const run = await temporaryRunDirectory();
        const { exitCode, stderr } = await runCommand(['serve', '--reactor', reactor, '--run-dir', run.path], { env });
        assert.equal(exitCode, 1);
        assert.match(stderr, /^megacomet: .*; use --reactor portable or auto$/m);
        await run.remove();
      }
    });

    test('status, publish, stop and a second server find the one that runs', async () => {
      const run = await temporaryRunDirectory();
      const server = await portable(['--log', 'memory'], { env, runDirectory: run.path });
      const where = ['--run-dir', run.path];
      const status = JSON.parse((await runCommand(['status', '--json', ...where], { env })).stdout);
      assert.deepEqual([status.running, status.manager.pid, status.workers.length], [true, server.managerPid, 2]);
      const published = await runCommand(['publish', 'alice', 'hi', '--api', server.api], { env });
      assert.equal(published.exitCode, 0, published.stderr);
      const second = await runCommand(['serve', '--client-ports', '0', '--api-port', '0', ...where], { env });
      assert.equal(second.exitCode, 1);
      assert.match(second.stderr, /already running \(pid \d+\)/);
      const stopped = await runCommand(['stop', ...where], { env });
      assert.equal(stopped.stdout, `stopped (manager ${server.managerPid})\n`, stopped.stderr);
      assert.equal((await runCommand(['status', ...where], { env })).exitCode, 1);
      await run.remove();
    });
  });
}

test('where LMDB cannot be loaded the error says --log memory', async () => {
  const run = await temporaryRunDirectory();
  const args = ['serve', '--log', 'lmdb', '--run-dir', run.path, '--data-dir', join(run.path, 'data')];
  const { exitCode, stderr } = await runCommand(args, { env: NO_ADDONS });
  assert.equal(exitCode, 1);
  assert.match(stderr, /LMDB cannot be loaded here .*; use --log memory/);
  await run.remove();
});

describe('a manager that is killed, with the portable reactor', () => {
  for (const [where, env] of [
    ['Linux', { MEGACOMET_REACTOR: 'portable' }],
    ['a system without koffi and /proc', { ...ELSEWHERE, FAKE_PLATFORM: 'linux' }],
  ] as const) {
    test(`takes its workers along; clients come back to the next one and miss nothing (${where})`, async () => {
      const run = await temporaryRunDirectory();
      const reactor = where === 'Linux' ? 'portable' : 'auto';
      const args = ['--log', 'lmdb', '--reactor', reactor, '--client-ports', String(await freePort())];
      let server = await startServer(args, { runDirectory: run.path, env });
      try {
        const pids = await server.workerPids();
        const stream = await rawClient(server.ports.client, 'GET /v1/sse?channel=c HTTP/1.1\r\nHost: test\r\n\r\n');
        await stream.until('event: subscribed');
        await server.publish('c', 'one');
        await stream.until('"one"');
        const cursor = [...stream.received().matchAll(/^id: (\S+)/gm)].at(-1)![1];

        server.process.kill('SIGKILL');
        await once(server.process, 'exit');
        await stream.closed;
        await waitFor('the workers to end', () => pids.every((pid) => !isAlive(pid)));
        if (where !== 'Linux') assert(existsSync(join(run.path, 'lock.sock')), 'its lock was left behind');

        // The same port, at once.
        server = await startServer(args, { runDirectory: run.path, env });
        await server.publish('c', 'two');
        const head = `GET /v1/sse?channel=c&after=${cursor} HTTP/1.1\r\nHost: test\r\n\r\n`;
        const again = await rawClient(server.ports.client, head);
        await again.until('"two"');
        assert(!again.received().includes('"one"') && !again.received().includes('event: gap'), again.received());
        again.socket.destroy();
      } finally {
        await server.stop();
        await run.remove();
      }
    });
  }

  test('does not take over workers of another reactor, and says what to do', async () => {
    const run = await temporaryRunDirectory();
    const first = await startServer(['--reactor', 'epoll', '--log', 'memory'], { runDirectory: run.path });
    const client = await poll(first.ports.client, 'c');
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    const args = ['serve', '--reactor', 'portable', '--run-dir', run.path, '--client-ports', '0', '--api-port', '0'];
    const { exitCode, stderr } = await runCommand([...args, '--classic-port', 'none']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /the portable reactor cannot take them over; run `megacomet stop` first/);
    assert.equal(client.socket.closed, false, 'the clients of those workers are left alone');
    await runCommand(['stop', '--run-dir', run.path]);
    await client.closed;
    await run.remove();
  });
});

test('the load tester works with the portable reactor', async () => {
  const server = await startServer(['--reactor', 'portable', '--log', 'memory']);
  try {
    const megatest = ['megatest', '--reactor', 'portable', '--target', `127.0.0.1:${server.ports.client}`];
    const load = ['--connections', '500', '--hold', '1', '--messages', '100', '--message-count', '100'];
    const result = await runCommand([...megatest, ...load, '--api', server.api, '--json']);
    assert.equal(result.exitCode, 0, result.stdout + result.stderr);
    const { held, lost, dropped } = JSON.parse(result.stdout);
    assert.deepEqual({ held, lost, dropped }, { held: 500, lost: 0, dropped: 0 });
  } finally {
    await server.stop();
  }
});

test('the launcher runs on any system', async () => {
  const launcher = fileURLToPath(new URL('../../bin/megacomet', import.meta.url));
  const { exitCode, stdout, stderr } = await runCommand(['--version'], { env: ELSEWHERE, script: launcher });
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});
