/**
 * The classic queue: a message goes to whoever polls, once.
 *
 *     accept ──┬─ nobody waits: queued ─────────────────────────────── WAITING ─┐
 *              └─ DELIVER to each worker that has the channel waiting ◄────────────┘
 *                    │ all verdicts in (a worker that died counts 0), or one of 1 or more a second ago
 *                    ├─ sum ≥ 1: consumed, then the next one of the channel
 *                    └─ sum = 0: stays; sent again if somebody came to wait meanwhile, else at WAITING
 *
 * One publication of a channel is in flight at a time (stop and wait), which keeps the channel's order. A *flight* is
 * the only state of a channel here, and exists only while something is in flight; what is queued lies in the log alone,
 * which also remembers what was consumed.
 * A publication that expires or is evicted in flight is already on its way: its verdict counts as ever.
 *
 * Once a publication has reached somebody, a worker that owes its verdict (it stands still, or its only client is slow)
 * does not hold up the channel for longer than a second: `sweep` decides without it, and its late verdict is ignored.
 *
 * A publisher is told its publication's verdict (receipts.ts). Publishers wait only behind a flight: when it ends with
 * nobody left to send to, all who wait for its channel have their verdict.
 *
 * After a verdict of 0 a worker is not tried again until it says WAITING: the index may name a worker that has
 * nobody (channel-index.ts), and would name it for ever.
 */

import { type Log, LogError, type Publication } from '../log/log.js';
import { ChannelIndex } from './channel-index.js';
import type { PublicationRecords } from './publication-records.js';
import type { Receipts } from './receipts.js';

/** The way to one worker. */
export interface QueueLink {
  deliver(publication: Publication, name: Buffer): void;
}

export interface QueueCounters {
  /** Publications that at least one connection got. */
  delivered: number;
  /** Connections that were handed a publication. */
  receivers: number;
  /** Attempts that reached nobody. */
  missed: number;
  /** Publications in flight now. */
  inFlight: number;
  /** Channels that a worker has waiting now, counted for each worker. */
  waiting: number;
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
  /** A worker has come to wait since it was sent. */
  joined: boolean;
  /** Publications of this channel whose publishers wait, in order. */
  readonly publishers: Set<number>;
}

export class Queue {
  readonly #log: Log;
  readonly #index = new ChannelIndex();
  readonly #links = new Map<number, QueueLink>();
  readonly #flights = new Map<string, Flight>();
  readonly #flightOf = new Map<number, Flight>();
  readonly #receipts: Receipts;
  readonly #failed: (error: LogError) => void;
  readonly #records: Pick<PublicationRecords, 'queued'> | null;
  readonly #found = new Uint8Array(256);
  #delivered = 0;
  #receivers = 0;
  #missed = 0;

  /**
   * @param failed told that the log cannot be read; what it has of the channel stays there
   * @param records told of publications that were handed out
   */
  constructor(
    log: Log,
    receipts: Receipts,
    failed: (error: LogError) => void,
    records: Pick<PublicationRecords, 'queued'> | null = null,
  ) {
    this.#log = log;
    this.#receipts = receipts;
    this.#failed = failed;
    this.#records = records;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  get counters(): QueueCounters {
    return {
      delivered: this.#delivered,
      receivers: this.#receivers,
      missed: this.#missed,
      inFlight: this.#flights.size,
      waiting: this.#index.size,
    };
  }

  /**
   * A publication has come into the log. Called in the order of the log.
   *
   * @param receipt its publisher waits
   * @returns whether a verdict will follow (`Receipts.settled`)
   */
  accept({ channel, sequence }: Publication, name: Buffer, receipt: boolean): boolean {
    if (!this.#flights.has(channel)) {
      if (this.#index.workersOf(name, 0, name.length, this.#found) === 0) return false;
      this.#send(newFlight(channel, name));
    }
    const flight = this.#flights.get(channel);
    if (flight === undefined) return false;
    if (receipt) flight.publishers.add(sequence);
    return true;
  }

  /** A worker has dialled; what it has waiting follows. One that it had before must have left. */
  workerJoined(worker: number, link: QueueLink): void {
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
  waiting(worker: number, bytes: Uint8Array, start: number, end: number): void {
    this.#index.add(bytes, start, end, worker);
    // No string is made where nothing can be waiting for them: clients come in floods.
    if (this.#flights.size === 0 && this.#log.queued === 0) return;
    const channel = decodeName(bytes, start, end);
    const flight = this.#flights.get(channel);
    if (flight !== undefined) flight.joined = true;
    else if (this.oldest(channel) !== undefined) this.#send(newFlight(channel, Buffer.from(channel)));
  }

  /** A worker's last connection waiting on the channel has gone. */
  notWaiting(worker: number, bytes: Uint8Array, start: number, end: number): void {
    this.#index.remove(bytes, start, end, worker);
  }

  /** A worker's verdict. One that is not awaited (any more) is ignored. */
  delivered(worker: number, sequence: number, receivers: number): void {
    const flight = this.#flightOf.get(sequence);
    if (flight === undefined || !flight.awaited.delete(worker)) return;
    flight.receivers += receivers;
    this.#receipts.received(sequence, receivers);
    if (receivers > 0) this.#records?.queued(sequence, worker, receivers);
    if (flight.awaited.size === 0) this.#decide(flight);
  }

  /** The oldest publication of the channel that nobody has been handed. */
  oldest(channel: string): Publication | undefined {
    try {
      return this.#log.oldestQueued(channel);
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      this.#failed(error);
      return undefined;
    }
  }

  /** A publication that was to be sent to a worker has left the queue before it was. The worker still has clients. */
  unsent(worker: number, sequence: number): void {
    const flight = this.#flightOf.get(sequence);
    if (flight !== undefined) flight.joined = true;
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

  /** Sends the oldest of the channel to all who wait; where there is none, or nobody waits, the flight ends. */
  #send(flight: Flight): void {
    const publication = this.oldest(flight.channel);
    const count =
      publication === undefined ? 0 : this.#index.workersOf(flight.name, 0, flight.name.length, this.#found);
    if (publication === undefined || count === 0) {
      this.#end(flight);
      return;
    }
    // Those that retention has taken before their turn; sequences were added in order.
    for (const sequence of flight.publishers) {
      if (sequence >= publication.sequence) break;
      this.#settle(flight, sequence);
    }
    flight.sequence = publication.sequence;
    flight.receivers = 0;
    flight.overdue = false;
    flight.joined = false;
    this.#flights.set(flight.channel, flight);
    this.#flightOf.set(publication.sequence, flight);
    for (const worker of this.#found.subarray(0, count)) flight.awaited.add(worker);
    for (const worker of flight.awaited) this.#links.get(worker)!.deliver(publication, flight.name);
  }

  /** All verdicts are in. */
  #decide(flight: Flight): void {
    this.#flightOf.delete(flight.sequence);
    if (flight.receivers > 0) {
      this.#log.consumed(flight.channel, flight.sequence);
      this.#delivered++;
      this.#receivers += flight.receivers;
      this.#settle(flight, flight.sequence);
      this.#send(flight);
    } else {
      this.#missed++;
      if (flight.joined) this.#send(flight);
      else this.#end(flight);
    }
  }

  #end(flight: Flight): void {
    this.#flights.delete(flight.channel);
    for (const sequence of flight.publishers) this.#settle(flight, sequence);
  }

  #settle(flight: Flight, sequence: number): void {
    if (flight.publishers.delete(sequence)) this.#receipts.settled(sequence);
  }
}

function newFlight(channel: string, name: Buffer): Flight {
  return {
    channel,
    name,
    sequence: 0,
    awaited: new Set(),
    receivers: 0,
    overdue: false,
    joined: false,
    publishers: new Set(),
  };
}

/** A name in a frame, as a string. Chunks of a socket are Buffers, which decode a part of themselves without a view of it. */
export function decodeName(bytes: Uint8Array, start: number, end: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('utf8', start, end);
}
