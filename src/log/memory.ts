/**
 * The log in memory: what it holds is lost with the manager, so each log has an epoch of its own.
 *
 * What it retains is in the rows of retained.ts, the data in arena.ts: no JavaScript object exists for a publication. An append
 * is done when the call returns; its promise is for the contract.
 */

import { randomBytes } from 'node:crypto';
import { EXPIRE_PUBLICATIONS_MAX, GAP_MARKS_MAX } from '../limits.js';
import { Arena } from './arena.js';
import { GapMarks } from './gap-marks.js';
import {
  type Appended,
  type Log,
  type LogClock,
  type LogCounters,
  LogError,
  type NewPublication,
  type Page,
  type Publication,
  type Retention,
  SYSTEM_CLOCK,
} from './log.js';
import { Retained } from './retained.js';

export interface MemoryLogParts {
  clock?: LogClock;
  /** For tests: how many channels without anything retained are remembered. */
  gapMarksMax?: number;
}

export class MemoryLog implements Log {
  readonly epoch = newEpoch();
  readonly #clock: LogClock;
  readonly #arena = new Arena();
  readonly #retained: Retained;
  #last = 0;
  #closed = false;

  /** @throws Error where two rules of the retention have the same pattern */
  constructor(retention: Retention, { clock = SYSTEM_CLOCK, gapMarksMax = GAP_MARKS_MAX }: MemoryLogParts = {}) {
    this.#clock = clock;
    this.#retained = new Retained(retention, new GapMarks(gapMarksMax), (_sequence, place, length) =>
      this.#arena.release(place, length),
    );
  }

  get last(): number {
    return this.#last;
  }

  get counters(): LogCounters {
    return this.#retained.counters;
  }

  /** Memory taken by the data of publications, with what is wasted on the way. */
  get dataBytes(): number {
    return this.#arena.allocatedBytes;
  }

  append(batch: readonly NewPublication[]): Promise<Appended[]> {
    if (this.#closed)
      return Promise.reject(new LogError('ELOGCLOSED', 'the log is closed', 'publish to a running server'));
    const timeMs = this.#clock.wallMs();
    const bornMs = this.#clock.steadyMs();
    const channels = new Set<number>();
    const places = batch.map(({ channel, kind, data, id }) => {
      const known = id === undefined ? undefined : this.#retained.ids.find(channel, id);
      if (known !== undefined) return { sequence: known, timeMs: this.#publication(known).timeMs, duplicate: true };
      const sequence = ++this.#last;
      const place = this.#arena.store(sequence, kind, timeMs, data);
      channels.add(this.#retained.add(sequence, channel, data.length, bornMs, place));
      if (id !== undefined) this.#retained.ids.add(channel, id, sequence);
      return { sequence, timeMs, duplicate: false };
    });
    for (const channel of channels) this.#retained.limitChannel(channel);
    this.#retained.limitTotal();
    this.#retained.expire(bornMs, 2 * batch.length);
    return Promise.resolve(places);
  }

  read(channels: readonly string[], after: number, bytes: number, publications?: number): Promise<Page> {
    const { rows, upTo, gaps } = this.#retained.select(channels, after, this.#last, bytes, publications);
    return Promise.resolve({ publications: rows.map((row) => this.#at(row)), upTo, gaps });
  }

  hasNews(channel: string, after: number): boolean {
    return after < this.#last && this.#retained.hasNews(channel, after);
  }

  get queued(): number {
    return this.#retained.queued;
  }

  oldestQueued(channel: string): Publication | undefined {
    const row = this.#retained.queuedRow(channel);
    return row === -1 ? undefined : this.#at(row);
  }

  consumed(channel: string, sequence: number): void {
    this.#retained.consumed(channel, sequence);
  }

  expire(): void {
    this.#retained.expire(this.#clock.steadyMs(), EXPIRE_PUBLICATIONS_MAX);
    this.#arena.compact((sequence, place, copy) => {
      const row = this.#retained.rowOf(sequence);
      if (row !== -1 && this.#retained.placeAt(row) === place) this.#retained.move(row, copy());
    });
  }

  setRetention(retention: Retention): void {
    this.#retained.setRetention(retention);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #publication(sequence: number): Publication {
    return this.#at(this.#retained.rowOf(sequence));
  }

  #at(row: number): Publication {
    return {
      sequence: this.#retained.sequenceAt(row),
      channel: this.#retained.channelAt(row),
      ...this.#arena.read(this.#retained.placeAt(row)),
    };
  }
}

/** 12 hexadecimal digits: 48 random bits. */
export function newEpoch(): string {
  return randomBytes(6).toString('hex');
}
