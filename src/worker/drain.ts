/**
 * Ends all clients of a worker at an even pace, each with advice when to come back: so that they do not all fall upon the server that
 * takes over at once, nor wait for one that never comes.
 *
 *     begin ──► listening stops ──► so many of the rows are ended as time has passed ──► who came meanwhile ──► finished
 *
 * The pace is that of the connections which were there at the beginning. Clients that leave by themselves make no difference to it;
 * the drain is over earlier then.
 */

import type { DrainOrder } from '../link/questions.js';
import type { Reactor } from '../reactor/reactor.js';
import {
  type Connections,
  PHASE_BODY,
  PHASE_FREE,
  PHASE_LINGERING,
  PHASE_PUBLISHING,
  PHASE_SENDING,
} from './connections.js';
import type { Disconnects } from './disconnects.js';

/** Connections are ended at least so often: a second's share is cut into 50. */
const TURN_MS = 20;
/** How often it looks for those who are left when it has been through. */
const REST_LOOK_MS = 250;
/** Where the worker stood still, it goes on at so many times the pace: no second is to have twice as many as the others. */
const CATCH_UP_PACE = 1.5;
const STILL_MS_MAX = 250;
/** Clients of one instant are told to come back within so long. */
const RETURN_SPREAD_MS = 1000;

export class Drain {
  readonly #reactor: Reactor;
  readonly #connections: Connections;
  readonly #disconnects: Disconnects;
  readonly #random: () => number;
  #startMs = Number.NaN;
  #workedMs = 0;
  /** Connections that may be ended without going faster than CATCH_UP_PACE. */
  #credit = 0;
  #durationMs = 0;
  #returnAfterMs = 0;
  /** Connections that there were at the beginning. */
  #total = 0;
  #ended = 0;
  /** The next row to look at. */
  #row = 0;
  #restAtMs = 0;
  #finished = false;

  /** @param random from 0 to below 1 */
  constructor(
    parts: { reactor: Reactor; connections: Connections; disconnects: Disconnects },
    random: () => number = Math.random,
  ) {
    this.#reactor = parts.reactor;
    this.#connections = parts.connections;
    this.#disconnects = parts.disconnects;
    this.#random = random;
  }

  /** Begins, unless it has begun already. @returns how many connections there were then */
  begin({ seconds, returnAfterSeconds }: DrainOrder, nowMs: number): number {
    if (this.begun) return this.#total;
    this.#startMs = nowMs;
    this.#workedMs = nowMs;
    this.#durationMs = seconds * 1000;
    this.#returnAfterMs = returnAfterSeconds * 1000;
    this.#total = this.#connections.held;
    this.#reactor.stopListening();
    return this.#total;
  }

  get begun(): boolean {
    return !Number.isNaN(this.#startMs);
  }

  /** Nobody is left. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Ends those whose time has come. Called after each turn. @returns the longest wait of the next turn; undefined: any */
  work(nowMs: number): number | undefined {
    if (!this.begun || this.#finished) return undefined;
    const { phase, capacity } = this.#connections;
    const due = this.#due(nowMs);
    while (this.#row < capacity && this.#ended < due) {
      if (isHeld(phase[this.#row])) {
        this.#ended++;
        this.#credit--;
        this.#end(this.#row);
      }
      this.#row++;
    }
    const isThrough = this.#row === capacity || this.#ended >= this.#total;
    if (isThrough && nowMs >= this.#restAtMs) {
      this.#restAtMs = nowMs + REST_LOOK_MS;
      this.#finished = this.#endRest() === 0;
    }
    return TURN_MS;
  }

  /** How many are to be ended by now. A worker that stood still does not make up for it at once. */
  #due(nowMs: number): number {
    const sinceMs = Math.min(nowMs - this.#workedMs, STILL_MS_MAX);
    this.#workedMs = nowMs;
    if (this.#durationMs === 0) return this.#total;
    const planned = Math.floor((this.#total * (nowMs - this.#startMs)) / this.#durationMs);
    this.#credit += (CATCH_UP_PACE * this.#total * sinceMs) / this.#durationMs;
    const possible = this.#ended + Math.floor(this.#credit);
    // Who has none to end does not save up for later.
    if (possible > planned) this.#credit = Math.max(1, planned - this.#ended);
    return Math.min(planned, possible, this.#total);
  }

  /** Ends who was accepted when it began, or has a row that it had passed. @returns how many are left, of whom some read their last */
  #endRest(): number {
    const { phase, capacity } = this.#connections;
    let left = 0;
    for (let connection = 0; connection < capacity; connection++) {
      if (phase[connection] === PHASE_FREE) continue;
      left++;
      if (isHeld(phase[connection]) && !isBusy(phase[connection])) this.#end(connection);
    }
    return left;
  }

  #end(connection: number): void {
    const afterMs = this.#returnAfterMs + Math.floor(this.#random() * RETURN_SPREAD_MS);
    this.#disconnects.disconnect(connection, {
      code: 'drain',
      reason: 'the server is being drained: reconnect and resume',
      reconnect: true,
      afterMs,
    });
  }
}

function isHeld(phase: number): boolean {
  return phase !== PHASE_FREE && phase !== PHASE_LINGERING;
}

/** Ends by itself, with its message or its answer. */
function isBusy(phase: number): boolean {
  return phase === PHASE_SENDING || phase === PHASE_BODY || phase === PHASE_PUBLISHING;
}
