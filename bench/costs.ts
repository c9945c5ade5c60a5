/** What the processes of a server spent on each of many things. */

import type { BenchServer, ServerProcess } from './launch.js';
import { type Cpu, idleCpu } from './measure.js';

/** What one process spent on one connection or message, in microseconds of CPU time. */
export interface Cost {
  role: ServerProcess['role'];
  total: number;
  user: number;
}

/** CPU time of each process for each of `count`, from idle to idle. */
export async function costOf(server: BenchServer, count: number, work: () => Promise<void>): Promise<Cost[]> {
  const pids = pidsOf(server);
  const before = await idleCpu(pids);
  await work();
  const after = await idleCpu(pids);
  return server.processes.map(({ role }, i) => costBetween(role, before[i], after[i], count));
}

function costBetween(role: ServerProcess['role'], before: Cpu, after: Cpu, count: number): Cost {
  const micros = 1e6 / count;
  return { role, total: (after.total - before.total) * micros, user: (after.user - before.user) * micros };
}

/** Of all processes. */
export function totalOf(costs: Cost[]): number {
  return costs.reduce((sum, cost) => sum + cost.total, 0);
}

/** Of all processes, in user mode. */
export function userOf(costs: Cost[]): number {
  return costs.reduce((sum, cost) => sum + cost.user, 0);
}

export function pidsOf(server: BenchServer): number[] {
  return server.processes.map(({ pid }) => pid);
}
