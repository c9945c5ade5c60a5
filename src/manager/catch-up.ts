/**
 * The way of one link from behind to live.
 *
 * A link is *live* when its worker has been sent every publication that the fan-out has given out; then publications are
 * written as they come. It is *behind* from HELLO until it has been sent what its worker missed, and whenever the worker
 * does not read: then a fan-out only notes that its channel is owed, and since when, and the publications themselves
 * come from the log, page by page, at the pace at which the worker reads. What the log no longer has becomes GAP, before
 * anything above `after`: a client may be cut off between any two publications, and the cursor of the first says nothing of what
 * is lost farther on.
 *
 *     after ─────────────── upTo = fanOut.position when the page is asked for ─────────── fanOut.position now
 *       │ the page: all that is owed, of all │ given out meanwhile: its channels were noted, the next page has it
 *         channels noted by then, in order
 *
 * Invariant: all publications up to `after` have been sent, and every channel with a publication above `after` that was
 * given to this link is in `channels`. So the link is live at the moment when `after` has reached the fan-out's position.
 *
 * A channel that is subscribed meanwhile is owed what lies above `after`, but not the page that is being read: that ends at
 * a place that is not known yet. So a worker is told how far it was sent everything between two pages only (`settled`).
 */

import { FAN_OUT_RECEIPT } from '../link/frames.js';
import type { Log, Page } from '../log/log.js';
import type { LinkOutlet } from './link-outlet.js';

/** Data of one page. */
const PAGE_BYTES = 256 << 10;
/** To ask for a page takes a look at each channel that is owed, so the more there are, the larger it is. */
const PAGE_BYTES_FOR_A_CHANNEL = 64;
const PAGE_BYTES_MAX = 4 << 20;
/** Bytes not taken by the kernel above which the next page waits. */
const BACKLOG_BYTES = 1 << 20;

export interface CatchUpParts {
  log: Log;
  outlet: LinkOutlet;
  /** How far the fan-out has come. */
  position(): number;
  /** True where the publisher waits for this worker's answer. */
  awaited(sequence: number): boolean;
  /** The log could not be read. */
  failed(error: Error): void;
}

export class CatchUp {
  readonly #parts: CatchUpParts;
  #behind: { after: number; readonly channels: Map<string, number> } | null;
  #running = false;

  /** A page is being read. */
  #reading = false;
  #unsettled: (() => void)[] = [];

  /** Begins behind, at the worker's own position; `run` begins the way. */
  constructor(parts: CatchUpParts, after: number) {
    this.#parts = parts;
    this.#behind = { after, channels: new Map() };
  }

  get behind(): boolean {
    return this.#behind !== null;
  }

  /** The link cannot take what comes after this sequence: it has to be read from the log. */
  fallBehind(after: number): void {
    this.#behind = { after, channels: new Map() };
    void this.run();
  }

  /** While behind: publications of the channel after that sequence are to be sent. */
  owe(channel: string, after: number): void {
    const { channels } = this.#behind!;
    const owed = channels.get(channel);
    if (owed === undefined || owed > after) channels.set(channel, after);
  }

  /**
   * Calls when `sent` is true of all channels that are subscribed then, and will not be passed without what they are owed: now,
   * or as soon as the page that is being read has been sent.
   */
  settled(call: () => void): void {
    if (this.#reading) this.#unsettled.push(call);
    else call();
  }

  /** Up to where everything has been sent; see `settled`. */
  get sent(): number {
    return this.#behind?.after ?? this.#parts.position();
  }

  /** While behind: a channel has its first subscriber there. It is owed what was not sent yet. */
  subscribed(channel: string): void {
    const { after } = this.#behind!;
    if (this.#parts.log.hasNews(channel, after)) this.owe(channel, after);
  }

  /** Sends what is owed until the link is live, or has ended. */
  async run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#behind !== null && (await this.#room())) await this.#next(this.#behind);
    } catch (error) {
      this.#parts.failed(error as Error);
    }
    this.#running = false;
  }

  /** Waits until the worker has read most of what it was sent. False when the link has ended. */
  async #room(): Promise<boolean> {
    const { outlet } = this.#parts;
    while (outlet.backlogBytes > BACKLOG_BYTES) if (!(await outlet.drained())) return false;
    return true;
  }

  /** Sends one page. */
  async #next(behind: { after: number; readonly channels: Map<string, number> }): Promise<void> {
    const { outlet, position } = this.#parts;
    const { channels, after } = behind;
    const upTo = position();
    if (channels.size > 0 && after < upTo) {
      const bytes = Math.min(PAGE_BYTES_MAX, Math.max(PAGE_BYTES, channels.size * PAGE_BYTES_FOR_A_CHANNEL));
      const page = await this.#read([...channels.keys()], after, bytes);
      behind.after = Math.min(upTo, page.upTo);
      this.#send(page, behind.after, upTo, channels);
    } else {
      behind.after = upTo;
    }
    if (behind.after === position()) {
      this.#behind = null;
      outlet.frames.position(behind.after);
    }
    outlet.flushLater();
    for (const call of this.#unsettled.splice(0)) call();
  }

  async #read(channels: string[], after: number, bytes: number): Promise<Page> {
    this.#reading = true;
    try {
      return await this.#parts.log.read(channels, after, bytes);
    } finally {
      this.#reading = false;
    }
  }

  /**
   * Writes gaps, then publications up to `end`, in order.
   *
   * @param upTo what is above was not given out yet, and may come as it is though the log has lost it
   */
  #send({ publications, gaps }: Page, end: number, upTo: number, channels: Map<string, number>): void {
    const { awaited, outlet } = this.#parts;
    for (const { channel, sequence } of gaps) {
      const lost = Math.min(sequence, upTo);
      if (lost <= channels.get(channel)!) continue;
      outlet.frames.gap(lost, Buffer.from(channel));
      channels.set(channel, lost);
    }
    for (const publication of publications) {
      const { channel, sequence } = publication;
      if (sequence > end) break;
      if (sequence <= channels.get(channel)!) continue;
      outlet.frames.fanOut(publication, awaited(sequence) ? FAN_OUT_RECEIPT : 0, Buffer.from(channel));
    }
  }
}
