/**
 * Publishers that wait for the verdict on their publication, for a bounded time and in a bounded number.
 *
 * All wait equally long, so they time out in the order in which they came: one timer serves them all.
 */

/** Publishers who wait at one time: a few full batches. */
export const PUBLISHERS_WAITING_MAX = 50_000;
const SWEEP_MS = 50;

/** Tells a publisher how many connections got its publication; 0 means that it is queued. */
export type Verdict = (receivers: number) => void;

export class PublishersWaiting {
  readonly #timeoutMs: number;
  readonly #now: () => number;
  /** By sequence, in the order in which they came. */
  readonly #waiting = new Map<number, { verdict: Verdict; deadlineMs: number }>();
  #timer: NodeJS.Timeout | null = null;

  /** @param now milliseconds of a clock that never goes back */
  constructor(timeoutMs: number, now: () => number = () => performance.now()) {
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Calls `verdict` once: at `settle`, or with 0 when the time is over, or at once when too many wait. */
  add(sequence: number, verdict: Verdict): void {
    if (this.#waiting.size >= PUBLISHERS_WAITING_MAX) {
      verdict(0);
      return;
    }
    this.#waiting.set(sequence, { verdict, deadlineMs: this.#now() + this.#timeoutMs });
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /** The publication was decided. Without effect where nobody waits for it. */
  settle(sequence: number, receivers: number): void {
    const publisher = this.#waiting.get(sequence);
    if (publisher === undefined) return;
    this.#waiting.delete(sequence);
    publisher.verdict(receivers);
    if (this.#waiting.size === 0) this.#stopTimer();
  }

  /** Tells all who wait that their publication is queued. */
  settleAll(): void {
    for (const sequence of [...this.#waiting.keys()]) this.settle(sequence, 0);
  }

  #sweep(): void {
    const nowMs = this.#now();
    for (const [sequence, { deadlineMs }] of this.#waiting) {
      if (deadlineMs > nowMs) break;
      this.settle(sequence, 0);
    }
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
