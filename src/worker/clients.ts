/**
 * The client connections of a worker: their events, the requests in what they send, and which part of the worker a request
 * is for. The phases are drawn in connections.ts. What a request means is the transports' (src/transports/); what becomes
 * of the connection then is the business of
 *
 *     queue-waiters.ts   the classic long-poll
 *     streams.ts         subscribers with cursors, whatever their transport
 *     web-sockets.ts     frames and messages of WebSockets
 *     posts.ts           request bodies and publications
 *
 * as reception.ts decides.
 *
 * Owns the connection table and the timers, through ConnectionControl. A connection has a timer in every phase but WAITING
 * and STREAMING.
 */

import { isHeadRequest, parseRequestHead, type RequestHead } from '../http/request-head.js';
import type { LatencyCounts } from '../latency-histogram.js';
import { REQUEST_HEAD_TIMEOUT_MS, SEND_BYTES_MAX, SWEEP_MS, UNREAD_ANSWERS_BYTES_MAX } from '../limits.js';
import type { DisconnectAdvice } from '../link/advice.js';
import type { ClientPolicy } from '../link/policy.js';
import type { ConnectionsByTransport } from '../link/stats.js';
import type { Reactor } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import type { TimerWheel } from '../reactor/timer-wheel.js';
import { ClassicTransport } from '../transports/classic.js';
import {
  FORMAT_POLL,
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM,
  FORMAT_STREAM_CHUNKED,
} from '../transports/formats.js';
import { Access, type AccessReports } from './access.js';
import type { FailureLimits } from './admissions.js';
import { Arrivals } from './arrivals.js';
import { ConnectionControl } from './connection-control.js';
import {
  type Connections,
  FORMAT_SHIFT,
  PHASE_BODY,
  PHASE_FREE,
  PHASE_HEAD,
  PHASE_KEEP_ALIVE,
  PHASE_LINGERING,
  PHASE_POLLING,
  PHASE_PUBLISHING,
  PHASE_REFUSED,
  PHASE_SENDING,
  PHASE_STREAMING,
  PHASE_VERIFYING,
  PHASE_WAITING,
} from './connections.js';
import { Disconnects } from './disconnects.js';
import { Heartbeats } from './heartbeats.js';
import { Posts, type PublishReports } from './posts.js';
import { type QueueReports, QueueWaiters } from './queue-waiters.js';
import { Reception } from './reception.js';
import { type StreamReports, Streams } from './streams.js';
import type { Subscriptions } from './subscriptions.js';
import { WebSockets } from './web-sockets.js';
import { isWebSocket, Wire } from './wire.js';

const TOKEN_EXPIRED: DisconnectAdvice = { code: 'token_expired', reason: 'the token has expired', reconnect: true };

/** What the manager is told and asked. */
export interface ClientReports extends QueueReports, StreamReports, PublishReports, AccessReports {}

export interface ClientCounters {
  connectionsByTransport: ConnectionsByTransport;
  accepted: number;
  requests: number;
  /** Messages handed to the kernel, whole; those of streams as soon as they are on their way. */
  messagesSent: number;
  /** WebSocket messages of clients. */
  messagesReceived: number;
  /** Connections ended because they did not read. */
  slowConsumers: number;
  /** Connections that are being caught up with now. */
  catchingUp: number;
  /** Refused requests by status code. */
  rejected: Record<string, number>;
  /** Connections that the server ended before they were done, by reason. */
  ended: Record<string, number>;
  /** Messages of streams and polls, from the log to the kernel. */
  delivery: LatencyCounts;
}

export class Clients {
  readonly #reactor: Reactor;
  readonly #buffers: SendBuffers;
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #wire: Wire;
  readonly #classic: ClassicTransport;
  readonly #reception: Reception;
  readonly #head: RequestHead;
  readonly #expired = (connection: number): void => this.#timedOut(connection);
  readonly #tokenExpired = (connection: number): void => this.disconnects.disconnect(connection, TOKEN_EXPIRED);
  readonly #maxConnections: number;
  readonly access: Access;
  readonly queue: QueueWaiters;
  readonly streams: Streams;
  readonly posts: Posts;
  readonly #webSockets: WebSockets;
  readonly #heartbeats: Heartbeats;
  readonly disconnects: Disconnects;
  readonly arrivals: Arrivals;
  /** Accepted in this turn. Most heads are read in it too, so only those that are not get a timer, at its end. */
  readonly #newcomers: number[] = [];
  #newcomerCount = 0;
  #accepted = 0;
  #requestCount = 0;
  #sweptMs: number;
  #full = false;
  #stopping = false;

  constructor(parts: {
    reactor: Reactor;
    buffers: SendBuffers;
    connections: Connections;
    /** Who waits for a message of the classic queue. */
    waiters: Subscriptions;
    /** All other subscribers. */
    subscribers: Subscriptions;
    timers: TimerWheel;
    reports: ClientReports;
    maxConnections: number;
    /** Serve /echo. */
    testEcho: boolean;
    /** Milliseconds; never goes back. */
    clock: () => number;
    /** Who counts wrong tokens, by address; null: `arrivals`. */
    failures: FailureLimits | null;
    /** Milliseconds since 1970. */
    wallClock: () => number;
  }) {
    this.#reactor = parts.reactor;
    this.#buffers = parts.buffers;
    this.#connections = parts.connections;
    this.#maxConnections = parts.maxConnections;
    this.#sweptMs = parts.clock();
    this.#classic = new ClassicTransport(parts.buffers);
    this.#wire = new Wire(parts.buffers);
    this.#control = new ConnectionControl(parts, this);
    this.access = new Access(parts.connections.capacity, parts.reports, parts.wallClock);
    this.arrivals = new Arrivals({ ...parts, control: this.#control });
    const { identities } = this.access;
    const failures = parts.failures ?? this.arrivals;
    const shared = { ...parts, control: this.#control, wire: this.#wire, access: this.access, identities, failures };
    this.queue = new QueueWaiters({ ...shared, subscriptions: parts.waiters, classic: this.#classic });
    this.streams = new Streams({ ...shared, subscriptions: parts.subscribers });
    this.posts = new Posts(shared);
    this.#webSockets = new WebSockets({ ...shared, streams: this.streams, posts: this.posts });
    this.#heartbeats = new Heartbeats({ ...shared, streams: this.streams });
    this.disconnects = new Disconnects({ ...shared, streams: this.streams });
    const { queue, streams, posts, disconnects } = this;
    this.#reception = new Reception({ ...shared, classic: this.#classic, queue, streams, posts, disconnects }, this);
    this.#head = this.#reception.head;
  }

  get counters(): ClientCounters {
    return {
      connectionsByTransport: this.#byTransport(),
      accepted: this.#accepted,
      requests: this.#requestCount,
      messagesSent: this.queue.messagesSent + this.streams.messagesSent,
      messagesReceived: this.#webSockets.messagesReceived,
      slowConsumers: this.streams.slowConsumers,
      catchingUp: this.streams.catchUps.size,
      rejected: this.#control.rejected,
      ended: this.#control.ended,
      delivery: this.streams.delivery.counted,
    };
  }

  #byTransport(): ConnectionsByTransport {
    const formats = this.streams.joinedByFormat;
    const classic = this.queue.size;
    const poll = formats[FORMAT_POLL];
    const sse = formats[FORMAT_SSE] + formats[FORMAT_SSE_RAW];
    const stream = formats[FORMAT_STREAM] + formats[FORMAT_STREAM_CHUNKED];
    const joined = formats.reduce((sum, count) => sum + count, 0);
    const websocket = joined - poll - sse - stream;
    return { classic, poll, sse, stream, websocket, other: this.#connections.held - classic - joined };
  }

  /** Called after each turn: ends what has timed out, and keeps streams alive. @returns the time */
  tick(): number {
    const nowMs = this.#control.tick(this.#expired);
    this.#timeNewcomers();
    this.access.tokens.tick();
    if (nowMs - this.#sweptMs >= SWEEP_MS) {
      this.#sweptMs = nowMs;
      this.queue.sweep();
      this.#heartbeats.beat(nowMs);
      this.access.sweep(this.#tokenExpired);
      this.streams.catchUps.expire(nowMs);
      this.arrivals.sweep(nowMs);
      if (this.#buffers.liveBytes > SEND_BYTES_MAX) this.#cutSlowReaders();
    }
    this.#control.turnOver();
    return nowMs;
  }

  // ── Events of the reactor ──────────────────────────────────────────────────────────────────────────────────────────

  accepted(connection: number): void {
    this.#accepted++;
    this.#connections.open(connection);
    if (this.#control.origins.restricted) this.#control.origins.accepted(connection);
    if (!this.arrivals.active || this.arrivals.accepted(connection)) {
      this.#newcomers[this.#newcomerCount++] = connection;
    }
    if (this.#connections.held >= this.#maxConnections && !this.#full) {
      this.#full = true;
      this.#reactor.pauseAccepting();
    }
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    while (start < end) {
      switch (this.#connections.phase[connection]) {
        case PHASE_KEEP_ALIVE:
          // Whoever asks on and on and reads no answers is cut off.
          if (this.#reactor.pendingBytes(connection) > UNREAD_ANSWERS_BYTES_MAX) {
            this.#control.countEnd('unread_answers');
            this.#control.end(connection);
            return;
          }
          this.#connections.phase[connection] = PHASE_HEAD;
          this.#control.schedule(connection, REQUEST_HEAD_TIMEOUT_MS);
          break;
        case PHASE_HEAD: {
          const partial = this.#connections.partial(connection);
          let resume = 0;
          if (partial !== undefined) {
            if (this.#connections.appendPartial(connection, bytes, start, end) === undefined) {
              this.#refuseHead(connection, 503, partial.bytes, 0, partial.length);
              return;
            }
            bytes = partial.bytes;
            start = 0;
            end = partial.length;
            resume = partial.resume;
          }
          start = this.#readHead(connection, bytes, start, end, resume);
          break;
        }
        case PHASE_BODY:
          start = this.posts.received(connection, bytes, start, end);
          break;
        case PHASE_VERIFYING:
          this.#reception.admissions.received(connection, bytes, start, end);
          return;
        case PHASE_STREAMING:
          if (isWebSocket(this.#connections.flags[connection] >> FORMAT_SHIFT)) {
            // RFC 6455 section 4.1: a client waits for the answer. What it says before would be answered before the handshake is.
            if (this.streams.isOpen(connection)) this.#webSockets.received(connection, bytes, start, end);
            else this.#control.refuse(connection, 400);
          } else {
            this.#excess(connection, end - start);
          }
          return;
        case PHASE_REFUSED:
          this.arrivals.received(connection, bytes, start, end);
          return;
        case PHASE_WAITING:
        case PHASE_SENDING:
        case PHASE_POLLING:
        case PHASE_PUBLISHING:
          this.#excess(connection, end - start);
          return;
        default:
          // PHASE_LINGERING: thrown away. PHASE_FREE: it was ended by what came before.
          return;
      }
    }
  }

  /** A pending send is complete. Answers on a persistent connection need nothing more. */
  sent(connection: number): void {
    const phase = this.#connections.phase[connection];
    if (phase === PHASE_SENDING) this.queue.sent(connection);
    else if (phase === PHASE_STREAMING) this.streams.catchUps.sent(connection);
  }

  /** The connection is gone, by its peer or by an error; the reactor has let go of it. */
  closed(connection: number): void {
    this.#control.gone(connection);
  }

  // ── The manager ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Announces every channel that has somebody waiting or subscribed. */
  announce(): void {
    this.queue.announce();
    this.streams.announce();
  }

  /** What clients may do from now on. */
  applyPolicy(policy: ClientPolicy): void {
    this.#reception.applyPolicy(policy);
    this.arrivals.apply(policy);
  }

  /** Clients are being ended (drain.ts): /healthz says so. */
  set draining(draining: boolean) {
    this.#reception.draining = draining;
  }

  /** Tokens are being verified: turns must not wait. */
  get verifying(): boolean {
    return this.access.tokens.busy;
  }

  managerFound(epoch: string, last: number): void {
    this.posts.epoch = epoch;
    this.streams.welcome(epoch, last);
  }

  managerLost(): void {
    this.queue.managerLost();
    this.streams.catchUps.pause();
    this.posts.managerLost();
    this.access.tokens.managerLost();
  }

  /** Messages that are half-written to some connection. */
  get sending(): number {
    return this.queue.sending;
  }

  /** Accepts nobody from now on, and ends every connection that is not in the middle of a message. */
  stop(): void {
    this.#stopping = true;
    this.#reactor.pauseAccepting();
    const { phase, flags, capacity } = this.#connections;
    for (let connection = 0; connection < capacity; connection++) {
      switch (phase[connection]) {
        case PHASE_FREE:
        case PHASE_SENDING:
        case PHASE_LINGERING:
          break;
        case PHASE_STREAMING:
          if (isWebSocket(flags[connection] >> FORMAT_SHIFT) && this.streams.isOpen(connection)) {
            this.#webSockets.goAway(connection);
          } else this.streams.goAway(connection);
          break;
        default:
          this.#control.end(connection);
      }
    }
  }

  // ── Requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads the head at bytes[start..end). @returns where the bytes after it begin */
  #readHead(connection: number, bytes: Uint8Array, start: number, end: number, resume: number): number {
    const length = parseRequestHead(bytes, start, end, this.#head, resume);
    if (length < 0) {
      this.#refuseHead(connection, -length, bytes, start, end);
      return end;
    }
    if (length === 0) {
      this.#keepPartial(connection, bytes, start, end, this.#head.resume);
      return end;
    }
    this.#requestCount++;
    this.#connections.dropPartial(connection);
    if (this.arrivals.proxied && !this.arrivals.requested(connection, bytes, this.#head)) return end;
    return this.#reception.request(connection, bytes, start, start + length, end);
  }

  #keepPartial(connection: number, bytes: Uint8Array, start: number, end: number, resume: number): void {
    const connections = this.#connections;
    let partial = connections.partial(connection);
    if (partial === undefined || start > 0) {
      const rest = partial === undefined ? bytes : bytes.slice(0, end);
      connections.dropPartial(connection);
      partial = connections.appendPartial(connection, rest, start, end);
    }
    if (partial === undefined) this.#refuseHead(connection, 503, bytes, start, end);
    else partial.resume = resume;
  }

  /** Refuses a request of which the head, as far as it has come, is bytes[start..end). */
  #refuseHead(connection: number, status: number, bytes: Uint8Array, start: number, end: number): void {
    this.#control.refuse(connection, status, isHeadRequest(bytes, start, end));
  }

  #excess(connection: number, bytes: number): void {
    if (!this.#connections.countExcess(connection, bytes)) this.#control.cut(connection, 'excess_bytes');
  }

  // ── Endings ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Called by ConnectionControl: takes a connection out of whatever holds it. */
  departing(connection: number): void {
    this.access.identities.end(connection);
    if (this.arrivals.remembers) this.arrivals.left(connection);
    switch (this.#connections.phase[connection]) {
      case PHASE_WAITING:
      case PHASE_SENDING:
        this.queue.left(connection);
        break;
      case PHASE_STREAMING:
        this.#webSockets.left(connection);
        this.posts.left(connection);
        this.streams.left(connection);
        break;
      case PHASE_POLLING:
        this.streams.left(connection);
        break;
      case PHASE_BODY:
      case PHASE_PUBLISHING:
        this.posts.left(connection);
        break;
      case PHASE_VERIFYING:
        this.#reception.admissions.left(connection);
        break;
    }
  }

  /** Called by ConnectionControl: the connection is between two requests. */
  idle(connection: number): void {
    if (this.arrivals.proxied) this.arrivals.idle(connection);
  }

  /** Called by ConnectionControl: there is room again. */
  freed(): void {
    if (!this.#full || this.#stopping) return;
    this.#full = false;
    this.#reactor.resumeAccepting();
  }

  #timeNewcomers(): void {
    const { phase } = this.#connections;
    for (let i = 0; i < this.#newcomerCount; i++) {
      const connection = this.#newcomers[i];
      if (phase[connection] === PHASE_HEAD) this.#control.schedule(connection, REQUEST_HEAD_TIMEOUT_MS);
    }
    this.#newcomerCount = 0;
  }

  #timedOut(connection: number): void {
    switch (this.#connections.phase[connection]) {
      case PHASE_HEAD: {
        const partial = this.#connections.partial(connection);
        if (partial === undefined) this.#control.end(connection);
        else this.#refuseHead(connection, 408, partial.bytes, 0, partial.length);
        break;
      }
      case PHASE_BODY:
        this.#control.refuse(connection, 408);
        break;
      case PHASE_PUBLISHING:
        this.#control.refuse(connection, 503);
        break;
      case PHASE_VERIFYING:
        this.#reception.admissions.timedOut(connection);
        break;
      case PHASE_POLLING:
        this.streams.pollTimedOut(connection);
        break;
      case PHASE_SENDING:
        this.#control.slowReader(connection);
        break;
      default:
        // PHASE_KEEP_ALIVE, PHASE_LINGERING: an answer may still be on its way.
        if (this.#reactor.pendingBytes(connection) === 0) this.#control.end(connection);
        else this.#control.slowReader(connection);
    }
  }

  /** What is not read takes too much memory together. Who is cut off loses nothing: it stays queued, or is resumed. */
  #cutSlowReaders(): void {
    const { phase, capacity } = this.#connections;
    for (let connection = 0; connection < capacity && this.#buffers.liveBytes > SEND_BYTES_MAX; connection++) {
      if (phase[connection] === PHASE_FREE || this.#reactor.pendingBytes(connection) === 0) continue;
      if (phase[connection] === PHASE_STREAMING) this.streams.slowConsumers++;
      this.#control.cut(connection, 'memory');
    }
  }
}
