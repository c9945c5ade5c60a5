/**
 * What a server costs, read from /proc: private memory and its slope over connections, and CPU time.
 *
 * The machine is never quite still: Node collects garbage when it likes and other programs run. So memory counts once
 * some readings in a row agree, and CPU time once the processes have become idle.
 *
 * Source: proc(5) smaps_rollup, stat; Documentation/scheduler/sched-stats.rst for schedstat.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processCpu, processMemory } from '../src/linux/proc.js';

// V8 gives pages back to the kernel one to three seconds after a collection: megabytes, so wait that long.
const MEMORY_READINGS = 6;
const MEMORY_INTERVAL_MS = 500;
const MEMORY_WAIT_MS = 15_000;
/** Readings that differ by less are the same: 8 pages, or a fifth of a percent. */
const MEMORY_TOLERANCE_BYTES = 32_768;
const MEMORY_TOLERANCE = 0.002;

/**
 * Idle for 40 ms in a row. Short looks, and the same for every server: what a server spends at rest between two pieces of work
 * (timers, figures) is in what is measured, and the longer the looking lasts the more of it. Longer than anything that a server
 * puts off for the sake of a batch, which is 10 ms at most.
 */
const IDLE_READINGS = 4;
const IDLE_INTERVAL_MS = 10;
const IDLE_WAIT_MS = 30_000;
/** A process that used less of an interval than this is idle (timers tick even then). */
const IDLE_SHARE = 0.04;

/** Private memory of each process in bytes, once their sum is stable (or after 15 s, whatever it is then). */
export async function stablePrivateBytes(pids: number[]): Promise<number[]> {
  const deadline = performance.now() + MEMORY_WAIT_MS;
  const sums: number[] = [];
  for (;;) {
    const reading = pids.map((pid) => processMemory(pid).privateBytes);
    sums.push(reading.reduce((sum, bytes) => sum + bytes, 0));
    const latest = sums.slice(-MEMORY_READINGS);
    const spread = Math.max(...latest) - Math.min(...latest);
    const agree = spread <= Math.max(MEMORY_TOLERANCE_BYTES, latest[0] * MEMORY_TOLERANCE);
    if ((latest.length === MEMORY_READINGS && agree) || performance.now() > deadline) return reading;
    await sleep(MEMORY_INTERVAL_MS);
  }
}

export interface SlopeWork {
  /** The processes whose memory counts. */
  pids: number[];
  /** How many connections are 100 %. */
  connections: number;
  /** Makes them so many, all idle, and returns once the server has read every request. */
  openTo(connections: number): Promise<void>;
}

/**
 * Private memory for each idle connection, by process in the order of `pids`: the slope from 20 % to 90 % of the
 * connections, so that neither what a process allocates once nor the last doubling of a table counts. Leaves 90 % of the
 * connections open.
 *
 * Warm the server up before with at most 20 % of the connections: a heap that is still growing because code is being
 * compiled adds or takes away a hundred bytes for each of 10,000 connections, and rows that were in use before are free.
 */
export async function measureSlope({ pids, connections, openTo }: SlopeWork): Promise<number[]> {
  const few = Math.round(connections * 0.2);
  const many = Math.round(connections * 0.9);
  await openTo(few);
  const fewBytes = await stablePrivateBytes(pids);
  await openTo(many);
  const manyBytes = await stablePrivateBytes(pids);
  return manyBytes.map((bytes, i) => (bytes - fewBytes[i]) / (many - few));
}

/** CPU time in seconds. */
export interface Cpu {
  total: number;
  /** In user mode; from ticks of the scheduler, so it is coarser than the total. */
  user: number;
}

/** CPU time of a process so far, all its threads. The total counts nanoseconds where the kernel has schedstat. */
export function cpuOf(pid: number): Cpu {
  const ticks = processCpu(pid);
  const ticked = ticks.userSeconds + ticks.systemSeconds;
  const total = schedulerSeconds(pid) ?? ticked;
  return { total, user: ticks.userSeconds };
}

/** Time on a processor by the scheduler's own clock, or null where the kernel was built without it. */
function schedulerSeconds(pid: number): number | null {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }
  return nanoseconds / 1e9;
}

/** Waits until the processes have nothing left to do, then returns the CPU time of each. */
export async function idleCpu(pids: number[]): Promise<Cpu[]> {
  const deadline = performance.now() + IDLE_WAIT_MS;
  let before = pids.map(cpuOf);
  let idle = 0;
  while (idle < IDLE_READINGS) {
    if (performance.now() > deadline) throw new Error('the server does not become idle');
    await sleep(IDLE_INTERVAL_MS);
    const now = pids.map(cpuOf);
    const usedSeconds = now.reduce((sum, cpu, i) => sum + cpu.total - before[i].total, 0);
    idle = usedSeconds * 1000 < IDLE_INTERVAL_MS * IDLE_SHARE ? idle + 1 : 0;
    before = now;
  }
  return before;
}

/** The middle one; of an even number the mean of the two in the middle. NaN for none. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
