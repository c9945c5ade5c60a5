/**
 * `megacomet experiment` end to end: all phases in namespaces where that is possible (root, iproute2), on loopback
 * otherwise, and that nothing is left of it, however it ends.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { networkInterfaces, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ExperimentResult } from '../src/experiment/result.js';
import { isAlive, mainPath, runCommand, waitFor } from './helpers.js';

const namespaces = canMakeNamespaces();
/** Such a machine may hold ten million connections. */
const LARGE = totalmem() > 64 * 2 ** 30;
const mode = namespaces ? 'namespaces' : 'loopback';

function canMakeNamespaces(): boolean {
  if (process.getuid!() !== 0) return false;
  const name = `megacomet-probe-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  return spawnSync('ip', ['netns', 'delete', name]).status === 0;
}

/** What an experiment with this process id has on the machine. */
function tracesOf(pid: number): string[] {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const directories = readdirSync(tmpdir());
  return [...names, ...directories].filter(
    (name) => name.startsWith(`megacomet-${pid}-`) || name === `megacomet-experiment-${pid}`,
  );
}

/** Processes that were started by another one, and by those: the whole tree, as it is now. */
function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch (error) {
      // It has ended meanwhile.
      assert.match((error as NodeJS.ErrnoException).code!, /ENOENT|ESRCH/);
    }
  }
  const found: number[] = [];
  const add = (parent: number) => {
    for (const [child, of] of parents) {
      if (of !== parent) continue;
      found.push(child);
      add(child);
    }
  };
  add(pid);
  return found;
}

interface Run {
  process: ChildProcess;
  pid: number;
  error: () => string;
  ended: Promise<number | null>;
}

function start(...args: string[]): Run {
  const child = spawn(process.execPath, [mainPath, 'experiment', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let error = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (error += text));
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  return { process: child, pid: child.pid!, error: () => error, ended };
}

/** Waits until all connections are open, and returns the processes of the run. */
async function untilHeld(run: Run): Promise<number[]> {
  await waitFor('the phase hold', () => run.error().includes('hold: '), 30_000);
  const pids = descendants(run.pid);
  assert.ok(pids.length >= 4, `manager, workers and clients are ${pids.join(', ')}`);
  return pids;
}

describe(`an experiment (${mode})`, () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'megacomet-test-'));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it('with 2,000 connections from two boxes goes through all phases and loses nothing', async () => {
    const interfaces = Object.keys(networkInterfaces());
    const json = join(directory, 'result.json');
    const report = join(directory, 'report.html');
    const load = ['--connections', '2000', '--client-boxes', '2', '--hold', '2', '--messages', '500'];
    const { exitCode, stdout, stderr } = await runCommand(['experiment', ...load, '--json', json, '--report', report]);
    assert.equal(exitCode, 0, stdout + stderr);
    const result = JSON.parse(readFileSync(json, 'utf8')) as ExperimentResult;
    assert.equal(result.mode, mode);
    assert.deepEqual(
      [result.opened, result.failed, result.dropped, result.held, result.duplicates, result.misdelivered],
      [2000, 0, 0, 2000, 0, 0],
    );
    assert.deepEqual(
      result.phases.map(({ name, held }) => [name, held]),
      ['open', 'hold', 'directed', 'broadcast', 'return'].map((name) => [name, 2000]),
    );
    const { directed, broadcast } = result;
    assert.deepEqual([directed!.sent, directed!.received, directed!.lost], [500, 500, 0]);
    assert.ok(0 < directed!.p50Ms && directed!.p50Ms <= directed!.p99Ms && directed!.p99Ms <= directed!.maxMs);
    assert.deepEqual([broadcast!.sent, broadcast!.received, broadcast!.lost], [2000, 2000, 0]);
    assert.ok(0 < broadcast!.firstMs && broadcast!.firstMs <= broadcast!.lastMs);
    assert.ok(result.return!.clients > 0);
    assert.equal(result.return!.dropped, result.return!.clients);
    assert.ok(result.return!.seconds > 0 && result.return!.heldSeconds! >= result.return!.seconds);
    assert.deepEqual(
      result.processes.map(({ name }) => name),
      ['manager', 'worker 0', 'worker 1'],
    );
    assert.ok(result.privateBytes < result.pssBytes && result.pssBytes <= result.rssBytes);
    assert.ok(result.idleCpuPercent !== null && result.idleCpuPercent < 50);
    assert.ok(result.openedPerSecond > 0);
    assert.ok(Number.isInteger(result.kernelBytes));
    assert.ok(Array.isArray(result.kernelLog));
    assert.ok(result.samples.length >= 4);
    if (namespaces) assert.ok(result.samples.some(({ sockets }) => sockets >= 2000));
    assert.match(stdout, /^manager .*^worker 0 .*^connections held +2,000 +523,000$.*^verdict +flawless\n/ms);
    assert.match(readFileSync(report, 'utf8'), /^<!doctype html>.*2,000 connections.*<\/html>\n$/s);
    assert.deepEqual(Object.keys(networkInterfaces()), interfaces);
  });

  it('that is interrupted tells what it has, with exit code 1, and leaves nothing behind', async () => {
    const run = start('--connections', '200', '--client-boxes', '2', '--hold', '600');
    const pids = await untilHeld(run);
    assert.ok(tracesOf(run.pid).length > 0);
    run.process.kill('SIGINT');
    // A second one, as a terminal and npm send it, must not keep anything from being removed.
    run.process.kill('SIGINT');
    assert.equal(await run.ended, 1, run.error());
    assert.deepEqual(tracesOf(run.pid), []);
    assert.deepEqual(pids.filter(isAlive), []);
  });

  it('that is killed is cleared away by the next one, which leaves others alone', async () => {
    const killed = start('--connections', '100', '--client-boxes', '1', '--hold', '600');
    const killedPids = await untilHeld(killed);
    const other = start('--connections', '100', '--client-boxes', '1', '--hold', '600');
    const otherPids = await untilHeld(other);
    killed.process.kill('SIGKILL');
    await killed.ended;
    assert.ok(tracesOf(killed.pid).length > 0);
    const { exitCode, stderr } = await runCommand([
      ...['experiment', '--connections', '100', '--client-boxes', '1', '--phases', 'open'],
    ]);
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(tracesOf(killed.pid), []);
    assert.deepEqual(killedPids.filter(isAlive), []);
    assert.deepEqual(otherPids.filter(isAlive), otherPids);
    other.process.kill('SIGTERM');
    assert.equal(await other.ended, 1);
    assert.deepEqual(otherPids.filter(isAlive), []);
  });

  it('on loopback needs no namespaces', async () => {
    const load = ['--connections', '300', '--client-boxes', '3', '--phases', 'broadcast,return', '--loopback'];
    const { exitCode, stdout, stderr } = await runCommand(['experiment', ...load, '--json']);
    assert.equal(exitCode, 0, stdout + stderr);
    const result = JSON.parse(stdout) as ExperimentResult;
    assert.equal(result.mode, 'loopback');
    assert.deepEqual([result.idleCpuPercent, result.directed, result.broadcast!.received], [null, null, 300]);
    assert.equal(result.held, 300);
  });

  it('of more connections than the memory holds is refused with what is missing', { skip: LARGE }, async () => {
    const { exitCode, stderr } = await runCommand(['experiment', '--connections', '10000000', '--client-boxes', '26']);
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^megacomet: memory is \d+ MiB, needed are \d+ MiB: free some, or take at most --connections \d+\n/,
    );
  });
});
