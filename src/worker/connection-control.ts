/**
 * What can be done to a client connection whatever it is used for: answer it, let it idle, end it in the four ways that a
 * connection ends, and limit the time of each. Owns the rows of the connection table, the timers, and how slow a reader
 * may be.
 *
 * Every ending asks `departing` first, while the row is intact: whoever holds the connection in a table of his own takes
 * it out there. Afterwards the row is free, or the connection lingers and belongs to nobody but this.
 */

import { refusal } from '../http/response.js';
import {
  KEEP_ALIVE_IDLE_MS,
  LINGER_MS,
  SEND_PROGRESS_BYTES_MIN,
  SEND_TIMEOUT_MS,
  SEND_TIMEOUTS_MAX,
  UNREAD_ANSWERS_BYTES_MAX,
} from '../limits.js';
import type { Reactor } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import type { TimerWheel } from '../reactor/timer-wheel.js';
import { type Connections, FLAG_EXCESS, PHASE_LINGERING } from './connections.js';
import { Origins } from './origins.js';

export interface ControlEvents {
  /** The connection is about to be forgotten, or to linger: take it out of every table, by its phase. */
  departing(connection: number): void;
  /** The connection is between two requests from now on. */
  idle(connection: number): void;
  /** A row was freed. */
  freed(): void;
}

export class ConnectionControl {
  readonly #reactor: Reactor;
  readonly #buffers: SendBuffers;
  readonly #connections: Connections;
  readonly #timers: TimerWheel;
  readonly #clock: () => number;
  readonly #events: ControlEvents;
  /** Connections whose send has timed out, how often, and what was still pending then. */
  readonly #slow = new Map<number, { pending: number; timeouts: number }>();
  /** The time of this turn's first event that needed one; NaN until then. */
  #turnMs = Number.NaN;
  readonly origins: Origins;
  /** Refused requests by status code. */
  readonly rejected: Record<string, number> = {};
  /** Connections that the server ended before they were done, by reason. */
  readonly ended: Record<string, number> = {};

  constructor(
    parts: {
      reactor: Reactor;
      buffers: SendBuffers;
      connections: Connections;
      timers: TimerWheel;
      /** Milliseconds; never goes back. */
      clock: () => number;
    },
    events: ControlEvents,
  ) {
    this.#reactor = parts.reactor;
    this.#buffers = parts.buffers;
    this.#connections = parts.connections;
    this.#timers = parts.timers;
    this.#clock = parts.clock;
    this.#events = events;
    this.origins = new Origins(parts.connections.capacity);
  }

  // ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The time of this turn, asked of the clock once. */
  nowMs(): number {
    if (Number.isNaN(this.#turnMs)) this.#turnMs = this.#clock();
    return this.#turnMs;
  }

  /** After each turn: calls `expired` for each connection whose time is over. @returns the time */
  tick(expired: (connection: number) => void): number {
    const nowMs = this.#clock();
    this.#turnMs = nowMs;
    this.#timers.advance(nowMs, expired);
    return nowMs;
  }

  /** The next turn may wait long: its time is another one. */
  turnOver(): void {
    this.#turnMs = Number.NaN;
  }

  schedule(connection: number, delayMs: number): void {
    this.#timers.schedule(connection, delayMs, this.nowMs());
  }

  unschedule(connection: number): void {
    this.#timers.cancel(connection);
  }

  // ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Copies bytes to the connection. @returns as Reactor.send; below 0 the connection is gone and forgotten */
  sendCopy(connection: number, bytes: Uint8Array, last = false): number {
    const buffer = this.#buffers.copyOf(bytes);
    const result = this.#reactor.send(connection, buffer, last);
    this.#buffers.release(buffer);
    if (result < 0) this.gone(connection);
    return result;
  }

  /**
   * Sends an answer that others get too: an answer that names an origin is one's own.
   *
   * @param buffer a send buffer; stays the caller's
   * @returns as Reactor.send
   */
  sendAnswer(connection: number, buffer: number, last: boolean): number {
    if (!this.origins.restricted) return this.#reactor.send(connection, buffer, last);
    const own = this.#buffers.copyOf(this.origins.answer(connection, this.#buffers.bytes(buffer)));
    const result = this.#reactor.send(connection, own, last);
    this.#buffers.release(own);
    return result;
  }

  /**
   * Sends an answer that is complete. One that persists stays in its phase, for the next request; any other lingers.
   *
   * @returns false where the connection belongs to nobody any more
   */
  answer(connection: number, answer: Uint8Array, persists: boolean): boolean {
    if (this.origins.restricted) answer = this.origins.answer(connection, answer);
    if (this.sendCopy(connection, answer, !persists) < 0) return false;
    if (!persists) {
      this.linger(connection);
      return false;
    }
    // Whoever asks on and on and reads no answers is cut off.
    if (this.#reactor.pendingBytes(connection) <= UNREAD_ANSWERS_BYTES_MAX + answer.length) return true;
    this.countEnd('unread_answers');
    this.end(connection);
    return false;
  }

  /** @param allow of a 405 (src/http/response.ts) */
  refuse(connection: number, status: number, bodiless = false, allow?: string): void {
    this.refuseWith(connection, status, refusal(status, Date.now(), bodiless, allow));
  }

  /** Refuses a request with an answer that ends the connection. */
  refuseWith(connection: number, status: number, answer: Uint8Array): void {
    this.countRejected(status);
    this.answer(connection, answer, false);
  }

  countRejected(status: number): void {
    this.rejected[status] = (this.rejected[status] ?? 0) + 1;
  }

  /** A persistent connection has all of its answer, or will have, and may ask again. */
  idle(connection: number): void {
    this.#events.idle(connection);
    this.#connections.endRequest(connection);
    this.schedule(connection, KEEP_ALIVE_IDLE_MS);
  }

  // ── Endings ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The last answer was sent whole; the connection is in PHASE_DONE. */
  finish(connection: number): void {
    // Closing a socket with unread bytes resets it, and a reset may overtake the message (RFC 9112 section 9.6).
    if (this.#connections.flags[connection] & FLAG_EXCESS) {
      this.linger(connection);
    } else {
      this.#reactor.close(connection);
      this.#forget(connection);
    }
  }

  /** The last bytes were handed to the reactor: the connection ends when its client has read them and ends too. */
  linger(connection: number, timeoutMs = LINGER_MS): void {
    this.#events.departing(connection);
    this.#connections.dropPartial(connection);
    this.#connections.phase[connection] = PHASE_LINGERING;
    this.schedule(connection, timeoutMs);
    this.#reactor.shutdown(connection);
  }

  /** Ends a connection that has no message half-written. */
  end(connection: number): void {
    this.#events.departing(connection);
    this.#reactor.close(connection);
    this.#forget(connection);
  }

  /** A connection is ended before it is done. @param reason a word for the statistics */
  countEnd(reason: string): void {
    this.ended[reason] = (this.ended[reason] ?? 0) + 1;
  }

  /** Ends a connection in whatever phase, with a reset. @param reason as of `countEnd` */
  cut(connection: number, reason: string): void {
    this.countEnd(reason);
    this.#reactor.abort(connection);
    this.gone(connection);
  }

  /** The connection has ended, by its peer or by an error; the reactor has let go of it. */
  gone(connection: number): void {
    this.#events.departing(connection);
    this.#forget(connection);
  }

  /**
   * A client takes long to read what it was sent. It may go on while it takes some bytes in each period, but not for
   * ever: somebody waits for it, or memory does.
   *
   * @returns false where it was cut off
   */
  slowReader(connection: number): boolean {
    const pending = this.#reactor.pendingBytes(connection);
    const before = this.#slow.get(connection) ?? { pending: Number.POSITIVE_INFINITY, timeouts: 0 };
    const timeouts = before.timeouts + 1;
    if (before.pending - pending < SEND_PROGRESS_BYTES_MIN || timeouts === SEND_TIMEOUTS_MAX) {
      this.cut(connection, 'slow_reader');
      return false;
    }
    this.#slow.set(connection, { pending, timeouts });
    this.schedule(connection, SEND_TIMEOUT_MS);
    return true;
  }

  /** Clears the row of a connection that the reactor has let go of. */
  #forget(connection: number): void {
    if (this.#slow.size > 0) this.#slow.delete(connection);
    this.#timers.cancel(connection);
    this.#connections.release(connection);
    this.#events.freed();
  }
}
