/**
 * What the clients that came with a token did lately: when they asked for which channels, from where, and when and why they left. For
 * whoever asks why a client did or did not get a publication (trace.ts). Others leave no trail, and cost nothing here.
 *
 * A ring of ENTRIES_MAX entries of some 300 bytes, 2.5 MB at most; a long-poll makes two for each answer.
 */

import type { Identities } from './identities.js';

export const ENTRIES_MAX = 1 << 13;
/** Channels that an entry names. */
export const CHANNELS_MAX = 8;

/** Why a connection left; or the code of the advice with which it was ended. */
export type LeaveReason = 'answered' | 'slow_consumer' | 'closed' | (string & {});

interface Common {
  readonly client: string;
  readonly connection: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** The worker's position then. */
  readonly position: number;
}

/** A connection asks for channels. */
export interface Asked extends Common {
  readonly kind: 'asked';
  /** The first CHANNELS_MAX of them … */
  readonly channels: readonly string[];
  /** … of so many. */
  readonly count: number;
  /** It wants what comes after this sequence; null: what is published from now on. */
  readonly after: number | null;
}

/** A WebSocket unsubscribes from a channel. */
export interface Dropped extends Common {
  readonly kind: 'dropped';
  readonly channel: string;
}

/** A connection leaves all its channels. */
export interface Left extends Common {
  readonly kind: 'left';
  /** Up to here it was sent everything. */
  readonly reached: number;
  readonly reason: LeaveReason;
}

export type Entry = Asked | Dropped | Left;

export interface TrailParts {
  identities: Identities;
  /** The worker's position. */
  position(): number;
  /** Up to which sequence a connection was sent everything. */
  reached(connection: number): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
}

export class Trail {
  readonly #parts: TrailParts;
  #entries: Entry[] = [];
  /** The oldest entry, once the ring is full. */
  #oldest = 0;
  /** Of an ending that is about to be told, and of which connection. */
  #ending = -1;
  #reason: LeaveReason = 'closed';
  #reached = 0;

  constructor(parts: TrailParts) {
    this.#parts = parts;
  }

  /** Since when everything is here, in milliseconds since 1970; null: since the worker began. */
  get sinceMs(): number | null {
    return this.#entries.length < ENTRIES_MAX ? null : this.#entries[this.#oldest].atMs;
  }

  /** What a client did, oldest first. */
  *of(client: string): Generator<Entry, void, undefined> {
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries[(this.#oldest + i) % this.#entries.length];
      if (entry.client === client) yield entry;
    }
  }

  /** @param names of the channels, read only where the client leaves a trail */
  asked(connection: number, after: number | null, count: number, names: (max: number) => string[]): void {
    const common = this.#common(connection);
    if (common !== null) this.#add({ kind: 'asked', ...common, after, count, channels: names(CHANNELS_MAX) });
  }

  dropped(connection: number, name: () => string): void {
    const common = this.#common(connection);
    if (common !== null) this.#add({ kind: 'dropped', ...common, channel: name() });
  }

  /** A connection is about to leave for this reason. @param reached up to here it has been sent everything then */
  ending(connection: number, reason: LeaveReason, reached: number): void {
    if (!this.#parts.identities.has(connection)) return;
    this.#ending = connection;
    this.#reason = reason;
    this.#reached = reached;
  }

  /** As IdentityEvents. */
  began(): void {}

  /** As IdentityEvents: a client leaves, still on its channels. */
  ended(connection: number): void {
    const common = this.#common(connection);
    const isTold = this.#ending === connection;
    const reached = isTold ? this.#reached : this.#parts.reached(connection);
    if (common !== null) this.#add({ kind: 'left', ...common, reached, reason: isTold ? this.#reason : 'closed' });
    this.#ending = -1;
  }

  /** Sequences are those of another log from now on. */
  clear(): void {
    this.#entries = [];
    this.#oldest = 0;
  }

  #common(connection: number): Common | null {
    const client = this.#parts.identities.subjectOf(connection);
    return client === null
      ? null
      : { client, connection, atMs: this.#parts.wallMs(), position: this.#parts.position() };
  }

  #add(entry: Entry): void {
    if (this.#entries.length < ENTRIES_MAX) {
      this.#entries.push(entry);
      return;
    }
    this.#entries[this.#oldest] = entry;
    this.#oldest = (this.#oldest + 1) % ENTRIES_MAX;
  }
}
