/**
 * When a worker's figures are reported: what has changed at once (its caller asks once a second), what has not every
 * {@link UNCHANGED_MS}, so that at rest neither the worker nor its manager works for figures.
 *
 * That they come at all is how the manager knows that the worker lives (SILENCE_MS in src/manager/supervisor.ts, 30 s).
 */

export const UNCHANGED_MS = 5000;
/** Timers are not exact: a report may be so early. */
const EARLY_MS = 50;

export class ReportPace {
  #reported = '';
  #reportedMs = Number.NEGATIVE_INFINITY;

  /** @param figures plain data; @returns whether to report them now, which counts as done */
  due(figures: object, nowMs: number): boolean {
    const text = JSON.stringify(figures);
    if (text === this.#reported && nowMs - this.#reportedMs < UNCHANGED_MS - EARLY_MS) return false;
    this.#reported = text;
    this.#reportedMs = nowMs;
    return true;
  }

  /** Who was told is gone: the next has to be told all. */
  forget(): void {
    this.#reported = '';
  }
}
