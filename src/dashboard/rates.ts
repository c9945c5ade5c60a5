/**
 * Rates out of counters that are told about once a second (by a worker at rest every five), at moments of their teller's choosing.
 *
 * Whoever looks once a second too sees now no new report and now two, so a difference between two looks would flicker between
 * nothing and double. Here the difference between two reports is divided by the time between them, and holds until the next.
 */

/** Counters of one worker that only grow while it lives. */
export type Counters = Readonly<Record<string, number>>;

interface Known {
  pid: number;
  atMs: number;
  counters: Counters;
  rates: Record<string, number> | null;
}

/** Reports closer together say nothing about a second. */
const INTERVAL_MS_MIN = 200;

export class Rates {
  readonly #workers = new Map<number, Known>();

  /**
   * Takes a worker's latest report; the same one may come again.
   *
   * @param atMs when it came, on a clock that never goes back
   * @returns for each counter its growth in a second, or null where there is no second report yet
   */
  report(worker: number, pid: number, atMs: number, counters: Counters): Record<string, number> | null {
    const known = this.#workers.get(worker);
    // A worker that was replaced counts from 0: what it has counted since its start came in an unknown time.
    if (known === undefined || known.pid !== pid) {
      this.#workers.set(worker, { pid, atMs, counters, rates: null });
      return null;
    }
    const elapsedMs = atMs - known.atMs;
    if (elapsedMs >= INTERVAL_MS_MIN) {
      known.rates = {};
      for (const [name, value] of Object.entries(counters)) {
        known.rates[name] = Math.max(0, value - (known.counters[name] ?? 0)) / (elapsedMs / 1000);
      }
      known.atMs = atMs;
      known.counters = counters;
    }
    return known.rates;
  }

  /** Forgets the workers that are not among these. */
  keep(workers: ReadonlySet<number>): void {
    for (const worker of this.#workers.keys()) if (!workers.has(worker)) this.#workers.delete(worker);
  }
}
