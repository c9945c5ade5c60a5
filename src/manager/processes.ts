/**
 * Which worker processes of a run directory are alive, as /proc tells it.
 *
 * A worker's last argument is its WorkerConfig as JSON, which names its run directory, so no file has to be kept that a
 * crash could leave wrong, and a process number that was given to somebody else is never mistaken for a worker. An
 * ended process that nobody has waited for (a zombie) has no arguments any more, so it does not count as alive.
 *
 * Where there is no /proc none is found. Nor is one looked for there: those workers end with their manager (client-ports.ts).
 */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { WorkerConfig } from '../worker/config.js';

export interface WorkerProcess {
  pid: number;
  worker: number;
}

/** Whether the machine tells of its processes. */
export function hasProcesses(): boolean {
  return existsSync('/proc/self/cmdline');
}

/** The living workers of a run directory (an absolute path), our own user's. */
export function findWorkers(runDirectory: string): WorkerProcess[] {
  const found: WorkerProcess[] = [];
  for (const name of hasProcesses() ? readdirSync('/proc') : []) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const worker = workerOf(pid, runDirectory);
    if (worker !== null) found.push({ pid, worker });
  }
  return found;
}

/**
 * True while a process ends: its memory, and with it its arguments, is gone already, but its sockets may be open still. (An ended one
 * that nobody has waited for is a zombie, which has nothing.)
 */
export function isEnding(pid: number): boolean {
  try {
    if (readFileSync(`/proc/${pid}/cmdline`, 'latin1') !== '') return false;
    // proc(5): the state follows the program's name in brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return false;
    throw error;
  }
}

/** True while the process lives and is a worker of the run directory. */
export function isWorker(pid: number, runDirectory: string): boolean {
  return workerOf(pid, runDirectory) !== null;
}

function workerOf(pid: number, runDirectory: string): number | null {
  let command: string;
  try {
    if (statSync(`/proc/${pid}`).uid !== process.getuid!()) return null;
    command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    // It ended while we looked, or the machine hides it (EACCES, hidepid): then it is not ours.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return null;
    throw error;
  }
  const last = command.split('\0').at(-2) ?? '';
  if (!last.startsWith('{') || !last.includes(JSON.stringify(runDirectory))) return null;
  try {
    const config = JSON.parse(last) as Partial<WorkerConfig>;
    return config.runDirectory === runDirectory && Number.isInteger(config.worker) ? config.worker! : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
