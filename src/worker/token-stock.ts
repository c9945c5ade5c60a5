/**
 * A stock of tokens, each good for one client that comes: so many a second, and one second's worth at once. It fills by itself, or, where
 * the rate is that of several workers, from the manager (src/manager/accept-rate.ts), of whom more is asked when half is gone.
 */

export class TokenStock {
  /** Tokens that it holds, and that it gets in a second by itself; 0: none. */
  #size = 0;
  #tokens = 0;
  #filledMs = Number.NaN;
  #isLeased = false;
  /** Asked for, and not granted yet. */
  #wanted = 0;

  get size(): number {
    return this.#size;
  }

  /** With another size it is full. */
  set size(size: number) {
    if (size === this.#size) return;
    this.#size = size;
    this.#filledMs = Number.NaN;
    this.#tokens = this.#room;
    this.#wanted = 0;
  }

  /** Whether it is filled by the manager. */
  get isLeased(): boolean {
    return this.#isLeased;
  }

  set isLeased(leased: boolean) {
    this.#isLeased = leased;
    this.#filledMs = Number.NaN;
    this.#wanted = 0;
  }

  /** @returns false where there is none */
  take(nowMs: number): boolean {
    if (!this.#isLeased) {
      const sinceMs = Number.isNaN(this.#filledMs) ? 0 : nowMs - this.#filledMs;
      this.#tokens = Math.min(this.#room, this.#tokens + (sinceMs / 1000) * this.#size);
      this.#filledMs = nowMs;
    }
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** How many the manager is to be asked for now; 0: none. */
  wanted(): number {
    if (!this.#isLeased || this.#size === 0) return 0;
    const coming = this.#tokens + this.#wanted;
    if (coming > this.#room / 2) return 0;
    const tokens = Math.ceil(this.#room - coming);
    this.#wanted += tokens;
    return tokens;
  }

  granted(tokens: number): void {
    this.#tokens = Math.min(this.#room, this.#tokens + tokens);
    this.#wanted = Math.max(0, this.#wanted - tokens);
  }

  /** Less than one a second must be enough for one at some time. */
  get #room(): number {
    return Math.max(1, this.#size);
  }
}
