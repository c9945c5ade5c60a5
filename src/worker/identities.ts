/**
 * Who the clients are that came with a token: subject, rights, and until when. A connection without a token has nothing here, and
 * nothing of it is touched while nobody has one.
 *
 *     place      Int32Array    by connection: its row here plus one; 0 for none
 *     connection Int32Array ┐
 *     expiresAt  Float64Array  by row; rows are dense, so that a sweep meets nobody else. A row that ends is taken by the last
 *     text       Int32Array    one, and the columns grow by doubling
 *     lengths    Uint16Array┘
 *
 * A text (long-texts.ts) is the subject, and behind it the rights as JSON.
 */

import { ChannelPatterns } from '../channel-pattern.js';
import { EXPIRIES_PER_SWEEP_MAX, EXPIRY_ROUND_MS, IDENTITY_CELLS } from '../limits.js';
import type { Grant } from '../tokens/grant.js';
import { LongTexts } from './long-texts.js';

/** Told of listening connections whose token has a subject. */
export interface IdentityEvents {
  /** A client is there: before it is on any channel. */
  began(connection: number, subject: string): void;
  /** It has gone, or asks again: it is still on its channels. */
  ended(connection: number, subject: string): void;
}

interface Rights {
  readonly subscribe: ChannelPatterns;
  readonly publish: ChannelPatterns;
}

const ROWS_FIRST = 64;
/** In `lengths`: of the subject, and of the whole text. */
const LENGTHS = 2;

export class Identities {
  readonly #listeners: IdentityEvents[] = [];
  /** Connections that came with a token. */
  size = 0;
  readonly #place: Int32Array;
  #connection = new Int32Array(ROWS_FIRST);
  #expiresAt = new Float64Array(ROWS_FIRST);
  #text = new Int32Array(ROWS_FIRST);
  #lengths = new Uint16Array(ROWS_FIRST * LENGTHS);
  readonly #texts: LongTexts;
  /** Rights that were read last, and whose: a client that publishes does so again. */
  #rights: Rights | null = null;
  #rightsOf = 0;
  /** The sweep's last row, how many there were when its round began, and when it was there. */
  #sweptRow = 0;
  #roundRows = 0;
  #sweptMs = Number.NaN;

  /** @param capacity connections are below this */
  constructor(capacity: number) {
    this.#place = new Int32Array(capacity);
    this.#texts = new LongTexts(capacity * IDENTITY_CELLS);
  }

  /** `events` hears of every client from now on. */
  listen(events: IdentityEvents): void {
    this.#listeners.push(events);
  }

  /** Bytes of the column that has all connections, and of those that have a row for each that came with a token. */
  get columnBytes(): { place: number; rows: number } {
    const rows = [this.#connection, this.#expiresAt, this.#text, this.#lengths];
    return { place: this.#place.byteLength, rows: rows.reduce((sum, { byteLength }) => sum + byteLength, 0) };
  }

  /** Bytes of texts that were ever in use. */
  get textBytes(): number {
    return this.#texts.usedBytes;
  }

  /**
   * A connection listens, with this grant, before it is put on any channel.
   *
   * @returns false where there is no room for it
   */
  begin(connection: number, grant: Grant): boolean {
    if (this.size === this.#connection.length) this.#grow();
    const row = this.size;
    if (!this.#write(row, grant)) return false;
    this.size++;
    this.#place[connection] = row + 1;
    this.#connection[row] = connection;
    this.#began(connection, grant);
    return true;
  }

  /** A connection ends or asks anew, still on its channels. Without a token it is none of ours. */
  end(connection: number): void {
    if (this.size === 0 || this.#place[connection] === 0) return;
    const subject = this.#listeners.length === 0 ? null : this.subjectOf(connection);
    if (subject !== null) for (const events of this.#listeners) events.ended(connection, subject);
    this.#forget(connection);
  }

  /**
   * A connection has a new token: the same client goes on with other rights. One that had none begins.
   *
   * @returns false where there is no room for it: the connection goes on as it was
   */
  renew(connection: number, grant: Grant): boolean {
    if (this.#place[connection] === 0) return this.begin(connection, grant);
    const before = this.subjectOf(connection);
    const row = this.#place[connection] - 1;
    const text = this.#text[row];
    const length = this.#lengths[row * LENGTHS + 1];
    if (!this.#write(row, grant)) return false;
    this.#texts.release(text, length);
    if (before === null) this.#began(connection, grant);
    return true;
  }

  /** Whether it came with a token, with a subject or not. */
  has(connection: number): boolean {
    return this.size > 0 && this.#place[connection] !== 0;
  }

  /** Whose connection it is; null where nobody has said. */
  subjectOf(connection: number): string | null {
    if (!this.has(connection)) return null;
    const row = this.#place[connection] - 1;
    const subjectBytes = this.#lengths[row * LENGTHS];
    if (subjectBytes === 0) return null;
    return this.#texts.read(this.#text[row], this.#lengths[row * LENGTHS + 1]).toString('utf8', 0, subjectBytes);
  }

  /** Milliseconds since 1970; Infinity where it has no token, or one that does not expire. */
  expiresAtMs(connection: number): number {
    return this.has(connection) ? this.#expiresAt[this.#place[connection] - 1] : Number.POSITIVE_INFINITY;
  }

  /** Whether its own token lets a connection publish on a channel. */
  mayPublish(connection: number, channel: string): boolean {
    return this.has(connection) && this.#rightsOfConnection(connection).publish.has(channel);
  }

  /** Whether its own token lets a connection subscribe to a channel. */
  maySubscribe(connection: number, channel: string): boolean {
    return this.has(connection) && this.#rightsOfConnection(connection).subscribe.has(channel);
  }

  /**
   * The connection of a row, 0 <= row < size: for walks over all that are here, in parts if need be. Rows move when others end: one
   * that begins at the last and ends at the first misses nobody who stays, and may meet some twice.
   */
  connectionAt(row: number): number {
    return this.#connection[row];
  }

  /**
   * Goes round all rows once in EXPIRY_ROUND_MS, with as many as fall into the time since the last call, and calls `expired` for
   * each whose token has; `expired` ends the connection, or gives it a new one.
   *
   * @param nowMs milliseconds since 1970
   */
  sweep(nowMs: number, expired: (connection: number) => void): void {
    if (Number.isNaN(this.#sweptMs) || nowMs < this.#sweptMs) this.#sweptMs = nowMs;
    const share = Math.min(1, (nowMs - this.#sweptMs) / EXPIRY_ROUND_MS);
    this.#sweptMs = nowMs;
    // Of those at the round's beginning: the faster they end, the fewer are left to be met.
    const rows = Math.ceil(share * Math.max(this.#roundRows, this.size));
    let ended = 0;
    for (let i = 0; i < rows && this.size > 0; i++) {
      // Downwards: the row that takes an ended one's place was met before.
      if (this.#sweptRow === 0 || this.#sweptRow > this.size) this.#sweptRow = this.#roundRows = this.size;
      const row = --this.#sweptRow;
      if (this.#expiresAt[row] > nowMs) continue;
      expired(this.#connection[row]);
      if (++ended === EXPIRIES_PER_SWEEP_MAX) return;
    }
  }

  #began(connection: number, { subject }: Grant): void {
    if (subject !== null) for (const events of this.#listeners) events.began(connection, subject);
  }

  /** @returns false where there is no room */
  #write(row: number, { subject, expiresAtMs, subscribe, publish }: Grant): boolean {
    const name = Buffer.from(subject ?? '');
    const text = Buffer.concat([name, Buffer.from(JSON.stringify([subscribe, publish]))]);
    const reference = this.#texts.store(text);
    if (reference === 0) return false;
    this.#rights = null;
    this.#expiresAt[row] = expiresAtMs;
    this.#text[row] = reference;
    this.#lengths[row * LENGTHS] = name.length;
    this.#lengths[row * LENGTHS + 1] = text.length;
    return true;
  }

  #rightsOfConnection(connection: number): Rights {
    const row = this.#place[connection] - 1;
    const reference = this.#text[row];
    if (this.#rights !== null && this.#rightsOf === reference) return this.#rights;
    const text = this.#texts.read(reference, this.#lengths[row * LENGTHS + 1]);
    const [subscribe, publish] = JSON.parse(text.toString('utf8', this.#lengths[row * LENGTHS])) as [
      string[],
      string[],
    ];
    this.#rights = { subscribe: new ChannelPatterns(subscribe), publish: new ChannelPatterns(publish) };
    this.#rightsOf = reference;
    return this.#rights;
  }

  #forget(connection: number): void {
    const row = this.#place[connection] - 1;
    const last = --this.size;
    this.#texts.release(this.#text[row], this.#lengths[row * LENGTHS + 1]);
    this.#rights = null;
    this.#place[connection] = 0;
    if (row === last) return;
    this.#connection[row] = this.#connection[last];
    this.#expiresAt[row] = this.#expiresAt[last];
    this.#text[row] = this.#text[last];
    this.#lengths.copyWithin(row * LENGTHS, last * LENGTHS, (last + 1) * LENGTHS);
    this.#place[this.#connection[row]] = row + 1;
  }

  #grow(): void {
    const rows = 2 * this.#connection.length;
    this.#connection = enlarged(this.#connection, new Int32Array(rows));
    this.#expiresAt = enlarged(this.#expiresAt, new Float64Array(rows));
    this.#text = enlarged(this.#text, new Int32Array(rows));
    this.#lengths = enlarged(this.#lengths, new Uint16Array(rows * LENGTHS));
  }
}

function enlarged<T extends Int32Array | Float64Array | Uint16Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
