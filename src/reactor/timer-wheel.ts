/**
 * A hashed timing wheel: one coarse timer for each slot, without an object for any of them.
 *
 * Time is cut into ticks; tick t belongs to bucket t mod buckets. Each bucket is a circular doubly linked list of slots,
 * its links ints, with a sentinel node behind the slots' nodes, so that a slot is taken out without knowing its bucket:
 *
 *     nodes     0 … capacity-1 the slots, then one sentinel for each bucket, then the sentinel of the list that is due
 *     next      Int32Array    following node; UNSCHEDULED for a slot without a timer
 *     previous  Int32Array    preceding node
 *     deadline  Uint16Array   tick of expiry, modulo 65,536
 *
 * That is 10 bytes a slot. Every tick is visited one by one, so a timer is due at the first visit where its deadline
 * equals the tick modulo 65,536: unambiguous for delays below 65,536 ticks (4.5 hours at 250 ms). A timer beyond the
 * wheel's horizon (buckets x tickMs) is met once in each round before it is due, and filed again.
 *
 * Scheme 6 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987.
 */

import assert from 'node:assert/strict';

const UNSCHEDULED = -1;
const TICKS_MAX = 0xffff;

export interface TimerWheelOptions {
  /** Resolution. A timer expires at most this late, and never early. */
  tickMs?: number;
  /** A power of two. */
  buckets?: number;
}

export class TimerWheel {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #deadlines: Uint16Array;
  readonly #tickMs: number;
  readonly #bucketMask: number;
  /** Sentinel of bucket 0. */
  readonly #firstBucket: number;
  readonly #due: number;
  /** The last tick that was visited; it begins with the first time that the wheel is told. */
  #tick = Number.NaN;

  constructor(capacity: number, { tickMs = 250, buckets = 512 }: TimerWheelOptions = {}) {
    assert(
      buckets > 0 && buckets <= 65536 && (buckets & (buckets - 1)) === 0,
      `${buckets} buckets: not a power of two`,
    );
    const nodes = capacity + buckets + 1;
    this.#tickMs = tickMs;
    this.#bucketMask = buckets - 1;
    this.#firstBucket = capacity;
    this.#due = capacity + buckets;
    this.#next = new Int32Array(nodes).fill(UNSCHEDULED, 0, capacity);
    this.#previous = new Int32Array(nodes);
    this.#deadlines = new Uint16Array(capacity);
    for (let sentinel = capacity; sentinel < nodes; sentinel++) {
      this.#next[sentinel] = sentinel;
      this.#previous[sentinel] = sentinel;
    }
  }

  /**
   * Sets the timer of a slot, or moves it.
   *
   * @param delayMs below 65,536 ticks
   * @param nowMs of a clock that never goes back; the same one for all calls
   */
  schedule(slot: number, delayMs: number, nowMs: number): void {
    if (Number.isNaN(this.#tick)) this.#tick = Math.floor(nowMs / this.#tickMs);
    // Rounded up, so never early. The tick being visited is over: the next one is the earliest.
    const deadline = Math.max(Math.ceil((nowMs + delayMs) / this.#tickMs), this.#tick + 1);
    if (deadline - this.#tick > TICKS_MAX)
      throw new RangeError(`a delay of ${delayMs} ms is beyond ${TICKS_MAX} ticks`);
    if (this.#next[slot] !== UNSCHEDULED) this.#unlink(slot);
    // Both operators take the low bits of a double as large as 2^53.
    this.#deadlines[slot] = deadline & TICKS_MAX;
    this.#append(this.#firstBucket + (deadline & this.#bucketMask), slot);
  }

  /** Forgets the timer of a slot, if it has one. */
  cancel(slot: number): void {
    if (this.#next[slot] === UNSCHEDULED) return;
    this.#unlink(slot);
    this.#next[slot] = UNSCHEDULED;
  }

  isScheduled(slot: number): boolean {
    return this.#next[slot] !== UNSCHEDULED;
  }

  /**
   * Visits the ticks up to now and calls `expired` for each slot that is due, in the order of ticks. A timer that expired
   * is no longer scheduled. `expired` may schedule and cancel any slot, also one that is due in the same tick; it must
   * not call `advance`.
   */
  advance(nowMs: number, expired: (slot: number) => void): void {
    const last = Math.floor(nowMs / this.#tickMs);
    if (Number.isNaN(this.#tick)) this.#tick = last;
    const next = this.#next;
    const due = this.#due;
    while (this.#tick < last) {
      const tick = ++this.#tick;
      const bucket = this.#firstBucket + (tick & this.#bucketMask);
      // The whole bucket becomes the due list at once; what is filed from here on cannot be met twice.
      this.#move(bucket, due);
      for (let slot = next[due]; slot !== due; slot = next[due]) {
        this.#unlink(slot);
        if (this.#deadlines[slot] === (tick & TICKS_MAX)) {
          next[slot] = UNSCHEDULED;
          expired(slot);
        } else {
          this.#append(bucket, slot);
        }
      }
    }
  }

  #unlink(node: number): void {
    const before = this.#previous[node];
    const after = this.#next[node];
    this.#next[before] = after;
    this.#previous[after] = before;
  }

  #append(sentinel: number, node: number): void {
    const last = this.#previous[sentinel];
    this.#next[last] = node;
    this.#previous[node] = last;
    this.#next[node] = sentinel;
    this.#previous[sentinel] = node;
  }

  /** Moves all of a list to the end of another. */
  #move(from: number, to: number): void {
    const first = this.#next[from];
    if (first === from) return;
    const last = this.#previous[from];
    const end = this.#previous[to];
    this.#next[end] = first;
    this.#previous[first] = end;
    this.#next[last] = to;
    this.#previous[to] = last;
    this.#next[from] = from;
    this.#previous[from] = from;
  }
}
