/**
 * The data directory of a durable log: private to one user, used by one log at a time.
 *
 *     lock          held while the log is open (src/platform/): flock(2) on a file that is never removed, so that two logs cannot lock
 *                   two of them; or lock.sock
 *     state.json    {@link State}: which history this is, and how the last log that had it ended
 *     history.mdb   the database (lmdb-store.ts)
 *     checkpoint    what it is taken back to after a power failure (checkpoint.ts)
 *
 * Whether history was lost is decided here, before the database is opened. A log that was closed has lost nothing. One that was
 * killed has lost nothing either while the machine runs on, because what it wrote is in the page cache. Where the machine has
 * been started anew in between (src/platform/boot.ts), only `always` is sure to have all on the disk.
 */

import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isSameBoot, readBootId } from '../platform/boot.js';
import { type Lock, platform } from '../platform/platform.js';
import { LogError } from './log.js';
import { newEpoch } from './memory.js';

/** When what was appended is made to survive a power failure; see lmdb.ts. */
export type FsyncPolicy = 'always' | 'interval' | 'never';

const POLICIES: readonly FsyncPolicy[] = ['always', 'interval', 'never'];
const FORMAT = 1;

interface State {
  format: number;
  epoch: string;
  /** Of the boot in which the log was opened. */
  bootId: string;
  fsync: FsyncPolicy;
  /** It was closed, and everything is on the disk. */
  closed: boolean;
}

export class DataDirectory {
  readonly path: string;
  readonly epoch: string;
  /** What a power failure made necessary before the database is opened. */
  readonly recovery: 'none' | 'checkpoint' | 'discard';
  readonly #lock: Lock;
  readonly #state: State;

  /**
   * Makes the directory where it is missing, locks it and decides on the epoch.
   *
   * @param bootId of this boot
   * @throws LogError (as a rejection) ELOGDIR, ELOGLOCKED, ELOGFORMAT
   */
  static async open(path: string, fsync: FsyncPolicy, bootId = readBootId()): Promise<DataDirectory> {
    prepare(path);
    return new DataDirectory(path, fsync, bootId, await lock(path));
  }

  private constructor(path: string, fsync: FsyncPolicy, bootId: string, lock: Lock) {
    this.path = path;
    this.#lock = lock;
    try {
      const state = this.#readState();
      const rebooted = state !== null && !state.closed && !isSameBoot(state.bootId, bootId);
      const recoveries = { always: 'none', interval: 'checkpoint', never: 'discard' } as const;
      this.recovery = rebooted ? recoveries[state.fsync] : 'none';
      this.epoch = state !== null && this.recovery === 'none' && existsSync(this.database) ? state.epoch : newEpoch();
      this.#state = { format: FORMAT, epoch: this.epoch, bootId, fsync, closed: false };
      this.#writeState();
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  get database(): string {
    return join(this.path, 'history.mdb');
  }

  get checkpoint(): string {
    return join(this.path, 'checkpoint');
  }

  /** Everything is on the disk. Call it last. */
  release(): void {
    this.#state.closed = true;
    this.#writeState();
    this.#lock.release();
  }

  /** The log could not be opened, or gives up: the next one finds the directory as after a crash. */
  abandon(): void {
    this.#lock.release();
  }

  #readState(): State | null {
    const path = join(this.path, 'state.json');
    if (!existsSync(path)) {
      if (!existsSync(this.database)) return null;
      throw unusable(this.path, 'has a database but no state.json');
    }
    let state: State;
    try {
      state = JSON.parse(readFileSync(path, 'utf8')) as State;
    } catch (error) {
      throw unusable(this.path, 'has a damaged state.json', error);
    }
    if (state?.format !== FORMAT || !/^[0-9a-f]{12}$/.test(state.epoch) || !POLICIES.includes(state.fsync)) {
      throw unusable(this.path, 'was written by another version, or is not a log');
    }
    return state;
  }

  /** Whole or not at all, also after a power failure. */
  #writeState(): void {
    const path = join(this.path, 'state.json');
    try {
      writeFileSync(`${path}.new`, `${JSON.stringify(this.#state)}\n`, { mode: 0o600, flush: true });
      renameSync(`${path}.new`, path);
      if (process.platform !== 'win32') syncDirectory(this.path);
    } catch (error) {
      rmSync(`${path}.new`, { force: true });
      throw diskFailure(this.path, 'cannot be written', error);
    }
  }
}

/** The data directory is there but does not hold what it should. */
export function unusable(path: string, problem: string, cause?: unknown): LogError {
  return new LogError('ELOGFORMAT', `${path} ${problem}`, 'move it away, or choose another --data-dir', cause);
}

/** A failed write, by its errno: LMDB has it as a number, Node as a string. A short write, as on a full disk, is EIO to LMDB. */
export function diskFailure(path: string, problem: string, error: unknown): LogError {
  const { code, message } = error as { code?: unknown; message?: string };
  const what = `the log in ${path} ${problem} (${message ?? String(error)})`;
  const full = code === 28 || code === 'ENOSPC' || code === 122 || code === 'EDQUOT' || code === -30792;
  if (full) return new LogError('ELOGFULL', what, 'free space on its file system, or let the log keep less', error);
  const cure = 'look for a full disk, a limit of file sizes (ulimit -f), and disk errors in the kernel log';
  return new LogError('ELOGIO', what, cure, error);
}

/** That a file was renamed is on the disk. Windows has no such call, and NTFS logs it. */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function prepare(path: string): void {
  try {
    makeDirectory(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Something else than a directory in its place is found out right after this.
    if (code !== 'EEXIST' || !existsSync(path)) {
      throw new LogError(
        'ELOGDIR',
        `the data directory cannot be made (${message})`,
        'choose another --data-dir',
        error,
      );
    }
  }
  const status = statSync(path);
  if (!status.isDirectory()) throw new LogError('ELOGDIR', `${path} is no directory`, 'choose another --data-dir');
  // On Windows whom it belongs to is not told so.
  if (process.getuid !== undefined && status.uid !== process.getuid()) {
    throw new LogError('ELOGDIR', `${path} belongs to user ${status.uid}`, 'choose another --data-dir');
  }
  if ((status.mode & 0o777) !== 0o700) chmodSync(path, 0o700);
}

/** Makes the parents too. Not mkdirSync's own `recursive`: it never returns where ENOENT has another cause (/proc). */
function makeDirectory(path: string): void {
  if (!existsSync(dirname(path))) makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

async function lock(path: string): Promise<Lock> {
  let taken: Lock | null;
  try {
    taken = await platform.lock(join(path, 'lock'));
  } catch (error) {
    const { message } = error as Error;
    throw new LogError('ELOGDIR', `${path} cannot be locked (${message})`, 'choose another --data-dir', error);
  }
  if (taken !== null) return taken;
  throw new LogError('ELOGLOCKED', `${path} is used by another manager`, 'stop that one, or choose another --data-dir');
}
