/** The manager as a whole, with worker processes played by test/fakes/worker-main.ts. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ffiProblem } from '../linux/ffi.js';
import { signal } from '../platform/signal.js';
import { assertWithin } from '../testing/assert-within.js';
import { createLogger } from './logger.js';
import { type Manager, startManager } from './manager.js';
import type { ServeOptions } from './options.js';
import { findWorkers, isWorker } from './processes.js';
import type { ManagerStatus } from './status.js';
import { serveOptions } from './testing/options.js';

const workerMain = fileURLToPath(new URL('../../test/fakes/worker-main.js', import.meta.url));
const managerMain = fileURLToPath(new URL('../../test/fakes/manager-main.js', import.meta.url));

describe('the manager', { skip: ffiProblem ?? false }, () => {
  let runDirectory: string;
  let options: ServeOptions;
  let lines: string[];
  let managers: Manager[];
  let others: ChildProcess[];

  beforeEach(() => {
    runDirectory = mkdtempSync(join(tmpdir(), 'megacomet-manager-'));
    options = serveOptions(runDirectory);
    lines = [];
    managers = [];
    others = [];
  });

  afterEach(async () => {
    delete process.env['FAKE_WORKER'];
    await Promise.all(managers.map((manager) => manager.stop()));
    for (const other of others) other.kill('SIGKILL');
    for (const { pid } of findWorkers(runDirectory)) signal(pid, 'SIGKILL');
    rmSync(runDirectory, { recursive: true, force: true });
  });

  async function start(changes: Partial<ServeOptions> = {}): Promise<Manager> {
    const logger = createLogger((line) => lines.push(line));
    const manager = await startManager({ ...options, ...changes }, { logger, workerMain });
    managers.push(manager);
    return manager;
  }

  /** Starts a manager in another process and kills it when its workers have dialled. Returns its client addresses. */
  async function startAndKill(meanwhile: (api: string) => Promise<void> = async () => {}): Promise<string[]> {
    const other = spawn(process.execPath, [managerMain, JSON.stringify(options), workerMain], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    others.push(other);
    const [line] = await once(other.stdout, 'data');
    const { clients, api } = JSON.parse(String(line));
    await until(async () => {
      const status = (await (await fetch(`${api}/v1/status`)).json()) as ManagerStatus;
      return status.workers.filter((worker) => worker.linked).length === 2;
    });
    await meanwhile(api);
    other.kill('SIGKILL');
    await once(other, 'exit');
    return clients;
  }

  const linked = (manager: Manager) => manager.status().workers.filter((worker) => worker.linked);
  const pids = () =>
    findWorkers(runDirectory)
      .map(({ pid }) => pid)
      .sort();

  test('it serves what was asked for, says so in manager.json, and stops leaving nothing', async () => {
    const manager = await start({ clientPorts: [0, 0] });
    await until(() => linked(manager).length === 2);
    assert.equal(manager.clients.length, 2);
    const file = JSON.parse(readFileSync(join(runDirectory, 'manager.json'), 'utf8'));
    const { api, classic, clients } = manager;
    assert.deepEqual(file, { pid: process.pid, api, classic, clients });
    assert.equal(statSync(runDirectory).mode & 0o777, 0o700);
    const status = manager.status();
    assert.deepEqual(
      status.workers.map(({ worker, capacity, connections }) => [worker, capacity, connections]),
      [
        [0, 50, null],
        [1, 50, null],
      ],
    );
    assert.deepEqual(((await (await fetch(`${api}/v1/status`)).json()) as ManagerStatus).clients, clients);

    await manager.stop();
    assert.deepEqual(readdirSync(runDirectory), ['lock']);
    assert.deepEqual(pids(), []);
  });

  test('a second serve on the same run directory fails with one line that names the first', async () => {
    await start();
    await assert.rejects(start(), {
      code: 'ERUNNING',
      message: new RegExp(`^already running \\(pid ${process.pid}\\).*$`),
    });
  });

  test('a worker that is killed is replaced within two seconds', async () => {
    const manager = await start();
    await until(() => linked(manager).length === 2);
    for (let round = 0; round < 3; round++) {
      await assertWithin(2000, async () => {
        const { pid } = manager.status().workers[0]!;
        signal(pid, 'SIGKILL');
        const killedMs = performance.now();
        await until(() => linked(manager).some((worker) => worker.worker === 0 && worker.pid !== pid));
        return performance.now() - killedMs;
      });
    }
    assert.equal(pids().length, 2);
  });

  test('workers that die at their start are tried again, ever more slowly', async () => {
    process.env['FAKE_WORKER'] = 'dies';
    const manager = await start({ workers: 1 });
    const delays = () => lines.flatMap((line) => /restartMs=(\d+)/.exec(line)?.[1] ?? []);
    await until(() => delays().length >= 4);
    assert.deepEqual(delays().slice(0, 4), ['0', '100', '200', '400']);
    delete process.env['FAKE_WORKER'];
    await until(() => linked(manager).length === 1);
  });

  test('a worker that stands still is replaced; one that reports is not', async () => {
    const logger = createLogger((line) => lines.push(line));
    const manager = await startManager({ ...options, workers: 1 }, { logger, workerMain, silenceMs: 2000 });
    managers.push(manager);
    await until(() => linked(manager).length === 1);
    const [still] = pids();
    await until(() => linked(manager).some(({ pid }) => pid !== still));
    assert.match(lines.join(''), /worker killed .*reason="it says nothing"/);

    process.env['FAKE_WORKER'] = 'reports';
    const [next] = pids();
    await until(() => linked(manager).some(({ pid }) => pid !== next));
    const [reporting] = pids();
    await delay(3500);
    assert.deepEqual(pids(), [reporting]);
  });

  test('a worker that does not stop is killed in time', async () => {
    process.env['FAKE_WORKER'] = 'deaf';
    await assertWithin(2000, async () => {
      const manager = await start();
      await until(() => linked(manager).length === 2);
      const startedMs = performance.now();
      await manager.stop();
      const ms = performance.now() - startedMs;
      assert.ok(ms > 1400, `${ms} ms`);
      await until(() => pids().length === 0);
      return ms;
    });
  });

  test('the workers of a killed manager are adopted with their listening sockets', async () => {
    const clients = await startAndKill();
    const before = pids();
    assert.equal(before.length, 2);
    assert.ok(existsSync(join(runDirectory, 'manager.sock')), 'the socket is stale');
    const manager = await start();
    assert.deepEqual(manager.clients, clients);
    assert.equal(linked(manager).length, 2);
    assert.deepEqual(pids(), before);

    // Adopted workers are watched, and their successors inherit the adopted sockets.
    const { pid } = manager.status().workers[1]!;
    signal(pid, 'SIGKILL');
    await until(() => linked(manager).some((worker) => worker.worker === 1 && worker.pid !== pid));
    const [host, port] = clients[0]!.split(':');
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    socket.destroy();
    await manager.stop();
    assert.deepEqual(pids(), []);
  });

  test('a manager that is killed keeps the epoch and all that it answered for, when its log is on disk', async () => {
    options = { ...options, log: 'lmdb' };
    const send = async (api: string, body: object) => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${api}/v1/publish`, { method: 'POST', headers, body: JSON.stringify(body) });
      return (await response.json()) as { cursor: string; duplicate?: boolean };
    };
    const before: string[] = [];
    await startAndKill(async (api) => {
      for (let n = 0; n < 3; n++) before.push((await send(api, { channel: 'alice', data: n, id: `m${n}` })).cursor);
    });
    const manager = await start();
    const { epoch, last, queued, kind, fsync } = manager.status().log;
    assert.deepEqual([last, queued, kind, fsync], [3, 3, 'lmdb', 'interval']);
    assert.deepEqual(
      before,
      [1, 2, 3].map((sequence) => `${epoch}-${sequence}`),
    );
    assert.deepEqual(await send(manager.api, { channel: 'alice', data: 1, id: 'm1' }), {
      cursor: before[1],
      status: 'queued',
      receivers: 0,
      duplicate: true,
    });
    assert.equal((await send(manager.api, { channel: 'bob', data: 1 })).cursor, `${epoch}-4`);

    // A second manager on the same data is refused, and an orderly end keeps all too.
    const other = join(runDirectory, 'other');
    await assert.rejects(start({ runDirectory: other }), { code: 'ELOGLOCKED' });
    await manager.stop();
    const again = await start();
    assert.deepEqual([again.status().log.epoch, again.status().log.queued], [epoch, 4]);
  });

  test('a serve that was asked for other ports than living workers hold is refused, and they live on', async () => {
    const [client] = await startAndKill();
    const before = pids();
    await assert.rejects(start({ clientPorts: [0, 0] }), {
      code: 'EADOPT',
      message: new RegExp(`hold ${client};.*stop`),
    });
    assert.deepEqual(pids(), before);
    const manager = await start({ clientPorts: [Number(client!.split(':')[1])] });
    assert.deepEqual(pids(), before);
    assert.equal(linked(manager).length, 2);
  });

  test('workers of another version are stopped and replaced', async () => {
    await startAndKill();
    const right = pids();
    for (const pid of right) signal(pid, 'SIGKILL');
    process.env['FAKE_WORKER'] = 'old';
    const config = { worker: 0, runDirectory, listeners: [], maxConnections: 1, orphanSeconds: 1 };
    const old = spawn(process.execPath, [workerMain, JSON.stringify(config)], { stdio: ['ignore', 'pipe', 'ignore'] });
    others.push(old);
    delete process.env['FAKE_WORKER'];
    await once(old.stdout!, 'data');
    assert(isWorker(old.pid!, runDirectory));
    const manager = await start();
    await until(() => linked(manager).length === 2);
    assert.ok(!pids().includes(old.pid!));
    assert.ok(lines.some((line) => line.includes('link version 0')));
  });

  test('a start that fails gives everything back', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const failures: [changes: Partial<ServeOptions>, message: RegExp][] = [
      [{ apiPort: port }, /the API port \d+ cannot be opened: it is taken/],
      [{ classicPort: port }, /the classic application port \d+ cannot be opened: it is taken/],
      [{ clientPorts: [port] }, /port \d+ on 127.0.0.1 is taken/],
    ];
    for (const [changes, message] of failures) await assert.rejects(start(changes), { code: 'EADDRINUSE', message });
    taken.close();
    assert.deepEqual(pids(), []);
    await start();
  });

  test('a run directory that cannot be private is refused with the cure', async () => {
    const file = join(runDirectory, 'file');
    writeFileSync(file, '');
    await assert.rejects(start({ runDirectory: file }), { code: 'ERUNDIR' });
    await assert.rejects(start({ runDirectory: join(file, 'inner') }), { code: 'ERUNDIR', message: /cannot be made/ });
    await assert.rejects(start({ runDirectory: `/tmp/${'x'.repeat(100)}` }), { code: 'ERUNDIR', message: /too long/ });
    const open = join(runDirectory, 'open');
    mkdirSync(open);
    await start({ runDirectory: open });
    assert.equal(statSync(open).mode & 0o777, 0o700);
  });

  test('the classic port queues messages, and closes a connection that breaks its rules with one line', async () => {
    const manager = await start();
    const [host, port] = manager.classic!.split(':');
    const socket = connect(Number(port), host);
    socket.write('\x02alice\0one\0\x02bob\0tw');
    socket.write('o\0\x07');
    await once(socket, 'close');
    await until(() => manager.status().log.queued === 2);
    const line = lines.filter((text) => text.includes('classic connection closed'));
    assert.equal(line.length, 1);
    assert.match(line[0]!, /peer=127.0.0.1:\d+ reason="an opcode other than 0x02"/);
  });
});

/** Looks again and again until the condition holds. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 8000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadlineMs, `waited in vain for ${condition}`);
    await delay(5);
  }
}
