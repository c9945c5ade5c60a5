/**
 * What becomes of a request when its head is complete: it is judged (admissions.ts), and then answered, held or read on, in the part of
 * the worker that it is for. What it means is the transports' (src/transports/).
 */

import { METHOD_HEAD, parseRequestHead, RequestHead } from '../http/request-head.js';
import { CONTINUE } from '../http/response.js';
import { KEEP_ALIVE_IDLE_MS } from '../limits.js';
import type { ClientPolicy } from '../link/policy.js';
import { type AccessRefusal, adviceOf, ORIGIN_REFUSED, statusOf } from '../transports/access.js';
import { ANSWER, type ClassicTransport, POLL } from '../transports/classic.js';
import {
  FORMAT_POLL,
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM,
  FORMAT_STREAM_CHUNKED,
} from '../transports/formats.js';
import { SSE_RETRY_MS_MAX, SSE_RETRY_MS_MIN, sseStart, streamStart } from '../transports/heads.js';
import {
  Requests,
  ROUTE_ANSWER,
  ROUTE_CLASSIC,
  ROUTE_ECHO,
  ROUTE_ECHO_WEBSOCKET,
  ROUTE_POLL,
  ROUTE_PUBLISH,
  ROUTE_SSE,
  ROUTE_STREAM,
  ROUTE_WEBSOCKET,
} from '../transports/requests.js';
import { SUBPROTOCOL } from '../transports/tokens.js';
import { openHandshake } from '../websocket/handshake.js';
import type { Access, ChannelNames } from './access.js';
import { ADMITTED, Admissions, type FailureLimits, UNDECIDED } from './admissions.js';
import type { ConnectionControl } from './connection-control.js';
import {
  type Connections,
  FLAG_AT_ONCE,
  FLAG_CLOSES,
  FLAG_ECHO,
  FORMAT_SHIFT,
  PHASE_POLLING,
  PHASE_STREAMING,
} from './connections.js';
import type { Disconnects } from './disconnects.js';
import type { Posts } from './posts.js';
import type { QueueWaiters } from './queue-waiters.js';
import type { Streams } from './streams.js';
import { SubscriptionGroup } from './subscription-group.js';
import { webSocketFormat } from './wire.js';

export interface ReceptionParts {
  connections: Connections;
  control: ConnectionControl;
  access: Access;
  failures: FailureLimits;
  classic: ClassicTransport;
  queue: QueueWaiters;
  streams: Streams;
  posts: Posts;
  disconnects: Disconnects;
  /** Serve /echo. */
  testEcho: boolean;
}

export interface ReceptionEvents {
  /** A request that was held back has been served; these bytes came behind it. */
  received(connection: number, bytes: Uint8Array, start: number, end: number): void;
}

/** All but what any page may have: pages, preflights, refusals. */
const concernsChannels = (route: number): boolean => route !== ROUTE_ANSWER && route < 400;

/** The requests that listen. */
const isHeld = (route: number): boolean => route >= ROUTE_POLL && route <= ROUTE_WEBSOCKET;

export class Reception {
  /** The head of the request that is to be served: whoever has read it parses it into this. */
  readonly head = new RequestHead();
  readonly admissions: Admissions;
  readonly #requests: Requests;
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #access: Access;
  readonly #classic: ClassicTransport;
  readonly #queue: QueueWaiters;
  readonly #streams: Streams;
  readonly #posts: Posts;
  readonly #disconnects: Disconnects;
  readonly #events: ReceptionEvents;
  readonly #classicName: { channels: Uint8Array; channelEnds: Int32Array; channelCount: number };

  constructor(parts: ReceptionParts, events: ReceptionEvents) {
    this.#requests = new Requests({ testEcho: parts.testEcho });
    this.admissions = new Admissions(parts, this);
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#access = parts.access;
    this.#classic = parts.classic;
    this.#queue = parts.queue;
    this.#streams = parts.streams;
    this.#posts = parts.posts;
    this.#disconnects = parts.disconnects;
    this.#events = events;
    this.#classicName = { channels: parts.classic.id, channelEnds: new Int32Array(1), channelCount: 1 };
  }

  /** /healthz says so. */
  set draining(draining: boolean) {
    this.#requests.draining = draining;
  }

  /** What clients may do from now on. */
  applyPolicy(policy: ClientPolicy): void {
    this.#access.apply(policy);
    this.#control.origins.apply(policy.origins);
    this.#requests.publishing = this.#access.publishing;
  }

  /**
   * Serves the request whose head, bytes[start..bodyStart), is in `head`.
   *
   * @param end of all bytes that have come
   * @returns where the bytes begin that are not taken
   */
  request(connection: number, bytes: Uint8Array, start: number, bodyStart: number, end: number): number {
    const requests = this.#requests;
    const { head } = this;
    const route = requests.route(bytes, head);
    const { origins } = this.#control;
    if (origins.restricted && !origins.note(connection, bytes, head) && concernsChannels(route)) {
      this.admissions.refuse(connection, ORIGIN_REFUSED, head.method === METHOD_HEAD);
      return bodyStart;
    }
    switch (route) {
      case ROUTE_CLASSIC:
        return this.#classicRequest(connection, bytes, start, bodyStart, end);
      case ROUTE_ANSWER:
        this.#answer(connection, requests.answer);
        break;
      case ROUTE_POLL:
      case ROUTE_SSE:
      case ROUTE_STREAM:
      case ROUTE_WEBSOCKET:
      case ROUTE_PUBLISH: {
        const verdict = this.admissions.judge(connection, bytes, head, isHeld(route) ? requests : null);
        if (verdict !== ADMITTED) return this.#notAdmitted(connection, route, verdict, bytes, start, bodyStart, end);
        if (head.method === METHOD_HEAD) this.#answer(connection, requests.headAnswer(head, route));
        else this.#serve(connection, route, bytes, bodyStart, end);
        break;
      }
      case ROUTE_ECHO:
        this.#read(connection, true, bytes, bodyStart, end);
        break;
      case ROUTE_ECHO_WEBSOCKET:
        requests.channelCount = 0;
        this.#webSocket(connection, bytes, FLAG_ECHO);
        break;
      default:
        this.#control.refuse(connection, route, head.method === METHOD_HEAD, requests.allow);
    }
    return bodyStart;
  }

  /** Called by Admissions: there is a verdict on the token of a request that has waited. */
  resumed(connection: number, bytes: Buffer): void {
    const bodyStart = parseRequestHead(bytes, 0, bytes.length, this.head, 0);
    const rest = this.request(connection, bytes, 0, bodyStart, bytes.length);
    this.admissions.used();
    this.#events.received(connection, bytes, rest, bytes.length);
  }

  /** A request that was admitted. */
  #serve(connection: number, route: number, bytes: Uint8Array, bodyStart: number, end: number): void {
    if (route === ROUTE_PUBLISH) {
      this.#read(connection, false, bytes, bodyStart, end);
      return;
    }
    if (route === ROUTE_WEBSOCKET) {
      this.#webSocket(connection, bytes, 0);
      return;
    }
    if (!this.#identify(connection)) return;
    if (route === ROUTE_POLL) {
      this.#poll(connection);
    } else if (route === ROUTE_SSE) {
      const retryMs = SSE_RETRY_MS_MIN + Math.floor(Math.random() * (SSE_RETRY_MS_MAX - SSE_RETRY_MS_MIN));
      this.#stream(connection, this.#requests.raw ? FORMAT_SSE_RAW : FORMAT_SSE, sseStart(Date.now(), retryMs));
    } else {
      const chunked = this.head.minorVersion === 1;
      this.#stream(connection, chunked ? FORMAT_STREAM_CHUNKED : FORMAT_STREAM, streamStart(Date.now(), chunked));
    }
  }

  #classicRequest(connection: number, bytes: Uint8Array, start: number, bodyStart: number, end: number): number {
    const classic = this.#classic;
    const outcome = classic.route(bytes, this.head);
    const isHead = this.head.method === METHOD_HEAD;
    if (outcome === POLL || (outcome === ANSWER && isHead)) {
      this.#classicName.channelEnds[0] = classic.idLength;
      const names: ChannelNames = this.#classicName;
      const verdict = this.admissions.judge(connection, bytes, this.head, names);
      if (verdict !== ADMITTED) {
        return this.#notAdmitted(connection, ROUTE_CLASSIC, verdict, bytes, start, bodyStart, end);
      }
    }
    if (outcome === ANSWER) this.#answer(connection, classic.answer);
    else if (outcome !== POLL) this.#control.refuse(connection, outcome, isHead);
    else if (this.#identify(connection)) this.#queue.wait(connection);
    return bodyStart;
  }

  // ── Admission ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @returns as `request` */
  #notAdmitted(
    connection: number,
    route: number,
    verdict: typeof UNDECIDED | AccessRefusal,
    bytes: Uint8Array,
    start: number,
    bodyStart: number,
    end: number,
  ): number {
    const isHead = this.head.method === METHOD_HEAD;
    if (verdict === UNDECIDED) {
      this.admissions.wait(connection, bytes, start, end, route === ROUTE_PUBLISH, isHead);
      return end;
    }
    const advice = route === ROUTE_WEBSOCKET ? adviceOf(verdict) : null;
    if (advice === null) {
      this.admissions.refuse(connection, verdict, isHead);
      return bodyStart;
    }
    // Browsers hide why a handshake has failed: it succeeds, and the connection is ended in its own language.
    this.#requests.channelCount = 0;
    this.admissions.grant = null;
    if (this.#webSocket(connection, bytes, 0)) {
      this.#control.countRejected(statusOf(verdict));
      this.#disconnects.disconnect(connection, advice);
    }
    return bodyStart;
  }

  /** Notes whose connection it is, before it is put on any channel. @returns false where it was refused */
  #identify(connection: number): boolean {
    const { grant } = this.admissions;
    if (grant === null || this.#access.identities.begin(connection, grant)) return true;
    this.#control.refuse(connection, 503, this.head.method === METHOD_HEAD);
    return false;
  }

  // ── Transports ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #answer(connection: number, answer: Uint8Array): void {
    if (this.#control.answer(connection, answer, this.head.keepAlive)) this.#control.idle(connection);
  }

  /** A body comes: a publication, or what is to be returned. */
  #read(connection: number, echo: boolean, bytes: Uint8Array, bodyStart: number, end: number): void {
    const grant = echo ? null : this.admissions.grant;
    if (!this.#posts.begin(connection, this.head, { echo, grant, bodyFollows: bodyStart < end })) return;
    // An empty body is whole already.
    if (bodyStart === end) this.#posts.received(connection, bytes, end, end);
  }

  #poll(connection: number): void {
    const connections = this.#connections;
    const { timeoutMs, callback, callbackLength, cursor } = this.#requests;
    const group = this.#subscribe(connection);
    if (group === null) return;
    connections.phase[connection] = PHASE_POLLING;
    connections.flags[connection] |= FORMAT_POLL << FORMAT_SHIFT;
    if (!this.head.keepAlive) connections.flags[connection] |= FLAG_CLOSES;
    if (timeoutMs === 0) connections.flags[connection] |= FLAG_AT_ONCE;
    if (callbackLength > 0) connections.setCallback(connection, callback, 0, callbackLength);
    this.#streams.joined(connection);
    // What has to be asked of the log may take a moment.
    this.#control.schedule(connection, timeoutMs === 0 ? KEEP_ALIVE_IDLE_MS : timeoutMs);
    this.#streams.start(connection, group, cursor, null);
  }

  /** @returns false where the handshake was refused or the connection is gone */
  #webSocket(connection: number, bytes: Uint8Array, flags: number): boolean {
    const { head } = this;
    const handshake = openHandshake(bytes, head, { subprotocol: SUBPROTOCOL });
    if (typeof handshake === 'number') {
      this.#control.refuse(connection, -handshake);
      return false;
    }
    if (flags !== FLAG_ECHO && !this.#identify(connection)) return false;
    // RFC 9110 section 7.8: who is asked for both sends 100 before 101.
    if (head.expectContinue && this.#control.sendCopy(connection, CONTINUE) < 0) return false;
    this.#connections.flags[connection] |= flags;
    this.#stream(connection, webSocketFormat(handshake.windowBits), handshake.answer);
    return this.#connections.phase[connection] === PHASE_STREAMING;
  }

  /** @param head the response up to the first message; borrowed */
  #stream(connection: number, format: number, head: Uint8Array): void {
    const { origins } = this.#control;
    if (origins.restricted) head = origins.answer(connection, head);
    const group = this.#subscribe(connection);
    if (group === null) return;
    this.#connections.phase[connection] = PHASE_STREAMING;
    this.#connections.flags[connection] |= format << FORMAT_SHIFT;
    this.#control.unschedule(connection);
    this.#streams.joined(connection);
    if (group.channels.length > 0) this.#streams.start(connection, group, this.#requests.cursor, head);
    else this.#control.sendCopy(connection, head);
  }

  /** Puts the connection on the channels of the request. @returns null where it was refused */
  #subscribe(connection: number): SubscriptionGroup | null {
    const { channels, channelEnds, channelCount } = this.#requests;
    const group = new SubscriptionGroup(null);
    for (let i = 0, start = 0; i < channelCount; start = channelEnds[i++]) {
      if (this.#streams.add(connection, group, channels, start, channelEnds[i])) continue;
      this.#streams.abandon(connection, group);
      this.#control.refuse(connection, 503);
      return null;
    }
    return group;
  }
}
