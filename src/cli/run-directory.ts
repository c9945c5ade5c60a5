/**
 * What the other commands know of a server: its run directory. manager.json says who the manager is and where it listens;
 * /proc says who still lives. A process is never trusted by its number alone, which may have been given to another program
 * since: its command line must be that of a manager, or of a worker of this very directory.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** manager.json, written by the manager once all its listeners are open. Addresses are `host:port`. */
export interface ManagerFile {
  pid: number;
  addresses: ServerAddresses;
}

export interface ServerAddresses {
  clients: string[];
  /** null: no classic application port. */
  classic: string | null;
  api: string;
}

const POLL_MS = 25;

/** The manager that the directory names, living or not; null where there is none. */
export function readManagerFile(runDirectory: string): ManagerFile | null {
  try {
    return JSON.parse(readFileSync(join(runDirectory, 'manager.json'), 'utf8')) as ManagerFile;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The living manager of the directory, or null. */
export function findManager(runDirectory: string): ManagerFile | null {
  const file = readManagerFile(runDirectory);
  return file !== null && isManager(file.pid) ? file : null;
}

function isManager(pid: number): boolean {
  const args = commandLine(pid);
  return args.includes('serve') && args.some((arg) => /megacomet$|cli\/main\.js$/.test(arg));
}

/** Pids of the living workers of the directory, whether or not they have a manager. */
export function findWorkers(runDirectory: string): number[] {
  const own = `"runDirectory":${JSON.stringify(runDirectory)}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const args = commandLine(pid);
      return args.some((arg) => arg.endsWith('worker/main.js')) && args.some((arg) => arg.includes(own));
    });
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

/** Sends a signal. False where the process has ended already. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
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

/** The address as a client on this machine dials it: a wildcard is no address to dial. */
export function reachable(address: string): string {
  return address.replace(/^0\.0\.0\.0:/, '127.0.0.1:').replace(/^\[::\]:/, '[::1]:');
}
