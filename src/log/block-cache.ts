/** Blocks that were read last, for readers of neighbouring publications. A block never changes. */

import { type BlockRecord, blockOf, offsetOf, readRecord } from './block.js';
import type { LmdbStore } from './lmdb-store.js';

/** 2 MiB, unless they hold large publications. */
const CACHED_BLOCKS = 128;

export class BlockCache {
  readonly #store: LmdbStore;
  readonly #blocks = new Map<number, Buffer>();

  constructor(store: LmdbStore) {
    this.#store = store;
  }

  /**
   * The record at a place. Its data is a view of the block.
   *
   * @throws LogError ELOGFORMAT where it is not there
   */
  read(place: number): BlockRecord {
    const number = blockOf(place);
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = this.#store.readBlock(number);
      this.#blocks.set(number, block);
      if (this.#blocks.size > CACHED_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
    }
    return readRecord(block, offsetOf(place));
  }

  /** The block has been deleted. */
  delete(number: number): void {
    this.#blocks.delete(number);
  }
}
