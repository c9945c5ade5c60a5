/**
 * Every publication to every worker that has a subscriber of its channel (long-poll, SSE, HTTP stream, WebSocket).
 *
 * Nothing waits here: a worker is sent FAN_OUT and takes it from there, and a link that cannot take more catches up from
 * the log (catch-up.ts). `position` is how far this has come: all publications up to it were given to all links that had
 * subscribers of their channels at that time, and none above it. It lags behind `log.last` only between the resolution
 * of an append and its continuation; links compare themselves with `position`, so that nothing is sent twice or missed.
 *
 * A publisher that waits is told the sum of what workers answer (RECEIVED); a worker that dies counts what it said.
 */

import type { Publication } from '../log/log.js';
import { ChannelIndex } from './channel-index.js';
import type { PublicationRecords } from './publication-records.js';
import type { Receipts } from './receipts.js';

/** The way to one worker. */
export interface FanOutLink {
  /**
   * Sends the publication, now or when the link has caught up.
   *
   * @param receipt ask how many got it
   * @param frame the FAN_OUT frame where another link has encoded it already
   * @returns the frame where there is one now, borrowed until the next call
   */
  fanOut(publication: Publication, name: Buffer, receipt: boolean, frame: Uint8Array | null): Uint8Array | null;
  /** True while the link does not take publications as they come. */
  readonly behind: boolean;
}

export interface FanOutCounters {
  /** Channels that a worker has subscribers of now, counted for each worker. */
  subscriptions: number;
  /** Publications that at least one worker was given. */
  fanOuts: number;
  /** Connections that were handed a publication whose publisher waited to hear it. */
  receivers: number;
  /** Links that are catching up now. */
  linksBehind: number;
}

interface Worker {
  readonly link: FanOutLink;
  /** Sequences of the publications that it has to answer, ascending. */
  readonly awaited: Set<number>;
}

export class FanOut {
  /** Which publications went where. */
  readonly #records: PublicationRecords | null;
  readonly #index = new ChannelIndex();
  readonly #workers = new Map<number, Worker>();
  readonly #receipts: Receipts;
  readonly #found = new Uint8Array(256);
  #position: number;
  #fanOuts = 0;
  #receivers = 0;

  /**
   * @param position where the log ends: what lies there already was fanned out before our time
   * @param records told of publications and the workers that they were given to
   */
  constructor(receipts: Receipts, position: number, records: PublicationRecords | null = null) {
    this.#records = records;
    this.#receipts = receipts;
    this.#position = position;
  }

  /** All publications up to this sequence have been given out, and none above it. */
  get position(): number {
    return this.#position;
  }

  get counters(): FanOutCounters {
    let linksBehind = 0;
    for (const { link } of this.#workers.values()) if (link.behind) linksBehind++;
    return { subscriptions: this.#index.size, fanOuts: this.#fanOuts, receivers: this.#receivers, linksBehind };
  }

  /**
   * A publication has come into the log. Called in the order of the log.
   *
   * @param receipt its publisher waits
   * @returns how many verdicts will follow (`Receipts.settled`): one of each worker that answers
   */
  accept(publication: Publication, name: Buffer, receipt: boolean): number {
    const { sequence } = publication;
    const count = this.#index.workersOf(name, 0, name.length, this.#found);
    let frame: Uint8Array | null = null;
    this.#records?.begin(publication);
    for (let i = 0; i < count; i++) {
      const { link, awaited } = this.#workers.get(this.#found[i]!)!;
      frame = link.fanOut(publication, name, receipt, frame);
      this.#records?.given(this.#found[i]!, link.behind);
      if (receipt) awaited.add(sequence);
    }
    this.#position = sequence;
    if (count > 0) this.#fanOuts++;
    return receipt ? count : 0;
  }

  /** A worker has dialled; its subscriptions follow. One that it had before must have left. */
  workerJoined(worker: number, link: FanOutLink): void {
    this.#workers.set(worker, { link, awaited: new Set() });
  }

  /** A worker's link has ended: nobody more will answer there. */
  workerLeft(worker: number): void {
    const left = this.#workers.get(worker);
    this.#workers.delete(worker);
    this.#index.removeWorker(worker);
    if (left !== undefined) for (const sequence of left.awaited) this.#receipts.settled(sequence);
  }

  /** A worker has a first subscriber of the channel bytes[start..end). */
  subscribed(worker: number, bytes: Uint8Array, start: number, end: number): void {
    this.#index.add(bytes, start, end, worker);
  }

  /** A worker's last subscriber of the channel has gone. */
  unsubscribed(worker: number, bytes: Uint8Array, start: number, end: number): void {
    this.#index.remove(bytes, start, end, worker);
  }

  /** A worker's answer. One that is not awaited (any more) is ignored. */
  received(worker: number, sequence: number, receivers: number): void {
    if (this.#workers.get(worker)?.awaited.delete(sequence) !== true) return;
    this.#receivers += receivers;
    this.#receipts.received(sequence, receivers);
    this.#receipts.settled(sequence);
  }

  /** True while a publisher waits for the worker's answer. */
  awaits(worker: number, sequence: number): boolean {
    return this.#workers.get(worker)?.awaited.has(sequence) === true;
  }

  /** Forgets answers that nobody waits for any more. Called about once a second. */
  sweep(): void {
    for (const { awaited } of this.#workers.values()) {
      for (const sequence of awaited) {
        if (this.#receipts.has(sequence)) break;
        awaited.delete(sequence);
      }
    }
  }
}
