/** The rows of the bench: how each server is started, told to fan a message out, and ended. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ManagerStatus } from '../src/manager/manager.js';
import type { ReactorChoice } from '../src/reactor/choose.js';
import type { Protocol } from './client-protocol.js';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;

/** The channel on which all connections wait for a message that goes to all. */
export const SHARED_CHANNEL = 'everybody';

export interface ServerProcess {
  /** 'server', or what it is of MegaComet. */
  role: 'server' | 'worker' | 'manager';
  pid: number;
}

export interface BenchServer {
  port: number;
  processes: ServerProcess[];
  /** Sends the message to every connection (MegaComet: that waits on SHARED_CHANNEL). */
  fanOut(message: string): Promise<void>;
  /** Ends all of its processes. */
  stop(): Promise<void>;
}

export interface Row {
  /** As in `--rows`. */
  key: string;
  title: string;
  protocol: Protocol;
  /** Starts a fresh server for so many connections. Rejects with Unavailable where it cannot run. */
  start(connections: number): Promise<BenchServer>;
}

/** This row cannot run on this machine; the message says why. */
export class Unavailable extends Error {}

/** The row that all others are compared with. */
export const REFERENCE = 'c';

export const ROWS: Row[] = [
  { key: 'megacomet', title: 'MegaComet', protocol: 'long-poll', start: (n) => startMegaComet(n, 'auto') },
  {
    key: 'megacomet-epoll',
    title: 'MegaComet, epoll',
    protocol: 'long-poll',
    start: (n) => startMegaComet(n, 'epoll'),
  },
  { key: REFERENCE, title: 'minimal C epoll', protocol: 'long-poll', start: startMinimalEpoll },
  { key: 'http', title: 'node:http', protocol: 'long-poll', start: () => startNode('node-http.js') },
  { key: 'reactor', title: 'the reactor alone', protocol: 'long-poll', start: () => startNode('reactor.js') },
  { key: 'io-uring', title: 'io_uring alone', protocol: 'long-poll', start: () => startNode('reactor.js', 'io-uring') },
  { key: 'ws', title: 'ws', protocol: 'websocket', start: () => startNode('ws.js') },
];

/** What ends each server that was spawned and is not ended yet, even one that is still starting. */
const stops = new Set<() => Promise<void>>();

/** Ends every server: for Ctrl-C. */
export async function stopAllServers(): Promise<void> {
  await Promise.all([...stops].map((stop) => stop()));
}

/** Spawns a server. The returned function ends it; `afterwards` cleans up behind it. */
function spawnServer(
  program: string,
  argumentList: string[],
  afterwards: () => Promise<void> = async () => {},
): { child: ChildProcess; stop: () => Promise<void> } {
  const child = spawn(program, argumentList, { stdio: ['pipe', 'pipe', 'inherit'] });
  const stop = async (): Promise<void> => {
    stops.delete(stop);
    await endProcess(child);
    await afterwards();
  };
  stops.add(stop);
  child.stdin.on('error', () => {}); // the callback of the write reports it
  return { child, stop };
}

async function startMinimalEpoll(): Promise<BenchServer> {
  // Two levels up of dist/bench/: the repository, where the C source lies.
  const source = fileURLToPath(new URL('../../bench/minimal-epoll.c', import.meta.url));
  const directory = await mkdtemp(join(tmpdir(), 'megacomet-bench-'));
  const program = join(directory, 'minimal-epoll');
  try {
    await promisify(execFile)('cc', ['-O2', '-o', program, source]);
    return await startSimple(program, []);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw missing ? new Unavailable('no C compiler: cc was not found') : error;
  } finally {
    await rm(directory, { recursive: true }); // a running program needs no name
  }
}

function startNode(file: string, ...parameters: string[]): Promise<BenchServer> {
  return startSimple(process.execPath, [fileURLToPath(new URL(`servers/${file}`, import.meta.url)), ...parameters]);
}

/** A server that prints its port, fans out what it reads on its standard input, and ends with that. */
async function startSimple(program: string, argumentList: string[]): Promise<BenchServer> {
  const { child, stop } = spawnServer(program, argumentList);
  try {
    await once(child, 'spawn');
    const line = once(createInterface(child.stdout!), 'line');
    const port = Number((await Promise.race([line, once(child, 'exit'), timeout()]))[0]);
    if (child.exitCode !== null || !(port > 0)) throw new Error('the server did not print its port');
    return {
      port,
      processes: [{ role: 'server', pid: child.pid! }],
      fanOut: (message) =>
        new Promise((resolve, reject) => {
          child.stdin!.write(message, (error) => (error ? reject(error) : resolve()));
        }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startMegaComet(connections: number, reactor: ReactorChoice): Promise<BenchServer> {
  const runDirectory = await mkdtemp(join(tmpdir(), 'megacomet-bench-'));
  const [port, apiPort, classicPort] = await freePorts(3);
  const api = `http://127.0.0.1:${apiPort}`;
  // What bin/megacomet starts, from the same build as this bench.
  const program = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
  const options = {
    'client-ports': port,
    'api-port': apiPort,
    'classic-port': classicPort,
    'run-dir': runDirectory,
    workers: 1,
    reactor,
    'max-connections': connections + 1000,
    'orphan-seconds': 5,
  };
  const argumentList = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const removeRunDirectory = (): Promise<void> => rm(runDirectory, { recursive: true, force: true });
  const { child, stop } = spawnServer(process.execPath, [program, 'serve', ...argumentList], removeRunDirectory);
  child.stdout!.resume();
  try {
    await once(child, 'spawn');
    const status = await statusOf(api, child);
    return {
      port,
      processes: [
        ...status.workers.map(({ pid }) => ({ role: 'worker' as const, pid })),
        { role: 'manager', pid: status.pid },
      ],
      fanOut: (message) => publish(api, message),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Asks until the server answers and has its worker. */
async function statusOf(api: string, child: ChildProcess): Promise<ManagerStatus> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (child.exitCode === null && performance.now() < deadline) {
    const response = await fetch(`${api}/v1/status`).catch(() => null); // not listening yet
    if (response?.ok) {
      const status = (await response.json()) as ManagerStatus;
      if (status.workers.length > 0 && status.workers.every(({ linked }) => linked)) return status;
    }
    await sleep(50);
  }
  throw new Error(`megacomet serve did not start (exit code ${child.exitCode})`);
}

async function publish(api: string, message: string): Promise<void> {
  const response = await fetch(`${api}/v1/publish`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ channel: SHARED_CHANNEL, data: message }),
  });
  if (!response.ok) throw new Error(`publish: ${response.status} ${await response.text()}`);
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** Asks it to end (standard input closed, SIGTERM), then makes it. */
async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.stdin?.end();
  child.kill('SIGTERM');
  const cancel = new AbortController();
  const late = sleep(STOP_TIMEOUT_MS, 'late', { signal: cancel.signal }).catch(() => 'cancelled');
  if ((await Promise.race([exited, late])) === 'late') child.kill('SIGKILL');
  await exited;
  cancel.abort();
}

function timeout(): Promise<never[]> {
  return sleep(START_TIMEOUT_MS, [], { ref: false });
}
