/**
 * User-space memory for each idle client of a whole server, each on a channel of its own:
 *
 *     node dist/bench/memory.js [CONNECTIONS] [--transport classic|long-poll|sse|websocket] [-- OPTIONS OF SERVE]
 *
 * Starts a server for CONNECTIONS (100,000) with as many workers as that takes, holds 20 % and then 90 % of them, and prints
 * the slope of private memory over all workers, and over the manager; then sends a message to every client and prints it once
 * more, since traffic inflates many servers; and, for the transports that have a history, again when the messages have
 * expired (--expiry-seconds: 70; the retention of serve is 60).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ManagerStatus } from '../src/manager/status.js';
import { ClassicCrowd, type Crowd, StreamCrowd } from './crowds.js';
import { idleCpu, stablePrivateBytes } from './measure.js';
import type { Protocol } from './wires.js';

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const TRANSPORTS: readonly Protocol[] = ['classic', 'long-poll', 'sse', 'websocket'];
const BATCH = 1000;
const MESSAGE_BYTES = 100;
const WAIT_MS = 120_000;
const REST_MS = 8_000;

interface MemoryOptions {
  connections: number;
  transport: Protocol;
  expirySeconds: number;
  serveOptions: string[];
}

/** Private memory, summed over the workers. */
interface Memory {
  workers: number;
  manager: number;
}

class Measurement {
  private readonly options: MemoryOptions;
  private readonly directory: string;
  private readonly crowds: Crowd[] = [];
  private server: ChildProcess | undefined;
  private api = '';
  private target = '';

  constructor(options: MemoryOptions, directory: string) {
    this.options = options;
    this.directory = directory;
  }

  async run(): Promise<void> {
    const { connections, transport, expirySeconds } = this.options;
    await this.start();
    const [few, many] = [Math.round(connections * 0.2), Math.round(connections * 0.9)];
    const warmUp = this.newCrowd();
    await this.hold(warmUp, Math.round(connections * 0.1));
    await warmUp.end();
    await until('the warm-up to end', async () => (await this.status()).connections === 0);

    const none = await this.privateBytes();
    const crowd = this.newCrowd();
    await this.hold(crowd, few);
    const before = await this.privateBytes();
    await this.hold(crowd, many - few);
    const print = (what: string, memory: Memory): void => {
      const slope = (to: number, from: number) => ((to - from) / (many - few)).toFixed(0).padStart(9);
      const total = ((memory.workers + memory.manager) / 2 ** 20).toFixed(1).padStart(12);
      console.log(
        `${what.padEnd(20)} ${slope(memory.workers, before.workers)}${slope(memory.manager, before.manager)}${total}`,
      );
    };
    const { workers } = await this.status();
    const where = `${transport} connections on ${workers.length} workers`;
    console.log(`${many} ${where}, Node ${process.version}; bytes for each, from ${few} on`);
    console.log('                       workers  manager  MiB in all');
    print('with none', none);
    print(`with ${few}`, before);
    print('idle', await this.privateBytes());
    await this.messageToAll(crowd);
    print('after a message each', await this.privateBytes());
    if (transport === 'classic') return;
    await sleep(expirySeconds * 1000);
    print('when it has expired', await this.privateBytes());
  }

  async end(): Promise<void> {
    for (const crowd of this.crowds) await crowd.end();
    if (this.server === undefined || this.server.exitCode !== null || this.server.signalCode !== null) return;
    this.server.kill('SIGINT');
    await once(this.server, 'exit');
  }

  private async start(): Promise<void> {
    const ports = ['--client-ports', '0', '--api-port', '0', '--classic-port', 'none'];
    const room = String(Math.ceil(this.options.connections * 1.02));
    const directories = ['--run-dir', join(this.directory, 'run'), '--data-dir', join(this.directory, 'data')];
    const own = [...ports, '--max-connections', room, ...directories, '--log-format', 'text'];
    const argumentList = [MAIN, 'serve', ...own, ...this.options.serveOptions];
    const server = spawn(process.execPath, argumentList, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.server = server;
    let output = '';
    server.stdout.on('data', (chunk) => (output += chunk));
    await until('the server to be ready', async () => output.includes('MegaComet is ready'));
    this.target = /clients +http:\/\/(\S+)/.exec(output)![1];
    this.api = /HTTP API +(\S+)/.exec(output)![1];
  }

  private newCrowd(): Crowd {
    const { transport } = this.options;
    const port = Number(this.target.slice(this.target.lastIndexOf(':') + 1));
    const crowd = transport === 'classic' ? new ClassicCrowd(MAIN, this.target) : new StreamCrowd(port, transport);
    this.crowds.push(crowd);
    return crowd;
  }

  /** Opens so many more and returns when the server has read every request. */
  private async hold(crowd: Crowd, count: number): Promise<void> {
    await crowd.hold(count);
    await until('all to be held', () => this.holds(crowd.channels.length));
    await this.idle();
  }

  private async holds(count: number): Promise<boolean> {
    const { connections, workers } = await this.status();
    const waiting = workers.reduce((sum, worker) => sum + (worker.waiting ?? 0), 0);
    return (this.options.transport === 'classic' ? waiting : connections) === count;
  }

  private async messageToAll(crowd: Crowd): Promise<void> {
    const { messagesSent: before } = await this.status();
    const { channels } = crowd;
    const data = 'message '.padEnd(MESSAGE_BYTES, 'x');
    await crowd.expect(data);
    const received = crowd.receive();
    for (let first = 0; first < channels.length; first += BATCH) {
      const batch = channels.slice(first, first + BATCH).map((channel) => ({ channel, data }));
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify(batch);
      const response = await fetch(`${this.api}/v1/publish`, { method: 'POST', headers, body });
      if (!response.ok) throw new Error(`publish answered ${response.status}: ${await response.text()}`);
      await response.arrayBuffer();
    }
    await received;
    await until('all to be sent', async () => (await this.status()).messagesSent === before + channels.length);
    await until('all to be held again', () => this.holds(channels.length));
    await this.idle();
  }

  private async idle(): Promise<void> {
    const { pid, workers } = await this.status();
    await idleCpu([pid, ...workers.map((worker) => worker.pid)]);
  }

  private async privateBytes(): Promise<Memory> {
    // A process gives memory back once it has rested for some seconds (src/linux/memory-at-rest.ts).
    await sleep(REST_MS);
    const { pid, workers } = await this.status();
    const [manager, ...rest] = await stablePrivateBytes([pid, ...workers.map((worker) => worker.pid)]);
    return { manager, workers: rest.reduce((sum, bytes) => sum + bytes, 0) };
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

/** @returns null where they are wrong */
function readOptions(): MemoryOptions | null {
  const { values, positionals, tokens } = parseArgs({
    allowPositionals: true,
    tokens: true,
    options: {
      transport: { type: 'string', default: 'classic' },
      'expiry-seconds': { type: 'string', default: '70' },
    },
  });
  const terminator = tokens.find(({ kind }) => kind === 'option-terminator');
  const own = tokens.filter(
    ({ kind, index }) => kind === 'positional' && index < (terminator?.index ?? Infinity),
  ).length;
  const connections = Number(positionals[0] !== undefined && own > 0 ? positionals[0] : 100_000);
  const transport = TRANSPORTS.find((name) => name === values.transport);
  const expirySeconds = Number(values['expiry-seconds']);
  const right = Number.isInteger(connections) && connections >= 1000 && connections <= 2_000_000;
  if (!right || own > 1 || transport === undefined || !(expirySeconds >= 0 && expirySeconds <= 200)) return null;
  return { connections, transport, expirySeconds, serveOptions: positionals.slice(own) };
}

const options = readOptions();
if (options === null) {
  console.error(
    `usage: node dist/bench/memory.js [CONNECTIONS] [--transport ${TRANSPORTS.join('|')}] [--expiry-seconds N] [-- OPTIONS OF SERVE]\n` +
      'CONNECTIONS: 1,000 to 2,000,000; N: 0 to 200',
  );
  process.exit(2);
}
const directory = await mkdtemp(join(tmpdir(), 'megacomet-memory-'));
const measurement = new Measurement(options, directory);
let ended = false;
const end = async () => {
  if (ended) return;
  ended = true;
  await measurement.end();
  await rm(directory, { recursive: true, force: true });
};
process.once('SIGINT', () => void end().then(() => process.exit(1)));
try {
  await measurement.run();
} finally {
  await end();
}
