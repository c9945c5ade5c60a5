/**
 * Servers and raw clients for the end-to-end tests: a real process on free ports in a run directory of its own, and
 * sockets that speak bytes. Everything started here is ended by `stop`; nothing is ended by name.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readManagerFile } from '../src/manager/run-directory.js';

/** The reactor that servers are started with, `auto` where that is not set. */
const reactor = process.env['MEGACOMET_TEST_REACTOR'] ?? 'auto';

/** For tests of workers that outlive their manager: false, or why they are skipped. */
export const workersEndWithManager =
  reactor === 'portable' && 'with the portable reactor workers end with their manager (test/portable.test.ts)';

/** The command line of this very build (bin/megacomet runs the one in dist/). */
export const mainPath = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
export const binPath = fileURLToPath(new URL('../../bin/megacomet', import.meta.url));

export interface CommandResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

/** This environment without MEGACOMET_ variables, which would change what a test says. */
function cleanEnvironment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MEGACOMET_'));
  return { ...Object.fromEntries(own), ...extra };
}

/** Runs one command of the command line to its end. A server that it starts keeps nothing on this machine's disk. */
export async function runCommand(
  args: string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; script?: string } = {},
): Promise<CommandResult> {
  const env = cleanEnvironment({ MEGACOMET_LOG: 'memory', ...options.env });
  const child = spawn(process.execPath, [options.script ?? mainPath, ...args], { env });
  const result: CommandResult = { exitCode: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (result.stdout += chunk));
  child.stderr.on('data', (chunk) => (result.stderr += chunk));
  child.stdin.end(options.input ?? '');
  [result.exitCode] = await once(child, 'close');
  return result;
}

/** A run directory that does not exist yet, short enough for a Unix socket. */
export async function temporaryRunDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const parent = await mkdtemp(join(tmpdir(), 'megacomet-test-'));
  return { path: join(parent, 'run'), remove: () => rm(parent, { recursive: true, force: true }) };
}

/**
 * Polls `condition` until it holds and returns its value.
 *
 * @throws Error naming `what` after `timeoutMs`
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await delay(20);
  }
}

/** True while the process runs. One that has ended and that its parent has not waited for (a zombie) does not. */
export function isAlive(pid: number): boolean {
  if (!existsSync('/proc/self/stat')) return canBeSignalled(pid);
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return false;
    throw error;
  }
  // proc(5): the state follows the program's name in brackets.
  return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** Elsewhere than on Linux; it holds for a zombie too. */
function canBeSignalled(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

export interface TestServer {
  /** As the kernel chose them; `client` is the first of `clients`. */
  ports: { client: number; clients: number[]; classic: number; api: number };
  runDirectory: string;
  managerPid: number;
  /** Base address of the HTTP API. */
  api: string;
  process: ChildProcess;
  /** What it has written so far, both streams. */
  output(): string;
  /** Pids of the workers that the manager knows now. */
  workerPids(): Promise<number[]>;
  publish(channel: string, data: unknown): Promise<{ cursor: string; status: string; receivers: number }>;
  /** GET /v1/status. */
  // biome-ignore lint/suspicious/noExplicitAny: each test looks at its own part of the answer
  status(): Promise<any>;
  /** Ends the server and its workers and removes the run directory (unless it was given). Returns the exit code. */
  stop(): Promise<number | null>;
}

export interface StartOptions {
  /** A run directory to use (again), with a data directory beside it; without it fresh ones, removed by `stop`. */
  runDirectory?: string;
  env?: NodeJS.ProcessEnv;
}

/**
 * Starts `megacomet serve` in the foreground with two workers on free ports and waits until it is ready. The reactor is
 * MEGACOMET_TEST_REACTOR's, where that is set.
 *
 * @param args more options; they win over the ones given here
 * @throws Error with its output where it ends before it is ready
 */
export async function startServer(args: string[] = [], options: StartOptions = {}): Promise<TestServer> {
  const temporary = options.runDirectory === undefined ? await temporaryRunDirectory() : null;
  const runDirectory = options.runDirectory ?? temporary!.path;
  const free = ['--client-ports', '0', '--classic-port', '0', '--api-port', '0', '--workers', '2'];
  free.push('--data-dir', join(dirname(runDirectory), 'data'));
  free.push('--reactor', reactor);
  const child = spawn(process.execPath, [mainPath, 'serve', '--run-dir', runDirectory, ...free, ...args], {
    env: cleanEnvironment(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  // Not 'close': workers that outlive their manager hold its pipes.
  const exited = once(child, 'exit') as Promise<[number | null]>;
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk;
      if (output.includes('MegaComet is ready')) resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void exited.then(([code]) => reject(new Error(`serve ended with ${code} before it was ready:\n${output}`)));
  });

  const file = readManagerFile(runDirectory)!;
  const clients = file.clients.map(portOf);
  const classic = file.classic === null ? 0 : portOf(file.classic);
  const ports = { client: clients[0], clients, classic, api: portOf(file.api) };
  const api = `http://127.0.0.1:${ports.api}`;
  const status = async () => (await fetch(`${api}/v1/status`)).json();
  return {
    ports,
    runDirectory,
    managerPid: child.pid!,
    api,
    process: child,
    output: () => output,
    status,
    workerPids: async () => ((await status()) as { workers: { pid: number }[] }).workers.map(({ pid }) => pid),
    async publish(channel, data) {
      const response = await fetch(`${api}/v1/publish`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ channel, data }),
      });
      if (!response.ok) throw new Error(`publish answered ${response.status}: ${await response.text()}`);
      return (await response.json()) as { cursor: string; status: string; receivers: number };
    },
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      // Workers that outlived a manager killed by the test.
      await runCommand(['stop', '--run-dir', runDirectory]);
      await temporary?.remove();
      return code;
    },
  };
}

/** The port of `host:port`. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/** A client that speaks bytes. It never throws when the peer resets: `closed` tells how it ended. */
export interface RawClient {
  socket: Socket;
  /** All bytes so far, as latin1. */
  received(): string;
  /** Resolves when `text` or a match has arrived; fails when the connection ends without it, or after 10 s. */
  until(expected: string | RegExp): Promise<string>;
  /** Resolves with all bytes when the connection has ended in whatever way. */
  closed: Promise<{ received: string; error: NodeJS.ErrnoException | null }>;
}

/** Connects, from an address of its own where one is given, and writes the bytes where there are any. */
export async function rawClient(
  port: number,
  bytes: string | Uint8Array = '',
  host = '127.0.0.1',
  from?: string,
): Promise<RawClient> {
  const socket = connect({ port, host, noDelay: true, ...(from !== undefined && { localAddress: from }) });
  await once(socket, 'connect');
  let received = '';
  let error: NodeJS.ErrnoException | null = null;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => (received += chunk));
  socket.on('error', (reason) => (error = reason));
  const closed = new Promise<{ received: string; error: NodeJS.ErrnoException | null }>((resolve) => {
    socket.once('close', () => resolve({ received, error }));
  });
  const matches = (expected: string | RegExp) =>
    typeof expected === 'string' ? received.includes(expected) : expected.test(received);
  if (bytes.length > 0) socket.write(bytes);
  return {
    socket,
    received: () => received,
    closed,
    async until(expected) {
      await waitFor(`${expected} (received so far: ${JSON.stringify(received)})`, () => {
        if (matches(expected)) return true;
        if (socket.closed) throw new Error(`the connection ended without ${expected}: ${JSON.stringify(received)}`);
        return false;
      });
      return received;
    },
  };
}

/** Sends bytes on a new connection and returns all that comes until the server closes it, as latin1. */
export async function rawRequest(
  port: number,
  bytes: string | Uint8Array,
  host = '127.0.0.1',
  from?: string,
): Promise<string> {
  const client = await rawClient(port, bytes, host, from);
  return (await client.closed).received;
}

/** A long-poll for a client id, held open. */
export function poll(port: number, clientId: string, query = ''): Promise<RawClient> {
  return rawClient(port, `GET /${clientId}.js${query} HTTP/1.1\r\nHost: test\r\n\r\n`);
}
