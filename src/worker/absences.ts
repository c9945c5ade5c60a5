/**
 * Clients that have left their channels a moment ago, and count as present until a grace time is over: a long-poll leaves at every
 * answer, and comes back.
 *
 * Only clients that came with a token are here. All wait equally long, so they leave in the order in which they came; of more than
 * ABSENCES_MAX the first ones are forgotten early.
 */

import type { IdentityEvents } from './identities.js';
import type { Subscriptions } from './subscriptions.js';

/** Pairs of a client and a channel; some 200 bytes each. */
export const ABSENCES_MAX = 1 << 16;

/** Notes clients as they leave. */
export class Leavers implements IdentityEvents {
  readonly #tables: readonly Subscriptions[];
  readonly #absences: Absences;
  readonly #clock: () => number;

  constructor(parts: { subscribers: Subscriptions; waiters: Subscriptions; absences: Absences; clock(): number }) {
    this.#tables = [parts.subscribers, parts.waiters];
    this.#absences = parts.absences;
    this.#clock = parts.clock;
  }

  began(): void {}

  ended(connection: number, client: string): void {
    if (this.#absences.graceMs === 0) return;
    const nowMs = this.#clock();
    for (const table of this.#tables) {
      for (const channel of table.channelsOf(connection)) this.#absences.left(channel, client, nowMs);
    }
  }
}

interface Absence {
  readonly channel: string;
  readonly client: string;
  readonly untilMs: number;
}

export class Absences {
  #graceMs = 0;
  /** By channel and client: until when. */
  readonly #until = new Map<string, Map<string, number>>();
  /** In the order of their times; those before #next are over. */
  #line: Absence[] = [];
  #next = 0;

  /** Pairs that are remembered. */
  get size(): number {
    return this.#line.length - this.#next;
  }

  /** Channels that somebody is waited for on. */
  get channels(): number {
    return this.#until.size;
  }

  /** The grace time; 0: whoever leaves is gone. */
  set graceMs(ms: number) {
    this.#graceMs = ms;
  }

  get graceMs(): number {
    return this.#graceMs;
  }

  /** A client has left a channel. */
  left(channel: string, client: string, nowMs: number): void {
    if (this.#graceMs === 0) return;
    const untilMs = nowMs + this.#graceMs;
    const clients = this.#until.get(channel);
    if (clients === undefined) this.#until.set(channel, new Map([[client, untilMs]]));
    else clients.set(client, untilMs);
    this.#line.push({ channel, client, untilMs });
    if (this.size > ABSENCES_MAX) this.#drop(this.#line[this.#next++]);
    this.#compact();
  }

  /** A client is not waited for any more: on this channel, or on any. */
  forget(client: string, channel: string | null): void {
    for (const each of channel === null ? this.#until.keys() : [channel]) this.#forget(each, client);
  }

  /** Nobody is waited for any more on a channel. */
  forgetChannel(channel: string): void {
    this.#until.delete(channel);
  }

  /** The clients that left the channel and are still waited for. */
  *of(channel: string, nowMs: number): Generator<string, void, undefined> {
    for (const [client, untilMs] of this.#until.get(channel) ?? []) if (untilMs > nowMs) yield client;
  }

  /** Forgets those whose time is over. Called now and then. */
  expire(nowMs: number): void {
    while (this.#next < this.#line.length && this.#line[this.#next].untilMs <= nowMs) {
      this.#drop(this.#line[this.#next++]);
    }
    this.#compact();
  }

  /** One that has left again since has another time, and another place in the line. */
  #drop({ channel, client, untilMs }: Absence): void {
    if (this.#until.get(channel)?.get(client) === untilMs) this.#forget(channel, client);
  }

  #forget(channel: string, client: string): void {
    const clients = this.#until.get(channel);
    if (clients?.delete(client) && clients.size === 0) this.#until.delete(channel);
  }

  #compact(): void {
    if (this.#next < 1024 || this.#next < this.#line.length / 2) return;
    this.#line = this.#line.slice(this.#next);
    this.#next = 0;
  }
}
