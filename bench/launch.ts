/** The servers of the benches: how each is started, told to publish, and ended. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ManagerStatus } from '../src/manager/status.js';
import type { ReactorChoice } from '../src/reactor/choose.js';

/** Two levels up of dist/bench/: the repository that this bench was built in. */
const OWN_CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;
/** Publications in one request. */
const BATCH = 100;

export interface Publication {
  /** The first connection's is c0. */
  channel: string;
  /** ASCII without characters that JSON escapes. */
  data: string;
}

export interface ServerProcess {
  /** 'server', or what it is of MegaComet. */
  role: 'server' | 'worker' | 'manager';
  pid: number;
}

export interface BenchServer {
  port: number;
  processes: ServerProcess[];
  /** Publishes in requests of 100, one after another. A server without channels sends each to every connection. */
  publish(publications: Publication[]): Promise<void>;
  /** Ends all of its processes. */
  stop(): Promise<void>;
}

/** This row cannot run on this machine; the message says why. */
export class Unavailable extends Error {}

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

/** Compiles `bench/<name>.c` and starts it. */
export async function startC(name: string, parameters: string[], encode: Encode): Promise<BenchServer> {
  const source = join(OWN_CHECKOUT, 'bench', `${name}.c`);
  const directory = await mkdtemp(join(tmpdir(), 'megacomet-bench-'));
  const program = join(directory, name);
  try {
    await promisify(execFile)('cc', ['-O2', '-o', program, source]);
    return await startProgram(program, parameters, encode);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw missing ? new Unavailable('no C compiler: cc was not found') : error;
  } finally {
    await rm(directory, { recursive: true }); // a running program needs no name
  }
}

/** Starts a server of `servers/`. */
export function startNode(file: string, parameters: string[], encode: Encode): Promise<BenchServer> {
  const program = fileURLToPath(new URL(`servers/${file}`, import.meta.url));
  return startProgram(process.execPath, [program, ...parameters], encode);
}

/** What a server reads on its standard input. */
export type Encode = (publications: Publication[]) => string;

/** A server that prints its port, publishes what it reads on its standard input, and ends with that. */
async function startProgram(program: string, argumentList: string[], encode: Encode): Promise<BenchServer> {
  const { child, stop } = spawnServer(program, argumentList);
  try {
    await once(child, 'spawn');
    const line = once(createInterface(child.stdout!), 'line');
    const port = Number((await Promise.race([line, once(child, 'exit'), timeout()]))[0]);
    if (child.exitCode !== null || !(port > 0)) throw new Error('the server did not print its port');
    return {
      port,
      processes: [{ role: 'server', pid: child.pid! }],
      publish: (publications) =>
        inBatches(publications, (batch) => {
          return new Promise<void>((resolve, reject) => {
            child.stdin!.write(encode(batch), (error) => (error ? reject(error) : resolve()));
          });
        }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface MegaCometServer extends BenchServer {
  /** Base address of the HTTP API. */
  api: string;
}

/**
 * One worker that holds so many connections, and its manager.
 *
 * @param more options of serve; they win over the others
 * @param checkout the repository whose build is started
 */
export async function startMegaComet(
  connections: number,
  reactor: ReactorChoice,
  more: string[] = [],
  checkout = OWN_CHECKOUT,
): Promise<MegaCometServer> {
  const directory = await mkdtemp(join(tmpdir(), 'megacomet-bench-'));
  const [port, apiPort, classicPort] = await freePorts(3);
  const api = `http://127.0.0.1:${apiPort}`;
  const program = mainOf(checkout); // what bin/megacomet starts
  const options = {
    'client-ports': port,
    'api-port': apiPort,
    'classic-port': classicPort,
    'run-dir': join(directory, 'run'),
    'data-dir': join(directory, 'data'),
    workers: 1,
    reactor,
    'max-connections': connections + 1000,
    'orphan-seconds': 5,
  };
  const argumentList = [...Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]), ...more];
  const removeDirectory = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const { child, stop } = spawnServer(process.execPath, [program, 'serve', ...argumentList], removeDirectory);
  child.stdout!.resume();
  try {
    await once(child, 'spawn');
    const status = await statusOf(api, child);
    return {
      port,
      api,
      processes: [
        ...status.workers.map(({ pid }) => ({ role: 'worker' as const, pid })),
        { role: 'manager', pid: status.pid },
      ],
      publish: (publications) => inBatches(publications, (batch) => publish(api, batch)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The built command line of a checkout. */
function mainOf(checkout: string): string {
  return join(checkout, 'dist/src/cli/main.js');
}

/** Whether `startMegaComet` can start the build of a checkout. */
export function isBuilt(checkout: string): boolean {
  return existsSync(mainOf(checkout));
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

async function inBatches(publications: Publication[], send: (batch: Publication[]) => Promise<void>): Promise<void> {
  for (let first = 0; first < publications.length; first += BATCH) {
    await send(publications.slice(first, first + BATCH));
  }
}

async function publish(api: string, publications: Publication[]): Promise<void> {
  const response = await fetch(`${api}/v1/publish`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(publications.length === 1 ? publications[0] : publications),
  });
  if (!response.ok) throw new Error(`publish: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
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
