/**
 * The database of a durable log: what it writes and reads, in LMDB (lmdb-js, whose page cache and locks it relies on).
 *
 *     blocks   block number    → records (block.ts)
 *     marks    sequence        → name of the channel that lost this one and retained nothing then
 *     queue    channel name    → sequence (f64) up to which the classic queue has handed out
 *     state    'floor'         → the highest mark that was forgotten (f64)
 *
 * All changes of a group are one transaction: there or not there, whatever happens. LMDB never overwrites a page that the last
 * transaction uses, so freed pages are used again by later ones: the file does not shrink, and stays as large as what was once
 * retained at the same time.
 *
 * How a group is committed depends on the policy. `always`: LMDB's own way, which syncs the pages, then the meta page, in a thread
 * of its own. Otherwise a few writes to the page cache, made by the caller, by far the cheapest; `interval` adds checkpoints
 * (checkpoint.ts).
 */

import { existsSync, rmSync } from 'node:fs';
import { type Database, open, type RootDatabase, type TransactionFlags } from 'lmdb';
import { Checkpoints, isLmdb, restoreCheckpoint, syncDatabase } from './checkpoint.js';
import { type DataDirectory, diskFailure, type FsyncPolicy, unusable } from './data-directory.js';

/** TransactionFlags of lmdb-js, whose enum does not exist at run time: commit before returning, do not sync. */
const COMMIT_UNSYNCED = 0x10002 as TransactionFlags;

/** What one group changes. */
export interface Changes {
  blocks: { number: number; bytes: Buffer }[];
  deadBlocks: Iterable<number>;
  marks: Iterable<[sequence: number, channel: string]>;
  /** Written after `marks`. */
  deadMarks: Iterable<number>;
  /** null: the channel retains nothing any more. */
  queue: Iterable<[channel: string, sequence: number | null]>;
  floor: number;
}

type Table<K extends string | number> = Database<Buffer, K>;

interface Tables {
  blocks: Table<number>;
  marks: Table<number>;
  queue: Table<string>;
  state: Table<string>;
}

export class LmdbStore {
  readonly #path: string;
  readonly #fsync: FsyncPolicy;
  readonly #root: RootDatabase<Buffer>;
  readonly #tables: Tables;
  readonly #checkpoints: Checkpoints;
  #floor: number;

  /**
   * Opens the database of the directory; after a power failure what is left of it.
   *
   * @throws LogError (as a rejection) ELOGFORMAT, ELOGFULL, ELOGIO
   */
  static async open({ database, checkpoint, recovery }: DataDirectory, fsync: FsyncPolicy): Promise<LmdbStore> {
    const restored = recovery === 'checkpoint' && existsSync(database) && restoreCheckpoint(database, checkpoint);
    if (recovery === 'discard' || (recovery === 'checkpoint' && !restored)) rmSync(database, { force: true });
    // The table of readers, which are gone.
    rmSync(`${database}-lock`, { force: true });
    const store = new LmdbStore(database, checkpoint, fsync);
    // Before anything is written: the pages of the checkpoint before are not held on to any more.
    if (fsync === 'interval') await store.sync();
    return store;
  }

  private constructor(path: string, checkpoint: string, fsync: FsyncPolicy) {
    this.#path = path;
    this.#fsync = fsync;
    this.#root = openRoot(path, fsync === 'always');
    this.#tables = openTables(this.#root);
    this.#checkpoints = new Checkpoints(this.#root, path, checkpoint);
    this.#floor = this.#tables.state.get('floor')?.readDoubleLE() ?? 0;
  }

  get floor(): number {
    return this.#floor;
  }

  /**
   * Writes a group. Resolves when it survives the process; with `always` a power failure as well.
   *
   * @throws LogError (as a rejection) ELOGFULL, ELOGIO; then nothing of it was written, and the next group may succeed
   */
  async commit(changes: Changes): Promise<void> {
    try {
      if (this.#fsync === 'always') await this.#root.batch(() => this.#write(changes));
      else this.#root.transactionSync(() => this.#write(changes), COMMIT_UNSYNCED);
      this.#floor = changes.floor;
    } catch (error) {
      // A batch says only that its commit failed; the reason comes as another rejection.
      const { commitError = error } = error as { commitError?: unknown };
      const cause = await Promise.resolve(commitError).catch((reason: unknown) => reason);
      throw diskFailure(this.#path, 'could not write', cause);
    }
  }

  /**
   * Resolves when everything committed before survives a power failure. One at a time.
   *
   * @throws LogError (as a rejection) ELOGFULL, ELOGIO
   */
  async sync(): Promise<void> {
    try {
      if (this.#fsync === 'interval') await this.#checkpoints.make();
      else await syncDatabase(this.#root);
    } catch (error) {
      throw diskFailure(this.#path, 'could not sync', error);
    }
  }

  /** @throws LogError ELOGFORMAT where the block is not there */
  readBlock(number: number): Buffer {
    const block = this.#tables.blocks.get(number);
    if (block === undefined) throw unusable(this.#path, `has lost block ${number}`);
    return block;
  }

  /** By block number, ascending. */
  blocks(): Iterable<{ key: number; value: Buffer }> {
    return this.#tables.blocks.getRange();
  }

  /** By sequence, ascending. */
  *marks(): Generator<{ sequence: number; channel: string }> {
    for (const { key, value } of this.#tables.marks.getRange()) yield { sequence: key, channel: value.toString() };
  }

  *queue(): Generator<{ channel: string; sequence: number }> {
    for (const { key, value } of this.#tables.queue.getRange()) yield { channel: key, sequence: value.readDoubleLE() };
  }

  get markCount(): number {
    return (this.#tables.marks.getStats() as { entryCount: number }).entryCount;
  }

  /** The lowest marks, at most `most`. */
  lowestMarks(most: number): number[] {
    return [...this.#tables.marks.getKeys({ limit: most })];
  }

  /** Syncs and closes. */
  async close(): Promise<void> {
    await this.sync();
    this.#checkpoints.end();
    await this.#root.close();
  }

  #write({ blocks, deadBlocks, marks, deadMarks, queue, floor }: Changes): void {
    const tables = this.#tables;
    for (const { number, bytes } of blocks) tables.blocks.put(number, bytes);
    for (const number of deadBlocks) tables.blocks.remove(number);
    for (const [sequence, channel] of marks) tables.marks.put(sequence, Buffer.from(channel));
    for (const sequence of deadMarks) tables.marks.remove(sequence);
    for (const [channel, sequence] of queue) {
      if (sequence === null) tables.queue.remove(channel);
      else tables.queue.put(channel, double(sequence));
    }
    if (floor !== this.#floor) tables.state.put('floor', double(floor));
  }
}

function openRoot(path: string, synced: boolean): RootDatabase<Buffer> {
  if (existsSync(path) && !isLmdb(path)) throw unusable(path, 'is no LMDB database');
  try {
    return open<Buffer>({
      path,
      noSubdir: true,
      encoding: 'binary',
      noSync: !synced,
      overlappingSync: false,
      // A group is one batch already; else lmdb-js would wrap it in another, whose failure nobody could catch.
      eventTurnBatching: false,
    });
  } catch (error) {
    throw unusable(path, `cannot be opened (${(error as Error).message})`, error);
  }
}

function openTables(root: RootDatabase<Buffer>): Tables {
  const table = <K extends string | number>(name: string): Table<K> =>
    root.openDB<Buffer, K>({ name, encoding: 'binary' });
  return { blocks: table('blocks'), marks: table('marks'), queue: table('queue'), state: table('state') };
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}
