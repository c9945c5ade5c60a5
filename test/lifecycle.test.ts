/** Beginning and end: in the foreground, in the background, twice, by signals. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findWorkers } from '../src/manager/processes.js';
import { assertWithin } from '../src/testing/assert-within.js';
import {
  isAlive,
  poll,
  runCommand,
  startServer,
  temporaryRunDirectory,
  waitFor,
  workersEndWithManager,
} from './helpers.js';

const FREE = ['--client-ports', '0', '--classic-port', '0', '--api-port', '0', '--workers', '2'];

describe('serve in the foreground', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`ends within two seconds of ${signal} with exit code 0, and leaves nothing`, async () => {
      await assertWithin(2000, async () => {
        const server = await startServer();
        const held = await poll(server.ports.client, 'held');
        await waitFor('the connection to be held', async () => (await server.status()).connections === 1);
        const pids = [server.managerPid, ...(await server.workerPids())];
        assert.equal(pids.length, 3);

        const begunMs = performance.now();
        server.process.kill(signal);
        const [exitCode] = await once(server.process, 'exit');
        const tookMs = performance.now() - begunMs;
        assert.equal(exitCode, 0);
        assert.deepEqual(findWorkers(server.runDirectory), []);
        await held.closed;
        await server.stop();
        return tookMs;
      });
    });
  }

  it('goes without the application port where that is asked for', async () => {
    const server = await startServer(['--classic-port', 'none']);
    assert.equal((await server.status()).classic, null);
    assert.equal(await server.stop(), 0);
  });

  it('takes a Ctrl-C that arrives twice, from the terminal and from npm, as one', async () => {
    const server = await startServer();
    server.process.kill('SIGINT');
    server.process.kill('SIGINT');
    const [exitCode] = await once(server.process, 'exit');
    assert.equal(exitCode, 0);
    await server.stop();
  });

  it('is refused where another one runs, and that one goes on', async () => {
    const server = await startServer();
    try {
      const second = await runCommand(['serve', ...FREE, '--run-dir', server.runDirectory]);
      assert.equal(second.exitCode, 1);
      assert.match(second.stderr, /^megacomet: [^\n]+\n$/);
      assert.match(second.stderr, new RegExp(String(server.managerPid)));
      assert.equal((await server.status()).workers.length, 2);
    } finally {
      await server.stop();
    }
  });

  it('can be started again in the same run directory after kill -9, and again after its end', async () => {
    const runDirectory = await temporaryRunDirectory();
    const options = { runDirectory: runDirectory.path };
    try {
      const first = await startServer([], options);
      first.process.kill('SIGKILL');
      await once(first.process, 'exit');
      const second = await startServer([], options);
      assert.equal((await second.publish('alice', 'hi')).status, 'queued');
      assert.equal(await second.stop(), 0);
      const third = await startServer([], options);
      assert.equal(await third.stop(), 0);
      assert.deepEqual(findWorkers(runDirectory.path), []);
    } finally {
      await runDirectory.remove();
    }
  });
});

describe('start, status and stop', () => {
  it('open nothing in a run directory that is not ours alone, or that cannot be', async () => {
    const parent = await temporaryRunDirectory();
    try {
      mkdirSync(parent.path);
      const link = `${parent.path}-link`;
      symlinkSync(parent.path, link);
      for (const runDirectory of [link, '/proc/megacomet']) {
        const started = await runCommand(['start', '--run-dir', runDirectory]);
        assert.equal(started.exitCode, 1);
        assert.match(started.stderr, /^megacomet: .*choose another --run-dir\n$/);
      }
      assert.deepEqual(readdirSync(parent.path), []);
    } finally {
      await parent.remove();
    }
  });

  it('run a server in the background from its start to its end', async () => {
    const runDirectory = await temporaryRunDirectory();
    const where = ['--run-dir', runDirectory.path];
    try {
      const started = await runCommand(['start', ...FREE, ...where]);
      assert.equal(started.exitCode, 0, started.stderr);
      assert.match(
        started.stdout,
        /^started \(manager \d+\): clients on 127\.0\.0\.1:\d+, API on http:\/\/127\.0\.0\.1:\d+/,
      );
      assert.ok(existsSync(join(runDirectory.path, 'serve.log')));

      const readStatus = async () => JSON.parse((await runCommand(['status', '--json', ...where])).stdout);
      const status = await waitFor('the first report of each worker', async () => {
        const current = await readStatus();
        return current.workers.every(({ connections }: { connections: number | null }) => connections === 0) && current;
      });
      assert.equal(status.running, true);
      assert.ok(isAlive(status.manager.pid));
      assert.ok(status.manager.memory.rssBytes > 0);
      assert.equal(status.workers.length, 2);
      for (const worker of status.workers) {
        assert.ok(isAlive(worker.pid));
        assert.equal(worker.connections, 0);
        assert.equal(worker.messagesSent, 0);
        assert.ok(worker.memory.rssBytes > worker.memory.privateBytes);
      }

      const table = await runCommand(['status', ...where]);
      assert.equal(table.exitCode, 0);
      assert.match(table.stdout, /\n +pid +connections +messages sent +RSS +private\nmanager +\d+/);
      assert.match(table.stdout, /\nworker 1 +\d+ +0 +0 +[\d.]+ MiB +[\d.]+ MiB\n$/);

      const again = await runCommand(['start', ...FREE, ...where]);
      assert.equal(again.exitCode, 1);
      assert.match(again.stderr, /^megacomet: a server runs in .* already \(manager \d+\)/);

      const stopped = await runCommand(['stop', ...where]);
      assert.equal(stopped.exitCode, 0);
      assert.equal(stopped.stdout, `stopped (manager ${status.manager.pid})\n`);
      for (const { pid } of [status.manager, ...status.workers]) assert.ok(!isAlive(pid));

      const nothing = await runCommand(['stop', ...where]);
      assert.equal(nothing.exitCode, 0);
      assert.equal(nothing.stdout, `nothing runs in ${runDirectory.path}\n`);
    } finally {
      await runCommand(['stop', ...where]);
      await runDirectory.remove();
    }
  });

  it('status lists workers without a manager, and stop ends them', { skip: workersEndWithManager }, async () => {
    const server = await startServer();
    const workers = await server.workerPids();
    server.process.kill('SIGKILL');
    await once(server.process, 'exit');
    const where = ['--run-dir', server.runDirectory];

    const status = await runCommand(['status', '--json', ...where]);
    assert.equal(status.exitCode, 1);
    const listed = JSON.parse(status.stdout).workers.map(({ pid }: { pid: number }) => pid);
    assert.deepEqual(listed.sort(), workers.sort());

    const stopped = await runCommand(['stop', ...where]);
    assert.equal(stopped.exitCode, 0);
    assert.equal(stopped.stdout, 'stopped 2 workers that had no manager\n');
    await waitFor('the workers to end', () => findWorkers(server.runDirectory).length === 0);
    await server.stop();
  });
});
