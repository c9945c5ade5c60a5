/**
 * Recent publications of one channel: everything of it with a sequence in an interval.
 *
 *     from ─────── publications and gaps, in order ─────── upTo ─ ─ ─ (live: all that the worker is told of comes here)
 *
 * A gap lies where it was found, before whatever follows: some of what is above that place, up to its `lost`, is missing, and
 * nothing of it is here. A reader who has come farther on another worker, but not up to `lost`, is told of it too.
 *
 * It begins with a page that the manager was asked for, or with a live publication. It grows at the end, by further pages until
 * one is the last and then by live publications, and at the front, by a page that reaches to `from`. A page that does not
 * touch it takes its place: there is one interval.
 *
 * While a page is asked for, live publications are set aside: the manager may have read the log before them and answer
 * after them. The page joins what is aside above its end, and the history is live. Those that come twice are known by their
 * sequence.
 */

import {
  CACHED_PUBLICATION_OVERHEAD_BYTES,
  HISTORY_ASIDE_BYTES_MAX,
  HISTORY_CHANNEL_BYTES_MAX,
  HISTORY_OVERHEAD_BYTES,
} from '../limits.js';
import { READ_NOW } from '../link/frames.js';

/** Kind of an item that is a {@link Gap}. */
const KIND_GAP = -1;

/** A publication, or a gap. */
export interface CachedPublication {
  readonly sequence: number;
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
  /** KIND_TEXT, KIND_JSON or KIND_RAW of src/link/frames.ts; of a gap another one. */
  readonly kind: number;
  /** Not borrowed; nobody writes to it. */
  readonly data: Buffer;
  /** For whoever encodes it: by wire format, made when first asked for. Not counted. */
  encodings: (Buffer | string)[] | null;
}

const NO_DATA = Buffer.alloc(0);

/** Of the channel, what lies above `sequence` and up to `lost` may be missing. */
export class Gap implements CachedPublication {
  readonly sequence: number;
  readonly lost: number;
  readonly timeMs = 0;
  readonly kind = KIND_GAP;
  readonly data = NO_DATA;
  readonly encodings = null;

  constructor(sequence: number, lost: number) {
    this.sequence = sequence;
    this.lost = lost;
  }
}

/** Up to where nothing more is to come behind the item. */
function endOf(item: CachedPublication): number {
  return item instanceof Gap ? item.lost : item.sequence;
}

/** What an item is counted as. */
export function cachedBytes(publication: CachedPublication): number {
  return publication.data.length + CACHED_PUBLICATION_OVERHEAD_BYTES;
}

/** Histories in the order of their last use. */
export class HistoryList {
  newest: History | null = null;
  oldest: History | null = null;

  /** Adds one that is in no list, as the newest. */
  add(history: History): void {
    history.list = this;
    history.older = this.newest;
    history.newer = null;
    if (this.newest === null) this.oldest = history;
    else this.newest.newer = history;
    this.newest = history;
  }

  remove(history: History): void {
    const { newer, older } = history;
    if (newer === null) this.newest = older;
    else newer.older = older;
    if (older === null) this.oldest = newer;
    else older.newer = newer;
    history.list = null;
    history.newer = null;
    history.older = null;
  }
}

/** No page is asked for. */
const NOT_READING = -1;

export class History {
  readonly channel: number;
  /** Nothing is known at or below; Infinity where nothing is known at all. */
  from = Number.POSITIVE_INFINITY;
  /** The end of the last page, or the last live publication. */
  upTo = 0;
  /** Complete: all that the worker has been told of above `from` is here. */
  live = false;
  /** Number of the READ that is outstanding; 0 for none. */
  request = 0;
  /** When it was used last (histories.ts). */
  usedPeriod = 0;
  /** The list that it is in, and its neighbours there (histories.ts). */
  list: HistoryList | null = null;
  newer: History | null = null;
  older: History | null = null;
  #items: CachedPublication[] = [];
  /** Items before this one have been dropped. */
  #start = 0;
  #itemBytes = 0;
  /** How far its gaps reach. */
  #lost = 0;
  #readAfter = NOT_READING;
  #aside: CachedPublication[] = [];
  #asideBytes = 0;
  /** The latest one that should be aside and is not. */
  #forgotten = 0;

  constructor(channel: number) {
    this.channel = channel;
  }

  get bytes(): number {
    return HISTORY_OVERHEAD_BYTES + this.#itemBytes + this.#asideBytes;
  }

  get reading(): boolean {
    return this.#readAfter !== NOT_READING;
  }

  /** Without publications, and so small that there is nothing to shrink. */
  get isEmpty(): boolean {
    const count = this.#items.length - this.#start;
    return count === 0 || (count === 1 && this.#items[this.#start] instanceof Gap);
  }

  /** Whether a reader who has seen all up to `after` gets on from here. */
  covers(after: number): boolean {
    return after >= this.from && (this.live || after < this.upTo);
  }

  /** Place of the first item for a reader who has seen all up to a sequence; see {@link at}. */
  indexAfter(sequence: number): number {
    let low = this.#start;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#items[middle].sequence > sequence) high = middle;
      else low = middle + 1;
    }
    while (low > this.#start && this.#isOpen(this.#items[low - 1], sequence)) low--;
    return low;
  }

  /** Whether it is a gap that begins before a sequence and ends after it. */
  #isOpen(item: CachedPublication, sequence: number): boolean {
    return item instanceof Gap && item.lost > sequence;
  }

  /** The item at a place, which is good until the history changes; undefined behind the last. */
  at(index: number): CachedPublication | undefined {
    return this.#items[index];
  }

  /** @param after READ_NOW for the end of the log */
  beginReading(after: number): void {
    this.#readAfter = after;
  }

  /** The answer will not come, or is not wanted. */
  endReading(): void {
    this.#readAfter = NOT_READING;
    this.#aside = [];
    this.#asideBytes = 0;
    this.#forgotten = 0;
  }

  /** The answer: all of the channel above the sequence that was asked for and up to `upTo` (HISTORY in frames.ts). */
  page(upTo: number, gap: number, more: boolean, publications: readonly CachedPublication[]): void {
    const after = this.#readAfter === READ_NOW ? upTo : this.#readAfter;
    const isKnown = this.live && after >= this.from;
    if (!isKnown && !(this.live && upTo >= this.from && this.#prepend(after, gap, publications))) {
      if (this.live || after < this.from || after > this.upTo) this.#restart(after);
      this.#extend(upTo, gap, publications);
      if (!more && this.#forgotten <= this.upTo) {
        this.live = true;
        for (const publication of this.#aside) this.#append(publication);
      }
    }
    this.endReading();
    this.#trim();
  }

  /** A live one, or a gap that the manager tells of: they come in order, though some may be known from a page. */
  add(publication: CachedPublication): void {
    if (this.live) {
      this.#append(publication);
      this.#trim();
    }
    if (this.reading) this.#setAside(publication);
  }

  /** Begins with this live one. */
  begin(publication: CachedPublication): void {
    this.#restart(publication.sequence - 1);
    this.live = true;
    this.#append(publication);
  }

  /**
   * Lets go of its publications, for want of memory, but remembers that before the first of them there is nothing, or a gap: a
   * reader of many channels gets as far as there, and then needs this one alone.
   */
  shrink(): void {
    const { from } = this;
    const items = this.#items.slice(this.#start);
    const publications = items.findIndex((item) => !(item instanceof Gap));
    const upTo = publications < 0 ? this.upTo : items[publications].sequence - 1;
    const gaps = publications < 0 ? items : items.slice(0, publications);
    this.#restart(from);
    if (gaps.length > 0) this.#appendGap(new Gap(gaps[0].sequence, Math.max(...gaps.map(endOf))));
    this.upTo = upTo;
  }

  /** Forgets all that it holds, for want of memory; also the live one that is not to be added. An answer that is awaited counts still. */
  forget(publication: CachedPublication): void {
    this.#restart(Number.POSITIVE_INFINITY);
    this.upTo = 0;
    this.#aside = [];
    this.#asideBytes = 0;
    this.#forgotten = Math.max(this.#forgotten, endOf(publication));
  }

  #restart(from: number): void {
    this.from = from;
    this.upTo = from;
    this.live = false;
    this.#items = [];
    this.#start = 0;
    this.#itemBytes = 0;
    this.#lost = 0;
  }

  #append(item: CachedPublication): void {
    if (item instanceof Gap) {
      this.#appendGap(item);
    } else if (item.sequence > this.upTo) {
      this.#push(item);
      this.upTo = item.sequence;
    }
  }

  /** What is here holds, also where the log has dropped it since: only what is above can be missing. */
  #appendGap({ sequence, lost }: Gap): void {
    if (lost <= Math.max(this.upTo, this.#lost)) return;
    this.upTo = Math.max(this.upTo, sequence);
    this.#lost = lost;
    this.#push(new Gap(this.upTo, lost));
  }

  #push(item: CachedPublication): void {
    this.#items.push(item);
    this.#itemBytes += cachedBytes(item);
  }

  #extend(upTo: number, gap: number, publications: readonly CachedPublication[]): void {
    this.#appendGap(new Gap(this.upTo, gap));
    for (const publication of publications) this.#append(publication);
    this.upTo = Math.max(this.upTo, upTo);
  }

  /**
   * Puts a page before a live history. A gap that reaches into it ends where it begins: what is here is not lost, and nobody knows
   * whether anything before it is.
   *
   * @returns false where that would be too much: then the page is more useful than what follows, which can be asked for again
   */
  #prepend(after: number, gap: number, publications: readonly CachedPublication[]): boolean {
    const front = publications.filter((publication) => publication.sequence <= this.from);
    if (gap > after) front.unshift(new Gap(after, Math.min(gap, this.from)));
    const bytes = front.reduce((sum, publication) => sum + cachedBytes(publication), 0);
    if (this.#itemBytes + bytes > HISTORY_CHANNEL_BYTES_MAX) return false;
    this.#items = [...front, ...this.#items.slice(this.#start)];
    this.#start = 0;
    this.#itemBytes += bytes;
    this.from = after;
    return true;
  }

  #setAside(publication: CachedPublication): void {
    const bytes = cachedBytes(publication);
    if (this.#asideBytes + bytes <= HISTORY_ASIDE_BYTES_MAX) {
      this.#aside.push(publication);
      this.#asideBytes += bytes;
    } else {
      this.#aside = [];
      this.#asideBytes = 0;
      this.#forgotten = Math.max(this.#forgotten, endOf(publication));
    }
  }

  /** The oldest go; the latest stays in any case. */
  #trim(): void {
    while (this.#itemBytes > HISTORY_CHANNEL_BYTES_MAX && this.#start < this.#items.length - 1) {
      const oldest = this.#items[this.#start++];
      this.#itemBytes -= cachedBytes(oldest);
      this.from = endOf(oldest);
    }
    // The front of the array is cleared now and then: each item is moved once on average.
    if (this.#start > this.#items.length / 2) {
      this.#items = this.#items.slice(this.#start);
      this.#start = 0;
    }
  }
}
