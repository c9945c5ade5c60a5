/**
 * Runs a reactor inside Node's event loop: the process blocks in the reactor's wait, and Node's own events (signals,
 * timers, child processes) are served between turns.
 *
 * A signal ends the wait (EINTR); its handler runs when Node's loop is next entered, so after every turn without kernel
 * events the loop yields at once. One that arrives in the instant before the wait begins is handled after it, like Node's
 * other events. While there are events, turns follow each other for at most 20 ms.
 */

import { setImmediate as yieldToNode } from 'node:timers/promises';
import { ffiProblem } from '../linux/ffi.js';
import type { Reactor } from './reactor.js';

/** Only reactors that block are paced, and where these are is a C library. */
const usleep = ffiProblem === null ? (await import('../linux/libc.js')).usleep : null;

const BURST_MS = 20;

/** Turns begin at least so far apart, once there were BUSY_TURNS of them within BUSY_MS. */
const TURN_GAP_MS = 1;
const BUSY_TURNS = 10;
const BUSY_MS = 10;
/** Sleeping is worth it when a turn has so many times the events that it has without. */
const GATHERED = 1.5;
const HOLD_OFF_WINDOWS = 20;
/** A turn with so many events needs no gathering. */
const FULL_TURN_EVENTS = 64;

export interface RunLoopOptions {
  /** Longest wait in the kernel, which is also the longest that Node's own events wait. */
  turnWaitMs: number;

  /**
   * Called after each turn with the number of its kernel events: the place for timers and for work put off to the end of
   * a batch. May return a shorter wait in ms for the next turn; 0 does not wait, and lets Node have its turn first, for work that
   * its threads do.
   */
  afterTurn(events: number): number | undefined;

  /** Asked before each turn. */
  stopped(): boolean;
}

/** Resolves once `stopped()`; rejects with what an event or `afterTurn` throws. */
export async function runLoop(reactor: Reactor, options: RunLoopOptions): Promise<void> {
  if (reactor.wait !== undefined) return runWithNode(reactor, options);
  const { turnWaitMs } = options;
  let waitMs = turnWaitMs;
  const pacer = new Pacer();
  while (!options.stopped()) {
    const burstEndMs = performance.now() + BURST_MS;
    let events: number;
    do {
      events = reactor.turn(waitMs);
      waitMs = Math.min(options.afterTurn(events) ?? turnWaitMs, turnWaitMs);
      if (events > 0 && events < FULL_TURN_EVENTS) pacer.pace(events);
    } while (events > 0 && waitMs > 0 && !options.stopped() && performance.now() < burstEndMs);
    await yieldToNode();
  }
}

/** Of a reactor that has its events from Node's loop: between turns the loop is Node's. */
async function runWithNode(reactor: Reactor, { turnWaitMs, afterTurn, stopped }: RunLoopOptions): Promise<void> {
  let waitMs = turnWaitMs;
  while (!stopped()) {
    await reactor.wait!(waitMs);
    waitMs = Math.min(afterTurn(reactor.turn(0)) ?? turnWaitMs, turnWaitMs);
  }
}

/**
 * Counts turns and events, and sleeps between turns while they are too many and sleeping makes them fewer. It does not where
 * each event waits for the answer to the one before: then sleeping is left off for a while.
 */
class Pacer {
  #windowStartMs = 0;
  #turns = 0;
  #events = 0;
  #paced = false;
  /** Events in a turn of the last window without sleep. */
  #unpacedEvents = 1;
  /** Windows to come that are not paced. */
  #holdOff = 0;
  #lastTurnMs = 0;

  /** Called after a turn with few events. */
  pace(events: number): void {
    const nowMs = performance.now();
    if (nowMs - this.#windowStartMs >= BUSY_MS) this.#nextWindow(nowMs);
    this.#turns++;
    this.#events += events;
    const sinceMs = nowMs - this.#lastTurnMs;
    this.#lastTurnMs = nowMs;
    if (!this.#paced || sinceMs >= TURN_GAP_MS) return;
    usleep!(Math.ceil((TURN_GAP_MS - sinceMs) * 1000));
    this.#lastTurnMs = performance.now();
  }

  #nextWindow(nowMs: number): void {
    const busy = this.#turns >= BUSY_TURNS && nowMs - this.#windowStartMs < 2 * BUSY_MS;
    const eventsEach = this.#events / this.#turns;
    if (this.#paced) {
      if (eventsEach < GATHERED * this.#unpacedEvents) this.#holdOff = HOLD_OFF_WINDOWS;
    } else {
      this.#unpacedEvents = eventsEach;
      if (this.#holdOff > 0) this.#holdOff--;
    }
    this.#paced = this.#holdOff === 0 && (this.#paced ? nowMs - this.#windowStartMs < 2 * BUSY_MS : busy);
    this.#windowStartMs = nowMs;
    this.#turns = 0;
    this.#events = 0;
  }
}
