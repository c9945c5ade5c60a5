/**
 * Reads what a durable log retains: one scan of all blocks, then each record in the order of the sequences, about three seconds
 * for a million.
 *
 * A block that is there may hold publications that had been dropped. They are recognised by the marks: a mark says that its
 * channel lost everything up to it. Where a log was killed and has left no mark, the rules of retention drop again what they had
 * dropped; only what had gone for the sake of `totalBytes` may stay, where there is room by now. What is followed by a hole is
 * dropped, so that a channel's losses are always below all that it retains.
 */

import { placeOf, walkBlock } from './block.js';
import type { BlockBook } from './block-book.js';
import type { BlockCache } from './block-cache.js';
import { unusable } from './data-directory.js';
import type { GapMarks } from './gap-marks.js';
import type { LmdbStore } from './lmdb-store.js';
import type { LogClock } from './log.js';
import type { PendingChanges } from './pending-changes.js';
import type { Retained } from './retained.js';

/** What is filled, all empty before. */
export interface History {
  store: LmdbStore;
  cache: BlockCache;
  clock: LogClock;
  marks: GapMarks;
  retained: Retained;
  book: BlockBook;
  pending: PendingChanges;
  /** A record is there, but not retained. */
  release(place: number, length: number): void;
}

/**
 * @returns the highest sequence that was ever given, and a block number that was not
 * @throws LogError ELOGFORMAT
 */
export function loadHistory({ store, cache, clock, marks, retained, book, pending, release }: History): {
  last: number;
  nextBlock: number;
} {
  let last = 0;
  for (const { sequence, channel } of store.marks()) {
    marks.set(channel, sequence);
    last = sequence;
  }
  const { places, nextBlock } = scanBlocks(store, book);
  const wallMs = clock.wallMs();
  const steadyMs = clock.steadyMs();
  for (const { sequence, place } of places) {
    const { channel, previous, timeMs, data, id } = cache.read(place);
    last = Math.max(last, sequence);
    if (sequence <= marks.known(channel)) {
      release(place, data.length);
      continue;
    }
    if (retained.has(channel) && retained.lastOf(channel) !== previous) retained.forget(channel);
    // A mark of the channel may have been forgotten, up to the floor: better a gap too many.
    const lost = sequence < marks.floor ? marks.floor : previous;
    const ageMs = Math.max(0, wallMs - timeMs);
    retained.add(sequence, channel, data.length, steadyMs - ageMs, place, lost);
    if (id !== undefined) retained.ids.add(channel, id, sequence);
  }
  for (const { channel, sequence } of store.queue()) {
    if (retained.has(channel)) {
      retained.consumed(channel, sequence);
      pending.queue.delete(channel);
    } else {
      pending.queue.set(channel, null);
    }
  }
  // By age and by channel first: what had been dropped for the sake of totalBytes is older, and goes first again.
  retained.expire(steadyMs, Number.POSITIVE_INFINITY);
  retained.limitAll();
  return { last, nextBlock };
}

/** Enters all blocks in the book. The places are in the order of the sequences; only those of moved records were out of it. */
function scanBlocks(store: LmdbStore, book: BlockBook) {
  const places: { sequence: number; place: number }[] = [];
  let nextBlock = 1;
  let sorted = true;
  for (const { key, value } of store.blocks()) {
    nextBlock = key + 1;
    const whole = walkBlock(value, (sequence, offset, length) => {
      book.add(key, length);
      sorted &&= places.length === 0 || places.at(-1)!.sequence < sequence;
      places.push({ sequence, place: placeOf(key, offset) });
    });
    if (!whole) throw unusable(store.path, `has a damaged block (${key})`);
  }
  if (!sorted) places.sort((a, b) => a.sequence - b.sequence);
  return { places, nextBlock };
}
