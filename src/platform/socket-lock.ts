/**
 * A lock where there is no flock(2): whoever holds it listens on an endpoint (endpoint.ts), which only one process can, and which ends
 * with the process. So a lock is never that of a process that has ended, whatever number it had.
 *
 * On Windows that is all. A Unix socket leaves a file behind when its process is killed: nobody listens there, and a connection is
 * refused. Who finds it so twice removes it and listens in its place, one process at a time: it holds a directory beside the socket
 * meanwhile, the *guard*, so that nobody takes the successor for what it has seen before.
 *
 * The holder can be told a signal there, for Windows, where a signal to another process is nothing but its end.
 */

import { once } from 'node:events';
import { mkdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isFile } from './endpoint.js';
import type { Lock } from './platform.js';

/** Between binding and listening a connection is refused for some microseconds. */
const SECOND_LOOK_MS = 50;
/** Nobody holds a guard for longer: what is older was left behind by a process that was killed at just that time. */
const GUARD_MS = 5_000;
const ATTEMPTS = 20;

/** What a holder can be told. */
export type HolderSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';
const SIGNALS: readonly HolderSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** @returns null where another process holds the lock. @throws Error of listen, such as EACCES or EINVAL (the path is too long) */
export async function lockBySocket(endpoint: string): Promise<Lock | null> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const lock = await listen(endpoint);
    if (lock !== null) return lock;
    if (await answers(endpoint)) return null;
    const replaced = isFile(endpoint) ? await replace(endpoint) : null;
    if (replaced !== null) return replaced;
    await delay(SECOND_LOOK_MS);
  }
  throw Object.assign(new Error(`${endpoint} neither answers nor can be listened on: remove it`), { code: 'ELOCK' });
}

/** Whether somebody listens there. */
export async function answers(endpoint: string): Promise<boolean> {
  const socket = connect(endpoint);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false;
    // Its queue is full: it listens.
    if (code === 'EAGAIN') return true;
    throw error;
  } finally {
    socket.destroy();
  }
}

/** Has the holder do what the signal would. @returns false where nobody holds the lock */
export async function tellHolder(endpoint: string, signal: HolderSignal): Promise<boolean> {
  const socket = connect(endpoint);
  try {
    await once(socket, 'connect');
    socket.end(signal);
    await once(socket.resume(), 'close');
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false;
    throw error;
  }
}

/** @returns null where the name is taken */
async function listen(endpoint: string): Promise<Lock | null> {
  const server = createServer((socket) => {
    socket.on('error', () => {}); // whoever only looked is gone
    socket.once('data', (bytes) => {
      const signal = SIGNALS.find((name) => name === bytes.toString('latin1'));
      if (signal !== undefined) process.emit(signal, signal);
    });
  });
  try {
    await listening(server, endpoint);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return null;
    throw error;
  }
  server.unref();
  return { release: () => void server.close() };
}

async function listening(server: Server, endpoint: string): Promise<void> {
  server.listen(endpoint);
  await once(server, 'listening');
}

/** Listens in the place of a process that was killed. @returns null where somebody else was quicker */
async function replace(endpoint: string): Promise<Lock | null> {
  const guard = `${endpoint}.guard`;
  if (!takeGuard(guard)) return null;
  try {
    await delay(SECOND_LOOK_MS);
    if (await answers(endpoint)) return null;
    rmSync(endpoint, { force: true });
    return await listen(endpoint);
  } finally {
    rmdirSync(guard);
  }
}

function takeGuard(guard: string): boolean {
  try {
    mkdirSync(guard, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    if (Date.now() - statSync(guard).mtimeMs > GUARD_MS) rmdirSync(guard);
  } catch (error) {
    // Its holder was done meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return false;
}
