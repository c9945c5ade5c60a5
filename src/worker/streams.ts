/**
 * Subscribers with cursors: long-poll, server-sent events, HTTP stream, WebSocket. Who is on which channel, and the fan-out of
 * each publication to all of them.
 *
 * A connection is here from `joined` until it departs: in PHASE_STREAMING or PHASE_POLLING. What it still has to
 * be given from the log before it is live is the business of catch-ups.ts; the fan-out leaves those channels of it out.
 *
 * The *position* is the sequence up to which this worker has seen all publications of its channels. It is the cursor of
 * every live connection, which is why a connection needs none of its own.
 */

import { CURSOR_NOW, CURSOR_START, type Cursor } from '../cursor.js';
import { DELIVERY_BOUNDS_MS, LatencyHistogram } from '../latency-histogram.js';
import { SEND_TIMEOUT_MS, SLOW_CONSUMER_BYTES_MAX } from '../limits.js';
import { ADVICE_CLOSE_CODES, type DisconnectAdvice } from '../link/advice.js';
import { FAN_OUT_RECEIPT } from '../link/frames.js';
import { type Reactor, SEND_PENDING } from '../reactor/reactor.js';
import { FORMAT_POLL, FORMAT_STREAM_CHUNKED } from '../transports/formats.js';
import { STREAM_LAST_CHUNK } from '../transports/heads.js';
import { CatchUps } from './catch-ups.js';
import type { ConnectionControl } from './connection-control.js';
import {
  type Connections,
  FLAG_CATCHING_UP,
  FLAG_JSONP,
  FORMAT_SHIFT,
  PHASE_DONE,
  PHASE_POLLING,
  PHASE_STREAMING,
} from './connections.js';
import { Deliveries } from './deliveries.js';
import type { Identities } from './identities.js';
import { SendBatches } from './send-batches.js';
import type { SubscriptionGroup } from './subscription-group.js';
import { ADDED_FIRST, ALREADY, FULL, NONE, type Subscriptions } from './subscriptions.js';
import { Trail } from './trail.js';
import { FORMATS, isWebSocket, type Wire } from './wire.js';

/** What the manager is told of subscribers, and asked. */
export interface StreamReports {
  /** There is a manager to tell. */
  readonly established: boolean;
  /** `bytes[start..end)` is the name of a channel that has its first subscriber here. */
  subscribed(bytes: Uint8Array, start: number, end: number): void;
  /** … and of one whose last subscriber has gone. */
  unsubscribed(bytes: Uint8Array, start: number, end: number): void;
  /** A FAN_OUT with a receipt was tried on everyone. */
  received(sequence: number, receivers: number): void;
  /** Asks for what the log has of a channel; answered by `history`. */
  read(request: number, after: number, bytes: Uint8Array, start: number, end: number): void;
}

export class Streams {
  readonly #reactor: Reactor;
  readonly #connections: Connections;
  readonly #subscriptions: Subscriptions;
  readonly #control: ConnectionControl;
  readonly #identities: Identities;
  readonly #reports: StreamReports;
  readonly #wire: Wire;
  readonly #catchUps: CatchUps;
  readonly #name = new Uint8Array(256);
  readonly #batches: SendBatches;
  readonly #notDone = (connection: number, result: number): boolean => this.#handed(connection, result);
  readonly #lost = (channel: number): void => this.#channelLost(channel);
  #position = 0;
  messagesSent = 0;
  /** What became of the latest publications, and what clients did lately. */
  readonly deliveries = new Deliveries();
  readonly trail: Trail;
  /** From the log's time of a publication until all of its receivers' kernels had it, for each of these. */
  readonly delivery = new LatencyHistogram(DELIVERY_BOUNDS_MS);
  /** Connections here now, by format. */
  readonly joinedByFormat = new Int32Array(FORMATS);
  /** Connections that were ended because they did not read. */
  slowConsumers = 0;

  constructor(parts: {
    reactor: Reactor;
    connections: Connections;
    subscriptions: Subscriptions;
    control: ConnectionControl;
    identities: Identities;
    reports: StreamReports;
    wire: Wire;
  }) {
    this.#reactor = parts.reactor;
    this.#connections = parts.connections;
    this.#subscriptions = parts.subscriptions;
    this.#control = parts.control;
    this.#identities = parts.identities;
    this.#reports = parts.reports;
    this.#wire = parts.wire;
    this.#batches = new SendBatches(parts.reactor, FORMATS);
    this.#catchUps = new CatchUps({ ...parts, streams: this });
    this.trail = new Trail({
      identities: parts.identities,
      position: () => this.#position,
      reached: (connection) => this.reached(connection),
      wallMs: Date.now,
    });
    parts.identities.listen(this.trail);
  }

  /** The epoch of the log; empty before the first manager. */
  get epoch(): string {
    return this.#wire.epoch;
  }

  get position(): number {
    return this.#position;
  }

  get catchUps(): CatchUps {
    return this.#catchUps;
  }

  // ── Subscribing ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Puts a connection on a channel, as one of a group.
   *
   * @returns false where this worker has no room for it
   */
  add(connection: number, group: SubscriptionGroup, bytes: Uint8Array, start: number, end: number): boolean {
    const added = this.#subscriptions.add(connection, bytes, start, end);
    if (added === FULL) return false;
    if (added === ALREADY) return true;
    const channel = this.#subscriptions.find(bytes, start, end);
    group.channels.push(channel);
    if (added === ADDED_FIRST) {
      group.fresh = true;
      this.#reports.subscribed(bytes, start, end);
    }
    return true;
  }

  /** Takes a connection off the channels of a group that could not be completed. */
  abandon(connection: number, group: SubscriptionGroup): void {
    for (const channel of group.channels) this.#leave(connection, channel);
  }

  /**
   * Begins to serve a group that is complete, from the cursor on.
   *
   * @param opening the response up to the first message, borrowed; null where there is none or it was sent
   */
  start(connection: number, group: SubscriptionGroup, cursor: Cursor, opening: Uint8Array | null): void {
    const { position } = cursor;
    if (this.#identities.has(connection)) this.#leaveTrail(connection, group, cursor);
    if (position === CURSOR_NOW) {
      this.#catchUps.begin(connection, group, position, null, opening?.slice() ?? null);
      return;
    }
    // Proxies and EventSource see the stream open at once.
    if (opening !== null && this.#control.sendCopy(connection, opening) < 0) return;
    const known = position === CURSOR_START || cursor.isOf(this.#wire.epochBytes);
    const foreign = known ? null : { epoch: cursor.epochText(), position };
    this.#catchUps.begin(connection, group, position, foreign, null);
  }

  #leaveTrail(connection: number, { channels }: SubscriptionGroup, cursor: Cursor): void {
    const { position } = cursor;
    const isKnown = position >= 0 && cursor.isOf(this.#wire.epochBytes);
    const after = position === CURSOR_NOW ? null : isKnown ? position : 0;
    const subscriptions = this.#subscriptions;
    const names = (max: number) => channels.slice(0, max).map((channel) => subscriptions.nameOf(channel));
    this.trail.asked(connection, after, channels.length, names);
  }

  /** Up to which sequence a connection has been sent everything. */
  reached(connection: number): number {
    const isLive = (this.#connections.flags[connection] & FLAG_CATCHING_UP) === 0;
    return isLive ? this.#position : this.#catchUps.reached(connection);
  }

  /** How many channels a connection is on. */
  countOf(connection: number): number {
    const subscriptions = this.#subscriptions;
    let count = 0;
    for (let row = subscriptions.firstRow(connection); row !== NONE; row = subscriptions.nextRow(row)) count++;
    return count;
  }

  /** The names of the channels that a connection is on. */
  channelsOf(connection: number): string[] {
    return [...this.#subscriptions.channelsOf(connection)];
  }

  /** Whether a connection is on the channel of this name. */
  isOn(connection: number, name: Uint8Array): boolean {
    const channel = this.#subscriptions.find(name, 0, name.length);
    return channel !== NONE && this.#subscriptions.has(connection, channel);
  }

  /** Takes a connection off a channel. @returns false where it was not on it */
  remove(connection: number, bytes: Uint8Array, start: number, end: number): boolean {
    const channel = this.#subscriptions.find(bytes, start, end);
    if (channel === NONE || !this.#subscriptions.has(connection, channel)) return false;
    this.trail.dropped(connection, () => this.#subscriptions.nameOf(channel));
    this.#catchUps.leave(connection, channel);
    this.#leave(connection, channel);
    return true;
  }

  #leave(connection: number, channel: number): void {
    const length = this.#subscriptions.copyName(channel, this.#name, 0);
    if (!this.#subscriptions.remove(connection, channel)) return;
    this.#catchUps.drop(channel);
    this.#reports.unsubscribed(this.#name, 0, length);
  }

  /** A connection comes here: it is in PHASE_STREAMING or PHASE_POLLING, and its format is set. */
  joined(connection: number): void {
    this.joinedByFormat[this.#connections.flags[connection] >> FORMAT_SHIFT]++;
  }

  /** A connection departs: it is on no channel any more. */
  left(connection: number): void {
    this.joinedByFormat[this.#connections.flags[connection] >> FORMAT_SHIFT]--;
    this.#catchUps.left(connection);
    this.#subscriptions.removeAll(connection, this.#lost);
  }

  #channelLost(channel: number): void {
    this.#catchUps.drop(channel);
    this.#reports.unsubscribed(this.#name, 0, this.#subscriptions.copyName(channel, this.#name, 0));
  }

  // ── Fan-out ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Hands a publication to all live subscribers of its channel, `bytes[nameStart..nameEnd)`. */
  fanOut(
    sequence: number,
    timeMs: number,
    kind: number,
    flags: number,
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    dataEnd: number,
  ): void {
    // A manager that starts again may repeat what it cannot know to have arrived.
    if (sequence <= this.#position) return;
    this.#position = sequence;
    const subscriptions = this.#subscriptions;
    const channel = subscriptions.find(bytes, nameStart, nameEnd);
    let receivers = 0;
    if (channel !== NONE) {
      const slowBefore = this.slowConsumers;
      const wire = this.#wire;
      wire.begin(sequence, timeMs, kind, bytes, nameStart, nameEnd, dataEnd);
      this.#catchUps.published(channel);
      for (let row = subscriptions.first(channel); row !== NONE; ) {
        const following = subscriptions.next(row);
        receivers += this.#handOut(subscriptions.connectionOf(row), channel);
        row = following;
      }
      for (let format = 0; format < FORMATS; format++) {
        if (!this.#batches.isEmpty(format)) receivers += this.#sendBatch(format);
      }
      wire.end();
      this.messagesSent += receivers;
      const nowMs = Date.now();
      if (receivers > 0) this.delivery.observe(nowMs - timeMs, receivers);
      this.deliveries.note(sequence, nowMs, receivers, this.slowConsumers - slowBefore);
    }
    if (flags & FAN_OUT_RECEIPT) this.#reports.received(sequence, receivers);
    this.#catchUps.moved();
  }

  /** Gives a connection the publication that `wire` has, now or in a batch. @returns how many got it by this */
  #handOut(connection: number, channel: number): number {
    const flags = this.#connections.flags[connection];
    if (flags & FLAG_CATCHING_UP && this.#catchUps.has(connection, channel)) return 0;
    if (this.#connections.phase[connection] === PHASE_POLLING) {
      this.#catchUps.keep(channel);
      return this.#answerPoll(connection, this.#pollBuffer(connection, flags)) ? 1 : 0;
    }
    const format = flags >> FORMAT_SHIFT;
    return this.#batches.add(connection, format) ? this.#sendBatch(format) : 0;
  }

  /** @returns how many got it */
  #sendBatch(format: number): number {
    return this.#batches.send(format, this.#wire.buffer(format), this.#notDone);
  }

  /** What a connection was handed did not fit, or has failed. @returns whether it may still get it */
  #handed(connection: number, result: number): boolean {
    if (result < 0) {
      this.#control.gone(connection);
      return false;
    }
    const buffer = this.#wire.buffer(this.#connections.flags[connection] >> FORMAT_SHIFT);
    return this.checkPace(connection, this.#wire.lengthOf(buffer));
  }

  /**
   * Ends a connection that has left too much unread. A WebSocket that reads on finds a close code behind what it was
   * sent; any other finds the end. All resume from their cursor.
   *
   * @param latestBytes what it was sent just now: nobody can have read that, however large it is
   * @returns false where it was ended
   */
  checkPace(connection: number, latestBytes: number): boolean {
    if (this.#reactor.pendingBytes(connection) <= SLOW_CONSUMER_BYTES_MAX + latestBytes) return true;
    this.slowConsumers++;
    this.#control.countEnd('slow_consumer');
    this.trail.ending(connection, 'slow_consumer', this.reached(connection));
    const format = this.#connections.flags[connection] >> FORMAT_SHIFT;
    if (isWebSocket(format) && this.#control.sendCopy(connection, this.#wire.slowConsumerClose()) < 0) return false;
    this.#control.linger(connection, SEND_TIMEOUT_MS);
    return false;
  }

  // ── Long-poll ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #pollBuffer(connection: number, flags: number): number {
    const closes = !this.#connections.persists(connection);
    if ((flags & FLAG_JSONP) === 0) return this.#wire.pollBuffer(closes);
    return this.#wire.jsonpBuffer(closes, this.#connections.copyCallback(connection, this.#wire.callback, 0));
  }

  /** Sends a whole answer to a poll, which is over with that. @returns false where the connection was gone */
  #answerPoll(connection: number, buffer: number, reached = this.#position, reason = 'answered'): boolean {
    this.trail.ending(connection, reason, reached);
    this.#identities.end(connection);
    this.left(connection);
    this.#connections.phase[connection] = PHASE_DONE;
    const closes = !this.#connections.persists(connection);
    const result = this.#control.sendAnswer(connection, buffer, closes);
    if (result < 0) this.#control.gone(connection);
    else if (!closes) this.#control.idle(connection);
    else if (result === SEND_PENDING) this.#control.linger(connection, SEND_TIMEOUT_MS);
    else this.#control.finish(connection);
    return result >= 0;
  }

  /** Answers a poll with what `wire` has collected for it, up to the cursor. */
  answerCollected(connection: number, cursor: string, disconnect?: DisconnectAdvice): void {
    const closes = !this.#connections.persists(connection);
    const length =
      this.#connections.flags[connection] & FLAG_JSONP
        ? this.#connections.copyCallback(connection, this.#wire.callback, 0)
        : 0;
    const buffer = this.#wire.collectedAnswer(cursor, closes, length, disconnect);
    this.#answerPoll(connection, buffer, this.#wire.sequenceOf(cursor), disconnect?.code);
    this.#wire.release(buffer);
  }

  /** A poll's time is over. One that is still being caught up with is told what it knew. */
  pollTimedOut(connection: number, disconnect?: DisconnectAdvice): void {
    this.#wire.collect(FORMAT_POLL);
    if (this.#catchUps.isLost(connection)) this.#wire.collectLost();
    this.answerCollected(connection, this.#catchUps.cursorOf(connection), disconnect);
  }

  // ── Endings ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether the response of a streaming connection has begun. */
  isOpen(connection: number): boolean {
    return (this.#connections.flags[connection] & FLAG_CATCHING_UP) === 0 || !this.#catchUps.isOpening(connection);
  }

  /**
   * Ends a stream or WebSocket whose response has begun, with advice. One that is still being caught up with goes on from where it
   * had got to, and if its log is lost it is told that first.
   */
  disconnect(connection: number, advice: DisconnectAdvice): void {
    const wire = this.#wire;
    const format = this.#connections.flags[connection] >> FORMAT_SHIFT;
    wire.collect(format);
    if (this.#catchUps.isLost(connection)) wire.collectLost();
    this.trail.ending(connection, advice.code, this.reached(connection));
    wire.collectDisconnect(advice, this.#catchUps.cursorOf(connection));
    if (isWebSocket(format)) wire.collectClose(ADVICE_CLOSE_CODES[advice.code], advice.reason);
    const buffer = wire.collected();
    const result = this.#reactor.send(connection, buffer, true);
    wire.release(buffer);
    if (result < 0) this.#control.gone(connection);
    else this.#control.linger(connection);
  }

  /** The server ends: a stream that can say so does. */
  goAway(connection: number): void {
    const isChunked = this.#connections.flags[connection] >> FORMAT_SHIFT === FORMAT_STREAM_CHUNKED;
    if (isChunked && this.isOpen(connection) && this.#control.sendCopy(connection, STREAM_LAST_CHUNK, true) < 0) return;
    this.#control.linger(connection);
  }

  // ── The manager ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Announces every channel that has a subscriber. */
  announce(): void {
    this.#subscriptions.forEachChannel((channel) => {
      this.#reports.subscribed(this.#name, 0, this.#subscriptions.copyName(channel, this.#name, 0));
    });
  }

  /** A manager is there, with the log of this epoch, which ends at `last`. */
  welcome(epoch: string, last: number): void {
    const before = this.#wire.epoch;
    this.#wire.epoch = epoch;
    if (before === '') {
      this.#position = last;
    } else if (before !== epoch) {
      this.#position = 0;
      this.deliveries.clear();
      this.trail.clear();
      this.#catchUps.epochChanged();
      this.#historyLost();
    }
    this.#catchUps.resume();
  }

  /** Everything up to here has been sent. */
  moveTo(sequence: number): void {
    if (sequence <= this.#position) return;
    this.#position = sequence;
    this.#catchUps.moved();
  }

  /**
   * Publications of a channel up to `lost` were dropped before they could be sent here. The position stays: those of other
   * channels may follow. All who are live are told now, so that no cursor that they are given later hides it.
   */
  gap(lost: number, bytes: Uint8Array, nameStart: number, nameEnd: number): void {
    const channel = this.#subscriptions.find(bytes, nameStart, nameEnd);
    if (channel === NONE || lost <= this.#position) return;
    this.#catchUps.gap(channel, lost);
    const name = Buffer.from(bytes.subarray(nameStart, nameEnd));
    const subscriptions = this.#subscriptions;
    for (let row = subscriptions.first(channel); row !== NONE; ) {
      const following = subscriptions.next(row);
      const connection = subscriptions.connectionOf(row);
      const { flags } = this.#connections;
      const catchesUp = flags[connection] & FLAG_CATCHING_UP && this.#catchUps.has(connection, channel);
      if (!catchesUp) this.#tellGap(connection, this.#position, { name, lost });
      row = following;
    }
  }

  /**
   * The log that the cursors of all these connections are of is lost: all who are live on some channel are told, and go on
   * with the new one. Who is being caught up with is told by that.
   */
  #historyLost(): void {
    const { capacity, phase } = this.#connections;
    for (let connection = 0; connection < capacity; connection++) {
      if (phase[connection] !== PHASE_POLLING && phase[connection] !== PHASE_STREAMING) continue;
      if (this.countOf(connection) > this.#catchUps.countOf(connection)) this.#tellGap(connection, 0, null);
    }
  }

  /** @param gap of one channel; null: of all, the log is another one */
  #tellGap(connection: number, sequence: number, gap: { name: Buffer; lost: number } | null): void {
    const wire = this.#wire;
    const polls = this.#connections.phase[connection] === PHASE_POLLING;
    wire.collect(polls ? FORMAT_POLL : this.#connections.flags[connection] >> FORMAT_SHIFT);
    if (gap === null) wire.collectLost();
    else wire.collectGap(sequence, gap.name, gap.lost);
    if (polls) this.answerCollected(connection, wire.cursor(sequence));
    else this.sendCollected(connection);
  }

  /** Sends what `wire` has collected. @returns as Reactor.send; below 0 the connection is gone */
  sendCollected(connection: number): number {
    const buffer = this.#wire.collected();
    const result = this.#reactor.send(connection, buffer);
    const length = this.#wire.lengthOf(buffer);
    this.#wire.release(buffer);
    if (result < 0) this.#control.gone(connection);
    else if (result === SEND_PENDING && !this.checkPace(connection, length)) return -1;
    return result;
  }
}
