/**
 * Sends messages at a steady rate, or as fast as the server takes them, through one route or through two in turns.
 *
 * The schedule is fixed: message n is due n / rate seconds after the start. Messages that are due together go as one
 * batch. Where the server does not keep up, `PENDING_MAX` calls wait for it and the schedule slips.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { Ledger } from './ledger.js';
import { encodeMarker, monotonicUs } from './marker.js';
import type { Message, Route } from './routes.js';

/** Calls that wait for the server. */
const PENDING_MAX = 256;
/** Messages that are missing for so long no longer hold up others. */
const MISSING_MS = 5000;
/** Messages are sent as often; at lower rates one by one. */
const TICK_MS = 5;

export interface PublisherOptions {
  run: string;
  /** At least one. */
  routes: Route[];
  /** Messages a second, in all; Infinity: as fast as they are taken. */
  rate: number;
  count: number;
  messageBytes: number;
  /** Messages are numbered from here. */
  firstSequence: number;
  /** The client id that a message goes to. */
  recipient: (sequence: number) => string;
  /**
   * So many sent messages at most may not have come yet; left out: any number. Who publishes faster than the server delivers
   * fills its queue, and what waits there for too long is lost.
   */
  missingMax?: number;
  /** When they count as sent, in microseconds of CLOCK_MONOTONIC, if not each at its own time. */
  sentUs?: number;
}

export class Publisher {
  /** Messages that were not taken, and why. */
  readonly unsent: Record<string, number> = {};
  private readonly options: PublisherOptions;
  private readonly ledger: Ledger;
  private readonly pending = new Set<Promise<void>>();
  /** How many messages have been handed to the routes. */
  private next = 0;
  /** How many had come when more had come than before, and when that was. */
  private lastReceived = 0;
  private lastReceivedMs = performance.now();

  constructor(options: PublisherOptions, ledger: Ledger) {
    this.options = options;
    this.ledger = ledger;
  }

  /** Sends everything. @returns the seconds that it took */
  async run(signal: AbortSignal): Promise<number> {
    const { rate, count, routes } = this.options;
    const startMs = performance.now();
    const interrupted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    while (this.next < count && !signal.aborted) {
      const elapsedMs = performance.now() - startMs;
      const due =
        rate === Number.POSITIVE_INFINITY ? count : Math.min(count, 1 + Math.floor((elapsedMs * rate) / 1000));
      while (this.next < due && this.mayPublish()) this.publishDue(due);
      if (this.pending.size >= PENDING_MAX) {
        await Promise.race([...this.pending, interrupted]);
      } else if (this.next < due) {
        await delay(TICK_MS, undefined, { signal }).catch(ignoreAbort);
      } else if (this.next < count) {
        const nextDueMs = startMs + (this.next * 1000) / rate;
        await delay(Math.max(TICK_MS, nextDueMs - performance.now()), undefined, { signal }).catch(ignoreAbort);
      }
    }
    await Promise.race([Promise.all(this.pending), interrupted]);
    for (const route of routes) route.close();
    return (performance.now() - startMs) / 1000;
  }

  /** False while as many calls or messages are under way as may be. */
  private mayPublish(): boolean {
    if (this.pending.size >= PENDING_MAX) return false;
    const { missingMax = Number.POSITIVE_INFINITY } = this.options;
    const { received } = this.ledger;
    const nowMs = performance.now();
    if (received > this.lastReceived) {
      this.lastReceived = received;
      this.lastReceivedMs = nowMs;
    }
    return this.next - received < missingMax || nowMs - this.lastReceivedMs > MISSING_MS;
  }

  /** One batch for each route, of what is due. */
  private publishDue(due: number): void {
    const { routes, firstSequence } = this.options;
    const limit = Math.min(...routes.map((route) => route.batchMax)) * routes.length;
    const end = Math.min(due, this.next + limit);
    const batches: Message[][] = routes.map(() => []);
    for (; this.next < end; this.next++)
      batches[this.next % routes.length].push(this.compose(firstSequence + this.next));
    batches.forEach((batch, index) => {
      if (batch.length > 0) this.send(routes[index], batch);
    });
  }

  private compose(sequence: number): Message {
    const { run, recipient, messageBytes, sentUs = monotonicUs() } = this.options;
    const id = recipient(sequence);
    return { sequence, id, text: encodeMarker({ run, sequence, id, sentUs }, messageBytes) };
  }

  private send(route: Route, batch: Message[]): void {
    const call = route.publish(batch).then(
      () => {
        for (const { sequence } of batch) this.ledger.markSent(sequence);
      },
      (error: Error & { code?: string }) => {
        const reason = error.code ?? error.message;
        this.unsent[reason] = (this.unsent[reason] ?? 0) + batch.length;
      },
    );
    this.pending.add(call);
    call.finally(() => this.pending.delete(call));
  }
}

function ignoreAbort(error: Error): void {
  if (error.name !== 'AbortError') throw error;
}
