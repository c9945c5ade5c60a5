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
import { HISTORY_BEYOND, HISTORY_COMPLETE, HISTORY_MORE, READ_NOW } from '../link/frames.js';
import type { Log, Page, Publication } from '../log/log.js';
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
  /** Up to where everything has been sent on the link. */
  sent(): number;
  /** Calls when that may be told (catch-up.ts). */
  settled(call: () => void): void;
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
   * Answers with what the log has of the channel above `after`, or for READ_NOW with where it ends: as far as the link has
   * been sent everything, so that the worker's position may follow. What is newer comes by FAN_OUT.
   */
  read(request: number, after: number, channel: string): void {
    const { log, outlet, sent, settled } = this.#parts;
    const hasRoom = outlet.backlogBytes <= BACKLOG_BYTES;
    if (hasRoom && (after === READ_NOW || (after <= log.last && !log.hasNews(channel, after)))) {
      settled(() => {
        outlet.frames.history(request, sent(), 0, HISTORY_COMPLETE, NONE);
        outlet.flushLater();
      });
      return;
    }
    this.#line.push({ request, after, channel });
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
    const { log, settled } = this.#parts;
    const isPage = after !== READ_NOW && after <= log.last;
    const page = isPage ? await log.read([channel], after, HISTORY_BYTES) : null;
    await new Promise<void>((resolve) =>
      settled(() => {
        this.#write(request, after, page);
        resolve();
      }),
    );
  }

  /** @param page what the log has after that sequence; null for READ_NOW, and where it does not go so far */
  #write(request: number, after: number, page: Page | null): void {
    const { log, outlet, sent } = this.#parts;
    const end = sent();
    if (page === null) {
      outlet.frames.history(request, end, 0, after === READ_NOW ? HISTORY_COMPLETE : HISTORY_BEYOND, NONE);
    } else {
      const { publications, upTo, gaps } = page;
      const gap = gaps[0]?.sequence ?? 0;
      const fitting = publications.slice(0, countFitting(publications, end));
      if (fitting.length < publications.length && publications[fitting.length]!.sequence <= end) {
        outlet.frames.history(request, fitting.at(-1)!.sequence, gap, HISTORY_MORE, fitting);
      } else if (upTo < end && upTo < log.last) {
        outlet.frames.history(request, upTo, gap, HISTORY_MORE, fitting);
      } else {
        // What is newer is owed to the channel, which the worker has subscribed to.
        outlet.frames.history(request, end, gap, HISTORY_COMPLETE, fitting);
      }
    }
    outlet.flushLater();
  }
}

/**
 * How many of a page's publications are not above `end` and fit a frame: a log counts their data, and very small ones are
 * mostly header.
 */
function countFitting(publications: readonly Publication[], end: number): number {
  let bytes = HISTORY_HEADER_BYTES;
  for (const [i, { data, sequence }] of publications.entries()) {
    bytes += HISTORY_ENTRY_BYTES + data.length;
    if (sequence > end || bytes > LINK_FRAME_BYTES_MAX) return i;
  }
  return publications.length;
}
