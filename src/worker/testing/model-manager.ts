/**
 * A manager for tests, in the plainest way: a log that is a list, retention that keeps the latest few of each channel, and
 * links whose frames wait in two queues until the test lets one through. So every order of events can be tried.
 */

import { HISTORY_BEYOND, HISTORY_COMPLETE, HISTORY_MORE, READ_NOW } from '../../link/frames.js';
import type { WorkerRig } from './worker-rig.js';

export interface LoggedPublication {
  sequence: number;
  channel: string;
  data: string;
}

type Frame = (rig: WorkerRig) => void;

export class ModelManager {
  epoch: string;
  /** All that was ever published in this epoch, in order: the sequence of the first one is 1. */
  readonly log: LoggedPublication[] = [];
  readonly #dropped = new Set<number>();
  readonly #keep: number;
  readonly links = new Set<ModelLink>();

  /** @param keep how many publications of each channel are retained */
  constructor(epoch: string, keep: number) {
    this.epoch = epoch;
    this.#keep = keep;
  }

  get last(): number {
    return this.log.length;
  }

  publish(channel: string, data: string): void {
    const sequence = this.last + 1;
    this.log.push({ sequence, channel, data });
    const retained = this.log.filter((one) => one.channel === channel && !this.#dropped.has(one.sequence));
    if (retained.length > this.#keep) this.#dropped.add(retained[0]!.sequence);
    for (const link of this.links) link.published(this.log.at(-1)!);
  }

  /** Drops all that is retained of the channel. */
  expire(channel: string): void {
    for (const one of this.log) if (one.channel === channel) this.#dropped.add(one.sequence);
  }

  /** Whether retention has dropped something of the channel in (after, upTo]. */
  hasLost(channel: string, after: number, upTo: number): boolean {
    return this.lastLost(channel, after, upTo) > 0;
  }

  /** The highest sequence of the channel in (after, upTo] that was dropped; 0 for none. */
  lastLost(channel: string, after: number, upTo: number): number {
    for (let sequence = Math.min(upTo, this.last); sequence > after; sequence--) {
      if (this.#dropped.has(sequence) && this.log[sequence - 1]!.channel === channel) return sequence;
    }
    return 0;
  }

  /** At most `count` publications; `upTo` is where the page ends. */
  read(channels: readonly string[], after: number, count: number): { page: LoggedPublication[]; upTo: number } {
    const all = this.log
      .slice(after)
      .filter((one) => channels.includes(one.channel) && !this.#dropped.has(one.sequence));
    const page = all.slice(0, count);
    return { page, upTo: page.length < all.length ? page.at(-1)!.sequence : this.last };
  }

  hasNews(channel: string, after: number): boolean {
    return this.log.slice(after).some((one) => one.channel === channel);
  }
}

/** One link, both its ends. */
export class ModelLink {
  readonly #manager: ModelManager;
  readonly #rig: WorkerRig;
  readonly toManager: (() => void)[] = [];
  readonly toWorker: Frame[] = [];
  readonly #index = new Set<string>();
  #behind: { after: number; readonly owed: Map<string, number> } | null;
  readonly #pageSize: number;
  #announcing = true;

  /** The worker dials: HELLO, what it has, HELLO_END. */
  constructor(manager: ModelManager, rig: WorkerRig, pageSize: number) {
    this.#manager = manager;
    this.#rig = rig;
    this.#pageSize = pageSize;
    const { epoch, position } = rig.clients.streams;
    const after = epoch === manager.epoch ? position : 0;
    this.#behind = { after, owed: new Map() };
    this.toManager.push(() => {
      const { last, epoch } = manager;
      this.toWorker.push((worker) => worker.welcome(epoch, last));
      manager.links.add(this);
    });
    rig.established = true;
    rig.reported.length = 0;
    rig.clients.announce();
    for (const { channel } of rig.reported.splice(0)) {
      this.toManager.push(() => this.#subscribed(channel));
    }
    this.toManager.push(() => {
      this.#announcing = false;
    });
  }

  /** Moves what the worker has said since the last call into the queue. */
  collect(): void {
    for (const { type, channel, request, after } of this.#rig.reported.splice(0)) {
      if (type === 'subscribed') this.toManager.push(() => this.#subscribed(channel));
      if (type === 'unsubscribed') this.toManager.push(() => this.#index.delete(channel));
      if (type === 'read') this.toManager.push(() => this.#read(request, after, channel));
    }
  }

  /** The worker does not read: from now on publications are only noted. */
  fallBehind(): void {
    this.#behind ??= { after: this.#manager.last, owed: new Map() };
  }

  get behind(): boolean {
    return this.#behind !== null;
  }

  published(publication: LoggedPublication): void {
    const { sequence, channel, data } = publication;
    if (!this.#index.has(channel)) return;
    if (this.#behind !== null) this.#owe(channel, sequence - 1);
    else this.toWorker.push((rig) => rig.fanOut(sequence, channel, data));
  }

  /** Sends a page of what is owed. */
  catchUp(): void {
    const behind = this.#behind;
    if (behind === null || this.#announcing) return;
    const { after, owed } = behind;
    const manager = this.#manager;
    const { page, upTo } = manager.read([...owed.keys()], after, this.#pageSize);
    for (const [channel, from] of owed) {
      const lost = manager.lastLost(channel, Math.max(after, from), manager.last);
      if (lost === 0) continue;
      this.toWorker.push((rig) => rig.gap(lost, channel));
      owed.set(channel, lost);
    }
    for (const { sequence, channel, data } of page) {
      if (sequence > owed.get(channel)!) this.toWorker.push((rig) => rig.fanOut(sequence, channel, data));
    }
    behind.after = upTo;
    if (upTo === manager.last) {
      this.#behind = null;
      this.position();
    }
  }

  /** POSITION, where everything has been sent. */
  position(): void {
    const { last } = this.#manager;
    if (this.#behind === null) this.toWorker.push((rig) => rig.clients.streams.moveTo(last));
  }

  /** Of what was published before, the link sends what it has not passed yet: its position is not above that. */
  #subscribed(channel: string): void {
    this.#index.add(channel);
    if (this.#behind !== null && this.#manager.hasNews(channel, this.#behind.after)) {
      this.#owe(channel, this.#behind.after);
    }
  }

  #owe(channel: string, after: number): void {
    const { owed } = this.#behind!;
    owed.set(channel, Math.min(owed.get(channel) ?? Number.POSITIVE_INFINITY, after));
  }

  #read(request: number, after: number, channel: string): void {
    const manager = this.#manager;
    const sent = this.#behind?.after ?? manager.last;
    const answer = (upTo: number, gap: number, rest: number, page: LoggedPublication[]) => {
      const items = page.map(({ sequence, data }): [number, string] => [sequence, data]);
      this.toWorker.push((rig) => rig.history(request, upTo, items, gap, rest));
    };
    if (after === READ_NOW || after > manager.last) {
      answer(sent, 0, after === READ_NOW ? HISTORY_COMPLETE : HISTORY_BEYOND, []);
      return;
    }
    const { page, upTo } = manager.read([channel], after, this.#pageSize);
    const gap = manager.lastLost(channel, after, manager.last);
    const fitting = page.filter(({ sequence }) => sequence <= sent);
    if (upTo < sent && upTo < manager.last) {
      answer(upTo, gap, HISTORY_MORE, fitting);
      return;
    }
    answer(sent, gap, HISTORY_COMPLETE, fitting);
  }
}
