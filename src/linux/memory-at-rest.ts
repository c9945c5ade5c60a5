/**
 * Gives memory back to the machine when a process has come to rest.
 *
 * V8 collects garbage when its heap fills, not when there is time; malloc(3) keeps what was freed. After a flood of clients or
 * messages a process that has nothing more to do would hold tens of megabytes of nothing for as long as it rests.
 *
 * At rest means: less than a share of a core over REST_TICKS calls of `tick` in a row. It is done once for each time
 * that the process has worked for WORK_MS since, so a process at rest does nothing.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ffiProblem } from './ffi.js';

/** Where there is no C library to call, what malloc(3) holds free stays with it. */
const mallocTrim = ffiProblem === null ? (await import('./libc.js')).mallocTrim : undefined;

const REST_TICKS = 5;
const WORK_MS = 300;

export class MemoryAtRest {
  readonly #cpuMs: () => number;
  readonly #giveBack: () => void;
  readonly #restShare: number;
  #clockMs: number;
  #lastCpuMs: number;
  /** CPU when memory was given back last. */
  #doneCpuMs: number;
  #restingTicks = 0;

  /**
   * @param restShare of a core: who uses less is at rest
   * @param cpuMs this and giveBack are for tests
   */
  constructor(nowMs: number, restShare: number, cpuMs: () => number = ownCpuMs, giveBack: () => void = giveMemoryBack) {
    this.#restShare = restShare;
    this.#cpuMs = cpuMs;
    this.#giveBack = giveBack;
    this.#clockMs = nowMs;
    this.#lastCpuMs = cpuMs();
    this.#doneCpuMs = this.#lastCpuMs - WORK_MS;
  }

  /** Called about once a second. */
  tick(nowMs: number): void {
    const cpuMs = this.#cpuMs();
    const resting = cpuMs - this.#lastCpuMs < this.#restShare * (nowMs - this.#clockMs);
    this.#restingTicks = resting ? this.#restingTicks + 1 : 0;
    this.#clockMs = nowMs;
    this.#lastCpuMs = cpuMs;
    if (this.#restingTicks < REST_TICKS || cpuMs - this.#doneCpuMs < WORK_MS) return;
    this.#giveBack();
    this.#lastCpuMs = this.#cpuMs();
    this.#doneCpuMs = this.#lastCpuMs;
  }
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** V8's gc(). Options that a version does not know it ignores. */
type Collect = (options?: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

let collect: Collect | undefined;

/**
 * Collects garbage (some ten milliseconds each time), and returns what malloc(3) holds free. First every page of the heap is
 * emptied that can be, which V8 does not do of itself; then a second time, because it gives up empty pages with the collection
 * after. Newer versions (Node 24) keep those in a pool for pages to come, which a collection of the last resort empties.
 */
export function giveMemoryBack(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as Collect;
  }
  setFlagsFromString('--compact-on-every-full-gc');
  collect();
  setFlagsFromString('--no-compact-on-every-full-gc');
  collect();
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  mallocTrim?.(0);
}
