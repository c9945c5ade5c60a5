/**
 * What the log retains: the order of the publications, on the node and on each channel, and the rules by which they go. Where
 * their data lies is the business of memory.ts and lmdb.ts, which share this.
 *
 * A publication is a row of numbers; rows are in the order of the sequences:
 *
 *     row             0      1      2      3      4      5
 *     sequence        12     13     14     15     16     17
 *     channel         a      -1     b      a      a      b       -1: dropped
 *     previous, next  ·3            ·5     04     3·     2·      neighbours on the channel, -1 (here ·) at its ends
 *
 * So the row of a sequence is found by bisection, the oldest of the node is the first live row, and each channel can be walked
 * both ways. Rows are added at the end. When the end of the columns is reached, all live rows are moved together into new columns
 * with half as much room again: constant work for each publication on average, some 20 ms at a million.
 *
 * Invariants: only the first row of a channel is ever dropped. `queued` of a channel is one of its rows, and so are all after it
 * in the queue. A channel without rows is in no table but {@link GapMarks}.
 *
 * Ages are differences of the steady clock, so that setting the wall clock neither drops nor prolongs anything.
 */

import assert from 'node:assert/strict';
import { PAGE_PUBLICATIONS_MAX } from '../limits.js';
import { ChannelTable } from './channel-table.js';
import type { GapMarks } from './gap-marks.js';
import type { Gap, LogCounters, Retention } from './log.js';
import { PublicationIds } from './publication-ids.js';
import { RetentionRules } from './retention.js';
import { RowHeap } from './row-heap.js';

/**
 * What `totalBytes` counts for a publication beside its data, and for a channel that retains any: a row with its room to grow and
 * the header of its data; the channel's columns, name and Map entry. retained.test.ts measures both.
 */
export const PUBLICATION_OVERHEAD_BYTES = 96;
export const CHANNEL_OVERHEAD_BYTES = 200;
const ROWS_MIN = 256;
/** Room after the columns were renewed, in parts of the live rows. */
const ROOM = 1.5;

/**
 * What becomes of the data of a dropped publication; `emptied` is the channel's name where this was all that it retained, else
 * null.
 */
export type Dropped = (sequence: number, place: number, length: number, emptied: string | null) => void;

export interface Selection {
  /** In the order of their sequences. Valid until the next `add`. */
  rows: number[];
  upTo: number;
  gaps: Gap[];
}

export class Retained {
  readonly ids = new PublicationIds();
  #rules: RetentionRules;
  #totalBytes: number;
  readonly #marks: GapMarks;
  readonly #dropped: Dropped;
  readonly #channels = new ChannelTable();
  #capacity = ROWS_MIN;
  #sequence = new Float64Array(ROWS_MIN);
  #bornMs = new Float64Array(ROWS_MIN);
  #place = new Float64Array(ROWS_MIN);
  #channel = new Int32Array(ROWS_MIN);
  #previous = new Int32Array(ROWS_MIN);
  #next = new Int32Array(ROWS_MIN);
  #length = new Uint32Array(ROWS_MIN);
  /** Rows below are dropped; rows from `#end` up are free. */
  #start = 0;
  #end = 0;
  /** For each class of limits, the first row that may be one of its and alive. */
  #oldest: Int32Array;
  #count = 0;
  #bytes = 0;
  #queued = 0;
  #expired = 0;
  #evicted = 0;

  /** @throws Error where two rules have the same pattern */
  constructor(retention: Retention, marks: GapMarks, dropped: Dropped) {
    this.#rules = new RetentionRules(retention);
    this.#totalBytes = retention.totalBytes;
    this.#marks = marks;
    this.#dropped = dropped;
    this.#oldest = new Int32Array(this.#rules.classes.length);
  }

  get counters(): LogCounters {
    return {
      publications: this.#count,
      bytes: this.#bytes,
      channels: this.#channels.size,
      queued: this.#queued,
      expired: this.#expired,
      evicted: this.#evicted,
    };
  }

  /** See Log.queued. */
  get queued(): number {
    return this.#queued;
  }

  /** The newest sequence of the channel, retained or lost; what its next publication follows. */
  lastOf(channel: string): number {
    const number = this.#channels.find(channel);
    return number === undefined ? this.#marks.get(channel) : this.#sequence[this.#channels.last[number]!]!;
  }

  /**
   * Adds a publication. {@link limit} is to follow when all of a batch are in.
   *
   * @param sequence above all others
   * @param bornMs of the steady clock
   * @param place for the caller to find its data
   * @param lost the highest sequence that the channel has lost, where the caller knows better than the marks; counts only for
   *   the first row of a channel
   * @returns the channel's number
   */
  add(sequence: number, channel: string, length: number, bornMs: number, place: number, lost?: number): number {
    if (this.#end === this.#capacity) this.#renew();
    const channels = this.#channels;
    const number =
      channels.find(channel) ??
      channels.add(channel, lost ?? this.#marks.get(channel), this.#rules.resolve(channel).number);
    const row = this.#end++;
    const previous = channels.last[number]!;
    this.#sequence[row] = sequence;
    this.#bornMs[row] = bornMs;
    this.#place[row] = place;
    this.#channel[row] = number;
    this.#previous[row] = previous;
    this.#next[row] = -1;
    this.#length[row] = length;
    if (previous === -1) channels.first[number] = row;
    else this.#next[previous] = row;
    channels.last[number] = row;
    if (channels.queued[number] === -1) channels.queued[number] = row;
    channels.count[number]!++;
    channels.bytes[number]! += length;
    this.#count++;
    this.#queued++;
    this.#bytes += length;
    return number;
  }

  /** Drops what is too much on one channel. Its newest publication stays. */
  limitChannel(number: number): void {
    const { count, bytes, first, limits } = this.#channels;
    const most = this.#rules.classes[limits[number]!]!;
    while (count[number]! > 1 && (count[number]! > most.messages || bytes[number]! > most.bytes)) {
      this.#evict(first[number]!);
    }
  }

  /** Drops what is too much anywhere. */
  limitAll(): void {
    for (let number = 0; number < this.#channels.end; number++) {
      if (this.#channels.isUsed(number)) this.limitChannel(number);
    }
    this.limitTotal();
  }

  /** Drops what is too much for all channels together. The node's newest publication stays. */
  limitTotal(): void {
    while (this.#count > 1 && this.#cost > this.#totalBytes) {
      while (this.#channel[this.#start] === -1) this.#start++;
      this.#evict(this.#start);
    }
  }

  /** See Log.setRetention. */
  setRetention(retention: Retention): void {
    this.#rules = new RetentionRules(retention);
    this.#totalBytes = retention.totalBytes;
    this.#oldest = new Int32Array(this.#rules.classes.length);
    const { limits, end } = this.#channels;
    for (let number = 0; number < end; number++) {
      if (this.#channels.isUsed(number)) limits[number] = this.#rules.resolve(this.#channels.name(number)).number;
    }
    this.limitAll();
  }

  /** Drops what has reached its age, at most `most` publications. */
  expire(nowMs: number, most: number): void {
    const { limits } = this.#channels;
    for (const { number, seconds } of this.#rules.classes) {
      const before = nowMs - seconds * 1000;
      let row = Math.max(this.#oldest[number]!, this.#start);
      for (; row < this.#end && most > 0; row++) {
        const channel = this.#channel[row]!;
        if (channel === -1 || limits[channel] !== number) continue;
        if (this.#bornMs[row]! > before) break;
        this.#drop(row);
        this.#expired++;
        most--;
      }
      this.#oldest[number] = row;
    }
    while (this.#start < this.#end && this.#channel[this.#start] === -1) this.#start++;
    if (this.#capacity > ROWS_MIN && this.#count < this.#capacity / 4) this.#renew();
  }

  /** Drops all of a channel. */
  forget(channel: string): void {
    for (let row: number | undefined; (row = this.#firstRow(channel)) !== undefined; ) this.#evict(row);
  }

  /** What channels that retain something have lost, as far as it is known. */
  *losses(): Generator<[sequence: number, channel: string]> {
    const { lost, end } = this.#channels;
    for (let number = 0; number < end; number++) {
      if (this.#channels.isUsed(number) && lost[number]! > this.#marks.floor) {
        yield [lost[number]!, this.#channels.name(number)];
      }
    }
  }

  /** True where something of the channel is retained. */
  has(channel: string): boolean {
    return this.#channels.find(channel) !== undefined;
  }

  /** See Log.hasNews. */
  hasNews(channel: string, after: number): boolean {
    const number = this.#channels.find(channel);
    if (number === undefined) return this.#marks.isAbove(channel, after);
    return this.#sequence[this.#channels.last[number]!]! > after || this.#channels.lost[number]! > after;
  }

  /** The rows and gaps of a page; see Log.read. */
  select(
    channels: readonly string[],
    after: number,
    last: number,
    bytes: number,
    publications = PAGE_PUBLICATIONS_MAX,
  ): Selection {
    const rowsMax = Math.min(publications, PAGE_PUBLICATIONS_MAX);
    const bound = this.#rowAfter(after);
    const heap = new RowHeap();
    const gaps: Gap[] = [];
    for (const channel of channels) {
      const number = this.#channels.find(channel);
      const sequence = number === undefined ? this.#marks.get(channel) : this.#channels.lost[number]!;
      if (sequence > after) gaps.push({ channel, sequence });
      const row = number === undefined ? -1 : this.#firstFrom(number, bound);
      if (row !== -1) heap.add(row);
    }
    heap.order();
    const rows: number[] = [];
    let total = 0;
    for (let row = heap.top; row !== -1; row = heap.top) {
      total += this.#length[row]!;
      if (rows.length > 0 && (total > bytes || rows.length >= rowsMax)) break;
      rows.push(row);
      heap.replaceTop(this.#next[row]!);
    }
    const upTo = heap.top === -1 ? last : this.#sequence[rows.at(-1)!]!;
    return { rows, upTo, gaps };
  }

  /** The row of the oldest publication that the classic queue owes, or -1. */
  queuedRow(channel: string): number {
    const number = this.#channels.find(channel);
    return number === undefined ? -1 : this.#channels.queued[number]!;
  }

  /** See Log.consumed. True when something has left the queue. */
  consumed(channel: string, sequence: number): boolean {
    const number = this.#channels.find(channel);
    if (number === undefined) return false;
    const before = this.#channels.queued[number]!;
    let row = before;
    for (; row !== -1 && this.#sequence[row]! <= sequence; row = this.#next[row]!) this.#queued--;
    this.#channels.queued[number] = row;
    return row !== before;
  }

  sequenceAt(row: number): number {
    return this.#sequence[row]!;
  }

  channelAt(row: number): string {
    return this.#channels.name(this.#channel[row]!);
  }

  placeAt(row: number): number {
    return this.#place[row]!;
  }

  /** The data has been moved. */
  move(row: number, place: number): void {
    this.#place[row] = place;
  }

  /** The row of a sequence, or -1 where it is not retained. */
  rowOf(sequence: number): number {
    const row = this.#rowAfter(sequence - 1);
    return row < this.#end && this.#sequence[row] === sequence && this.#channel[row] !== -1 ? row : -1;
  }

  /** The first row, live or not, with a sequence above `after`. */
  #rowAfter(after: number): number {
    let low = this.#start;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sequence[middle]! > after) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #firstRow(channel: string): number | undefined {
    const number = this.#channels.find(channel);
    return number === undefined ? undefined : this.#channels.first[number];
  }

  /** The channel's first row from `bound` up, or -1: walks from the end that is nearer. */
  #firstFrom(number: number, bound: number): number {
    const first = this.#channels.first[number]!;
    const last = this.#channels.last[number]!;
    if (last < bound) return -1;
    let row: number;
    if (bound - first < last - bound) {
      for (row = first; row < bound; ) row = this.#next[row]!;
      return row;
    }
    for (row = last; this.#previous[row]! >= bound; ) row = this.#previous[row]!;
    return row;
  }

  get #cost(): number {
    return this.#bytes + this.#count * PUBLICATION_OVERHEAD_BYTES + this.#channels.size * CHANNEL_OVERHEAD_BYTES;
  }

  #evict(row: number): void {
    this.#drop(row);
    this.#evicted++;
  }

  #drop(row: number): void {
    const channels = this.#channels;
    const number = this.#channel[row]!;
    assert(channels.first[number] === row);
    const sequence = this.#sequence[row]!;
    const length = this.#length[row]!;
    const next = this.#next[row]!;
    this.#channel[row] = -1;
    this.#count--;
    this.#bytes -= length;
    this.ids.delete(sequence);
    if (channels.queued[number] === row) {
      channels.queued[number] = next;
      this.#queued--;
    }
    let emptied: string | null = null;
    if (next === -1) {
      emptied = channels.name(number);
      this.#marks.set(emptied, sequence);
      channels.delete(number);
    } else {
      this.#previous[next] = -1;
      channels.first[number] = next;
      channels.count[number]!--;
      channels.bytes[number]! -= length;
      channels.lost[number] = sequence;
    }
    this.#dropped(sequence, this.#place[row]!, length, emptied);
  }

  /** Moves the live rows together into new columns. */
  #renew(): void {
    const capacity = Math.max(ROWS_MIN, Math.ceil(this.#count * ROOM));
    const moved = new Int32Array(this.#end + 1);
    let live = 0;
    for (let row = 0; row < this.#end; row++) {
      moved[row] = live;
      if (this.#channel[row] !== -1) live++;
    }
    moved[this.#end] = live;
    const keep = <T extends Float64Array | Int32Array | Uint32Array>(from: T, to: T): T => {
      for (let row = 0; row < this.#end; row++) if (this.#channel[row] !== -1) to[moved[row]!] = from[row]!;
      return to;
    };
    const relink = (links: Int32Array, end: number) => {
      for (let i = 0; i < end; i++) if (links[i] !== -1) links[i] = moved[links[i]!]!;
    };
    this.#sequence = keep(this.#sequence, new Float64Array(capacity));
    this.#bornMs = keep(this.#bornMs, new Float64Array(capacity));
    this.#place = keep(this.#place, new Float64Array(capacity));
    this.#previous = keep(this.#previous, new Int32Array(capacity));
    this.#next = keep(this.#next, new Int32Array(capacity));
    this.#length = keep(this.#length, new Uint32Array(capacity));
    this.#channel = keep(this.#channel, new Int32Array(capacity));
    relink(this.#previous, live);
    relink(this.#next, live);
    relink(this.#oldest, this.#oldest.length);
    const { first, last, queued, end } = this.#channels;
    for (const links of [first, last, queued]) relink(links, end);
    this.#capacity = capacity;
    this.#start = 0;
    this.#end = live;
  }
}
