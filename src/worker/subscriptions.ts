/**
 * Which connections wait on which channel, in typed arrays.
 *
 *     hash table ──► channel: first connection, name, hash        connection: channel, next, previous
 *                             │                                        ▲          (doubly linked through the
 *                             └────────────────────────────────────────┘           connections of one channel)
 *
 * A channel exists while a connection waits on it. The table is open addressing with linear probing; an entry is the
 * channel's number + 1. Removal shifts later entries back, so there are no tombstones and no rehash. The hash is keyed
 * (HalfSipHash), since strangers choose the names.
 *
 * Links hold connection + 1 and channel + 1, so that 0, which an untouched page reads as, means none; and a link that
 * already has its value is not written, so that a client with a channel of its own never touches the pages of `next` and
 * `previous`. That is why idle clients cost less than the sum of the columns.
 */

import assert from 'node:assert/strict';
import { CHANNEL_NAME_BYTES_MAX } from '../limits.js';
import { halfSipHash } from '../link/half-sip-hash.js';
import { ByteCells, cellsFor } from './byte-cells.js';

/** No such channel or connection. */
export const NONE = -1;

export class Subscriptions {
  readonly #k0: number;
  readonly #k1: number;
  // For each connection.
  readonly #channelOf: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  // For each channel.
  readonly #first: Int32Array;
  readonly #name: Int32Array;
  readonly #hash: Int32Array;
  #highChannel = 0;
  #freeChannel = 0;
  // The hash table.
  readonly #table: Int32Array;
  readonly #mask: number;
  readonly #names: ByteCells;

  /** Channels that have somebody waiting. */
  channels = 0;
  /** Connections that wait. */
  waiting = 0;

  /**
   * @param connections connection numbers are below this
   * @param key two random 32-bit numbers for the hash
   */
  constructor(connections: number, key: readonly [number, number]) {
    [this.#k0, this.#k1] = key;
    this.#channelOf = new Int32Array(connections);
    this.#next = new Int32Array(connections);
    this.#previous = new Int32Array(connections);
    this.#first = new Int32Array(connections);
    this.#name = new Int32Array(connections);
    this.#hash = new Int32Array(connections);
    const size = 2 ** Math.ceil(Math.log2(connections * 1.5));
    this.#table = new Int32Array(size);
    this.#mask = size - 1;
    this.#names = new ByteCells(connections * cellsFor(CHANNEL_NAME_BYTES_MAX));
  }

  /** Bytes of the columns and the table, names apart: reserved once, touched as they are used. */
  get columnBytes(): number {
    const columns = [this.#channelOf, this.#next, this.#previous, this.#first, this.#name, this.#hash, this.#table];
    return columns.reduce((sum, column) => sum + column.byteLength, 0);
  }

  /** Bytes of the names held, at the most that there ever were. */
  get nameBytes(): number {
    return this.#names.usedBytes;
  }

  /** The channel of that name, or NONE. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#lookUp(bytes, start, end, halfSipHash(bytes, start, end, this.#k0, this.#k1) | 0);
  }

  /**
   * Lets a connection, which waits on nothing yet, wait on the channel of that name.
   *
   * @returns true where it is the first one there
   */
  add(connection: number, bytes: Uint8Array, start: number, end: number): boolean {
    assert(this.#channelOf[connection] === 0, 'a connection waits on one channel');
    const hash = halfSipHash(bytes, start, end, this.#k0, this.#k1) | 0;
    let channel = this.#lookUp(bytes, start, end, hash);
    const isFirst = channel === NONE;
    if (isFirst) channel = this.#createChannel(bytes, start, end, hash);
    // The latest comes first: the kernel's list of polls has the same order, and io_uring finds in it what is to be
    // cancelled at once when connections end in that order.
    const head = this.#first[channel];
    if (head !== 0) {
      this.#next[connection] = head;
      this.#previous[head - 1] = connection + 1;
    }
    this.#first[channel] = connection + 1;
    this.#channelOf[connection] = channel + 1;
    this.waiting++;
    return isFirst;
  }

  /** The channel that a connection waits on, or NONE. */
  channelOf(connection: number): number {
    return this.#channelOf[connection] - 1;
  }

  /** A connection that waits on the channel. */
  first(channel: number): number {
    return this.#first[channel] - 1;
  }

  /** Another connection that waits on the same channel as `connection`, in list order, or NONE. */
  next(connection: number): number {
    return this.#next[connection] - 1;
  }

  /** Copies a channel's name to `target` from `at`; returns its length. */
  copyName(channel: number, target: Uint8Array, at: number): number {
    return this.#names.copyTo(this.#name[channel], target, at);
  }

  /**
   * Lets a connection wait no longer.
   *
   * @returns true where it was the last one; the channel's number is dead with that
   */
  remove(connection: number): boolean {
    const channel = this.#channelOf[connection] - 1;
    assert(channel >= 0, 'a connection that waits');
    const next = this.#next[connection];
    const previous = this.#previous[connection];
    if (previous === 0) this.#first[channel] = next;
    else this.#next[previous - 1] = next;
    if (next !== 0) {
      this.#previous[next - 1] = previous;
      this.#next[connection] = 0;
    }
    if (previous !== 0) this.#previous[connection] = 0;
    this.#channelOf[connection] = 0;
    this.waiting--;
    if (this.#first[channel] !== 0) return false;
    this.#deleteChannel(channel);
    return true;
  }

  /** Calls `visit` with every channel. */
  forEachChannel(visit: (channel: number) => void): void {
    for (let channel = 0; channel < this.#highChannel; channel++) {
      if (this.#name[channel] !== 0) visit(channel);
    }
  }

  #lookUp(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const table = this.#table;
    const mask = this.#mask;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = table[at];
      if (entry === 0) return NONE;
      const channel = entry - 1;
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
    const table = this.#table;
    const mask = this.#mask;
    let at = hash & mask;
    while (table[at] !== 0) at = (at + 1) & mask;
    table[at] = channel + 1;
    this.channels++;
    return channel;
  }

  #deleteChannel(channel: number): void {
    const table = this.#table;
    const mask = this.#mask;
    let hole = this.#hash[channel] & mask;
    while (table[hole] !== channel + 1) hole = (hole + 1) & mask;
    // Shift back each later entry of the run that may not stand after an empty place (Knuth 6.4, algorithm R).
    for (let at = (hole + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const home = this.#hash[table[at] - 1] & mask;
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
