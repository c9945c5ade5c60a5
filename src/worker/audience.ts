/**
 * Who is on which channel, for those who ask through the API: counts and lists over tables of a million rows.
 *
 * The tables are made for the fan-out and have no counts (a column more would cost every idle client its bytes). So they
 * are walked, in pieces between turns (questions.ts). A channel's list of rows may change between two pieces, so only short
 * lists are followed, in one go; for the others the columns are read from end to end, which finds everybody exactly once who
 * is there all the time.
 */

import { matches, parsePattern } from '../channel-pattern.js';
import type { ChannelsPage, Occupancy, PresencePage, Question } from '../link/questions.js';
import type { Absences } from './absences.js';
import type { Identities } from './identities.js';
import { Page } from './page.js';
import type { Walk } from './questions.js';
import { NONE, type Subscriptions } from './subscriptions.js';

/** Rows of a list that are followed in one go: some 20 µs. */
const LIST_ROWS_MAX = 4096;
/** Rows of a column that are read in one go: some 100 µs. */
const COLUMN_ROWS = 1 << 15;
/** Channels of which the names are read in one go: some 200 µs. */
const NAMES = 1024;
/** Clients that are looked at in one go: as long, where each is on a few channels. */
const CLIENTS = 512;

export interface AudienceParts {
  subscribers: Subscriptions;
  /** Who waits for a message of the classic queue. */
  waiters: Subscriptions;
  identities: Identities;
  absences: Absences;
  /** Milliseconds; never goes back. */
  clock(): number;
}

export class Audience {
  readonly #parts: AudienceParts;
  readonly #tables: readonly Subscriptions[];

  constructor(parts: AudienceParts) {
    this.#parts = parts;
    this.#tables = [parts.subscribers, parts.waiters];
  }

  /** How many connections are on a channel. */
  *occupancy({ channel }: Question<'occupancy'>): Walk<Occupancy> {
    const { subscribers, waiters } = this.#parts;
    const [subscribed] = yield* countAll(subscribers, [channel]);
    const [waiting] = yield* countAll(waiters, [channel]);
    return { subscribers: subscribed, waiting };
  }

  /** The first channels, by name, that somebody is on. */
  *channels({ within, pattern, after, limit }: Question<'channels'>): Walk<ChannelsPage> {
    const asked = parsePattern(pattern);
    const allowed = within.map(parsePattern);
    const page = new Page(after, limit);
    for (const table of this.#tables) {
      for (let channel = 0; channel < table.channelsEnd; channel++) {
        if (channel % NAMES === NAMES - 1) yield;
        if (!table.isChannel(channel)) continue;
        const name = table.nameOf(channel);
        if (matches(asked, name) && allowed.some((each) => matches(each, name))) page.add(name);
      }
    }
    const { names, more } = page.take();
    const { subscribers, waiters } = this.#parts;
    const subscribed = yield* countAll(subscribers, names);
    const waiting = yield* countAll(waiters, names);
    const channels = names.map((channel, i) => ({ channel, subscribers: subscribed[i], waiting: waiting[i] }));
    return { channels, more };
  }

  /** The first clients, by name, that are on a channel, or were a moment ago. */
  *presence({ channel, after, limit }: Question<'presence'>): Walk<PresencePage> {
    const { absences, clock } = this.#parts;
    const page = new Page(after, limit);
    for (const client of absences.of(channel, clock())) page.add(client);
    yield* this.#eachClient(channel, (_connection, client) => page.add(client));
    const { names, more } = page.take();
    // Counted in a second round: which names the page has was not known in the first.
    const counts = new Map(names.map((name) => [name, 0]));
    const met = new Set<number>();
    yield* this.#eachClient(channel, (connection, client) => {
      const count = counts.get(client);
      if (count === undefined || met.has(connection)) return;
      met.add(connection);
      counts.set(client, count + 1);
    });
    const { subscribers, waiting } = yield* this.occupancy({ channel });
    const clients = [...counts].map(([client, connections]) => ({ client, connections }));
    return { clients, more, connections: subscribers + waiting };
  }

  /** Calls `visit` with the connections on the channel whose clients are known. One may be met twice. */
  *#eachClient(channel: string, visit: (connection: number, client: string) => void): Walk<void> {
    const { identities } = this.#parts;
    if (identities.size === 0) return;
    const meet = (connection: number) => {
      const client = identities.subjectOf(connection);
      if (client !== null) visit(connection, client);
    };
    for (const table of this.#tables) {
      const members = membersOf(table, channel);
      for (const connection of members ?? []) meet(connection);
      if (members !== null) continue;
      for (let row = identities.size - 1; row >= 0; row--) {
        if (row % CLIENTS === 0) yield;
        if (row >= identities.size) continue;
        const connection = identities.connectionAt(row);
        if (isOn(table, connection, channel)) meet(connection);
      }
    }
  }
}

/** The connections on a channel, where they are few; else null. */
export function membersOf(table: Subscriptions, name: string): number[] | null {
  const channel = numberOf(table, name);
  if (channel === NONE) return [];
  const members: number[] = [];
  for (let row = table.first(channel); row !== NONE; row = table.next(row)) {
    if (members.length === LIST_ROWS_MAX) return null;
    members.push(table.connectionOf(row));
  }
  return members;
}

/** Whether the connection is on the channel of this name. */
export function isOn(table: Subscriptions, connection: number, name: string): boolean {
  const channel = numberOf(table, name);
  return channel !== NONE && table.has(connection, channel);
}

function numberOf(table: Subscriptions, name: string): number {
  const bytes = Buffer.from(name);
  return table.find(bytes, 0, bytes.length);
}

/** How many rows each of the channels has, in their order. */
function* countAll(table: Subscriptions, names: readonly string[]): Walk<number[]> {
  const counts: number[] = [];
  /** Channels with many rows, and their counts. */
  const crowded = new Map<number, number>();
  for (const name of names) {
    const channel = numberOf(table, name);
    const count = channel === NONE ? 0 : table.countUpTo(channel, LIST_ROWS_MAX);
    if (count === LIST_ROWS_MAX) crowded.set(channel, 0);
    counts.push(count);
    if (counts.length % 16 === 0) yield;
  }
  if (crowded.size === 0) return counts;
  for (let at = 0; at < table.rowsEnd; at += COLUMN_ROWS) {
    table.countRows(at, Math.min(at + COLUMN_ROWS, table.rowsEnd), crowded);
    yield;
  }
  return counts.map((count, i) => {
    if (count < LIST_ROWS_MAX) return count;
    // A channel that everybody has left meanwhile has given its number away: somebody else's rows were counted.
    const channel = numberOf(table, names[i]);
    if (channel === NONE) return 0;
    return crowded.get(channel) ?? table.countUpTo(channel, LIST_ROWS_MAX);
  });
}
