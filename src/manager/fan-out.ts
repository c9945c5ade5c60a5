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

export class FanOut {
  readonly #index = new ChannelIndex();
  readonly #links = new Map<number, FanOutLink>();
  readonly #receipts: Receipts;
  /** Workers whose answer is outstanding, by sequence; ascending. */
  readonly #awaited = new Map<number, Set<number>>();
  readonly #found = new Uint8Array(256);
  #position: number;
  #fanOuts = 0;
  #receivers = 0;

  /** @param position where the log ends: what lies there already was fanned out before our time */
  constructor(receipts: Receipts, position: number) {
    this.#receipts = receipts;
    this.#position = position;
  }

  /** All publications up to this sequence have been given out, and none above it. */
  get position(): number {
    return this.#position;
  }

  get counters(): FanOutCounters {
    let linksBehind = 0;
    for (const link of this.#links.values()) if (link.behind) linksBehind++;
    return { subscriptions: this.#index.size, fanOuts: this.#fanOuts, receivers: this.#receivers, linksBehind };
  }

  /**
   * A publication has come into the log. Called in the order of the log.
   *
   * @param receipt its publisher waits
   * @returns whether a verdict will follow (`Receipts.settled`)
   */
  accept(publication: Publication, name: Buffer, receipt: boolean): boolean {
    const { sequence } = publication;
    const count = this.#index.workersOf(name, 0, name.length, this.#found);
    let frame: Uint8Array | null = null;
    for (let i = 0; i < count; i++) {
      frame = this.#links.get(this.#found[i]!)!.fanOut(publication, name, receipt, frame);
    }
    this.#position = sequence;
    if (count === 0) return false;
    this.#fanOuts++;
    if (receipt) this.#awaited.set(sequence, new Set(this.#found.subarray(0, count)));
    return receipt;
  }

  /** A worker has dialled; its subscriptions follow. One that it had before must have left. */
  workerJoined(worker: number, link: FanOutLink): void {
    this.#links.set(worker, link);
  }

  /** A worker's link has ended: nobody more will answer there. */
  workerLeft(worker: number): void {
    this.#links.delete(worker);
    this.#index.removeWorker(worker);
    for (const [sequence, workers] of this.#awaited) this.#answered(sequence, workers, worker);
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
    const workers = this.#awaited.get(sequence);
    if (workers === undefined || !workers.has(worker)) return;
    this.#receivers += receivers;
    this.#receipts.received(sequence, receivers);
    this.#answered(sequence, workers, worker);
  }

  /** True while a publisher waits for the worker's answer. */
  awaits(worker: number, sequence: number): boolean {
    return this.#awaited.get(sequence)?.has(worker) === true;
  }

  /** Forgets answers that nobody waits for any more. Called about once a second. */
  sweep(): void {
    for (const sequence of this.#awaited.keys()) {
      if (this.#receipts.has(sequence)) return;
      this.#awaited.delete(sequence);
    }
  }

  #answered(sequence: number, workers: Set<number>, worker: number): void {
    if (!workers.delete(worker) || workers.size > 0) return;
    this.#awaited.delete(sequence);
    this.#receipts.settled(sequence);
  }
}
