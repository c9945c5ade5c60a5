/**
 * The last minutes of all series, for a viewer who comes now: a fixed number of points in typed arrays, the oldest of which
 * is overwritten. Unknown figures are NaN inside and null outside.
 */

import { type History, type Point, SERIES, type SeriesName } from './shared/snapshot.js';

export class Ring {
  readonly #times: Float64Array;
  readonly #columns: Record<SeriesName, Float64Array>;
  /** Points ever added. */
  #added = 0;

  /** @param capacity points: 8 bytes for each series and point are allocated at once */
  constructor(capacity: number) {
    this.#times = new Float64Array(capacity);
    this.#columns = perSeries(() => new Float64Array(capacity));
  }

  get length(): number {
    return Math.min(this.#added, this.#times.length);
  }

  add(timeMs: number, point: Point): void {
    const at = this.#added++ % this.#times.length;
    this.#times[at] = timeMs;
    for (const name of SERIES) this.#columns[name][at] = point[name] ?? Number.NaN;
  }

  /** A copy, oldest first. @param sinceMs points before it are left out */
  history(sinceMs: number): History {
    const order: number[] = [];
    for (let n = this.#added - this.length; n < this.#added; n++) {
      const at = n % this.#times.length;
      if (this.#times[at] >= sinceMs) order.push(at);
    }
    const column = (values: Float64Array) => order.map((at) => (Number.isNaN(values[at]) ? null : values[at]));
    return { timesMs: order.map((at) => this.#times[at]), series: perSeries((name) => column(this.#columns[name])) };
  }
}

function perSeries<T>(make: (name: SeriesName) => T): Record<SeriesName, T> {
  return Object.fromEntries(SERIES.map((name) => [name, make(name)])) as Record<SeriesName, T>;
}
