/**
 * Which connections are on which channels, in typed arrays. A subscription is a row:
 *
 *     hash table ──► channel: first row, name, hash          row: channel, next, previous   (doubly linked: the rows of
 *                             │                               ▲                              one channel)
 *                             └───────────────────────────────┤
 *                                                             ├── next row of the connection
 *     connection = its own row ───────────────────────────────┘   (singly linked, from the own row; it may be empty)
 *
 * The row with a connection's number is its own: its first subscription costs a connection nothing else. Further ones take
 * rows above, from a pool; only these need a column that says whose they are.
 *
 * A channel exists while somebody is on it. The table is open addressing with linear probing; an entry is the channel's
 * number + 1, and in the bits above that the same bits of its hash, so that who probes past it need not look it up. Removal shifts later entries back, so there are no tombstones. It doubles as it fills, by the hashes that are
 * kept, and never shrinks. The hash is keyed (HalfSipHash), since strangers choose the names.
 *
 * All other arrays have their final size from the start, and cost only the pages that are touched. Hence links hold row + 1 and
 * channel + 1, so that 0, which an untouched page reads as, means none; and a link that already has its value is not written:
 * a client alone on its channel never touches the pages of `next` and `previous`, nor one with a single channel those
 * of the connection's list. That is why idle clients cost less than the sum of the columns.
 */

import assert from 'node:assert/strict';
import { CHANNEL_NAME_BYTES_MAX } from '../limits.js';
import { halfSipHash } from '../link/half-sip-hash.js';
import { ByteCells, cellsFor } from './byte-cells.js';

/** No such channel or row. */
export const NONE = -1;

// Results of `add`.
/** No row is free. */
export const FULL = -1;
/** The connection was on that channel before. */
export const ALREADY = 0;
export const ADDED = 1;
/** … and is the first one there. */
export const ADDED_FIRST = 2;

/** One page of entries. */
const TABLE_ENTRIES_MIN = 1024;
/** Entries for each channel at the least: 2 probes on average for a name that is there, 5 for one that is not (Knuth 6.4). */
const TABLE_ROOM = 1.5;

/** For names as text: only within a call. */
const scratch = Buffer.alloc(CHANNEL_NAME_BYTES_MAX);

export class Subscriptions {
  readonly #connections: number;
  readonly #k0: number;
  readonly #k1: number;
  // For each row.
  readonly #channelOf: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #nextOfConnection: Int32Array;
  /** For each row that is not a connection's own, from 0. */
  readonly #connectionOf: Int32Array;
  /** Rows of the pool that were ever used, and the first free one of these + 1. */
  #highExtra = 0;
  #freeExtra = 0;
  // For each channel.
  readonly #first: Int32Array;
  readonly #name: Int32Array;
  readonly #hash: Int32Array;
  #highChannel = 0;
  #freeChannel = 0;
  // The hash table. In `#tagBits` an entry has the channel's hash, below them the channel + 1.
  #table = new Int32Array(TABLE_ENTRIES_MIN);
  #mask = TABLE_ENTRIES_MIN - 1;
  readonly #tagBits: number;
  readonly #names: ByteCells;

  /** Channels that somebody is on. */
  channels = 0;
  /** Subscriptions: pairs of a connection and a channel. */
  size = 0;

  /**
   * @param connections connection numbers are below this
   * @param extraRows subscriptions beyond the first of each connection, of all together
   * @param key two random 32-bit numbers for the hash
   */
  constructor(connections: number, extraRows: number, key: readonly [number, number]) {
    const rows = connections + extraRows;
    this.#connections = connections;
    [this.#k0, this.#k1] = key;
    this.#channelOf = new Int32Array(rows);
    this.#next = new Int32Array(rows);
    this.#previous = new Int32Array(rows);
    this.#nextOfConnection = new Int32Array(rows);
    this.#connectionOf = new Int32Array(extraRows);
    this.#first = new Int32Array(rows);
    this.#name = new Int32Array(rows);
    this.#hash = new Int32Array(rows);
    this.#tagBits = -1 << (32 - Math.clz32(rows));
    this.#names = new ByteCells(rows * cellsFor(CHANNEL_NAME_BYTES_MAX));
  }

  /** Bytes of the columns and the table, names apart: reserved, touched as they are used. */
  get columnBytes(): number {
    const ofRows = [this.#channelOf, this.#next, this.#previous, this.#nextOfConnection, this.#connectionOf];
    const ofChannels = [this.#first, this.#name, this.#hash, this.#table];
    return [...ofRows, ...ofChannels].reduce((sum, column) => sum + column.byteLength, 0);
  }

  /** Bytes of the names held, at the most that there ever were. */
  get nameBytes(): number {
    return this.#names.usedBytes;
  }

  // ── Channels ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The channel of that name, or NONE. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#lookUp(bytes, start, end, halfSipHash(bytes, start, end, this.#k0, this.#k1) | 0);
  }

  /** Copies a channel's name to `target` from `at`; returns its length. */
  copyName(channel: number, target: Uint8Array, at: number): number {
    return this.#names.copyTo(this.#name[channel], target, at);
  }

  /** A channel's name as text: for those who tell people of it. */
  nameOf(channel: number): string {
    return scratch.toString('utf8', 0, this.copyName(channel, scratch, 0));
  }

  /** The names of the channels that a connection is on. */
  *channelsOf(connection: number): Generator<string, void, undefined> {
    for (let row = this.firstRow(connection); row !== NONE; row = this.nextRow(row)) {
      yield this.nameOf(this.channelOf(row));
    }
  }

  /** Calls `visit` with every channel. */
  forEachChannel(visit: (channel: number) => void): void {
    for (let channel = 0; channel < this.#highChannel; channel++) {
      if (this.#name[channel] !== 0) visit(channel);
    }
  }

  /** The numbers of all channels are below this. */
  get channelsEnd(): number {
    return this.#highChannel;
  }

  /** Whether the number is that of a channel now. */
  isChannel(channel: number): boolean {
    return this.#name[channel] !== 0;
  }

  // ── Rows. A walk may remove the row that it is at, once it has asked for the following one. ────────────────────────

  /** The latest row of the channel. */
  first(channel: number): number {
    return this.#first[channel] - 1;
  }

  /** The row before it in time on the same channel, or NONE. */
  next(row: number): number {
    return this.#next[row] - 1;
  }

  /** A row of the connection, or NONE. */
  firstRow(connection: number): number {
    return this.#channelOf[connection] !== 0 ? connection : this.#nextOfConnection[connection] - 1;
  }

  /** Another row of the same connection, or NONE. */
  nextRow(row: number): number {
    return this.#nextOfConnection[row] - 1;
  }

  connectionOf(row: number): number {
    return row < this.#connections ? row : this.#connectionOf[row - this.#connections];
  }

  channelOf(row: number): number {
    return this.#channelOf[row] - 1;
  }

  /** Whether the connection is on the channel. Walks over the rows of the connection. */
  has(connection: number, channel: number): boolean {
    for (let row = this.firstRow(connection); row !== NONE; row = this.nextRow(row)) {
      if (this.#channelOf[row] === channel + 1) return true;
    }
    return false;
  }

  /** Rows of the channel, as far as `max`. Walks over them. */
  countUpTo(channel: number, max: number): number {
    let count = 0;
    for (let row = this.first(channel); row !== NONE && count < max; row = this.next(row)) count++;
    return count;
  }

  /** All rows that may be in use are below this. */
  get rowsEnd(): number {
    return this.#connections + this.#highExtra;
  }

  /** Adds the rows from `start` up to `end` to the counts of their channels, where these are asked for. */
  countRows(start: number, end: number, counts: Map<number, number>): void {
    const channelOf = this.#channelOf;
    for (let row = start; row < end; row++) {
      const channel = channelOf[row] - 1;
      const count = channel < 0 ? undefined : counts.get(channel);
      if (count !== undefined) counts.set(channel, count + 1);
    }
  }

  // ── Changes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Subscribes a connection to the channel of that name. Walks over the rows of the connection.
   *
   * @returns ADDED, ADDED_FIRST, ALREADY or FULL
   */
  add(connection: number, bytes: Uint8Array, start: number, end: number): number {
    const hash = halfSipHash(bytes, start, end, this.#k0, this.#k1) | 0;
    let channel = this.#lookUp(bytes, start, end, hash);
    if (channel !== NONE && this.has(connection, channel)) return ALREADY;
    const row = this.#channelOf[connection] === 0 ? connection : this.#takeExtra(connection);
    if (row === NONE) return FULL;
    const isFirst = channel === NONE;
    if (isFirst) channel = this.#createChannel(bytes, start, end, hash);
    // The latest comes first: the kernel's list of polls has the same order, and io_uring finds in it what is to be
    // cancelled at once when connections end in that order.
    const head = this.#first[channel];
    if (head !== 0) {
      this.#next[row] = head;
      this.#previous[head - 1] = row + 1;
    }
    this.#first[channel] = row + 1;
    this.#channelOf[row] = channel + 1;
    this.size++;
    return isFirst ? ADDED_FIRST : ADDED;
  }

  /**
   * Ends one subscription, which must exist.
   *
   * @returns true where it was the last one of the channel, whose number is dead with that
   */
  remove(connection: number, channel: number): boolean {
    assert(channel >= 0, 'a channel');
    let row = connection;
    if (this.#channelOf[connection] !== channel + 1) {
      let before = connection;
      for (row = this.#nextOfConnection[before] - 1; ; row = this.#nextOfConnection[before] - 1) {
        assert(row !== NONE, 'a connection that is on the channel');
        if (this.#channelOf[row] === channel + 1) break;
        before = row;
      }
      this.#nextOfConnection[before] = this.#nextOfConnection[row];
      this.#releaseExtra(row);
    }
    const isLast = this.#unlink(row);
    if (isLast) this.#deleteChannel(channel);
    return isLast;
  }

  /**
   * Ends all subscriptions of a connection, if it has any.
   *
   * @param lost is told of each channel that has nobody left, while its name can still be copied. It must change nothing here.
   */
  removeAll(connection: number, lost: (channel: number) => void): void {
    if (this.#channelOf[connection] !== 0) this.#removeRow(connection, lost);
    let row = this.#nextOfConnection[connection] - 1;
    if (row === NONE) return;
    this.#nextOfConnection[connection] = 0;
    do {
      const following = this.#nextOfConnection[row] - 1;
      this.#removeRow(row, lost);
      this.#releaseExtra(row);
      row = following;
    } while (row !== NONE);
  }

  #removeRow(row: number, lost: (channel: number) => void): void {
    const channel = this.#channelOf[row] - 1;
    if (!this.#unlink(row)) return;
    lost(channel);
    this.#deleteChannel(channel);
  }

  /** Takes a row out of its channel's list. @returns true where the list is empty now */
  #unlink(row: number): boolean {
    const channel = this.#channelOf[row] - 1;
    const next = this.#next[row];
    const previous = this.#previous[row];
    if (previous === 0) this.#first[channel] = next;
    else this.#next[previous - 1] = next;
    if (next !== 0) {
      this.#previous[next - 1] = previous;
      this.#next[row] = 0;
    }
    if (previous !== 0) this.#previous[row] = 0;
    this.#channelOf[row] = 0;
    this.size--;
    return this.#first[channel] === 0;
  }

  /** A row of the pool, in the connection's list behind its own; or NONE. */
  #takeExtra(connection: number): number {
    let row = this.#freeExtra - 1;
    if (row !== NONE) {
      this.#freeExtra = this.#nextOfConnection[row];
    } else {
      if (this.#highExtra === this.#connectionOf.length) return NONE;
      row = this.#connections + this.#highExtra++;
    }
    this.#connectionOf[row - this.#connections] = connection;
    this.#nextOfConnection[row] = this.#nextOfConnection[connection];
    this.#nextOfConnection[connection] = row + 1;
    return row;
  }

  #releaseExtra(row: number): void {
    this.#nextOfConnection[row] = this.#freeExtra;
    this.#freeExtra = row + 1;
  }

  // ── The hash table ─────────────────────────────────────────────────────────────────────────────────────────────────

  #lookUp(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const table = this.#table;
    const mask = this.#mask;
    const tagBits = this.#tagBits;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = table[at];
      if (entry === 0) return NONE;
      // Entries of other names are told apart here: their hashes lie all over memory.
      if (((entry ^ hash) & tagBits) !== 0) continue;
      const channel = this.#channelOfEntry(entry);
      if (this.#hash[channel] === hash && this.#names.equals(this.#name[channel], bytes, start, end)) return channel;
    }
  }

  #createChannel(bytes: Uint8Array, start: number, end: number, hash: number): number {
    let channel = this.#freeChannel - 1;
    if (channel >= 0) this.#freeChannel = this.#first[channel];
    else channel = this.#highChannel++;
    this.#first[channel] = 0;
    this.#hash[channel] = hash;
    this.#name[channel] = this.#names.store(bytes, start, end);
    this.channels++;
    if (this.channels * TABLE_ROOM > this.#table.length) this.#doubleTable();
    this.#enter(channel);
    return channel;
  }

  #enter(channel: number): void {
    const table = this.#table;
    const mask = this.#mask;
    let at = this.#hash[channel] & mask;
    while (table[at] !== 0) at = (at + 1) & mask;
    table[at] = this.#entryOf(channel);
  }

  #entryOf(channel: number): number {
    return (this.#hash[channel] & this.#tagBits) | (channel + 1);
  }

  #channelOfEntry(entry: number): number {
    return (entry & ~this.#tagBits) - 1;
  }

  /** In the order of the old table, so that the new one is written along two fronts and not all over. */
  #doubleTable(): void {
    const old = this.#table;
    this.#table = new Int32Array(old.length * 2);
    this.#mask = this.#table.length - 1;
    for (let at = 0; at < old.length; at++) {
      if (old[at] !== 0) this.#enter(this.#channelOfEntry(old[at]));
    }
  }

  #deleteChannel(channel: number): void {
    const table = this.#table;
    const mask = this.#mask;
    const entry = this.#entryOf(channel);
    let hole = this.#hash[channel] & mask;
    while (table[hole] !== entry) hole = (hole + 1) & mask;
    // Shift back each later entry of the run that may not stand after an empty place (Knuth 6.4, algorithm R).
    for (let at = (hole + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hash[this.#channelOfEntry(table[at])] & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table[hole] = table[at];
        hole = at;
      }
    }
    table[hole] = 0;
    this.#names.release(this.#name[channel]);
    this.#name[channel] = 0;
    this.#first[channel] = this.#freeChannel;
    this.#freeChannel = channel + 1;
    this.channels--;
  }
}
