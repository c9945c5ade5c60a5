/** The charts' data in the page: what the server's history had, and each snapshot's point behind it. Columns, oldest first. */

import { type History, type Point, SERIES, type SeriesName } from './snapshot.js';

type Column = (number | null)[];

export class Timeline {
  readonly #keepSeconds: number;
  #times: number[] = [];
  #columns = columns(() => []);

  /** @param keepSeconds older points are dropped */
  constructor(keepSeconds: number) {
    this.#keepSeconds = keepSeconds;
  }

  /** Seconds since 1970, as charts want them. */
  get times(): readonly number[] {
    return this.#times;
  }

  column(name: SeriesName): readonly (number | null)[] {
    return this.#columns[name];
  }

  /** Begins anew, with what the server remembers. */
  replace({ timesMs, series }: History): void {
    this.#times = timesMs.map((timeMs) => timeMs / 1000);
    this.#columns = columns((name) => [...series[name]]);
  }

  /** A point that is no newer than the last is not taken: the first snapshot is in the history already. */
  add(timeMs: number, point: Point): void {
    const time = timeMs / 1000;
    if (time <= (this.#times.at(-1) ?? 0)) return;
    this.#times.push(time);
    for (const name of SERIES) this.#columns[name].push(point[name]);
    const old = this.#times.findIndex((at) => at >= time - this.#keepSeconds);
    if (old === 0) return;
    this.#times.splice(0, old);
    for (const name of SERIES) this.#columns[name].splice(0, old);
  }

  /** Each series on top of those after it, so that the first is the sum of all. Unknown figures count as 0. */
  stacked(names: readonly SeriesName[]): Column[] {
    const sums = new Array<number>(this.#times.length).fill(0);
    return names
      .toReversed()
      .map((name) => {
        const column = this.#columns[name];
        for (let i = 0; i < sums.length; i++) sums[i] += column[i] ?? 0;
        return [...sums];
      })
      .toReversed();
  }
}

function columns(make: (name: SeriesName) => Column): Record<SeriesName, Column> {
  return Object.fromEntries(SERIES.map((name) => [name, make(name)])) as Record<SeriesName, Column>;
}
