/**
 * Which workers have a channel waiting: a multiset of (channel, worker) in two typed arrays.
 *
 *     fingerprints   u32   low half of the HalfSipHash of the channel's name under a random key
 *     holders        u16   worker + 1 in the low byte; above it 8 bits of the hash's high half. 0 is empty
 *
 * Six bytes a place, no name and no object: 7 to 15 bytes for each entry, as the table doubles at a load of 0.8.
 * Open addressing with linear probing; an entry's home is the low bits of its fingerprint, so the table can grow
 * without knowing names. Deletion shifts the rest of the run back, so there are no tombstones and no decay.
 *
 * Two names may share all 40 bits (one lookup in a million meets such a stranger when a million channels wait). That is
 * why this is a multiset: each name has an entry of its own, so one that leaves cannot take the other's with it. A
 * stranger costs a needless DELIVER, which its worker answers with 0 receivers, unless the client comes to that very
 * worker meanwhile and gets the message twice; a waiting channel is never missed.
 *
 * Names are chosen by strangers; the key keeps them from choosing where their entries lie.
 */

import { randomBytes } from 'node:crypto';
import { halfSipHash64 } from '../link/half-sip-hash.js';

const CAPACITY_MIN = 1024;
const WORKER_BITS = 8;
const WORKER_MASK = (1 << WORKER_BITS) - 1;

export class ChannelIndex {
  readonly #k0: number;
  readonly #k1: number;
  /** Fingerprint and what has the upper bits, of the name that was hashed last. */
  readonly #hash = new Uint32Array(2);
  #fingerprints = new Uint32Array(CAPACITY_MIN);
  #holders = new Uint16Array(CAPACITY_MIN);
  #size = 0;
  /** Marks workers already found, between the first and last line of `workersOf` only. */
  readonly #found = new Uint8Array(256);

  /** @param key 8 secret bytes; random unless a test needs to repeat itself */
  constructor(key: Buffer = randomBytes(8)) {
    this.#k0 = key.readInt32LE(0);
    this.#k1 = key.readInt32LE(4);
  }

  /** Entries: each channel counts once for each worker that has it waiting. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of both arrays. */
  get bytes(): number {
    return this.#fingerprints.byteLength + this.#holders.byteLength;
  }

  /** The worker has a first connection waiting on the channel bytes[start..end). */
  add(bytes: Uint8Array, start: number, end: number, worker: number): void {
    if ((this.#size + 1) * 5 > this.#holders.length * 4) this.#rebuild(this.#holders.length * 2, -1);
    this.#insert(this.#fingerprint(bytes, start, end), this.#upperBits() | (worker + 1));
    this.#size++;
  }

  /** The worker has nobody left on the channel. False where it had none. */
  remove(bytes: Uint8Array, start: number, end: number, worker: number): boolean {
    const fingerprint = this.#fingerprint(bytes, start, end);
    const holder = this.#upperBits() | (worker + 1);
    const fingerprints = this.#fingerprints;
    const holders = this.#holders;
    const mask = holders.length - 1;
    for (let at = fingerprint & mask; holders[at] !== 0; at = (at + 1) & mask) {
      if (holders[at] !== holder || fingerprints[at] !== fingerprint) continue;
      this.#vacate(at);
      this.#size--;
      // A tenth of the load at which it grows: shrinking and growing cannot alternate.
      if (this.#size * 12 < holders.length && holders.length > CAPACITY_MIN) this.#rebuild(holders.length / 2, -1);
      return true;
    }
    return false;
  }

  /**
   * Writes the workers that have the channel waiting (and now and then one that does not) into `workers`, each once.
   *
   * @returns how many: at most 255, which `workers` has to hold
   */
  workersOf(bytes: Uint8Array, start: number, end: number, workers: Uint8Array): number {
    const fingerprint = this.#fingerprint(bytes, start, end);
    const upperBits = this.#upperBits();
    const fingerprints = this.#fingerprints;
    const holders = this.#holders;
    const found = this.#found;
    const mask = holders.length - 1;
    let count = 0;
    for (let at = fingerprint & mask; holders[at] !== 0; at = (at + 1) & mask) {
      const holder = holders[at]! ^ upperBits;
      if (fingerprints[at] !== fingerprint || holder > WORKER_MASK || found[holder] === 1) continue;
      found[holder] = 1;
      workers[count++] = holder - 1;
    }
    for (let i = 0; i < count; i++) found[workers[i]! + 1] = 0;
    return count;
  }

  /** Forgets all that a worker had, by one pass over the table: it has died. */
  removeWorker(worker: number): void {
    let capacity = this.#holders.length;
    let left = 0;
    for (const holder of this.#holders) if (holder !== 0 && (holder & WORKER_MASK) !== worker + 1) left++;
    if (left === this.#size) return;
    while (left * 12 < capacity && capacity > CAPACITY_MIN) capacity /= 2;
    this.#size = left;
    this.#rebuild(capacity, worker + 1);
  }

  #fingerprint(bytes: Uint8Array, start: number, end: number): number {
    halfSipHash64(bytes, start, end, this.#k0, this.#k1, this.#hash);
    return this.#hash[0]!;
  }

  /** After #fingerprint, of the same name. */
  #upperBits(): number {
    return (this.#hash[1]! & 0xff) << WORKER_BITS;
  }

  #insert(fingerprint: number, holder: number): void {
    const holders = this.#holders;
    const mask = holders.length - 1;
    let at = fingerprint & mask;
    while (holders[at] !== 0) at = (at + 1) & mask;
    holders[at] = holder;
    this.#fingerprints[at] = fingerprint;
  }

  /** Empties a place and moves back what probed past it (Knuth, The Art of Computer Programming 3, 6.4, algorithm R). */
  #vacate(hole: number): void {
    const fingerprints = this.#fingerprints;
    const holders = this.#holders;
    const mask = holders.length - 1;
    for (let at = (hole + 1) & mask; holders[at] !== 0; at = (at + 1) & mask) {
      const home = fingerprints[at]! & mask;
      // An entry may move back to the hole unless its home lies after the hole, on the way to where it is.
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      fingerprints[hole] = fingerprints[at]!;
      holders[hole] = holders[at]!;
      hole = at;
    }
    holders[hole] = 0;
  }

  /** Moves all entries but those of the worker `without` - 1 to new arrays. */
  #rebuild(capacity: number, without: number): void {
    const fingerprints = this.#fingerprints;
    const holders = this.#holders;
    this.#fingerprints = new Uint32Array(capacity);
    this.#holders = new Uint16Array(capacity);
    for (let at = 0; at < holders.length; at++) {
      const holder = holders[at]!;
      if (holder !== 0 && (holder & WORKER_MASK) !== without) this.#insert(fingerprints[at]!, holder);
    }
  }
}
