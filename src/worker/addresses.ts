/**
 * The addresses that a worker's clients come from: each is a number while somebody is here from it, with a count of its connections,
 * and a measure of its failures that decays, which is remembered for a while when all have gone.
 *
 * An address is an IPv4 address whole, or the first 64 bits of an IPv6 address: whoever has one of these has all of a network, and
 * could take another for each connection (RFC 6177 section 2). `::ffff:192.0.2.1`, as proxies that listen to both say it, is IPv4 (RFC
 * 4291 section 2.5.5.2): all of these have the same first 64 bits.
 *
 * Connections of one address may be on several workers. One that has many here is reported to the manager, who tells what the others have:
 * so each worker knows the sum, a moment later. An address of which others have some is reported whatever it has here.
 *
 * Columns of numbers, and a hash table under a secret key, since strangers choose their addresses: ADDRESS_BYTES for each, and nothing
 * before the first one comes. There is an address for every connection that the worker can hold, and REMEMBERED_ADDRESSES_MAX more.
 */

import { randomBytes } from 'node:crypto';
import { REMEMBERED_ADDRESSES_MAX } from '../limits.js';
import { halfSipHash } from '../link/half-sip-hash.js';
import { AF_INET, AF_INET6 } from '../linux/constants.js';
import { addressFamily } from '../linux/socket-address.js';

/** Of a connection whose address is not known, or not looked at. */
export const NO_ADDRESS = 0;

/** The first half of an IPv4 address as a key: of the network ff00::/8, which is multicast and where nobody comes from. */
const IPV4 = 0xffff_ffff;
/** Failures count half after so long. */
const FAILURES_HALVE_MS = 30_000;
/** What is less is forgotten. */
const FAILURES_MIN = 0.5;
/** Addresses that one look for forgotten ones goes over. */
const EXPIRE_ROWS = 4096;

export class Addresses {
  readonly #capacity: number;
  readonly #k0: number;
  readonly #k1: number;
  /** By connection: its address. */
  readonly #of: Int32Array;
  // By address.
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  readonly #count: Uint32Array;
  readonly #failures: Float32Array;
  /** When they had that value, in ms since `#startMs`. */
  readonly #failedMs: Uint32Array;
  /** What other workers have. */
  readonly #elsewhere: Uint32Array;
  /** 1: the manager knows of some here. */
  readonly #reported: Uint8Array;
  /** The next one in its chain of the hash table, or in the list of the free. */
  readonly #next: Int32Array;
  readonly #heads: Int32Array;
  readonly #scratch = new Uint8Array(8);
  readonly #words = new Uint32Array(this.#scratch.buffer);
  #free = NO_ADDRESS;
  /** Addresses from here on were never used. */
  #fresh = 1;
  #startMs = Number.NaN;
  /** Without connections, but with failures, or connections elsewhere. */
  #remembered = 0;
  /** Connections from which on an address is reported; 0: none is. */
  #reportFrom = 0;
  /** What the manager is to be told, by key. */
  #changes = new Map<string, number>();
  #expireAt = 1;

  /** @param capacity connections are below this */
  constructor(capacity: number, key = randomBytes(8)) {
    // Number 0 is none; and a connection has two for a moment, when it goes from one to another.
    const rows = capacity + REMEMBERED_ADDRESSES_MAX + 2;
    this.#capacity = rows;
    this.#k0 = key.readInt32LE(0);
    this.#k1 = key.readInt32LE(4);
    this.#of = new Int32Array(capacity);
    this.#high = new Uint32Array(rows);
    this.#low = new Uint32Array(rows);
    this.#count = new Uint32Array(rows);
    this.#failures = new Float32Array(rows);
    this.#failedMs = new Uint32Array(rows);
    this.#elsewhere = new Uint32Array(rows);
    this.#reported = new Uint8Array(rows);
    this.#next = new Int32Array(rows);
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(rows)));
  }

  /** The address of a connection, or NO_ADDRESS. */
  of(connection: number): number {
    return this.#of[connection];
  }

  /** Connections that the address has here. */
  count(address: number): number {
    return this.#count[address];
  }

  /** … and on all workers, as far as is known. */
  total(address: number): number {
    return this.#count[address] + this.#elsewhere[address];
  }

  /** Addresses that have connections, or are remembered. */
  get size(): number {
    let free = 0;
    for (let row = this.#free; row !== NO_ADDRESS; row = this.#next[row]) free++;
    return this.#fresh - 1 - free;
  }

  /**
   * A connection is of this address from now on, and no longer of another.
   *
   * @param socketAddress struct sockaddr (src/linux/socket-address.ts)
   * @returns the address; NO_ADDRESS where it is none of IPv4 or IPv6
   */
  enter(connection: number, socketAddress: Uint8Array): number {
    const address = this.#find(socketAddress);
    if (address === this.#of[connection]) return address;
    if (this.#of[connection] !== NO_ADDRESS) this.leave(connection);
    if (address === NO_ADDRESS) return NO_ADDRESS;
    if (this.#count[address] === 0 && this.#isKept(address)) this.#remembered--;
    this.#of[connection] = address;
    this.#count[address]++;
    this.#changed(address);
    return address;
  }

  /** A connection is of no address any more. May be called again. */
  leave(connection: number): void {
    const address = this.#of[connection];
    if (address === NO_ADDRESS) return;
    this.#of[connection] = NO_ADDRESS;
    this.#count[address]--;
    this.#changed(address);
    if (this.#count[address] > 0) return;
    if (this.#isKept(address) && this.#remembered < REMEMBERED_ADDRESSES_MAX) this.#remembered++;
    else this.#release(address);
  }

  #isKept(address: number): boolean {
    return this.#failures[address] > 0 || this.#elsewhere[address] > 0;
  }

  // ── Other workers ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Addresses with so many connections here, or with some elsewhere, are reported from now on; 0: none. */
  set reportFrom(connections: number) {
    if (connections === this.#reportFrom) return;
    this.#reportFrom = connections;
    this.reportAll();
  }

  /** What the others have is not known any more, and the manager knows nothing: it is told of all anew. */
  reportAll(): void {
    this.#changes.clear();
    for (let address = 1; address < this.#fresh; address++) {
      this.#reported[address] = 0;
      const elsewhere = this.#elsewhere[address];
      this.#elsewhere[address] = 0;
      if (this.#count[address] > 0) this.#changed(address);
      else if (elsewhere > 0) this.#forgetIdle(address);
    }
  }

  /** What the manager is to be told since the last call: key of the address, and connections here. Null: nothing. */
  takeChanges(): [key: string, connections: number][] | null {
    if (this.#changes.size === 0) return null;
    const changes = [...this.#changes];
    this.#changes.clear();
    return changes;
  }

  /** Other workers have so many connections of the address. */
  setElsewhere(key: string, connections: number): void {
    this.#words[0] = Number.parseInt(key.slice(0, 8), 16);
    this.#words[1] = Number.parseInt(key.slice(8), 16);
    let address = this.#lookUp();
    if (address === NO_ADDRESS) {
      if (connections === 0 || this.#remembered >= REMEMBERED_ADDRESSES_MAX) return;
      address = this.#insert();
    }
    const idle = this.#count[address] === 0;
    const kept = this.#isKept(address);
    this.#elsewhere[address] = connections;
    if (!idle) this.#changed(address);
    else if (!kept) this.#remembered++;
    else if (connections === 0) this.#forgetIdle(address);
  }

  /** A remembered one has nothing elsewhere any more. */
  #forgetIdle(address: number): void {
    if (this.#failures[address] > 0) return;
    this.#remembered--;
    this.#release(address);
  }

  #changed(address: number): void {
    if (this.#reportFrom === 0) return;
    const count = this.#count[address];
    if (this.#reported[address] === 0 && this.#elsewhere[address] === 0 && count < this.#reportFrom) return;
    this.#reported[address] = count > 0 ? 1 : 0;
    this.#changes.set(hex(this.#high[address]) + hex(this.#low[address]), count);
  }

  // ── Failures ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Something that was tried from the address has failed. @param address one that has connections, or NO_ADDRESS */
  failed(address: number, nowMs: number): void {
    if (address === NO_ADDRESS) return;
    this.#failures[address] = this.failures(address, nowMs) + 1;
    this.#failedMs[address] = nowMs - this.#startMs;
  }

  /** How often something failed lately: the number of failures, each of which counts half after 30 s. */
  failures(address: number, nowMs: number): number {
    if (Number.isNaN(this.#startMs)) this.#startMs = nowMs;
    const value = this.#failures[address];
    if (value === 0) return 0;
    // The column holds 49 days and begins anew then: what is older than that was forgotten long ago.
    const sinceMs = (nowMs - this.#startMs - this.#failedMs[address]) >>> 0;
    return value * 2 ** (-sinceMs / FAILURES_HALVE_MS);
  }

  /** Called now and then: forgets old failures. */
  expire(nowMs: number): void {
    const rows = Math.min(EXPIRE_ROWS, this.#fresh - 1);
    for (let i = 0; i < rows; i++) {
      const address = this.#expireAt;
      this.#expireAt = address + 1 < this.#fresh ? address + 1 : 1;
      if (this.#failures[address] === 0 || this.failures(address, nowMs) >= FAILURES_MIN) continue;
      this.#failures[address] = 0;
      if (this.#count[address] > 0 || this.#elsewhere[address] > 0) continue;
      this.#remembered--;
      this.#release(address);
    }
  }

  // ── The table ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The number of an address, which may be a new one. */
  #find(bytes: Uint8Array): number {
    const words = this.#words;
    const family = addressFamily(bytes);
    if (family === AF_INET) {
      words[0] = IPV4;
      words[1] = word(bytes, 4);
    } else if (family === AF_INET6 && isMapped(bytes)) {
      words[0] = IPV4;
      words[1] = word(bytes, 20);
    } else if (family === AF_INET6) {
      words[0] = word(bytes, 8);
      words[1] = word(bytes, 12);
    } else {
      return NO_ADDRESS;
    }
    const known = this.#lookUp();
    return known === NO_ADDRESS ? this.#insert() : known;
  }

  /** The number of the address in `#words`, or NO_ADDRESS. */
  #lookUp(): number {
    const [high, low] = this.#words;
    for (let row = this.#heads[this.#slot()]; row !== NO_ADDRESS; row = this.#next[row]) {
      if (this.#high[row] === high && this.#low[row] === low) return row;
    }
    return NO_ADDRESS;
  }

  /** A number for the address in `#words`, which has none. */
  #insert(): number {
    const slot = this.#slot();
    const row = this.#allocate();
    [this.#high[row], this.#low[row]] = this.#words;
    this.#next[row] = this.#heads[slot];
    this.#heads[slot] = row;
    return row;
  }

  /** Where the address in `#words` is in the hash table. */
  #slot(): number {
    return halfSipHash(this.#scratch, 0, 8, this.#k0, this.#k1) & (this.#heads.length - 1);
  }

  /** There is always one: at most so many are remembered, and the others have a connection each. */
  #allocate(): number {
    const row = this.#free;
    if (row !== NO_ADDRESS) {
      this.#free = this.#next[row];
      return row;
    }
    if (this.#fresh === this.#capacity) throw new RangeError('more addresses than connections: a bug');
    return this.#fresh++;
  }

  #release(row: number): void {
    this.#words[0] = this.#high[row];
    this.#words[1] = this.#low[row];
    const slot = this.#slot();
    let before = NO_ADDRESS;
    for (let at = this.#heads[slot]; at !== row; at = this.#next[at]) before = at;
    if (before === NO_ADDRESS) this.#heads[slot] = this.#next[row];
    else this.#next[before] = this.#next[row];
    this.#failures[row] = 0;
    this.#elsewhere[row] = 0;
    this.#reported[row] = 0;
    this.#next[row] = this.#free;
    this.#free = row;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

/** Whether a struct sockaddr_in6 has an IPv4 address, in its last four bytes. */
function isMapped(bytes: Uint8Array): boolean {
  for (let at = 8; at < 18; at++) if (bytes[at] !== 0) return false;
  return bytes[18] === 0xff && bytes[19] === 0xff;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
