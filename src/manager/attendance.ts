/**
 * Which clients are here, over all workers, and when one has come or gone for good: a client that is back within the grace time, on
 * whatever worker and transport, was never gone. Fed by what the workers report (EVENTS), feeds the webhooks.
 *
 * Some 200 bytes for each client that came with a token, while webhooks are on.
 */

import type { ClientChange, ClientChanges } from '../link/client-changes.js';

/** How long a worker may be without a link, or dead, before its clients count as gone: it dials again, they come to another one. */
const LINK_GRACE_MS = 2000;

export interface AttendanceEvents {
  connected(client: string, channels: readonly string[]): void;
  /** @param channels that its last connection was on */
  disconnected(client: string, channels: readonly string[]): void;
}

/** A client that has left, and may be back. */
interface Leaver {
  readonly channels: readonly string[];
  readonly untilMs: number;
}

export class Attendance {
  readonly #events: AttendanceEvents;
  readonly #clock: () => number;
  /** Connections of each client, by worker. */
  readonly #byWorker = new Map<number, Map<string, number>>();
  /** The same on all workers. */
  readonly #connections = new Map<string, number>();
  /** In the order in which they left. */
  readonly #leavers = new Map<string, Leaver>();
  /** A worker tells of all that it has: what it said before is void at the end. */
  readonly #recounts = new Map<number, Map<string, number>>();
  graceMs = 0;

  /** @param clock milliseconds; never goes back */
  constructor(events: AttendanceEvents, clock: () => number = () => performance.now()) {
    this.#events = events;
    this.#clock = clock;
  }

  /** Clients that are here, or may be back. */
  get size(): number {
    return this.#connections.size + this.#leavers.size;
  }

  /** A worker has reported. */
  changed(worker: number, { all, changes }: ClientChanges): void {
    if (all === undefined && !this.#recounts.has(worker)) {
      for (const change of changes) this.#count(worker, change);
      return;
    }
    if (all === 'begin' || all === 'whole') {
      this.#abandonRecount(worker);
      this.#recounts.set(worker, new Map());
    }
    const recount = this.#recounts.get(worker);
    if (recount === undefined) return;
    const before = this.#byWorker.get(worker);
    for (const [delta, client, ...channels] of changes) {
      recount.set(client, (recount.get(client) ?? 0) + delta);
      // Those who are new come now, with their channels; the others are compared at the end.
      if (!before?.has(client)) this.#add(client, delta, channels);
    }
    if (all === 'end' || all === 'whole') this.#recounted(worker, recount);
  }

  /** A worker has no link: it may be back with its clients, or they on others. */
  workerLeft(worker: number): void {
    this.#abandonRecount(worker);
    const counts = this.#byWorker.get(worker);
    this.#byWorker.delete(worker);
    for (const [client, count] of counts ?? []) this.#add(client, -count, [], LINK_GRACE_MS);
  }

  /** Called a few times a second: tells of those whose grace time is over. */
  sweep(): void {
    const nowMs = this.#clock();
    for (const [client, { channels, untilMs }] of this.#leavers) {
      if (untilMs > nowMs) break;
      this.#leavers.delete(client);
      this.#events.disconnected(client, channels);
    }
  }

  #recounted(worker: number, recount: Map<string, number>): void {
    this.#recounts.delete(worker);
    const before = this.#byWorker.get(worker);
    this.#byWorker.set(worker, recount);
    for (const [client, count] of before ?? []) this.#add(client, (recount.get(client) ?? 0) - count, []);
  }

  /** The end of it does not come: those who were new in it are counted nowhere else. */
  #abandonRecount(worker: number): void {
    const recount = this.#recounts.get(worker);
    this.#recounts.delete(worker);
    const before = this.#byWorker.get(worker);
    for (const [client, count] of recount ?? []) if (!before?.has(client)) this.#add(client, -count, [], LINK_GRACE_MS);
  }

  #count(worker: number, [delta, client, ...channels]: ClientChange): void {
    let counts = this.#byWorker.get(worker);
    if (counts === undefined) {
      counts = new Map();
      this.#byWorker.set(worker, counts);
    }
    const count = (counts.get(client) ?? 0) + delta;
    if (count > 0) counts.set(client, count);
    else counts.delete(client);
    // One that goes and was never there is a worker's mistake, and must not make others of it.
    if (count >= 0) this.#add(client, delta, channels);
  }

  #add(client: string, delta: number, channels: readonly string[], graceMs = 0): void {
    if (delta === 0) return;
    const before = this.#connections.get(client) ?? 0;
    const count = before + delta;
    if (count > 0) this.#connections.set(client, count);
    else this.#connections.delete(client);
    if (before === 0 && count > 0) {
      if (!this.#leavers.delete(client)) this.#events.connected(client, channels);
    } else if (before > 0 && count <= 0) {
      this.#leavers.set(client, { channels, untilMs: this.#clock() + Math.max(this.graceMs, graceMs) });
    }
  }
}
