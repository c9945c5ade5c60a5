/**
 * The life of a publication between the log and the workers.
 *
 *     publish ── append ──┬─ nobody waits: queued ─────────────────────────────── WAITING ─┐
 *                         └─ DELIVER to each worker that has the channel waiting ◄────────────┘
 *                               │ all verdicts in (a worker that died counts 0), or one of 1 or more a second ago
 *                               ├─ sum ≥ 1: removed from the log, then the next one of the channel
 *                               └─ sum = 0: stays; sent again if somebody subscribed meanwhile, else at WAITING
 *
 * One publication of a channel is in flight at a time (stop and wait), which keeps the channel's order. A *flight* is
 * the only state of a channel here, and exists only while something is in flight; what is queued lies in the log alone.
 * A publication that expires or is evicted in flight is already on its way: its verdict counts as ever.
 *
 * Once a publication has reached somebody, a worker that owes its verdict (it stands still, or its only client is slow)
 * does not hold up the channel for longer than a second: `sweep` decides without it, and its late verdict is ignored.
 *
 * A publisher is told its publication's verdict, or 'queued' where there is none after a second. Publishers wait only
 * behind a flight: when it ends with nobody left to send to, all who wait for its channel are told 'queued'.
 *
 * After a verdict of 0 a worker is not tried again until it says WAITING: the index may name a worker that has
 * nobody (channel-index.ts), and would name it for ever.
 */

import type { Log, Publication } from '../log/log.js';
import { ChannelIndex } from './channel-index.js';
import { PublishersWaiting } from './publishers-waiting.js';

/** How long a publisher waits for the verdict. */
export const VERDICT_TIMEOUT_MS = 1000;

/** What a publisher is told. */
export interface Receipt {
  /** `<epoch>-<sequence>`. */
  cursor: string;
  sequence: number;
  status: 'delivered' | 'queued';
  /** Connections that were handed it whole; 0 while it is queued. */
  receivers: number;
}

/** The way to one worker. */
export interface WorkerChannel {
  deliver(publication: Publication, name: Buffer): void;
}

export interface RoutesCounters {
  /** Publications accepted. */
  published: number;
  /** Publications that at least one connection got. */
  delivered: number;
  /** Connections that were handed a publication. */
  receivers: number;
  /** Attempts that reached nobody. */
  missed: number;
  /** Publications in flight now. */
  inFlight: number;
  /** Publishers waiting for a verdict now. */
  publishersWaiting: number;
  /** Channels that a worker has waiting, counted for each worker. */
  subscriptions: number;
}

/** A channel with a publication on its way to workers. */
interface Flight {
  readonly channel: string;
  readonly name: Buffer;
  /** The publication that was sent. */
  sequence: number;
  /** Workers whose verdict is outstanding. */
  readonly awaited: Set<number>;
  receivers: number;
  /** It had receivers, and verdicts were outstanding, at the last `sweep`. */
  overdue: boolean;
  /** A worker has subscribed since it was sent. */
  subscribed: boolean;
  /** Publications of this channel whose publishers wait, in order. */
  readonly publishers: Set<number>;
}

export class Routes {
  readonly #log: Log;
  readonly #index = new ChannelIndex();
  readonly #links = new Map<number, WorkerChannel>();
  readonly #flights = new Map<string, Flight>();
  readonly #flightOf = new Map<number, Flight>();
  readonly #publishers: PublishersWaiting;
  readonly #found = new Uint8Array(256);
  #published = 0;
  #delivered = 0;
  #receivers = 0;
  #missed = 0;

  constructor(log: Log, verdictTimeoutMs = VERDICT_TIMEOUT_MS) {
    this.#log = log;
    this.#publishers = new PublishersWaiting(verdictTimeoutMs);
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  get counters(): RoutesCounters {
    return {
      published: this.#published,
      delivered: this.#delivered,
      receivers: this.#receivers,
      missed: this.#missed,
      inFlight: this.#flights.size,
      publishersWaiting: this.#publishers.size,
      subscriptions: this.#index.size,
    };
  }

  /** Accepts a publication and waits for its verdict, at most a second. The name is a valid one. */
  publish(channel: string, kind: number, data: Buffer): Promise<Receipt> {
    const { sequence } = this.accept(channel, kind, data);
    const flight = this.#flights.get(channel);
    if (flight === undefined) return Promise.resolve(this.#receipt(sequence, 0));
    return new Promise((resolve) => {
      flight.publishers.add(sequence);
      this.#publishers.add(sequence, (receivers) => {
        flight.publishers.delete(sequence);
        // No verdict in time: those who have it by now count all the same.
        const known = flight.sequence === sequence ? flight.receivers : 0;
        resolve(this.#receipt(sequence, Math.max(receivers, known)));
      });
    });
  }

  /** Accepts a publication whose publisher does not ask what becomes of it (the classic port). */
  accept(channel: string, kind: number, data: Buffer): Publication {
    const publication = this.#log.append(channel, kind, data);
    this.#published++;
    if (!this.#flights.has(channel)) this.#send(this.#newFlight(channel));
    return publication;
  }

  /** A worker has dialled; its subscriptions follow. One that it had before must have left. */
  workerJoined(worker: number, link: WorkerChannel): void {
    this.#links.set(worker, link);
  }

  /** A worker's link has ended: whatever it was asked to deliver counts as not delivered. */
  workerLeft(worker: number): void {
    this.#links.delete(worker);
    this.#index.removeWorker(worker);
    for (const flight of [...this.#flights.values()]) {
      if (flight.awaited.delete(worker) && flight.awaited.size === 0) this.#decide(flight);
    }
  }

  /** A worker has a first connection waiting on the channel bytes[start..end). */
  subscribed(worker: number, bytes: Uint8Array, start: number, end: number): void {
    this.#index.add(bytes, start, end, worker);
    // A million clients that return together find an empty log or a small one: no string is made in the first case.
    if (this.#flights.size === 0 && this.#log.counters.publications === 0) return;
    const channel = decodeName(bytes, start, end);
    const flight = this.#flights.get(channel);
    if (flight !== undefined) flight.subscribed = true;
    else if (this.#log.oldest(channel) !== undefined) this.#send(this.#newFlight(channel));
  }

  /** A worker's last connection waiting on the channel has gone. */
  unsubscribed(worker: number, bytes: Uint8Array, start: number, end: number): void {
    this.#index.remove(bytes, start, end, worker);
  }

  /** A worker's verdict. One that is not awaited (any more) is ignored. */
  delivered(worker: number, sequence: number, receivers: number): void {
    const flight = this.#flightOf.get(sequence);
    if (flight === undefined || !flight.awaited.delete(worker)) return;
    flight.receivers += receivers;
    if (flight.awaited.size === 0) this.#decide(flight);
  }

  /** A publication that was to be sent to a worker has left the log before it was. The worker still has clients. */
  unsent(worker: number, sequence: number): void {
    const flight = this.#flightOf.get(sequence);
    if (flight !== undefined) flight.subscribed = true;
    this.delivered(worker, sequence, 0);
  }

  /** Ends the wait for workers that have owed a verdict since the last call. Called about once a second. */
  sweep(): void {
    for (const flight of [...this.#flights.values()]) {
      if (flight.receivers === 0) continue;
      if (flight.overdue) {
        flight.awaited.clear();
        this.#decide(flight);
      } else {
        flight.overdue = true;
      }
    }
  }

  /** Tells all publishers who still wait that their publication is queued. */
  close(): void {
    this.#publishers.settleAll();
  }

  #newFlight(channel: string): Flight {
    return {
      channel,
      name: Buffer.from(channel),
      sequence: 0,
      awaited: new Set(),
      receivers: 0,
      overdue: false,
      subscribed: false,
      publishers: new Set(),
    };
  }

  /** Sends the oldest of the channel to all who wait; where there is none, or nobody waits, the flight ends. */
  #send(flight: Flight): void {
    const publication = this.#log.oldest(flight.channel);
    const count =
      publication === undefined ? 0 : this.#index.workersOf(flight.name, 0, flight.name.length, this.#found);
    if (publication === undefined || count === 0) {
      this.#end(flight);
      return;
    }
    flight.sequence = publication.sequence;
    flight.receivers = 0;
    flight.overdue = false;
    flight.subscribed = false;
    this.#flights.set(flight.channel, flight);
    this.#flightOf.set(publication.sequence, flight);
    for (const worker of this.#found.subarray(0, count)) flight.awaited.add(worker);
    for (const worker of flight.awaited) this.#links.get(worker)!.deliver(publication, flight.name);
  }

  /** All verdicts are in. */
  #decide(flight: Flight): void {
    this.#flightOf.delete(flight.sequence);
    if (flight.receivers > 0) {
      this.#log.remove(flight.sequence);
      this.#delivered++;
      this.#receivers += flight.receivers;
      this.#publishers.settle(flight.sequence, flight.receivers);
      this.#send(flight);
    } else {
      this.#missed++;
      if (flight.subscribed) this.#send(flight);
      else this.#end(flight);
    }
  }

  #end(flight: Flight): void {
    this.#flights.delete(flight.channel);
    for (const sequence of [...flight.publishers]) this.#publishers.settle(sequence, 0);
  }

  #receipt(sequence: number, receivers: number): Receipt {
    return {
      cursor: `${this.#log.epoch}-${sequence}`,
      sequence,
      status: receivers > 0 ? 'delivered' : 'queued',
      receivers,
    };
  }
}

/** The name as a string. Chunks of a socket are Buffers, which decode a part of themselves without a view of it. */
function decodeName(bytes: Uint8Array, start: number, end: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('utf8', start, end);
}
