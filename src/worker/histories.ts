/**
 * The worker's cache of recent publications, for the channels on which somebody catches up. Many clients that come back at
 * once share what the manager was asked for once.
 *
 * A channel has a history (history.ts) here from the first question about it until its last subscriber goes, or until the
 * memory is needed: all together are bounded, and the one that was not used for longest lets go of what it holds first. A
 * history that awaits an answer stays, but may lose what it holds too. Nobody may rely on a history from one call to the
 * next: whoever is not covered any more asks again, and gets on with each answer, also a reader of more channels than there
 * is memory for.
 *
 * Sequences are compared with the worker's position: it has been told of everything up to there on all of its channels, so a
 * live history is complete up to its own end or the position, whichever is higher.
 */

import assert from 'node:assert/strict';
import { HISTORIES_BYTES_MAX, HISTORY_IDLE_MS } from '../limits.js';
import { type CachedPublication, cachedBytes, Gap, History, HistoryList } from './history.js';
import { NONE } from './subscriptions.js';

/** Requests of other kinds have the numbers above. */
const REQUEST_MAX = 0x7fff_ffff;

export class Histories {
  readonly #bytesMax: number;
  readonly #histories = new Map<number, History>();
  /** READs that are outstanding. */
  readonly #requests = new Map<number, History>();
  #lastRequest = 0;
  // Histories that await no answer, in the order of their last use.
  readonly #full = new HistoryList();
  /** Without items: they cost little and are worth much (`shrink`), and go last. */
  readonly #empty = new HistoryList();
  #bytes = 0;
  /** Periods of HISTORY_IDLE_MS that have passed. */
  #period = 0;
  #periodEndMs = 0;
  // For `merge`: of each channel its history, and the place and the sequence of its next item.
  readonly #merging: History[] = [];
  readonly #places: number[] = [];
  readonly #sequences: number[] = [];

  constructor(bytesMax = HISTORIES_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Of all histories, as limits.ts counts. */
  get bytes(): number {
    return this.#bytes;
  }

  get channels(): number {
    return this.#histories.size;
  }

  /** READs that are outstanding. */
  get reads(): number {
    return this.#requests.size;
  }

  // ── What the manager says ──────────────────────────────────────────────────────────────────────────────────────────

  isReading(channel: number): boolean {
    return this.#histories.get(channel)?.reading ?? false;
  }

  /**
   * Notes that the manager is being asked (READ) for what the channel has above `after`. Not while another READ of the
   * channel is outstanding.
   *
   * @param after a sequence, or READ_NOW
   * @returns the number of the request, a u32
   */
  beginReading(channel: number, after: number): number {
    const history = this.#histories.get(channel) ?? this.#create(channel);
    assert(!history.reading, 'one READ of a channel at a time');
    do this.#lastRequest = this.#lastRequest === REQUEST_MAX ? 1 : this.#lastRequest + 1;
    while (this.#requests.has(this.#lastRequest));
    history.list!.remove(history);
    history.beginReading(after);
    history.request = this.#lastRequest;
    this.#requests.set(history.request, history);
    return history.request;
  }

  /**
   * The answer to a READ (HISTORY). Where live ones had to be forgotten meanwhile, it counts as one with more to follow.
   *
   * @returns its channel; NONE where nobody waits for it any more
   */
  page(request: number, upTo: number, gap: number, more: boolean, publications: readonly CachedPublication[]): number {
    const history = this.#requests.get(request);
    if (history === undefined) return NONE;
    this.#requests.delete(request);
    history.request = 0;
    const before = history.bytes;
    history.page(upTo, gap, more, publications);
    this.#touch(history);
    this.#grown(history.bytes - before, history);
    return history.channel;
  }

  /** Whether `live` would keep a publication of the channel: only then it need be copied. */
  wants(channel: number): boolean {
    const history = this.#histories.get(channel);
    return history !== undefined && (history.live || history.reading);
  }

  /** A publication (FAN_OUT) or gap (GAP) that the worker is told of. */
  live(channel: number, publication: CachedPublication): void {
    const history = this.#histories.get(channel);
    if (history === undefined) return;
    const before = history.bytes;
    history.add(publication);
    if (history.list === this.#empty && !history.isEmpty) this.#touch(history);
    this.#grown(history.bytes - before, null);
    // What is left are those that await an answer: these stop growing.
    if (this.#bytes > this.#bytesMax && history.reading) {
      const held = history.bytes;
      history.forget(publication);
      this.#bytes += history.bytes - held;
    }
  }

  /**
   * Like `live`, and makes a history that begins with this publication where there is no live one. Only while somebody is
   * live on the channel: before the first READ of a subscription has been answered, what comes may belong to an earlier
   * subscription, with a hole behind it.
   */
  noteLive(channel: number, publication: CachedPublication): void {
    const history = this.#histories.get(channel) ?? this.#create(channel);
    if (history.live || history.reading) {
      this.live(channel, publication);
      return;
    }
    const before = history.bytes;
    history.begin(publication);
    this.#touch(history);
    this.#grown(history.bytes - before, history);
  }

  /** The channel's last subscriber has gone: the worker is told of nothing more there. */
  drop(channel: number): void {
    const history = this.#histories.get(channel);
    if (history !== undefined) this.#remove(history);
  }

  /** The link has ended: no READ that is outstanding will be answered. */
  abandonReads(): void {
    for (const history of this.#requests.values()) {
      const before = history.bytes;
      history.endReading();
      history.request = 0;
      this.#bytes += history.bytes - before;
      this.#touch(history);
    }
    this.#requests.clear();
  }

  /** The log is another one. */
  clear(): void {
    for (const history of this.#histories.values()) this.#remove(history);
  }

  // ── What readers get ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether a reader of the channel who has seen all up to `after` gets on from here; else the manager is to be asked. */
  covers(channel: number, after: number): boolean {
    return this.#histories.get(channel)?.covers(after) ?? false;
  }

  /**
   * Visits what the channels have above `after`, in the order of the sequences, as far as all of them are known, until about
   * `bytes` have been visited (as limits.ts counts; at least one publication, and never only some items of one place). A gap is
   * visited where it was found, behind everything up to there; those that `after` lies in are visited first, again and again
   * until `after` has left them.
   *
   * @param channels at least one; all of them cover `after`
   * @param position the worker's
   * @param visit is told up to where everything was visited, the publication itself included; returns false to stop, as when the
   *   bytes are used up. It may drop channels.
   * @returns up to where everything has been visited, at least `after`
   */
  merge(
    channels: readonly number[],
    after: number,
    position: number,
    bytes: number,
    visit: (channel: number, item: CachedPublication, reached: number) => boolean,
  ): number {
    const end = this.#beginMerge(channels, after, position);
    let reached = after;
    for (let room = bytes; ; ) {
      const lowest = this.#lowest();
      const sequence = this.#sequences[lowest];
      if (sequence > end) {
        reached = Math.max(reached, end);
        break;
      }
      if (room <= 0 && sequence > reached) break;
      const item = this.#merging[lowest].at(this.#places[lowest])!;
      reached = Math.max(reached, sequence);
      if (!(item instanceof Gap)) room -= cachedBytes(item);
      this.#advance(lowest, this.#places[lowest] + 1);
      if (!visit(channels[lowest], item, reached)) room = 0;
    }
    this.#merging.length = 0;
    return reached;
  }

  /**
   * Whether a reader of these channels who has reached `reached` misses nothing when from now on it gets what the worker is
   * told of: all histories are live and none ends above the worker's position, where the reader is too. (A page may be
   * ahead of the position; then FAN_OUT will bring some of it again.)
   */
  isLevel(channels: readonly number[], reached: number, position: number): boolean {
    if (reached !== position) return false;
    return channels.every((channel) => {
      const history = this.#histories.get(channel);
      if (history === undefined) return false;
      return history.live && history.upTo <= position && history.from <= reached;
    });
  }

  /** @returns up to where all channels are known */
  #beginMerge(channels: readonly number[], after: number, position: number): number {
    this.#places.length = 0;
    this.#sequences.length = 0;
    let end = Number.POSITIVE_INFINITY;
    for (const channel of channels) {
      const history = this.#histories.get(channel);
      assert(history, 'a channel that has a history');
      assert(history.covers(after), 'a history that covers the position of the reader');
      if (!history.reading) this.#touch(history);
      end = Math.min(end, history.live ? Math.max(history.upTo, position) : history.upTo);
      this.#advance(this.#merging.push(history) - 1, history.indexAfter(after));
    }
    return end;
  }

  #advance(which: number, place: number): void {
    this.#places[which] = place;
    const next = this.#merging[which].at(place);
    this.#sequences[which] = next === undefined ? Number.POSITIVE_INFINITY : next.sequence;
  }

  /** The channels are few: a walk over them is quicker than a heap. */
  #lowest(): number {
    let lowest = 0;
    for (let which = 1; which < this.#sequences.length; which++) {
      const difference = this.#sequences[which] - this.#sequences[lowest];
      if (difference < 0 || (difference === 0 && this.#isGap(lowest))) lowest = which;
    }
    return lowest;
  }

  #isGap(which: number): boolean {
    return this.#merging[which].at(this.#places[which]) instanceof Gap;
  }

  // ── Memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Called now and then: lets go of histories that were not used for HISTORY_IDLE_MS, to twice that. */
  expire(nowMs: number): void {
    if (nowMs < this.#periodEndMs) return;
    this.#periodEndMs = nowMs + HISTORY_IDLE_MS;
    this.#period++;
    for (const { oldest } of [this.#full, this.#empty]) {
      for (let history = oldest; history !== null && history.usedPeriod < this.#period - 1; ) {
        const { newer } = history;
        this.#remove(history);
        history = newer;
      }
    }
  }

  #create(channel: number): History {
    const history = new History(channel);
    this.#histories.set(channel, history);
    this.#touch(history);
    this.#grown(history.bytes, history);
    return history;
  }

  #remove(history: History): void {
    this.#histories.delete(history.channel);
    if (history.reading) this.#requests.delete(history.request);
    history.list?.remove(history);
    this.#bytes -= history.bytes;
  }

  /** Counts, and makes room, but not with the one that is to be kept. */
  #grown(bytes: number, kept: History | null): void {
    this.#bytes += bytes;
    while (this.#bytes > this.#bytesMax) {
      const full = this.#full.oldest === kept ? (kept?.newer ?? null) : this.#full.oldest;
      if (full !== null) {
        const before = full.bytes;
        full.shrink();
        this.#bytes += full.bytes - before;
        this.#touch(full);
        continue;
      }
      const empty = this.#empty.oldest === kept ? (kept?.newer ?? null) : this.#empty.oldest;
      if (empty === null) return;
      this.#remove(empty);
    }
  }

  /** Makes it the newest of its list. */
  #touch(history: History): void {
    history.usedPeriod = this.#period;
    const list = history.isEmpty ? this.#empty : this.#full;
    if (history === list.newest) return;
    history.list?.remove(history);
    list.add(history);
  }
}
