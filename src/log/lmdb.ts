/**
 * The durable log: what was appended outlives the process. A publication whose append resolved is there when the log is opened
 * again after kill -9, in the same epoch, and sequences go on above it.
 *
 * *Group commit.* Appends wait until the group before them has been written, and then are written together, in one transaction.
 * So the cost of a transaction is shared by as many as come while one lasts. Sequences, duplicates and the deletion of what
 * retention has dropped belong to the group; the rows of retained.ts change only when it has been committed. A group that fails
 * leaves nothing behind.
 *
 * *When does a power failure lose something?* `--fsync` says what append waits for:
 *
 *     always     until the group is on the disk. Nothing is lost.
 *     interval   until it is in the page cache. A checkpoint every second brings all to the disk: a second or two are lost.
 *     never      as interval, without checkpoints. All is lost that is there.
 *
 * Where something may have been lost the epoch changes: clients are told of a gap, and get what is left (data-directory.ts).
 *
 * *Dropping* changes the rows at once and the disk with the next group (pending-changes.ts). A block is deleted when all its
 * publications have gone; sparse blocks are moved together (block-book.ts). Opening finds what is retained (lmdb-load.ts).
 */

import { EXPIRE_PUBLICATIONS_MAX, GAP_MARKS_MAX } from '../limits.js';
import { BlockWriter, blockOf, placeOf, walkBlock } from './block.js';
import { BlockBook } from './block-book.js';
import { BlockCache } from './block-cache.js';
import { DataDirectory, type FsyncPolicy } from './data-directory.js';
import { GapMarks } from './gap-marks.js';
import { loadHistory } from './lmdb-load.js';
import { LmdbStore } from './lmdb-store.js';
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
import { PendingChanges } from './pending-changes.js';
import { idKey } from './publication-ids.js';
import { Retained } from './retained.js';

export type { FsyncPolicy } from './data-directory.js';

/** A group takes batches until it has this much data; one batch may have more. */
const GROUP_BYTES = 4 << 20;
/** Sparse blocks that one group moves together: these, and twice as many as it fills. */
const MOVED_BLOCKS_MIN = 16;

export interface LmdbLogOptions {
  /** Absolute. It is made where it is missing. */
  directory: string;
  fsync: FsyncPolicy;
  retention: Retention;
}

/** For tests. */
export interface LmdbLogParts {
  clock?: LogClock;
  gapMarksMax?: number;
  bootId?: string;
}

interface Waiting {
  readonly batch: readonly NewPublication[];
  readonly resolve: (appended: Appended[]) => void;
  readonly reject: (error: LogError) => void;
}

/** A publication of the group that is being written. */
interface Written {
  readonly sequence: number;
  readonly channel: string;
  readonly length: number;
  readonly place: number;
  readonly previous: number;
  readonly id: string | undefined;
}

/** A record of a sparse block, copied into a block of the group. */
interface Moved {
  readonly sequence: number;
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/**
 * Opens the log of a data directory, and reads what is retained there: about three seconds for a million publications.
 *
 * @throws LogError (as a rejection) ELOGDIR, ELOGLOCKED, ELOGFORMAT, ELOGFULL, ELOGIO
 * @throws Error where two rules of the retention have the same pattern
 */
export async function openLmdbLog(options: LmdbLogOptions, parts: LmdbLogParts = {}): Promise<LmdbLog> {
  const directory = await DataDirectory.open(options.directory, options.fsync, parts.bootId);
  let store: LmdbStore | undefined;
  try {
    store = await LmdbStore.open(directory, options.fsync);
    return new LmdbLog(directory, store, options, parts);
  } catch (error) {
    await store?.close();
    directory.abandon();
    throw error;
  }
}

export class LmdbLog implements Log {
  readonly epoch: string;
  readonly #directory: DataDirectory;
  readonly #store: LmdbStore;
  readonly #fsync: FsyncPolicy;
  readonly #clock: LogClock;
  readonly #gapMarksMax: number;
  readonly #marks: GapMarks;
  readonly #retained: Retained;
  readonly #book = new BlockBook();
  readonly #cache: BlockCache;
  #last: number;
  #nextBlock: number;

  #waiting: Waiting[] = [];
  #pending = new PendingChanges();
  /** A group is being written or about to be. */
  #busy = false;
  #idle: (() => void)[] = [];
  #closed = false;
  /** Why nothing is accepted any more. */
  #failed: LogError | null = null;
  #syncing = false;
  #unsynced = false;
  /** The last group could not be written. */
  #noRoom = false;

  /** Use {@link openLmdbLog}. */
  constructor(directory: DataDirectory, store: LmdbStore, options: LmdbLogOptions, parts: LmdbLogParts) {
    const { clock = SYSTEM_CLOCK, gapMarksMax = GAP_MARKS_MAX } = parts;
    this.epoch = directory.epoch;
    this.#directory = directory;
    this.#store = store;
    this.#fsync = options.fsync;
    this.#clock = clock;
    this.#gapMarksMax = gapMarksMax;
    this.#marks = new GapMarks(gapMarksMax, store.floor);
    this.#retained = new Retained(options.retention, this.#marks, (sequence, place, length, emptied) => {
      this.#release(place, length);
      if (emptied === null) return;
      this.#pending.emptied.set(sequence, emptied);
      this.#pending.queue.set(emptied, null);
    });
    this.#cache = new BlockCache(store);
    const { last, nextBlock } = loadHistory({
      ...{ store, cache: this.#cache, clock, marks: this.#marks, retained: this.#retained, book: this.#book },
      pending: this.#pending,
      release: (place, length) => this.#release(place, length),
    });
    this.#last = last;
    this.#nextBlock = nextBlock;
  }

  get last(): number {
    return this.#last;
  }

  get counters(): LogCounters {
    return this.#retained.counters;
  }

  append(batch: readonly NewPublication[]): Promise<Appended[]> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject });
      this.#schedule();
    });
  }

  async read(channels: readonly string[], after: number, bytes: number, publications?: number): Promise<Page> {
    const { rows, upTo, gaps } = this.#retained.select(channels, after, this.#last, bytes, publications);
    return { publications: rows.map((row) => this.#publication(row)), upTo, gaps };
  }

  hasNews(channel: string, after: number): boolean {
    return after < this.#last && this.#retained.hasNews(channel, after);
  }

  get queued(): number {
    return this.#retained.queued;
  }

  oldestQueued(channel: string): Publication | undefined {
    const row = this.#retained.queuedRow(channel);
    return row === -1 ? undefined : this.#publication(row);
  }

  consumed(channel: string, sequence: number): void {
    if (this.#retained.consumed(channel, sequence)) this.#pending.queue.set(channel, Math.min(sequence, this.#last));
  }

  expire(): void {
    if (this.#closed) return;
    this.#retained.expire(this.#clock.steadyMs(), EXPIRE_PUBLICATIONS_MAX);
    if (this.#hasChanges) this.#schedule();
    if (this.#fsync === 'interval' && this.#unsynced && !this.#syncing) void this.#sync();
  }

  setRetention(retention: Retention): void {
    this.#retained.setRetention(retention);
    if (!this.#closed && this.#hasChanges) this.#schedule();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#busy || this.#syncing) await new Promise<void>((resolve) => this.#idle.push(resolve));
    try {
      if (this.#failed !== null) throw this.#failed;
      // So that what was dropped, but lies in a block with something retained, stays dropped.
      for (const [sequence, channel] of this.#retained.losses()) this.#pending.emptied.set(sequence, channel);
      if (this.#hasChanges) await this.#writeGroup([]);
      await this.#store.sync();
    } catch (error) {
      await this.#store.close();
      this.#directory.abandon();
      throw error;
    }
    await this.#store.close();
    this.#directory.release();
  }

  get #hasChanges(): boolean {
    return this.#book.isWasteful || this.#pending.size > 0;
  }

  /** Starts a group at the end of this turn of the event loop, with all that has come by then. */
  #schedule(): void {
    if (this.#busy) return;
    this.#busy = true;
    setImmediate(async () => {
      await this.#nextGroup();
      this.#busy = false;
      if (this.#waiting.length > 0) this.#schedule();
      else this.#wakeIdle();
    });
  }

  async #nextGroup(): Promise<void> {
    let bytes = 0;
    let count = 0;
    for (const { batch } of this.#waiting) {
      if (count > 0 && bytes > GROUP_BYTES) break;
      for (const { data } of batch) bytes += data.length;
      count++;
    }
    const group = this.#waiting.splice(0, count);
    let answers: Appended[][];
    try {
      if (this.#failed !== null) throw this.#failed;
      if (this.#noRoom) await this.#makeRoom();
      answers = await this.#writeGroup(group);
      this.#noRoom = false;
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      this.#noRoom = true;
      for (const { reject } of group) reject(error);
      return;
    }
    for (const [i, { resolve }] of group.entries()) resolve(answers[i]!);
  }

  /** After a failure: deletes by itself, so that the pages are free for the group that follows. */
  async #makeRoom(): Promise<void> {
    await this.#writeGroup([]);
    const nothing = { blocks: [], deadBlocks: [], marks: [], deadMarks: [], queue: [] };
    await this.#store.commit({ ...nothing, floor: this.#store.floor });
  }

  /** Writes one transaction and, when it is committed, lets the rows follow. */
  async #writeGroup(group: readonly Waiting[]): Promise<Appended[][]> {
    const timeMs = this.#clock.wallMs();
    const bornMs = this.#clock.steadyMs();
    const writer = new BlockWriter(this.#nextBlock);
    const written: Written[] = [];
    const deadMarks: number[] = [];
    const answers = this.#place(group, timeMs, writer, written, deadMarks);
    const sparse = this.#book.isWasteful ? this.#book.sparse(MOVED_BLOCKS_MIN + 2 * writer.blocks.length) : [];
    const moved = this.#moveSparse(sparse, writer);
    writer.seal();
    const floor = this.#forgetMarks(deadMarks);

    const taken = this.#pending;
    const { blocks } = writer;
    if (blocks.length + sparse.length + deadMarks.length + taken.size === 0) return answers;
    this.#pending = new PendingChanges();
    const deadBlocks = [...taken.deadBlocks, ...sparse];
    try {
      await this.#store.commit({ blocks, deadBlocks, marks: taken.emptied, deadMarks, queue: taken.queue, floor });
    } catch (error) {
      this.#pending.putBack(taken);
      throw error;
    }
    this.#nextBlock = writer.nextBlock;
    this.#unsynced = true;
    this.#moveRows(moved);
    this.#addRows(written, bornMs);
    return answers;
  }

  /** Gives sequences to what is new, and encodes it. */
  #place(
    group: readonly Waiting[],
    timeMs: number,
    writer: BlockWriter,
    written: Written[],
    deadMarks: number[],
  ): Appended[][] {
    let sequence = this.#last;
    const lastOf = new Map<string, number>();
    const ids = new Map<string, Appended>();
    return group.map(({ batch }) =>
      batch.map(({ channel, kind, data, id }) => {
        if (id !== undefined) {
          const known = ids.get(idKey(channel, id)) ?? this.#knownId(channel, id);
          if (known !== undefined) return known;
        }
        const previous = lastOf.get(channel) ?? this.#before(channel, deadMarks);
        lastOf.set(channel, ++sequence);
        const place = writer.add({ sequence, previous, channel, kind, timeMs, data, ...(id !== undefined && { id }) });
        written.push({ sequence, channel, length: data.length, place, previous, id });
        if (id !== undefined) ids.set(idKey(channel, id), { sequence, timeMs, duplicate: true });
        return { sequence, timeMs, duplicate: false };
      }),
    );
  }

  #knownId(channel: string, id: string): Appended | undefined {
    const sequence = this.#retained.ids.find(channel, id);
    if (sequence === undefined) return undefined;
    return { sequence, timeMs: this.#publication(this.#retained.rowOf(sequence)).timeMs, duplicate: true };
  }

  /** What the channel's first publication of a group follows. Its mark is in that publication from now on. */
  #before(channel: string, deadMarks: number[]): number {
    const previous = this.#retained.lastOf(channel);
    if (previous > 0 && this.#marks.known(channel) === previous) deadMarks.push(previous);
    return previous;
  }

  /** Copies what is left of sparse blocks. */
  #moveSparse(sparse: readonly number[], writer: BlockWriter): Moved[] {
    const moved: Moved[] = [];
    for (const number of sparse) {
      const block = this.#store.readBlock(number);
      walkBlock(block, (sequence, offset, length) => {
        const row = this.#retained.rowOf(sequence);
        const from = placeOf(number, offset);
        if (row === -1 || this.#retained.placeAt(row) !== from) return;
        moved.push({ sequence, from, to: writer.copy(block, offset), length });
      });
    }
    return moved;
  }

  /** Where there are too many marks on the disk the lowest go, a slice at a time. Returns the floor. */
  #forgetMarks(deadMarks: number[]): number {
    const excess = Math.min(this.#store.markCount - this.#gapMarksMax, EXPIRE_PUBLICATIONS_MAX);
    if (excess <= 0) return this.#store.floor;
    const lowest = this.#store.lowestMarks(excess);
    deadMarks.push(...lowest);
    return Math.max(this.#store.floor, lowest.at(-1)!);
  }

  #moveRows(moved: readonly Moved[]): void {
    for (const { sequence, from, to, length } of moved) {
      this.#book.add(blockOf(to), length);
      const row = this.#retained.rowOf(sequence);
      if (row !== -1) this.#retained.move(row, to);
      // Dropped meanwhile: its old place was released then.
      if (row !== -1) this.#book.release(blockOf(from), length);
      else this.#release(to, length);
      this.#cache.delete(blockOf(from));
    }
  }

  #addRows(written: readonly Written[], bornMs: number): void {
    const channels = new Set<number>();
    for (const { sequence, channel, length, place, previous, id } of written) {
      this.#book.add(blockOf(place), length);
      channels.add(this.#retained.add(sequence, channel, length, bornMs, place, previous));
      if (id !== undefined) this.#retained.ids.add(channel, id, sequence);
      this.#last = sequence;
    }
    for (const channel of channels) this.#retained.limitChannel(channel);
    this.#retained.limitTotal();
    this.#retained.expire(bornMs, 2 * written.length);
  }

  #release(place: number, length: number): void {
    const block = blockOf(place);
    if (!this.#book.release(block, length)) return;
    this.#pending.deadBlocks.add(block);
    this.#cache.delete(block);
  }

  #publication(row: number): Publication {
    const { sequence, channel, kind, data, timeMs } = this.#cache.read(this.#retained.placeAt(row));
    return { sequence, channel, kind, data, timeMs };
  }

  /** Syncs what is committed. A disk that fails to may have lost it: nothing is accepted any more. */
  async #sync(): Promise<void> {
    this.#syncing = true;
    this.#unsynced = false;
    try {
      await this.#store.sync();
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      this.#failed = error;
    }
    this.#syncing = false;
    this.#wakeIdle();
  }

  #wakeIdle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function closedError(): LogError {
  return new LogError('ELOGCLOSED', 'the log is closed', 'publish to a running server');
}
