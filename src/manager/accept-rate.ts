/**
 * The rate of new clients over all workers: one bucket of tokens, from which each worker asks for what it needs (WANTED, GRANTED).
 *
 * The kernel gives a trickle of clients to one worker and a flood to all, so fixed shares would refuse at a fraction of the rate. A worker
 * holds a stock of its share and asks for more before that is used up. What cannot be granted now is granted when there are tokens again,
 * to all who wait in turn.
 */

import type { Policies } from './policies.js';

/** While somebody waits for tokens they are given out so often. */
const GRANT_MS = 20;
/** What the bucket holds at most: so many seconds' worth. The stocks of the workers are a second's together. */
const BUCKET_SECONDS = 0.25;

export interface TokenTaker {
  granted(tokens: number): void;
}

export class AcceptRate {
  readonly #takers: ReadonlyMap<number, TokenTaker>;
  readonly #clock: () => number;
  /** Tokens a second. */
  #rate = 0;
  #tokens = 0;
  #filledMs = 0;
  /** What workers wait for, by number, in the order in which they are given something next. */
  readonly #wanted = new Map<number, number>();
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param takers links by worker number
   * @param clock milliseconds; never goes back
   */
  constructor(takers: ReadonlyMap<number, TokenTaker>, policies: Policies, clock = () => performance.now()) {
    this.#takers = takers;
    this.#clock = clock;
    this.#setRate(policies.current.acceptRate);
    policies.subscribe(({ acceptRate }) => {
      if (acceptRate !== this.#rate) this.#setRate(acceptRate);
    });
  }

  /** A worker asks for so many. */
  wanted(worker: number, tokens: number): void {
    if (this.#rate === 0) return;
    this.#wanted.set(worker, (this.#wanted.get(worker) ?? 0) + tokens);
    this.#grant();
  }

  workerLeft(worker: number): void {
    this.#wanted.delete(worker);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#wanted.clear();
  }

  /** Stocks are as new with another rate, and what was asked for before is void. */
  #setRate(rate: number): void {
    this.#rate = rate;
    this.#tokens = 0;
    this.#filledMs = this.#clock();
    this.#wanted.clear();
  }

  #grant(): void {
    const nowMs = this.#clock();
    const most = Math.max(1, this.#rate * BUCKET_SECONDS);
    this.#tokens = Math.min(most, this.#tokens + ((nowMs - this.#filledMs) / 1000) * this.#rate);
    this.#filledMs = nowMs;
    for (const [worker, wanted] of [...this.#wanted]) {
      const share = Math.min(wanted, Math.floor(this.#tokens / this.#wanted.size) || Math.floor(this.#tokens));
      if (share < 1) break;
      this.#tokens -= share;
      this.#wanted.delete(worker);
      // Behind the others, who have the next turn.
      if (share < wanted) this.#wanted.set(worker, wanted - share);
      this.#takers.get(worker)?.granted(share);
    }
    if (this.#wanted.size === 0 || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#grant();
    }, GRANT_MS);
  }
}
