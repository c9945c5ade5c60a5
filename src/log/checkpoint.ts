/**
 * Checkpoints: what a power failure leaves of a database that is not synced with each transaction.
 *
 * LMDB has two meta pages, 0 and 1; each transaction writes new pages for what it changes and then the older meta page, which
 * points at them. Without a sync in between, the disk may see the meta page before the pages: a power failure would leave a
 * damaged file. But LMDB never overwrites pages that a reader still sees. So for a checkpoint
 *
 *     1. a read transaction holds on to the present state, and its meta page is read from the file;
 *     2. the file is synced, while further transactions are written;
 *     3. the meta page is saved beside the database, whole or not at all;
 *     4. the read transaction of the checkpoint before is ended.
 *
 * After a power failure the saved page is put in the place of both meta pages. All that it points at was synced in step 2, and was
 * kept from being overwritten until the next step 4 or the end of the process. What was written later is lost.
 *
 * Format of a meta page: struct MDB_meta in lmdb's mdb.c, behind a page header of 24 bytes that begins with the page's number.
 */

import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { open as openFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RootDatabase } from 'lmdb';

const MAGIC_AT = 24;
/** MDB_MAGIC. */
const MAGIC = 0xbeefc0de;
/** mm_txnid: behind magic, version, address, map size, two MDB_db of 48 bytes, and the last page. */
const TRANSACTION_AT = MAGIC_AT + 128;
const META_BYTES = 4096;

/** The parts of lmdb-js that its types leave out, or that it does not describe there. */
interface Root {
  sync(callback: (error?: Error) => void): void;
  getStats(): { pageSize: number; lastTxnId: number };
}

/** Resolves when all that is committed is on the disk: fdatasync(2) in a thread of its own. */
export function syncDatabase(root: RootDatabase<Buffer>): Promise<void> {
  return new Promise((resolve, reject) => {
    (root as unknown as Root).sync((error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Makes the checkpoints of an open database. */
export class Checkpoints {
  readonly #root: RootDatabase<Buffer>;
  readonly #database: string;
  readonly #path: string;
  /** Holds on to the state of the last checkpoint. */
  #held: { done(): void } | null = null;

  constructor(root: RootDatabase<Buffer>, database: string, path: string) {
    this.#root = root;
    this.#database = database;
    this.#path = path;
  }

  /** Resolves when what was committed before the call survives a power failure. One at a time. */
  async make(): Promise<void> {
    this.#root.resetReadTxn();
    const held = this.#root.useReadTransaction();
    try {
      const { pageSize, lastTxnId } = (this.#root as unknown as Root).getStats();
      const meta = readNewestMeta(this.#database, pageSize);
      if (Number(meta.readBigUInt64LE(TRANSACTION_AT)) !== lastTxnId) {
        throw new Error(`transaction ${lastTxnId} has no meta page`);
      }
      await syncDatabase(this.#root);
      await writeFile(`${this.#path}.new`, meta, { mode: 0o600, flush: true });
      await rename(`${this.#path}.new`, this.#path);
      await syncDirectory(dirname(this.#path));
    } catch (error) {
      held.done();
      throw error;
    }
    this.#held?.done();
    this.#held = held;
  }

  /** The state need not be held on to: everything is on the disk, and nothing more is written. */
  end(): void {
    this.#held?.done();
    this.#held = null;
  }
}

/** Takes a database back to its checkpoint. False where there is none. */
export function restoreCheckpoint(database: string, path: string): boolean {
  if (!existsSync(path) || !isLmdb(database)) return false;
  const meta = readFileSync(path);
  if (meta.length !== META_BYTES || meta.readUInt32LE(MAGIC_AT) !== MAGIC) return false;
  const descriptor = openSync(database, 'r+');
  try {
    const pageSize = metaPageSize(meta);
    for (const page of [0, 1]) {
      meta.writeBigUInt64LE(BigInt(page));
      writeSync(descriptor, meta, 0, META_BYTES, page * pageSize);
    }
    fdatasyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  return true;
}

/** True for a file that begins like a database. */
export function isLmdb(path: string): boolean {
  const descriptor = openSync(path, 'r');
  try {
    const page = Buffer.alloc(MAGIC_AT + 4);
    return readSync(descriptor, page, 0, page.length, 0) === page.length && page.readUInt32LE(MAGIC_AT) === MAGIC;
  } finally {
    closeSync(descriptor);
  }
}

/** mm_psize: the first field of the first MDB_db. */
function metaPageSize(meta: Buffer): number {
  return meta.readUInt32LE(MAGIC_AT + 24);
}

/** The page cache has what LMDB wrote, synced or not. */
function readNewestMeta(database: string, pageSize: number): Buffer {
  const descriptor = openSync(database, 'r');
  try {
    const [a, b] = [0, 1].map((page) => {
      const meta = Buffer.alloc(META_BYTES);
      readSync(descriptor, meta, 0, META_BYTES, page * pageSize);
      return meta;
    });
    return a!.readBigUInt64LE(TRANSACTION_AT) > b!.readBigUInt64LE(TRANSACTION_AT) ? a! : b!;
  } finally {
    closeSync(descriptor);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await openFile(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
