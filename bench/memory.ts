/**
 * User-space memory for each idle connection of a whole server: `node dist/bench/memory.js [CONNECTIONS]`.
 *
 * Starts a server for CONNECTIONS (100,000) with as many workers as that takes, holds 20 % and then 90 % of them with
 * megatest, and prints the slope of private memory over all workers, and over the manager; then sends a message to every
 * client, lets it poll again, and prints it once more, since traffic inflates many servers.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ManagerStatus } from '../src/manager/manager.js';
import { stablePrivateBytes } from './measure.js';

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const BATCH = 1000;
const WAIT_MS = 120_000;
const REST_MS = 8_000;

class Measurement {
  private readonly children: ChildProcess[] = [];
  private readonly connections: number;
  private readonly runDirectory: string;
  private api = '';
  private target = '';

  constructor(connections: number, runDirectory: string) {
    this.connections = connections;
    this.runDirectory = runDirectory;
  }

  async run(): Promise<void> {
    const ports = ['--client-ports', '0', '--api-port', '0', '--classic-port', 'none'];
    const room = String(Math.ceil(this.connections * 1.02));
    const server = this.spawn('serve', ...ports, '--max-connections', room, '--run-dir', this.runDirectory);
    let output = '';
    server.stdout!.on('data', (chunk) => (output += chunk));
    await until('the server to be ready', async () => output.includes('MegaComet is ready'));
    this.target = /clients +http:\/\/(\S+)/.exec(output)![1];
    this.api = /HTTP API +(\S+)/.exec(output)![1];

    const [few, many] = [Math.round(this.connections * 0.2), Math.round(this.connections * 0.9)];
    const warmUp = await this.hold('w', Math.round(this.connections * 0.1), 0);
    warmUp.kill('SIGINT');
    await until('the warm-up to end', async () => (await this.status()).connections === 0);
    await this.hold('a', few, 0);
    const before = await this.privateBytes();
    await this.hold('b', many - few, few);
    const idle = await this.privateBytes();
    await this.messageToAll('a', few);
    await this.messageToAll('b', many - few);
    const after = await this.privateBytes();

    const slope = (bytes: number, from: number) => ((bytes - from) / (many - few)).toFixed(0).padStart(9);
    const { workers } = await this.status();
    console.log(
      `${many} connections on ${workers.length} workers, Node ${process.version}; bytes for each, from ${few} on`,
    );
    console.log('                       workers  manager');
    console.log(`idle                 ${slope(idle.workers, before.workers)}${slope(idle.manager, before.manager)}`);
    console.log(`after a message each ${slope(after.workers, before.workers)}${slope(after.manager, before.manager)}`);
  }

  async end(): Promise<void> {
    for (const child of this.children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGINT');
      await once(child, 'exit');
    }
  }

  private spawn(...args: string[]): ChildProcess {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.children.push(child);
    return child;
  }

  /** Opens polls for `prefix`0 … and returns when they wait beside the `already` others. */
  private async hold(prefix: string, count: number, already: number): Promise<ChildProcess> {
    const options = ['--connections', `${count}`, '--prefix', prefix, '--hold', '600'];
    const tester = this.spawn('megatest', '--target', this.target, ...options);
    tester.stdout!.resume();
    await until(`${count} connections`, async () => (await this.waiting()) === already + count);
    return tester;
  }

  private async messageToAll(prefix: string, count: number): Promise<void> {
    const { messagesSent: before, connections: held } = await this.status();
    for (let first = 0; first < count; first += BATCH) {
      const length = Math.min(BATCH, count - first);
      const batch = Array.from({ length }, (_, i) => ({ channel: `${prefix}${first + i}`, data: 'x'.repeat(100) }));
      const body = JSON.stringify(batch);
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${this.api}/v1/publish`, { method: 'POST', headers, body });
      if (!response.ok) throw new Error(`publish answered ${response.status}: ${await response.text()}`);
      await response.arrayBuffer();
    }
    await until('all to be delivered', async () => (await this.status()).messagesSent === before + count);
    await until('all to wait again', async () => (await this.waiting()) === held);
  }

  private async privateBytes(): Promise<{ workers: number; manager: number }> {
    // A process gives memory back once it has rested for some seconds (src/linux/memory-at-rest.ts).
    await sleep(REST_MS);
    const { pid, workers } = await this.status();
    const [manager, ...rest] = await stablePrivateBytes([pid, ...workers.map((worker) => worker.pid)]);
    return { manager, workers: rest.reduce((sum, bytes) => sum + bytes, 0) };
  }

  private async waiting(): Promise<number> {
    return (await this.status()).workers.reduce((sum, { waiting }) => sum + (waiting ?? 0), 0);
  }

  private async status(): Promise<ManagerStatus> {
    return (await (await fetch(`${this.api}/v1/status`)).json()) as ManagerStatus;
  }
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${WAIT_MS / 1000} s in vain for ${what}`);
    await sleep(200);
  }
}

const connections = Number(process.argv[2] ?? 100_000);
if (!Number.isInteger(connections) || connections < 1000 || connections > 2_000_000) {
  console.error('usage: node dist/bench/memory.js [CONNECTIONS], 1,000 to 2,000,000');
  process.exit(2);
}
const runDirectory = await mkdtemp(join(tmpdir(), 'megacomet-memory-'));
const measurement = new Measurement(connections, runDirectory);
let ended = false;
const end = async () => {
  if (ended) return;
  ended = true;
  await measurement.end();
  await rm(runDirectory, { recursive: true, force: true });
};
process.once('SIGINT', () => void end().then(() => process.exit(1)));
try {
  await measurement.run();
} finally {
  await end();
}
