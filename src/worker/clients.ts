/**
 * The life of a client connection: its requests, its wait, the message that ends it, and everything that can go wrong in
 * between. The phases are drawn in connections.ts; what a request means is the transport's (transports/classic.ts).
 *
 * Owns the connection table, the subscriptions and the timers, and keeps them in step: a connection is in `Subscriptions`
 * exactly while it is in PHASE_WAITING, and has a timer in every other phase (at the end of a turn, if it is new).
 */

import { METHOD_HEAD, parseRequestHead, RequestHead } from '../http/request-head.js';
import {
  KEEP_ALIVE_IDLE_MS,
  LINGER_MS,
  REQUEST_HEAD_TIMEOUT_MS,
  SEND_BYTES_MAX,
  SEND_PROGRESS_BYTES_MIN,
  SEND_TIMEOUT_MS,
  SEND_TIMEOUTS_MAX,
  SWEEP_MS,
  UNREAD_ANSWERS_BYTES_MAX,
} from '../limits.js';
import { type Reactor, SEND_DONE, SEND_PENDING } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import type { TimerWheel } from '../reactor/timer-wheel.js';
import { ANSWER, ClassicTransport, POLL } from '../transports/classic.js';
import {
  type Connections,
  FLAG_EXCESS,
  FLAG_JSONP,
  PHASE_FREE,
  PHASE_HEAD,
  PHASE_KEEP_ALIVE,
  PHASE_LINGERING,
  PHASE_SENDING,
  PHASE_WAITING,
} from './connections.js';
import { HandOuts } from './hand-outs.js';
import { NONE, type Subscriptions } from './subscriptions.js';

/** What the manager is told. */
export interface ClientReports {
  /** `bytes[start..end)` is the name of a channel that has its first connection waiting. */
  subscribed(bytes: Uint8Array, start: number, end: number): void;
  /** … and of one whose last connection has gone. */
  unsubscribed(bytes: Uint8Array, start: number, end: number): void;
  delivered(sequence: number, receivers: number): void;
}

export interface ClientCounters {
  accepted: number;
  requests: number;
  messagesSent: number;
  /** Refused requests by status code. */
  rejected: Record<string, number>;
}

export class Clients {
  readonly counters: ClientCounters = { accepted: 0, requests: 0, messagesSent: 0, rejected: {} };
  readonly #reactor: Reactor;
  readonly #buffers: SendBuffers;
  readonly #connections: Connections;
  readonly #subscriptions: Subscriptions;
  readonly #timers: TimerWheel;
  readonly #reports: ClientReports;
  readonly #classic: ClassicTransport;
  readonly #handOuts: HandOuts;
  readonly #head = new RequestHead();
  readonly #name = new Uint8Array(256);
  readonly #expired = (connection: number): void => this.#timedOut(connection);
  /** Connections whose send has timed out, how often, and what was still pending then. */
  readonly #slow = new Map<number, { pending: number; timeouts: number }>();
  /** Accepted in this turn. Most heads are read in it too, so only those that are not get a timer, at its end. */
  readonly #newcomers: number[] = [];
  #newcomerCount = 0;
  readonly #clock: () => number;
  readonly #maxConnections: number;
  /** The time of this turn's first event that needed one; NaN until then. */
  #turnMs = Number.NaN;
  #sweptMs: number;
  #full = false;
  #stopping = false;

  constructor(parts: {
    reactor: Reactor;
    buffers: SendBuffers;
    connections: Connections;
    subscriptions: Subscriptions;
    timers: TimerWheel;
    reports: ClientReports;
    maxConnections: number;
    /** Milliseconds; never goes back. */
    clock: () => number;
  }) {
    this.#reactor = parts.reactor;
    this.#buffers = parts.buffers;
    this.#connections = parts.connections;
    this.#subscriptions = parts.subscriptions;
    this.#timers = parts.timers;
    this.#reports = parts.reports;
    this.#maxConnections = parts.maxConnections;
    this.#clock = parts.clock;
    this.#sweptMs = parts.clock();
    this.#classic = new ClassicTransport(parts.buffers);
    this.#handOuts = new HandOuts((sequence, receivers) => this.#reports.delivered(sequence, receivers));
  }

  /** Messages that are half-written to some connection. */
  get sending(): number {
    return this.#handOuts.open;
  }

  /** Called after each turn: ends what has timed out. @returns the time */
  tick(): number {
    const nowMs = this.#clock();
    this.#turnMs = nowMs;
    this.#timers.advance(nowMs, this.#expired);
    this.#timeNewcomers(nowMs);
    if (nowMs - this.#sweptMs >= SWEEP_MS) {
      this.#sweptMs = nowMs;
      this.#handOuts.sweep();
      if (this.#buffers.liveBytes > SEND_BYTES_MAX) this.#cutSlowReaders();
    }
    // The next turn may wait long.
    this.#turnMs = Number.NaN;
    return nowMs;
  }

  accepted(connection: number): void {
    this.counters.accepted++;
    this.#connections.open(connection);
    this.#newcomers[this.#newcomerCount++] = connection;
    if (this.#connections.held >= this.#maxConnections && !this.#full) {
      this.#full = true;
      this.#reactor.pauseAccepting();
    }
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    switch (this.#connections.phase[connection]) {
      case PHASE_KEEP_ALIVE:
        this.#connections.phase[connection] = PHASE_HEAD;
        this.#timers.schedule(connection, REQUEST_HEAD_TIMEOUT_MS, this.#nowMs());
        this.#read(connection, bytes, start, end);
        break;
      case PHASE_HEAD:
        this.#read(connection, bytes, start, end);
        break;
      case PHASE_WAITING:
      case PHASE_SENDING:
        this.#excess(connection, end - start);
        break;
      // PHASE_LINGERING: thrown away.
    }
  }

  /** A pending send is complete. Answers on a persistent connection need nothing more. */
  sent(connection: number): void {
    if (this.#connections.phase[connection] !== PHASE_SENDING) return;
    const handOut = this.#connections.handOut[connection];
    this.counters.messagesSent++;
    this.#finish(connection);
    this.#handOuts.settled(handOut, true);
  }

  /** The connection is gone, by its peer or by an error; the reactor has let go of it. */
  closed(connection: number): void {
    const phase = this.#connections.phase[connection];
    if (phase === PHASE_WAITING) this.#stopWaiting(connection);
    const handOut = this.#connections.handOut[connection];
    this.#forget(connection);
    if (phase === PHASE_SENDING) this.#handOuts.settled(handOut, false);
  }

  /** Hands a publication to all connections that wait on its channel, `bytes[nameStart..nameEnd)`. */
  deliver(
    sequence: number,
    kind: number,
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    const subscriptions = this.#subscriptions;
    const channel = subscriptions.find(bytes, nameStart, nameEnd);
    if (channel === NONE) {
      this.#reports.delivered(sequence, 0);
      return;
    }
    const classic = this.#classic;
    classic.begin(kind, bytes, dataStart, dataEnd);
    const handOut = this.#handOuts.next();
    let receivers = 0;
    let pending = 0;
    for (let connection = subscriptions.first(channel); connection !== NONE; ) {
      const following = subscriptions.next(connection);
      this.#stopWaiting(connection);
      const result = this.#reactor.send(connection, this.#encoded(connection), true);
      if (result === SEND_DONE) {
        receivers++;
        this.#finish(connection);
      } else if (result === SEND_PENDING) {
        pending++;
        this.#connections.phase[connection] = PHASE_SENDING;
        this.#connections.handOut[connection] = handOut;
        this.#timers.schedule(connection, SEND_TIMEOUT_MS, this.#nowMs());
      } else {
        this.#forget(connection);
      }
      connection = following;
    }
    classic.end();
    this.counters.messagesSent += receivers;
    this.#handOuts.begun(handOut, sequence, receivers, pending);
  }

  /** The manager is gone; another one will not know the publications that are being handed out. */
  managerLost(): void {
    this.#handOuts.forgetVerdicts();
  }

  /** Announces every channel that has somebody waiting. */
  announce(): void {
    this.#subscriptions.forEachChannel((channel) => {
      this.#reports.subscribed(this.#name, 0, this.#subscriptions.copyName(channel, this.#name, 0));
    });
  }

  /** Accepts nobody from now on, and ends every connection that is not in the middle of a message. */
  stop(): void {
    this.#stopping = true;
    this.#reactor.pauseAccepting();
    const { phase, capacity } = this.#connections;
    for (let connection = 0; connection < capacity; connection++) {
      if (phase[connection] === PHASE_FREE || phase[connection] === PHASE_SENDING) continue;
      if (phase[connection] === PHASE_LINGERING) continue;
      this.#end(connection);
    }
  }

  // ── Requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #read(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const connections = this.#connections;
    let resume = 0;
    const partial = connections.partial(connection);
    if (partial !== undefined) {
      if (connections.appendPartial(connection, bytes, start, end) === undefined) {
        this.#refuse(connection, 503);
        return;
      }
      bytes = partial.bytes;
      start = 0;
      end = partial.length;
      resume = partial.resume;
    }
    for (;;) {
      const length = parseRequestHead(bytes, start, end, this.#head, resume);
      if (length < 0) {
        this.#refuse(connection, -length);
        return;
      }
      if (length === 0) {
        this.#keepPartial(connection, bytes, start, end, this.#head.resume);
        return;
      }
      start += length;
      resume = 0;
      this.#request(connection, bytes);
      if (connections.phase[connection] !== PHASE_HEAD) {
        if (start < end && connections.phase[connection] === PHASE_WAITING) this.#excess(connection, end - start);
        return;
      }
      if (start === end) {
        connections.dropPartial(connection);
        connections.phase[connection] = PHASE_KEEP_ALIVE;
        this.#timers.schedule(connection, KEEP_ALIVE_IDLE_MS, this.#nowMs());
        return;
      }
    }
  }

  #keepPartial(connection: number, bytes: Uint8Array, start: number, end: number, resume: number): void {
    const connections = this.#connections;
    let partial = connections.partial(connection);
    if (partial === undefined || start > 0) {
      const rest = partial === undefined ? bytes : bytes.slice(0, end);
      connections.dropPartial(connection);
      partial = connections.appendPartial(connection, rest, start, end);
    }
    if (partial === undefined) this.#refuse(connection, 503);
    else partial.resume = resume;
  }

  #request(connection: number, bytes: Uint8Array): void {
    const connections = this.#connections;
    const classic = this.#classic;
    this.counters.requests++;
    const outcome = classic.route(bytes, this.#head);
    if (outcome === POLL) {
      connections.dropPartial(connection);
      connections.phase[connection] = PHASE_WAITING;
      this.#timers.cancel(connection);
      if (classic.callbackLength > 0) connections.setCallback(connection, classic.callback, 0, classic.callbackLength);
      const { id, idLength } = classic;
      if (this.#subscriptions.add(connection, id, 0, idLength)) this.#reports.subscribed(id, 0, idLength);
    } else if (outcome === ANSWER) {
      this.#answer(connection, classic.answer, this.#head.keepAlive);
    } else {
      this.#refuse(connection, outcome, this.#head.method === METHOD_HEAD);
    }
  }

  /** Sends an answer that is complete, and ends the connection unless it persists. */
  #answer(connection: number, answer: Uint8Array, persists: boolean): void {
    const buffer = this.#buffers.allocate(answer.length);
    this.#buffers.bytes(buffer).set(answer);
    const result = this.#reactor.send(connection, buffer, !persists);
    this.#buffers.release(buffer);
    if (result < 0) this.#forget(connection);
    else if (!persists) this.#linger(connection);
    // Whoever asks on and on and reads no answers is cut off.
    else if (this.#reactor.pendingBytes(connection) > UNREAD_ANSWERS_BYTES_MAX) this.#end(connection);
  }

  #refuse(connection: number, status: number, bodiless = false): void {
    const { rejected } = this.counters;
    rejected[status] = (rejected[status] ?? 0) + 1;
    this.#answer(connection, this.#classic.refusal(status, bodiless), false);
  }

  #excess(connection: number, bytes: number): void {
    if (!this.#connections.countExcess(connection, bytes)) this.#cut(connection);
  }

  // ── Endings ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The message was sent whole. */
  #finish(connection: number): void {
    // Closing a socket with unread bytes resets it, and a reset may overtake the message (RFC 9112 section 9.6).
    if (this.#connections.flags[connection] & FLAG_EXCESS) {
      this.#linger(connection);
    } else {
      this.#reactor.close(connection);
      this.#forget(connection);
    }
  }

  #linger(connection: number): void {
    this.#connections.dropPartial(connection);
    this.#connections.phase[connection] = PHASE_LINGERING;
    this.#timers.schedule(connection, LINGER_MS, this.#nowMs());
    this.#reactor.shutdown(connection);
  }

  /** Ends a connection that has no message half-written. */
  #end(connection: number): void {
    if (this.#connections.phase[connection] === PHASE_WAITING) this.#stopWaiting(connection);
    this.#reactor.close(connection);
    this.#forget(connection);
  }

  /** Ends a connection in whatever phase. */
  #cut(connection: number): void {
    this.#reactor.abort(connection);
    this.closed(connection);
  }

  #timedOut(connection: number): void {
    switch (this.#connections.phase[connection]) {
      case PHASE_HEAD:
        if (this.#connections.partial(connection) === undefined) this.#end(connection);
        else this.#refuse(connection, 408);
        break;
      case PHASE_SENDING:
        this.#sendTimedOut(connection);
        break;
      default:
        this.#end(connection);
    }
  }

  /** A slow client may go on while it takes some bytes in each period, but not for ever: its channel waits for it. */
  #sendTimedOut(connection: number): void {
    const pending = this.#reactor.pendingBytes(connection);
    const before = this.#slow.get(connection) ?? { pending: Number.POSITIVE_INFINITY, timeouts: 0 };
    const timeouts = before.timeouts + 1;
    if (before.pending - pending < SEND_PROGRESS_BYTES_MIN || timeouts === SEND_TIMEOUTS_MAX) {
      this.#cut(connection);
      return;
    }
    this.#slow.set(connection, { pending, timeouts });
    this.#timers.schedule(connection, SEND_TIMEOUT_MS, this.#nowMs());
  }

  /** Messages that are not read take too much memory together. Who is cut off loses none: it stays queued. */
  #cutSlowReaders(): void {
    const { phase, capacity } = this.#connections;
    for (let connection = 0; connection < capacity && this.#buffers.liveBytes > SEND_BYTES_MAX; connection++) {
      if (phase[connection] === PHASE_SENDING) this.#cut(connection);
    }
  }

  #timeNewcomers(nowMs: number): void {
    const { phase } = this.#connections;
    for (let i = 0; i < this.#newcomerCount; i++) {
      const connection = this.#newcomers[i];
      if (phase[connection] === PHASE_HEAD) this.#timers.schedule(connection, REQUEST_HEAD_TIMEOUT_MS, nowMs);
    }
    this.#newcomerCount = 0;
  }

  #nowMs(): number {
    if (Number.isNaN(this.#turnMs)) this.#turnMs = this.#clock();
    return this.#turnMs;
  }

  #stopWaiting(connection: number): void {
    const subscriptions = this.#subscriptions;
    const channel = subscriptions.channelOf(connection);
    const isLast = subscriptions.first(channel) === connection && subscriptions.next(connection) === NONE;
    const length = isLast ? subscriptions.copyName(channel, this.#name, 0) : 0;
    if (subscriptions.remove(connection)) this.#reports.unsubscribed(this.#name, 0, length);
  }

  /** Clears the row of a connection that the reactor has let go of. */
  #forget(connection: number): void {
    if (this.#slow.size > 0) this.#slow.delete(connection);
    this.#timers.cancel(connection);
    this.#connections.release(connection);
    if (this.#full && !this.#stopping) {
      this.#full = false;
      this.#reactor.resumeAccepting();
    }
  }

  #encoded(connection: number): number {
    if ((this.#connections.flags[connection] & FLAG_JSONP) === 0) return this.#classic.plain();
    const { callback } = this.#classic;
    return this.#classic.jsonp(this.#connections.copyCallback(connection, callback, 0));
  }
}
