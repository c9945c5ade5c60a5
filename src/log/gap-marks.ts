/**
 * What channels that retain nothing have lost: for each the highest sequence dropped, in bounded memory.
 *
 * A mark is the channel's 64-bit fingerprint and a sequence, in open-addressing tables: 16 bytes, so 24 to 64 with the empty
 * slots. There are two tables: marks go into the young one; when it has half the bound, it becomes the old one and the old one is
 * forgotten. So the latest half of the bound is always known, and never more than the bound.
 *
 * What is forgotten raises the *floor*, the highest mark forgotten: it answers for every channel that is not known. Equal
 * fingerprints share the higher mark. Both err to one side: a gap that was none, never a gap that is missed.
 */

/** A table is at most three quarters full. */
const LOAD_MAX = 0.75;
const SLOTS_MIN = 1024;

export class GapMarks {
  readonly #perTable: number;
  #young = new MarkTable();
  #old = new MarkTable();
  #floor: number;
  #highest: number;

  /**
   * @param marksMax how many are known at most
   * @param floor the highest mark that was forgotten by an earlier log on the same data
   */
  constructor(marksMax: number, floor = 0) {
    this.#perTable = Math.ceil(marksMax / 2);
    this.#floor = floor;
    this.#highest = floor;
  }

  /** The highest mark that was forgotten. */
  get floor(): number {
    return this.#floor;
  }

  /** The highest sequence that the channel may have lost; exact where its mark is known, 0 for none. */
  get(channel: string): number {
    const known = this.known(channel);
    return known === 0 ? this.#floor : known;
  }

  /** The highest sequence that the channel has lost, 0 where it is not known. */
  known(channel: string): number {
    if (this.#young.size + this.#old.size === 0) return 0;
    const high = fingerprint(channel);
    return Math.max(this.#young.get(high, fingerprintLow), this.#old.get(high, fingerprintLow));
  }

  /** True when the channel may have lost something above `after`. */
  isAbove(channel: string, after: number): boolean {
    return this.#highest > after && this.get(channel) > after;
  }

  /** The channel retains nothing any more, and this was the last that it lost. */
  set(channel: string, sequence: number): void {
    if (this.#young.size >= this.#perTable) {
      this.#floor = Math.max(this.#floor, this.#old.highest);
      this.#old = this.#young;
      this.#young = new MarkTable();
    }
    const high = fingerprint(channel);
    this.#young.set(high, fingerprintLow, sequence);
    if (sequence > this.#highest) this.#highest = sequence;
  }
}

/** Linear probing. A slot is free where its mark is 0. */
class MarkTable {
  size = 0;
  highest = 0;
  #slots = SLOTS_MIN;
  #fingerprints = new Int32Array(2 * SLOTS_MIN);
  #marks = new Float64Array(SLOTS_MIN);

  get(high: number, low: number): number {
    return this.#marks[this.#find(high, low)]!;
  }

  set(high: number, low: number, mark: number): void {
    let slot = this.#find(high, low);
    if (this.#marks[slot] === 0) {
      if (this.size >= this.#slots * LOAD_MAX) {
        this.#grow();
        slot = this.#find(high, low);
      }
      this.size++;
      this.#fingerprints[2 * slot] = high;
      this.#fingerprints[2 * slot + 1] = low;
    }
    if (mark > this.#marks[slot]!) this.#marks[slot] = mark;
    if (mark > this.highest) this.highest = mark;
  }

  #find(high: number, low: number): number {
    const mask = this.#slots - 1;
    let slot = low & mask;
    while (
      this.#marks[slot] !== 0 &&
      (this.#fingerprints[2 * slot] !== high || this.#fingerprints[2 * slot + 1] !== low)
    ) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const fingerprints = this.#fingerprints;
    const marks = this.#marks;
    this.#slots *= 2;
    this.#fingerprints = new Int32Array(2 * this.#slots);
    this.#marks = new Float64Array(this.#slots);
    for (let old = 0; old < marks.length; old++) {
      if (marks[old] === 0) continue;
      const slot = this.#find(fingerprints[2 * old]!, fingerprints[2 * old + 1]!);
      this.#fingerprints[2 * slot] = fingerprints[2 * old]!;
      this.#fingerprints[2 * slot + 1] = fingerprints[2 * old + 1]!;
      this.#marks[slot] = marks[old]!;
    }
  }
}

/** The lower half of the last {@link fingerprint}: a second result without an allocation. */
let fingerprintLow = 0;

/** The upper half of a 64-bit fingerprint: two multiplicative hashes (as FNV-1a has them) over UTF-16 units, mixed at the end. */
function fingerprint(text: string): number {
  let a = 0x811c9dc5;
  let b = 0x27d4eb2f;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x5bd1e995);
    b ^= b >>> 15;
  }
  fingerprintLow = mix(b ^ Math.imul(a, 0x9e3779b1));
  return mix(a ^ Math.imul(b, 0x85ebca6b));
}

function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return hash ^ (hash >>> 15);
}
