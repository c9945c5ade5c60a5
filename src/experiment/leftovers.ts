/**
 * What an experiment leaves on the machine while it runs, found by name alone, so that the next one can remove what a killed
 * one could not:
 *
 *     namespaces   megacomet-PID-server, megacomet-PID-a …      PID: the process that runs the experiment
 *     directory    TMP/megacomet-experiment-PID                 run directory and log of the server
 *
 * Namespaces take their links along, and the processes in them are killed first. On loopback the server's processes are
 * found by the run directory. Client processes end by themselves with the one that started them.
 */

import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperatorError } from '../cli/errors.js';
import { eventually, findManager } from '../cli/run-directory.js';
import { findWorkers } from '../manager/processes.js';
import { signal } from '../platform/signal.js';
import { ip } from './commands.js';

/** Where `ip netns` keeps namespaces, ip-netns(8). */
const NAMESPACES = '/run/netns';
const NAMESPACE = /^megacomet-(\d+)-[a-z]+$/;
const DIRECTORY = /^megacomet-experiment-(\d+)$/;
/** The kernel needs a while to close the connections of a killed process, a second or two for 100,000. */
const END_MS = 120_000;

export function namespaceName(pid: number, machine: string): string {
  return `megacomet-${pid}-${machine}`;
}

export function namespacePath(name: string): string {
  return join(NAMESPACES, name);
}

export function experimentDirectory(pid: number): string {
  return join(tmpdir(), `megacomet-experiment-${pid}`);
}

/** The server's run directory, inside the experiment's directory. */
export function experimentRunDirectory(pid: number): string {
  return join(experimentDirectory(pid), 'run');
}

/** Removes what experiments have left that run no more. @param root without root there can be no namespaces of ours */
export async function removeLeftovers(root: boolean): Promise<void> {
  const names = readdirSync(tmpdir()).filter((name) => DIRECTORY.test(name) && isOurs(join(tmpdir(), name)));
  const owners = new Set(names.flatMap((name) => ownerOf(DIRECTORY, name)));
  if (root) for (const name of namespaces()) for (const pid of ownerOf(NAMESPACE, name)) owners.add(pid);
  for (const pid of owners) if (!isExperiment(pid)) await removeExperiment(pid, root);
}

/**
 * Kills what an experiment has started and removes what it has made.
 *
 * @throws OperatorError where something cannot be ended or removed
 */
export async function removeExperiment(pid: number, root: boolean): Promise<void> {
  const own = root ? namespaces().filter((name) => ownerOf(NAMESPACE, name).includes(pid)) : [];
  const runDirectory = experimentRunDirectory(pid);
  const living = async () => {
    const pids = findWorkers(runDirectory).map((worker) => worker.pid);
    const manager = await findManager(runDirectory);
    if (manager !== null) pids.push(manager.pid);
    for (const name of own) pids.push(...(await processesIn(name)));
    return new Set(pids);
  };
  const ended = await eventually(async () => {
    const pids = await living();
    for (const each of pids) signal(each, 'SIGKILL');
    return pids.size === 0;
  }, END_MS);
  if (!ended) throw new OperatorError(`processes ${[...(await living())].join(', ')} do not end, even when killed`);
  for (const name of own) await ip('netns', 'delete', name);
  rmSync(experimentDirectory(pid), { recursive: true, force: true });
}

/** Names of all namespaces that `ip netns` keeps. */
function namespaces(): string[] {
  return existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
}

/** In a directory where strangers may write, one could have put something of that name. */
function isOurs(path: string): boolean {
  return lstatSync(path).uid === process.getuid!();
}

/** Processes in a namespace, but for this one, which may have entered it. */
async function processesIn(name: string): Promise<number[]> {
  const lines = (await ip('netns', 'pids', name)).split('\n');
  return lines.map(Number).filter((pid) => pid > 0 && pid !== process.pid);
}

function ownerOf(pattern: RegExp, name: string): number[] {
  const match = pattern.exec(name);
  return match === null ? [] : [Number(match[1])];
}

/** True while the process runs an experiment: its number alone may have been given to another program since. */
function isExperiment(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('experiment');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return false;
    throw error;
  }
}
