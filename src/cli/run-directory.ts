/**
 * What the other commands know of a server: its run directory. manager.json says who the manager is and where it listens,
 * and /proc whether it still lives, or its lock where there is no /proc: a process is never trusted by its number alone, which may have
 * been given to another program since. (Workers are found by src/manager/processes.ts.)
 */

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { hasProcesses } from '../manager/processes.js';
import { hasManager, type ManagerFile, readManagerFile } from '../manager/run-directory.js';
import { OperatorError } from './errors.js';

/** Where a server listens, as manager.json and GET /v1/status name it. */
export type ServerAddresses = Pick<ManagerFile, 'api' | 'classic' | 'clients'>;

const POLL_MS = 25;

/** The living manager of the directory, or null. */
export async function findManager(runDirectory: string): Promise<ManagerFile | null> {
  const file = readManagerFile(runDirectory);
  if (file === undefined) return null;
  const lives = hasProcesses() ? isManager(file.pid) : await hasManager(runDirectory);
  return lives ? file : null;
}

/**
 * The manager of the directory, where it lives in a program that embeds the server (src/index.ts): it holds the lock, and is no `serve`.
 * It must not be signalled: what the program does then is its own business.
 */
export async function findEmbedded(runDirectory: string): Promise<ManagerFile | null> {
  const file = readManagerFile(runDirectory);
  if (file === undefined || !hasProcesses() || isManager(file.pid)) return null;
  return (await hasManager(runDirectory)) ? file : null;
}

/** @throws OperatorError where the server is a program's, which alone can do what is asked for */
export async function assertNotEmbedded(runDirectory: string, what: string): Promise<void> {
  const file = await findEmbedded(runDirectory);
  if (file === null) return;
  throw new OperatorError(
    `the server in ${runDirectory} is part of a program (pid ${file.pid}), which alone can ${what} it`,
  );
}

function isManager(pid: number): boolean {
  const args = commandLine(pid);
  return args.includes('serve') && args.some((arg) => /megacomet$|cli\/main\.js$/.test(arg));
}

/** Arguments of a process; none where it has ended, is a zombie, or is somebody else's secret. */
function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return [];
    throw error;
  }
}

/** Polls until the condition holds; false after `timeoutMs`. */
export async function eventually(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** A `host:port`, or an address with one, as this machine dials it: a wildcard is no address to dial. */
export function reachable(address: string): string {
  return address.replace(/(^|\/)0\.0\.0\.0:/, '$1127.0.0.1:').replace(/(^|\/)\[::\]:/, '$1[::1]:');
}
