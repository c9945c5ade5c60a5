/**
 * Latencies of all workers together, those included that have ended: workers count from their start, and a sum over those that live
 * would fall when one is replaced.
 */

import { type LatencyCounts, sumOfLatencies } from '../latency-histogram.js';

/** What is looked at of a worker. */
export interface LatencyReport {
  worker: number;
  pid: number;
  delivery: LatencyCounts;
}

export class LatencyTotals {
  readonly #boundsMs: readonly number[];
  readonly #latest = new Map<number, LatencyReport>();
  #ended: LatencyCounts;

  constructor(boundsMs: readonly number[]) {
    this.#boundsMs = boundsMs;
    this.#ended = sumOfLatencies(boundsMs, []);
  }

  /** Takes the last reports of the workers that live. What a worker did after the last look before its end is lost. */
  look(reports: Iterable<LatencyReport>): void {
    for (const report of reports) {
      const before = this.#latest.get(report.worker);
      if (before !== undefined && before.pid !== report.pid) {
        this.#ended = sumOfLatencies(this.#boundsMs, [this.#ended, before.delivery]);
      }
      this.#latest.set(report.worker, report);
    }
  }

  get total(): LatencyCounts {
    return sumOfLatencies(this.#boundsMs, [this.#ended, ...[...this.#latest.values()].map(({ delivery }) => delivery)]);
  }
}
