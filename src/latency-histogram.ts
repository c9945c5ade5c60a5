/**
 * How long something took, counted in classes as Prometheus has them: a typed array, so that to observe costs a few
 * comparisons and nothing is allocated. Workers count deliveries with it and carry the counts in STATS; the manager counts its
 * fan-outs.
 *
 *     bounds   1     2     5      10           ms, each the upper end of its class, which belongs to it
 *     counts  ≤1 │ ≤2 │ ≤5 │ ≤10 │ more        one more than bounds; not cumulative
 */

/** Of a delivery: the log's time of a publication and the worker's are whole milliseconds, so there is nothing below. */
export const DELIVERY_BOUNDS_MS: readonly number[] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/** Of a fan-out in the manager. */
export const FAN_OUT_BOUNDS_MS: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000,
];

/** What a histogram has counted. */
export interface LatencyCounts {
  /** Of each class, the last one for what exceeds all bounds; not cumulative. */
  counts: number[];
  sumMs: number;
}

export class LatencyHistogram {
  readonly #boundsMs: readonly number[];
  // Not Uint32Array: these count for as long as the process lives, a million clients' messages at once.
  readonly #counts: Float64Array;
  #sumMs = 0;

  /** @param boundsMs ascending */
  constructor(boundsMs: readonly number[]) {
    this.#boundsMs = boundsMs;
    this.#counts = new Float64Array(boundsMs.length + 1);
  }

  /**
   * Counts what took so long.
   *
   * @param ms below 0, where a clock was set back, counts as 0
   * @param times how many there were that took so long
   */
  observe(ms: number, times = 1): void {
    const bounds = this.#boundsMs;
    let at = 0;
    while (at < bounds.length && ms > bounds[at]!) at++;
    this.#counts[at]! += times;
    if (ms > 0) this.#sumMs += ms * times;
  }

  get counted(): LatencyCounts {
    return { counts: [...this.#counts], sumMs: this.#sumMs };
  }
}

/** The sum of several histograms with the same bounds. */
export function sumOfLatencies(boundsMs: readonly number[], all: Iterable<LatencyCounts>): LatencyCounts {
  const sum: LatencyCounts = { counts: new Array<number>(boundsMs.length + 1).fill(0), sumMs: 0 };
  for (const { counts, sumMs } of all) {
    for (const [i, count] of counts.entries()) sum.counts[i]! += count;
    sum.sumMs += sumMs;
  }
  return sum;
}

/**
 * What so many per cent do not exceed, as well as classes can tell: straight lines within them. What exceeds all bounds counts as
 * the last bound.
 *
 * @returns null where nothing was counted
 */
export function percentileMs(boundsMs: readonly number[], { counts }: LatencyCounts, percent: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let rank = (percent / 100) * total;
  for (const [i, count] of counts.entries()) {
    if (rank > count || count === 0) {
      rank -= count;
      continue;
    }
    const above = boundsMs[i];
    if (above === undefined) break;
    const below = i === 0 ? 0 : boundsMs[i - 1]!;
    return below + ((above - below) * rank) / count;
  }
  return boundsMs.at(-1)!;
}
