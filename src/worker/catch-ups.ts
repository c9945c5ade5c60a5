/**
 * Connections that are being caught up with: what the log has for them after their cursor, and the moment at which they
 * become live.
 *
 *     request ──► READ of each channel that histories do not cover ──► HISTORY ──► what is after its position, in order ──┐
 *                  ▲                                                                                                      │
 *                  └──────────── a history that goes on, or that was dropped meanwhile ◄──────────────────────────────────┤
 *                                                                                                            live ◄───────┘
 *
 * A *catch-up* is one group of channels that a connection asked for together; a WebSocket may have several, one after the
 * other. Until it has ended, the fan-out leaves its channels out for the connection, and what arrives goes to the channels'
 * histories (histories.ts) instead. A connection that has been given all that they have, up to the worker's position, is
 * live, whatever was published meanwhile: nothing is lost, nothing comes twice, and all is in the order of the log.
 *
 * With `after=now` there is nothing to read; the catch-up only waits until the manager has said that it knows of the
 * subscription (READ_NOW). The response begins no earlier than that, so that a client to whom the stream is open misses
 * nothing from then on.
 *
 * Objects here exist for connections that catch up, not for idle ones.
 */

import { CATCH_UP_BYTES, POLL_ANSWER_BYTES } from '../limits.js';
import { HISTORY_BEYOND, HISTORY_MORE, READ_NOW } from '../link/frames.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { FORMAT_POLL } from '../transports/formats.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_AT_ONCE, FLAG_CATCHING_UP, FORMAT_SHIFT, PHASE_POLLING } from './connections.js';
import { Histories } from './histories.js';
import { type CachedPublication, gapAt, KIND_GAP } from './history.js';
import type { StreamReports, Streams } from './streams.js';
import { NONE, type Subscriptions } from './subscriptions.js';
import type { Wire } from './wire.js';

/** `begin`: from the end of the log. */
export const AFTER_NOW = -1;

/** Numbers of READs for the end of the log begin here; those of histories are below. */
const NOW_REQUESTS = 0x8000_0000;

/** A WebSocket's request to subscribe, which is answered when the catch-up has ended. */
export interface SubscribeRequest {
  readonly names: string[];
  /** Its mark as JSON; '' where it has none. */
  readonly ref: string;
}

/** Channels that a connection asks for together; filled by `Streams.add`. */
export class SubscriptionGroup {
  readonly channels: number[] = [];
  /** One of them has its first subscriber in this worker: the manager has yet to hear of it. */
  fresh = false;
  readonly request: SubscribeRequest | null;

  constructor(request: SubscribeRequest | null) {
    this.request = request;
  }
}

interface CatchUp {
  readonly connection: number;
  /** The client has everything of these channels up to here, or AFTER_NOW. */
  position: number;
  /** The manager was asked where the log ends, and has not answered. */
  asked: boolean;
  /** Those that the connection is still on, and was not on before: there may be none. */
  readonly channels: number[];
  /** The client's cursor is of a log that is lost: it is told first. */
  lost: boolean;
  /** The response up to the first message, while it is held back; null when it was sent. */
  opening: Uint8Array | null;
  readonly request: SubscribeRequest | null;
}

export class CatchUps {
  readonly #connections: Connections;
  readonly #subscriptions: Subscriptions;
  readonly #control: ConnectionControl;
  readonly #reports: StreamReports;
  readonly #wire: Wire;
  readonly #streams: Streams;
  readonly #histories = new Histories();
  readonly #byConnection = new Map<number, CatchUp[]>();
  /** Those that wait for a page, by channel. */
  readonly #readers = new Map<number, Set<CatchUp>>();
  /** Those that wait for the end of the log, by request. */
  readonly #nowReaders = new Map<number, CatchUp>();
  /** Those that are ahead of the worker's position: they have seen what FAN_OUT is yet to bring. */
  readonly #ahead = new Set<CatchUp>();
  readonly #name = new Uint8Array(256);
  readonly #collect = (channel: number, item: CachedPublication): boolean => this.#collectItem(channel, item);
  #collected = 0;
  #lastNowRequest = NOW_REQUESTS;
  /** There is a manager, and its log is known. */
  #ready = false;

  constructor(parts: {
    connections: Connections;
    subscriptions: Subscriptions;
    control: ConnectionControl;
    reports: StreamReports;
    wire: Wire;
    streams: Streams;
  }) {
    this.#connections = parts.connections;
    this.#subscriptions = parts.subscriptions;
    this.#control = parts.control;
    this.#reports = parts.reports;
    this.#wire = parts.wire;
    this.#streams = parts.streams;
  }

  /** Connections that are being caught up with. */
  get size(): number {
    return this.#byConnection.size;
  }

  // ── Connections ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Begins to catch up with channels that the connection has just been put on.
   *
   * @param position sequence after which the client wants everything, or AFTER_NOW
   * @param lost the client's cursor is of another log: it is told so, and gets all there is
   * @param opening see CatchUp; a copy
   */
  begin(
    connection: number,
    { channels, fresh, request }: SubscriptionGroup,
    position: number,
    lost: boolean,
    opening: Uint8Array | null,
  ): void {
    const catchUp: CatchUp = { connection, position, asked: false, channels, lost, opening, request };
    const others = this.#byConnection.get(connection);
    if (others === undefined) this.#byConnection.set(connection, [catchUp]);
    else others.push(catchUp);
    this.#connections.flags[connection] |= FLAG_CATCHING_UP;
    const unsettled = fresh || this.#nowReaders.size > 0 || this.#readers.size > 0 || !this.#ready;
    if (position === AFTER_NOW && channels.length > 0 && unsettled) {
      this.#readNow(catchUp);
    } else if (others === undefined) {
      this.#advance(catchUp);
    }
  }

  /** Whether the fan-out has to leave the connection out on this channel. */
  has(connection: number, channel: number): boolean {
    return this.#byConnection.get(connection)!.some(({ channels }) => channels.includes(channel));
  }

  /** Whether the response has not begun. */
  isOpening(connection: number): boolean {
    return this.#byConnection.get(connection)!.some(({ opening }) => opening !== null);
  }

  /** The sequence up to which the connection has been given everything. */
  positionOf(connection: number): number {
    const catchUp = this.#byConnection.get(connection)?.[0];
    if (catchUp === undefined || catchUp.position === AFTER_NOW) return this.#streams.position;
    return catchUp.position;
  }

  /** A connection has been taken off one channel. */
  leave(connection: number, channel: number): void {
    for (const { channels } of this.#byConnection.get(connection) ?? []) {
      const at = channels.indexOf(channel);
      if (at >= 0) channels.splice(at, 1);
    }
  }

  /** A connection departs. */
  left(connection: number): void {
    if ((this.#connections.flags[connection] & FLAG_CATCHING_UP) === 0) return;
    this.#connections.flags[connection] &= ~FLAG_CATCHING_UP;
    // Whatever list still has one of these finds that it is over.
    for (const catchUp of this.#byConnection.get(connection)!) this.#ahead.delete(catchUp);
    this.#byConnection.delete(connection);
  }

  /** How many groups of the connection are being caught up with, or have yet to be. */
  countOf(connection: number): number {
    return this.#byConnection.get(connection)?.length ?? 0;
  }

  /** What was pending on the connection is with the kernel, or a channel that was waited for was left: more may follow. */
  proceed(connection: number): void {
    const catchUp = this.#byConnection.get(connection)?.[0];
    if (catchUp !== undefined && this.#ready) this.#advance(catchUp);
  }

  // ── Channels ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The last subscriber of a channel has gone; its number is dead. */
  drop(channel: number): void {
    this.#histories.drop(channel);
    this.#readers.delete(channel);
  }

  /** `wire` has a publication of the channel. */
  published(channel: number): void {
    if (this.#histories.wants(channel)) this.#histories.live(channel, this.#wire.publication());
  }

  /** Somebody takes this publication and will come back with its cursor: keep it, so that he need not ask the manager. */
  keep(channel: number): void {
    if (!this.#histories.wants(channel)) this.#histories.noteLive(channel, this.#wire.publication());
  }

  /** The manager tells of a gap in a channel. */
  gap(channel: number, sequence: number): void {
    if (this.#histories.wants(channel)) this.#histories.live(channel, gapAt(sequence));
  }

  /** The worker's position has moved. */
  moved(): void {
    if (this.#ahead.size === 0) return;
    const ahead = [...this.#ahead];
    this.#ahead.clear();
    for (const catchUp of ahead) if (this.#isFirst(catchUp)) this.#advance(catchUp);
  }

  /** Called now and then: lets go of histories that nobody has used for a while. */
  expire(nowMs: number): void {
    this.#histories.expire(nowMs);
  }

  // ── The manager ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A page of the log (HISTORY in frames.ts). */
  history(request: number, upTo: number, gap: number, rest: number, publications: CachedPublication[]): void {
    if (rest !== HISTORY_BEYOND) this.#streams.moveTo(upTo);
    const nowReader = this.#nowReaders.get(request);
    if (nowReader !== undefined) {
      this.#nowReaders.delete(request);
      nowReader.asked = false;
      if (this.#isFirst(nowReader)) this.#advance(nowReader);
      return;
    }
    const channel = this.#histories.page(request, upTo, gap, rest === HISTORY_MORE, publications);
    const readers = this.#readers.get(channel);
    if (channel === NONE || readers === undefined) return;
    this.#readers.delete(channel);
    for (const catchUp of readers) {
      if (rest === HISTORY_BEYOND && catchUp.position > upTo) {
        catchUp.position = 0;
        catchUp.lost = true;
      }
      if (this.#isFirst(catchUp)) this.#advance(catchUp);
    }
  }

  /** The log that is known from now on is another one. */
  epochChanged(): void {
    this.#histories.clear();
    for (const catchUps of this.#byConnection.values()) {
      for (const catchUp of catchUps) {
        if (catchUp.position === AFTER_NOW) continue;
        catchUp.position = 0;
        catchUp.lost = true;
      }
    }
  }

  /** The manager is gone, and with it what it was asked. */
  pause(): void {
    this.#ready = false;
    this.#histories.abandonReads();
    this.#readers.clear();
    for (const catchUp of this.#nowReaders.values()) catchUp.asked = false;
    this.#nowReaders.clear();
    this.#ahead.clear();
  }

  /** A manager is there: whatever waits is asked for. */
  resume(): void {
    this.#ready = true;
    for (const catchUps of [...this.#byConnection.values()]) {
      const [first] = catchUps;
      if (!this.#isFirst(first)) continue;
      if (first.position === AFTER_NOW && first.channels.length > 0) this.#readNow(first);
      else this.#advance(first);
    }
  }

  #readNow(catchUp: CatchUp): void {
    if (!this.#ready) {
      // Nothing is published meanwhile either.
      this.#open(catchUp);
      return;
    }
    this.#lastNowRequest = this.#lastNowRequest === 0xffff_ffff ? NOW_REQUESTS : this.#lastNowRequest + 1;
    this.#nowReaders.set(this.#lastNowRequest, catchUp);
    catchUp.asked = true;
    this.#ask(this.#lastNowRequest, catchUp.channels[0], READ_NOW);
  }

  #read(channel: number, catchUp: CatchUp): void {
    const readers = this.#readers.get(channel);
    if (readers === undefined) this.#readers.set(channel, new Set([catchUp]));
    else readers.add(catchUp);
    if (this.#ready && !this.#histories.isReading(channel)) {
      this.#ask(this.#histories.beginReading(channel, catchUp.position), channel, catchUp.position);
    }
  }

  #ask(request: number, channel: number, after: number): void {
    this.#reports.read(request, after, this.#name, 0, this.#subscriptions.copyName(channel, this.#name, 0));
  }

  // ── Progress ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether the catch-up is still wanted, and has its turn. */
  #isFirst(catchUp: CatchUp): boolean {
    return this.#byConnection.get(catchUp.connection)?.[0] === catchUp;
  }

  /** Sends what was held back. @returns false where the connection has gone */
  #open(catchUp: CatchUp): boolean {
    const { opening, connection } = catchUp;
    if (opening === null) return true;
    catchUp.opening = null;
    return this.#control.sendCopy(connection, opening) >= 0;
  }

  /**
   * Gives a connection what is there for it, until it is live or has to wait: for the log, or for its own reading.
   *
   * @param first the connection's first catch-up
   */
  #advance(first: CatchUp): void {
    let catchUp: CatchUp | undefined = first;
    while (catchUp !== undefined && this.#give(catchUp)) catchUp = this.#end(catchUp);
  }

  /** @returns whether the client has everything of the catch-up's channels up to the worker's position */
  #give(catchUp: CatchUp): boolean {
    if (catchUp.channels.length === 0) return true;
    if (catchUp.position === AFTER_NOW) return !catchUp.asked;
    const { connection, channels } = catchUp;
    const polls = this.#connections.phase[connection] === PHASE_POLLING;
    const format = polls ? FORMAT_POLL : this.#connections.flags[connection] >> FORMAT_SHIFT;
    for (;;) {
      const { position } = catchUp;
      const unknown = channels.filter((channel) => !this.#histories.covers(channel, position));
      if (unknown.length > 0) {
        for (const channel of unknown) this.#read(channel, catchUp);
        return false;
      }
      this.#wire.collect(format);
      this.#collected = 0;
      if (catchUp.lost) this.#collectLost(catchUp);
      const bytes = polls ? POLL_ANSWER_BYTES : CATCH_UP_BYTES;
      const reached = this.#histories.merge(channels, position, this.#streams.position, bytes, this.#collect);
      catchUp.position = reached;
      if (this.#collected > 0) {
        if (polls) {
          this.#streams.answerCollected(connection, reached);
          return false;
        }
        const result = this.#streams.sendCollected(connection);
        if (result < 0 || result === SEND_PENDING) return false;
      }
      if (this.#histories.isLevel(channels, reached, this.#streams.position)) return true;
      if (reached === position && this.#collected === 0) {
        this.#ahead.add(catchUp);
        return false;
      }
    }
  }

  #collectLost(catchUp: CatchUp): void {
    catchUp.lost = false;
    this.#wire.collectGap(0, null);
    this.#collected++;
  }

  #collectItem(channel: number, item: CachedPublication): boolean {
    const name = Buffer.from(this.#name.buffer, 0, this.#subscriptions.copyName(channel, this.#name, 0));
    if (item.kind === KIND_GAP) this.#wire.collectGap(item.sequence, name);
    else this.#wire.collectMessage(item, name);
    this.#collected++;
    return true;
  }

  /** The channels are live for the connection. @returns its next catch-up */
  #end(catchUp: CatchUp): CatchUp | undefined {
    const { connection, channels, request } = catchUp;
    const catchUps = this.#byConnection.get(connection)!;
    catchUps.shift();
    if (catchUps.length === 0) {
      this.#byConnection.delete(connection);
      this.#connections.flags[connection] &= ~FLAG_CATCHING_UP;
    }
    // What nobody else can have a use for.
    for (const channel of channels) {
      if (this.#subscriptions.next(this.#subscriptions.first(channel)) === NONE) this.#histories.drop(channel);
    }
    if (this.#connections.phase[connection] === PHASE_POLLING) {
      if (this.#connections.flags[connection] & FLAG_AT_ONCE) this.#streams.pollTimedOut(connection);
      return undefined;
    }
    if (!this.#open(catchUp)) return undefined;
    this.#wire.collect(this.#connections.flags[connection] >> FORMAT_SHIFT);
    this.#wire.collectSubscribed(Math.max(catchUp.position, this.#streams.position), request);
    if (this.#streams.sendCollected(connection) < 0) return undefined;
    return this.#byConnection.get(connection)?.[0];
  }
}
