/**
 * Live tails: what is published on one channel, shown to people. A tail reads the log, as a client that catches up does, and
 * looks for news ten times a second; publishing does not know of it and costs nothing more.
 *
 * People read slowly and bytes cost memory: a look takes a bounded part of what is new, and the rest is told as a gap, as is
 * what retention dropped. A viewer who does not read is not read for.
 */

import { StringDecoder } from 'node:string_decoder';
import { CURSOR_NOW, type Cursor, formatCursor } from '../cursor.js';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import { type Log, LogError, type Page, type Publication } from '../log/log.js';
import { EventStream, encodeEvent, HEARTBEAT, type Output } from './event-stream.js';
import type { TailGap, TailMessage } from './shared/snapshot.js';

export const TAILS_MAX = 32;
const LOOK_MS = 100;
const HEARTBEAT_LOOKS = 150;
/** What one look takes: publications, and bytes of their data. */
export const LOOK_PUBLICATIONS_MAX = 100;
const LOOK_BYTES = 64 << 10;
/** What is shown of one publication. */
export const SHOWN_BYTES_MAX = 4 << 10;
/** Unread bytes above which nothing more is read for a viewer. */
const UNREAD_BYTES_MAX = 64 << 10;

export class Tails {
  readonly #log: Log;
  readonly #tails = new Set<Tail>();
  #timer: NodeJS.Timeout | null = null;
  #looks = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  get size(): number {
    return this.#tails.size;
  }

  /**
   * Answers with what is published on a channel from a cursor on.
   *
   * @returns false where there are TAILS_MAX already: nothing was answered
   */
  add(response: Output, channel: string, cursor: Cursor): boolean {
    if (this.#tails.size >= TAILS_MAX) return false;
    const stream = new EventStream(response, () => this.#remove(tail));
    const tail: Tail = new Tail(this.#log, channel, cursor, stream);
    this.#tails.add(tail);
    this.#timer ??= setInterval(() => this.#turn(), LOOK_MS).unref();
    tail.look();
    return true;
  }

  endStreams(): void {
    for (const { stream } of this.#tails) stream.end();
  }

  #turn(): void {
    const beats = ++this.#looks % HEARTBEAT_LOOKS === 0;
    for (const tail of this.#tails) {
      if (beats) tail.stream.send(HEARTBEAT);
      tail.look();
    }
  }

  #remove(tail: Tail): void {
    this.#tails.delete(tail);
    if (this.#tails.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

class Tail {
  readonly stream: EventStream;
  readonly #log: Log;
  readonly #channel: string;
  #after: number;
  #reading = false;

  constructor(log: Log, channel: string, cursor: Cursor, stream: EventStream) {
    this.stream = stream;
    this.#log = log;
    this.#channel = channel;
    const { position } = cursor;
    const known = cursor.isOf(Buffer.from(log.epoch));
    this.#after = position === CURSOR_NOW ? log.last : known ? Math.min(position, log.last) : 0;
    stream.send(encodeEvent('open', { channel, cursor: this.#cursor(this.#after) }));
    if (position >= 0 && !known) this.#tellGap(this.#after, 'retention');
  }

  /** Sends what is new, unless the viewer is behind. */
  look(): void {
    const { unreadBytes, open } = this.stream;
    if (this.#reading || !open || unreadBytes > UNREAD_BYTES_MAX) return;
    if (!this.#log.hasNews(this.#channel, this.#after)) return;
    this.#reading = true;
    this.#log.read([this.#channel], this.#after, LOOK_BYTES).then(
      (page) => {
        this.#reading = false;
        this.#show(page);
      },
      (error: Error) => {
        if (!(error instanceof LogError)) throw error;
        this.stream.send(encodeEvent('failed', { code: error.code }));
        this.stream.end();
      },
    );
  }

  #show({ publications, upTo, gaps }: Page): void {
    for (const { sequence } of gaps) this.#tellGap(sequence, 'retention');
    const skipped = publications.length - LOOK_PUBLICATIONS_MAX;
    if (skipped > 0) this.#tellGap(publications[skipped - 1]!.sequence, 'pace');
    for (const publication of publications.slice(Math.max(0, skipped))) {
      const cursor = this.#cursor(publication.sequence);
      this.stream.send(encodeEvent('message', toMessage(publication, cursor), cursor));
    }
    this.#after = upTo;
    const { last } = this.#log;
    if (upTo >= last || !this.#log.hasNews(this.#channel, upTo)) return;
    // More than a look takes: what is newest now counts more than what was.
    this.#tellGap(last, 'pace');
    this.#after = last;
  }

  #tellGap(sequence: number, reason: TailGap['reason']): void {
    const gap: TailGap = { cursor: this.#cursor(sequence), reason };
    this.stream.send(encodeEvent('gap', gap));
  }

  #cursor(sequence: number): string {
    return formatCursor(this.#log.epoch, sequence);
  }
}

function toMessage({ kind, data, timeMs }: Publication, cursor: string): TailMessage {
  return {
    cursor,
    timeMs,
    kind: kind === KIND_JSON ? 'json' : kind === KIND_TEXT ? 'text' : 'raw',
    // A decoder keeps back the bytes of a character that was cut.
    data: new StringDecoder('utf8').write(data.subarray(0, SHOWN_BYTES_MAX)),
    bytes: data.length,
  };
}
