/**
 * Who is on which channel, for those who ask through the API: counts and lists over tables of a million rows.
 *
 * The tables are made for the fan-out and have no counts (a column more would cost every idle client its bytes). So they
 * are walked, in pieces between turns (questions.ts). A channel's list of rows may change between two pieces, so only short
 * lists are followed, in one go; for the others the columns are read from end to end, which finds everybody exactly once who
 * is there all the time.
 */

import type { Occupancy } from '../link/questions.js';
import type { Walk } from './questions.js';
import { NONE, type Subscriptions } from './subscriptions.js';

/** Rows of a list that are followed in one go: some 20 µs. */
const LIST_ROWS_MAX = 4096;
/** Rows of a column that are read in one go: some 50 µs. */
const COLUMN_ROWS = 1 << 16;

export class Audience {
  readonly #subscribers: Subscriptions;
  readonly #waiters: Subscriptions;

  constructor(subscribers: Subscriptions, waiters: Subscriptions) {
    this.#subscribers = subscribers;
    this.#waiters = waiters;
  }

  /** How many connections are on a channel. */
  *occupancy(channel: string): Walk<Occupancy> {
    const name = Buffer.from(channel);
    const subscribers = yield* count(this.#subscribers, name);
    return { subscribers, waiting: yield* count(this.#waiters, name) };
  }
}

/** Counts the rows of a channel. */
function* count(subscriptions: Subscriptions, name: Uint8Array): Walk<number> {
  for (;;) {
    const channel = subscriptions.find(name, 0, name.length);
    if (channel === NONE) return 0;
    const listed = subscriptions.countUpTo(channel, LIST_ROWS_MAX);
    if (listed < LIST_ROWS_MAX) return listed;
    let rows = 0;
    for (let at = 0; at < subscriptions.rowsEnd; at += COLUMN_ROWS) {
      rows += subscriptions.countBetween(channel, at, Math.min(at + COLUMN_ROWS, subscriptions.rowsEnd));
      yield;
    }
    // A channel that everybody has left meanwhile has given its number away.
    if (subscriptions.find(name, 0, name.length) === channel) return rows;
  }
}
