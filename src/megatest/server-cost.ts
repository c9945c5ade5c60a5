/** What the server's processes cost, read from /proc where they run on this machine. */

import { requestApi } from '../cli/api-client.js';
import { type ProcessMemory, processCpu, processMemory } from '../linux/proc.js';
import { isLoopback } from '../loopback.js';

export interface ProcessCost extends ProcessMemory {
  /** User and system time since the process began. */
  cpuSeconds: number;
}

export interface ServerCost extends ProcessCost {
  /** The numbers above are the sums over these. */
  processes: (ProcessCost & { pid: number })[];
}

/**
 * The ids of the manager and its workers, from `GET /v1/status`.
 *
 * @returns an empty list where the API is on another machine
 * @throws OperatorError where the API does not answer
 */
export async function findServerPids(api: string, key?: string): Promise<number[]> {
  const { hostname } = new URL(api);
  if (hostname !== 'localhost' && !isLoopback(hostname.replace(/^\[|\]$/g, ''))) return [];
  return pidsOf(await requestApi(api, '/v1/status', { key }));
}

/** Every number called `pid` in the status: the manager's and each worker's. */
function pidsOf(status: unknown): number[] {
  if (typeof status !== 'object' || status === null) return [];
  return Object.entries(status).flatMap(([name, value]) =>
    name === 'pid' && Number.isInteger(value) ? [value as number] : pidsOf(value),
  );
}

/**
 * CPU time between two measurements. A process that was not there before counts from its beginning; what one that is
 * gone has used in between is not known and left out.
 */
export function cpuSecondsBetween(before: ServerCost, after: ServerCost): number {
  const earlier = new Map(before.processes.map(({ pid, cpuSeconds }) => [pid, cpuSeconds]));
  return after.processes.reduce((sum, { pid, cpuSeconds }) => sum + cpuSeconds - (earlier.get(pid) ?? 0), 0);
}

/** @throws Error ENOENT or ESRCH where there is no such process, EACCES where it is somebody else's */
export function measureProcesses(pids: number[]): ServerCost {
  const processes = pids.map((pid) => {
    const { userSeconds, systemSeconds } = processCpu(pid);
    return { pid, ...processMemory(pid), cpuSeconds: userSeconds + systemSeconds };
  });
  const sum = (field: keyof ProcessCost) => processes.reduce((total, each) => total + each[field], 0);
  return {
    rssBytes: sum('rssBytes'),
    pssBytes: sum('pssBytes'),
    privateBytes: sum('privateBytes'),
    cpuSeconds: Math.round(sum('cpuSeconds') * 100) / 100,
    processes,
  };
}
