/**
 * Answers to one worker's READ: pages of what the log has of a channel, for connections that come with a cursor.
 *
 * A crowd that returns asks once for each connection, mostly to hear that there is nothing new: that is answered at once,
 * without a promise. The others stand in line, so that a link has one page in memory at a time and writes at the pace at
 * which its worker reads. Above `LINE_MAX` the worker itself is not read (its frames wait in the kernel) until half
 * of the line is served.
 */

import type { Socket } from 'node:net';
import { LINK_FRAME_BYTES_MAX } from '../limits.js';
import { HISTORY_ENTRY_BYTES, HISTORY_HEADER_BYTES } from '../link/frame-writer.js';
import { READ_NOW } from '../link/frames.js';
import type { Log, Publication } from '../log/log.js';
import type { LinkOutlet } from './link-outlet.js';

/** Data of one page. */
export const HISTORY_BYTES = 256 << 10;
/** Bytes not taken by the kernel above which answers wait. */
const BACKLOG_BYTES = 1 << 20;
/** READs that stand in line. */
const LINE_MAX = 10_000;
const NONE: readonly Publication[] = [];

interface Request {
  readonly request: number;
  readonly after: number;
  readonly channel: string;
}

export interface HistoryParts {
  log: Log;
  outlet: LinkOutlet;
  /** The worker's socket, to stop reading it. */
  socket: Pick<Socket, 'pause' | 'resume'>;
  /** How far the fan-out has come. */
  position(): number;
  /** The log could not be read. */
  failed(error: Error): void;
}

export class History {
  readonly #parts: HistoryParts;
  #line: Request[] = [];
  /** Those before it in the line have been served. */
  #next = 0;
  #running = false;
  #paused = false;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
  }

  /**
   * Answers with what the log has of the channel above `after`, or for READ_NOW with where the log ends. A sequence that
   * the log has not reached is not of this log: then all that is retained is the answer, up to a place below `after`.
   */
  read(request: number, after: number, channel: string): void {
    const { log, outlet, position } = this.#parts;
    const known = after <= log.last ? after : 0;
    const now = after === READ_NOW;
    if (outlet.backlogBytes <= BACKLOG_BYTES && (now || !log.hasNews(channel, known))) {
      outlet.frames.history(request, now ? position() : log.last, 0, false, NONE);
      outlet.flushLater();
      return;
    }
    this.#line.push({ request, after: now ? READ_NOW : known, channel });
    if (this.#line.length - this.#next >= LINE_MAX && !this.#paused) {
      this.#paused = true;
      this.#parts.socket.pause();
    }
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#next < this.#line.length) {
        if (!(await this.#room())) return;
        await this.#answer(this.#line[this.#next++]!);
        if (this.#paused && this.#line.length - this.#next <= LINE_MAX / 2) {
          this.#line = this.#line.slice(this.#next);
          this.#next = 0;
          this.#paused = false;
          this.#parts.socket.resume();
        }
      }
    } catch (error) {
      this.#parts.failed(error as Error);
    }
    this.#line = [];
    this.#next = 0;
    this.#running = false;
  }

  /** Waits until the worker has read most of what it was sent. False when the link has ended. */
  async #room(): Promise<boolean> {
    const { outlet } = this.#parts;
    while (outlet.backlogBytes > BACKLOG_BYTES) if (!(await outlet.drained())) return false;
    return true;
  }

  async #answer({ request, after, channel }: Request): Promise<void> {
    const { log, outlet, position } = this.#parts;
    if (after === READ_NOW) {
      outlet.frames.history(request, position(), 0, false, NONE);
    } else {
      // What comes above this while the log reads is fanned out: the worker subscribed before it asked.
      const { last } = log;
      const { publications, upTo, gaps } = await log.read([channel], after, HISTORY_BYTES);
      const fitting = countFitting(publications);
      const gap = gaps[0]?.sequence ?? 0;
      if (fitting === publications.length) outlet.frames.history(request, upTo, gap, upTo < last, publications);
      else {
        const cut = publications.slice(0, fitting);
        outlet.frames.history(request, cut.at(-1)!.sequence, gap, true, cut);
      }
    }
    outlet.flushLater();
  }
}

/** How many of a page's publications fit a frame: a log counts their data, and very small ones are mostly header. */
function countFitting(publications: readonly Publication[]): number {
  let bytes = HISTORY_HEADER_BYTES;
  for (const [i, { data }] of publications.entries()) {
    bytes += HISTORY_ENTRY_BYTES + data.length;
    if (bytes > LINK_FRAME_BYTES_MAX) return i;
  }
  return publications.length;
}
