/**
 * How much of each block on the disk is still retained: a block goes when its last publication has gone, and what is left of
 * sparse ones is moved together.
 */

interface Entry {
  size: number;
  live: number;
}

/** What a publication counts beside its data. */
const RECORD_BYTES = 32;
/** Dead data is tolerated up to as much as there is live, and this. */
const WASTE_BYTES = 1 << 20;
/** Entries that one call of `sparse` looks at. */
const LOOKED_AT_MAX = 1000;

export class BlockBook {
  readonly #entries = new Map<number, Entry>();
  /** Where `sparse` goes on: a Map's iterator outlives changes. */
  #walk = this.#entries.entries();
  #sizeBytes = 0;
  #liveBytes = 0;

  /** A publication of so many bytes lies in the block. */
  add(block: number, length: number): void {
    const size = length + RECORD_BYTES;
    const entry = this.#entries.get(block);
    if (entry === undefined) this.#entries.set(block, { size, live: size });
    else {
      entry.size += size;
      entry.live += size;
    }
    this.#sizeBytes += size;
    this.#liveBytes += size;
  }

  /** One of the block's publications is not retained any more. True when that was the last. */
  release(block: number, length: number): boolean {
    const size = length + RECORD_BYTES;
    const entry = this.#entries.get(block)!;
    entry.live -= size;
    this.#liveBytes -= size;
    if (entry.live > 0) return false;
    this.#entries.delete(block);
    this.#sizeBytes -= entry.size;
    return true;
  }

  /** More is wasted than tolerated. */
  get isWasteful(): boolean {
    return this.#sizeBytes > 2 * this.#liveBytes + WASTE_BYTES;
  }

  /** Looks on for blocks of which at most half is retained. Returns `most` at most; they are to be moved at once. */
  sparse(most: number): number[] {
    const found: number[] = [];
    for (let looked = 0; looked < LOOKED_AT_MAX && found.length < most; looked++) {
      const { value, done } = this.#walk.next();
      if (done) {
        this.#walk = this.#entries.entries();
        break;
      }
      const [block, { size, live }] = value;
      if (live <= size / 2) found.push(block);
    }
    return found;
  }
}
