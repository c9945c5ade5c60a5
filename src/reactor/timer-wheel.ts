/**
 * A hashed timing wheel: coarse timers for slots, without an object for any of them, and without any memory for slots
 * that have none: idle connections do not.
 *
 * Time is cut into ticks; tick t belongs to bucket t mod buckets. Each bucket is a circular doubly linked list of nodes,
 * its links ints. A timer has a node while it is scheduled; nodes are taken from a pool that grows by doubling.
 *
 *     nodes     first one sentinel for each bucket, then the sentinel of the list that is due, then timers
 *     next      Int32Array    following node; in the pool, the next free one
 *     previous  Int32Array    preceding node
 *     slots     Int32Array    whose timer it is
 *     deadlines Uint16Array   tick of expiry, modulo 65,536
 *
 * Every tick is visited one by one, so a timer is due at the first visit where its deadline equals the tick modulo 65,536:
 * unambiguous for delays below 65,536 ticks (4.5 hours at 250 ms). A timer beyond the wheel's horizon (buckets x tickMs)
 * is met once in each round before it is due, and filed again.
 *
 * Scheme 6 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987.
 */

import assert from 'node:assert/strict';

const NONE = -1;
const TICKS_MAX = 0xffff;
const TIMERS_FIRST = 64;

export interface TimerWheelOptions {
  /** Resolution. A timer expires at most this late, and never early. */
  tickMs?: number;
  /** A power of two. */
  buckets?: number;
}

export class TimerWheel {
  #next: Int32Array;
  #previous: Int32Array;
  #slots: Int32Array;
  #deadlines: Uint16Array;
  #free = NONE;
  readonly #nodes = new Map<number, number>();
  readonly #tickMs: number;
  readonly #bucketMask: number;
  readonly #due: number;
  /** The last tick that was visited; it begins with the first time that the wheel is told. */
  #tick = Number.NaN;

  constructor({ tickMs = 250, buckets = 512 }: TimerWheelOptions = {}) {
    assert(
      buckets > 0 && buckets <= 65536 && (buckets & (buckets - 1)) === 0,
      `${buckets} buckets: not a power of two`,
    );
    this.#tickMs = tickMs;
    this.#bucketMask = buckets - 1;
    this.#due = buckets;
    const sentinels = buckets + 1;
    this.#next = Int32Array.from({ length: sentinels }, (_, node) => node);
    this.#previous = this.#next.slice();
    this.#slots = new Int32Array(sentinels);
    this.#deadlines = new Uint16Array(sentinels);
    this.#grow(sentinels + TIMERS_FIRST);
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
    assert(deadline - this.#tick <= TICKS_MAX, `a delay of ${delayMs} ms is beyond ${TICKS_MAX} ticks`);
    let node = this.#nodes.get(slot);
    if (node === undefined) {
      node = this.#take(slot);
      this.#nodes.set(slot, node);
    } else {
      this.#unlink(node);
    }
    // Both operators take the low bits of a double as large as 2^53.
    this.#deadlines[node] = deadline & TICKS_MAX;
    this.#append(deadline & this.#bucketMask, node);
  }

  /** Forgets the timer of a slot, if it has one. */
  cancel(slot: number): void {
    if (this.#nodes.size === 0) return;
    const node = this.#nodes.get(slot);
    if (node === undefined) return;
    this.#unlink(node);
    this.#release(node);
  }

  /** How many slots have a timer. */
  get size(): number {
    return this.#nodes.size;
  }

  isScheduled(slot: number): boolean {
    return this.#nodes.has(slot);
  }

  /**
   * Visits the ticks up to now and calls `expired` for each slot that is due, in the order of ticks. A timer that expired
   * is no longer scheduled. `expired` may schedule and cancel any slot, also one that is due in the same tick; it must
   * not call `advance`.
   */
  advance(nowMs: number, expired: (slot: number) => void): void {
    const last = Math.floor(nowMs / this.#tickMs);
    if (Number.isNaN(this.#tick)) this.#tick = last;
    const due = this.#due;
    while (this.#tick < last) {
      const tick = ++this.#tick;
      const bucket = tick & this.#bucketMask;
      // The whole bucket becomes the due list at once; what is filed from here on cannot be met twice.
      this.#move(bucket, due);
      for (let node = this.#next[due]; node !== due; node = this.#next[due]) {
        this.#unlink(node);
        if (this.#deadlines[node] === (tick & TICKS_MAX)) {
          const slot = this.#slots[node];
          this.#release(node);
          expired(slot);
        } else {
          this.#append(bucket, node);
        }
      }
    }
  }

  #take(slot: number): number {
    if (this.#free === NONE) this.#grow(this.#next.length * 2);
    const node = this.#free;
    this.#free = this.#next[node];
    this.#slots[node] = slot;
    return node;
  }

  #release(node: number): void {
    this.#nodes.delete(this.#slots[node]);
    this.#next[node] = this.#free;
    this.#free = node;
  }

  #grow(length: number): void {
    const from = this.#next.length;
    this.#next = enlarged(this.#next, new Int32Array(length));
    this.#previous = enlarged(this.#previous, new Int32Array(length));
    this.#slots = enlarged(this.#slots, new Int32Array(length));
    this.#deadlines = enlarged(this.#deadlines, new Uint16Array(length));
    for (let node = length - 1; node >= from; node--) {
      this.#next[node] = this.#free;
      this.#free = node;
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

function enlarged<T extends Int32Array | Uint16Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
