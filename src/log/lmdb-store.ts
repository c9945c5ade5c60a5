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
 * Two kinds of files, because LMDB needs to know from the start:
 *
 * - *synced*: lmdb-js's overlapping sync. A transaction is committed to the page cache by a thread of its own, which then syncs
 *   it while the next one is being written. The last synced state stays whole, and is what a power failure leaves.
 * - *unsynced*: MDB_NOSYNC. Committing is a few writes to the page cache, made by the caller: the cheapest. A power failure may
 *   leave a file that is damaged, so the next log throws it away.
 */

import { closeSync, existsSync, openSync, readSync, renameSync, rmSync } from 'node:fs';
import { type Database, open, type RootDatabase, type TransactionFlags } from 'lmdb';
import { type DataDirectory, diskFailure, unusable } from './data-directory.js';

/** TransactionFlags of lmdb-js, whose enum does not exist at run time: commit before returning, do not sync. */
const COMMIT_UNSYNCED = 0x10002 as TransactionFlags;
/** At most this much is copied in one transaction when a database changes its kind. */
const COPIED_ENTRIES = 1000;
/** MDB_MAGIC of lmdb's mdb.c, in the first page behind its header of 16 bytes. */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 16;

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
  readonly #synced: boolean;
  readonly #root: RootDatabase<Buffer>;
  readonly #tables: Tables;
  #floor: number;

  /**
   * Opens the database of the directory, in the kind that is asked for; copies one of the other kind.
   *
   * @throws LogError ELOGFORMAT, ELOGFULL, ELOGIO
   */
  static async open(directory: DataDirectory, synced: boolean): Promise<LmdbStore> {
    const path = directory.database(synced);
    const other = directory.database(!synced);
    if (directory.discardUnsynced) removeDatabase(directory.database(false));
    // One of the two names is there at any time. A copy without it is complete, one beside it is not.
    const copy = `${path}.new`;
    for (const left of [copy, `${other}.new`]) if (directory.databases.length > 0) removeDatabase(left);
    if (existsSync(other)) {
      await copyDatabase(other, !synced, copy, synced);
      removeDatabase(other);
    }
    if (existsSync(copy)) renameSync(copy, path);
    removeDatabase(`${other}.new`);
    return new LmdbStore(path, synced);
  }

  private constructor(path: string, synced: boolean) {
    this.#path = path;
    this.#synced = synced;
    this.#root = openRoot(path, synced);
    this.#tables = openTables(this.#root);
    this.#floor = this.#tables.state.get('floor')?.readDoubleLE() ?? 0;
  }

  get floor(): number {
    return this.#floor;
  }

  /**
   * Writes a group. Resolves when it is in the page cache: it survives the process.
   *
   * @throws LogError (as a rejection) ELOGFULL, ELOGIO; then nothing of it was written, and the next group may succeed
   */
  async commit(changes: Changes): Promise<void> {
    try {
      if (this.#synced) await this.#root.batch(() => this.#write(changes));
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
   * Resolves when everything committed is on the disk: fdatasync(2), in a thread of its own.
   *
   * @throws LogError (as a rejection) ELOGIO
   */
  sync(): Promise<void> {
    const { sync } = this.#root as unknown as { sync(callback: (error?: Error) => void): void };
    return new Promise((resolve, reject) => {
      sync.call(this.#root, (error) => {
        if (error === undefined) resolve();
        else reject(diskFailure(this.#path, 'could not sync', error));
      });
    });
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
      overlappingSync: synced,
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

function isLmdb(path: string): boolean {
  const bytes = Buffer.alloc(4);
  const descriptor = openSync(path, 'r');
  try {
    return readSync(descriptor, bytes, 0, 4, MAGIC_AT) === 4 && bytes.readUInt32LE() === MAGIC;
  } finally {
    closeSync(descriptor);
  }
}

async function copyDatabase(from: string, fromSynced: boolean, to: string, toSynced: boolean): Promise<void> {
  const source = openRoot(from, fromSynced);
  const target = openRoot(to, toSynced);
  const sources = openTables(source);
  const targets = openTables(target);
  for (const name of ['blocks', 'marks', 'queue', 'state'] as const) {
    let last: unknown;
    for (let copied = COPIED_ENTRIES; copied === COPIED_ENTRIES; ) {
      copied = 0;
      const table = targets[name] as Table<string | number>;
      const rest = (sources[name] as Table<string | number>).getRange({
        ...(last !== undefined && { start: last as string, exclusiveStart: true }),
        limit: COPIED_ENTRIES,
      });
      target.transactionSync(() => {
        for (const { key, value } of rest) {
          table.putSync(key, value);
          last = key;
          copied++;
        }
      });
    }
  }
  await target.flushed;
  await target.close();
  await source.close();
}

/** LMDB keeps its table of readers in a file beside the database. */
function removeDatabase(path: string): void {
  for (const file of [path, `${path}-lock`]) rmSync(file, { force: true });
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}
