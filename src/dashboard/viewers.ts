/**
 * Everybody who has the dashboard open: one snapshot is made and encoded for all of them, about once a second, and goes into
 * the history too. While nobody looks a point is taken every IDLE_MS and nothing wakes the manager for it in between: enough for
 * the charts of whoever comes next.
 */

import { EventStream, encodeEvent, type Output } from './event-stream.js';
import type { Ring } from './ring.js';
import type { Sampler } from './sampler.js';
import type { Snapshot } from './shared/snapshot.js';

export const VIEWERS_MAX = 32;
const LOOK_MS = 1000;
const IDLE_MS = 10_000;
/** A snapshot younger than this is good enough for a viewer who comes. */
const FRESH_MS = 900;

/** Figures to four digits: more would only be bytes. */
const DIGITS = 4;

export class Viewers {
  readonly #sampler: Pick<Sampler, 'sample'>;
  readonly #ring: Ring;
  readonly #historyMs: number;
  readonly #streams = new Set<EventStream>();
  #timer: NodeJS.Timeout | null = null;
  #latest: { snapshot: Snapshot; atMs: number } | null = null;

  /** @param historyMs how much of the past a viewer is given */
  constructor(sampler: Pick<Sampler, 'sample'>, ring: Ring, historyMs: number) {
    this.#sampler = sampler;
    this.#ring = ring;
    this.#historyMs = historyMs;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Begins to look. */
  start(): void {
    this.#look();
    this.#lookEvery(IDLE_MS);
  }

  /** Ends all streams, and looks no more. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.endStreams();
  }

  endStreams(): void {
    for (const stream of this.#streams) stream.end();
  }

  /** Answers with the stream of events. @returns false where there are VIEWERS_MAX already: nothing was answered */
  add(response: Output): boolean {
    if (this.#streams.size >= VIEWERS_MAX) return false;
    if (this.#latest === null || performance.now() - this.#latest.atMs > FRESH_MS) this.#look();
    const { snapshot } = this.#latest!;
    const stream = new EventStream(response, () => this.#remove(stream));
    if (this.#streams.size === 0) this.#lookEvery(LOOK_MS);
    this.#streams.add(stream);
    stream.send(encodeEvent('history', rounded(this.#ring.history(snapshot.timeMs - this.#historyMs))));
    stream.send(encodeEvent('snapshot', rounded(snapshot)));
    return true;
  }

  #remove(stream: EventStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0 && this.#timer !== null) this.#lookEvery(IDLE_MS);
  }

  #lookEvery(intervalMs: number): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#turn(), intervalMs).unref();
  }

  #turn(): void {
    if (this.#streams.size === 0) {
      this.#look();
      return;
    }
    const event = encodeEvent('snapshot', rounded(this.#look()));
    for (const stream of this.#streams) stream.send(event);
  }

  #look(): Snapshot {
    const snapshot = this.#sampler.sample();
    this.#ring.add(snapshot.timeMs, snapshot.point);
    this.#latest = { snapshot, atMs: performance.now() };
    return snapshot;
  }
}

/** Fractions with DIGITS digits; whole numbers stay as they are. */
function rounded<T>(value: T): T {
  if (typeof value === 'number') return (Number.isInteger(value) ? value : Number(value.toPrecision(DIGITS))) as T;
  if (Array.isArray(value)) return value.map(rounded) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, rounded(inner)])) as T;
}
