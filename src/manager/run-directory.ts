/**
 * The run directory: private to one user, locked by one manager.
 *
 *     lock            held for the manager's life (src/platform/): flock(2) on a file that is never removed, so that two managers cannot
 *                     lock two of them; or lock.sock
 *     manager.json    pid and addresses, for `status`, `publish` and `stop`; written when all is bound
 *     manager.sock    workers dial it
 *     listeners.sock  exists while sockets are handed over
 *     reload.json     what the last reload came to, for `reload`
 */

import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { endpoint, endpointBytesMax, isFile } from '../platform/endpoint.js';
import { type Lock, platform } from '../platform/platform.js';
import type { HolderSignal } from '../platform/socket-lock.js';

const LOCK = 'lock';

/** What manager.json holds. */
export interface ManagerFile {
  pid: number;
  /** `http://host:port` */
  api: string;
  /** `host:port` of the classic application port. */
  classic: string | null;
  /** `host:port` of each client port. */
  clients: string[];
}

/** What reload.json holds. */
export interface ReloadFile {
  /** Counts the reloads of a manager, from 1. */
  number: number;
  /** Why nothing has changed; null where it went well. */
  error: string | null;
  /** Names of options that have changed, and of those that cannot be changed while it serves. */
  changed: string[];
  fixed: string[];
}

/** An Error for the operator, with a stable code. */
function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

export class RunDirectory {
  readonly path: string;
  readonly #lock: Lock;

  /**
   * Makes the directory where it is missing, and locks it.
   *
   * @param path absolute
   * @throws Error (as a rejection) ERUNDIR where the directory is not ours alone or its path is too long, ERUNNING where a manager has it
   */
  static async lock(path: string): Promise<RunDirectory> {
    const longest = endpoint(join(path, 'listeners.sock'));
    if (isFile(longest) && Buffer.byteLength(longest) > endpointBytesMax()) {
      throw failure('ERUNDIR', `the run directory's path is too long for a Unix socket: ${path}`);
    }
    prepareRunDirectory(path);
    const lock = await platform.lock(join(path, LOCK));
    if (lock === null) {
      const pid = readManagerFile(path)?.pid;
      throw failure('ERUNNING', `already running${pid === undefined ? '' : ` (pid ${pid})`} in ${path}`);
    }
    // That of a manager that was killed: nobody shall take it for ours.
    rmSync(join(path, 'manager.json'), { force: true });
    return new RunDirectory(path, lock);
  }

  private constructor(path: string, lock: Lock) {
    this.path = path;
    this.#lock = lock;
  }

  /** Where workers dial. */
  get linkEndpoint(): string {
    return linkEndpoint(this.path);
  }

  /** Writes manager.json, whole or not at all. */
  publish(content: ManagerFile): void {
    writeWhole(join(this.path, 'manager.json'), content);
  }

  /** Removes what this manager made, but for the lock file, and unlocks. */
  release(): void {
    for (const name of ['manager.json', 'manager.sock', 'listeners.sock', 'reload.json'])
      rmSync(join(this.path, name), { force: true });
    this.#lock.release();
  }
}

/** Where the manager of a run directory listens for workers. */
export function linkEndpoint(runDirectory: string): string {
  return endpoint(join(runDirectory, 'manager.sock'));
}

/** Whether a manager has the run directory. */
export async function hasManager(runDirectory: string): Promise<boolean> {
  return existsSync(runDirectory) && (await platform.isLocked(join(runDirectory, LOCK)));
}

/** Sends a signal to the manager that has the run directory, unless it has just ended. */
export function signalManager(runDirectory: string, pid: number, signal: HolderSignal): Promise<void> {
  return platform.signalHolder(join(runDirectory, LOCK), pid, signal);
}

/**
 * Makes the directory where it is missing, and makes sure that it is ours alone, before anything in it is opened.
 *
 * @throws Error ERUNDIR
 */
export function prepareRunDirectory(path: string): void {
  try {
    makeDirectory(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Something else than a directory in its place is found out right after this.
    if (code !== 'EEXIST' || !existsSync(path))
      throw failure('ERUNDIR', `the run directory cannot be made (${message}); choose another --run-dir`);
  }
  // Not stat: where strangers may write (/tmp), one could have put a link to a directory of theirs in its place.
  const status = lstatSync(path);
  if (!status.isDirectory()) throw failure('ERUNDIR', `${path} is no directory; choose another --run-dir`);
  // On Windows whom it belongs to is not told so, and temporary directories are one's own.
  if (process.getuid !== undefined && status.uid !== process.getuid()) {
    throw failure('ERUNDIR', `${path} belongs to user ${status.uid}; choose another --run-dir`);
  }
  if ((status.mode & 0o077) !== 0) chmodSync(path, 0o700);
}

/** Makes the parents too. Not mkdirSync's own `recursive`: it never returns where ENOENT has another cause (/proc). */
function makeDirectory(path: string): void {
  if (!existsSync(dirname(path))) makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

/** Writes JSON, whole or not at all. */
function writeWhole(path: string, content: object): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The manager.json of a run directory; undefined where there is none. It may be that of a manager which was killed. */
export function readManagerFile(path: string): ManagerFile | undefined {
  return readWhole(join(path, 'manager.json')) as ManagerFile | undefined;
}

/** The reload.json of a run directory; undefined where nothing was reloaded. */
export function readReloadFile(path: string): ReloadFile | undefined {
  return readWhole(join(path, 'reload.json')) as ReloadFile | undefined;
}

export function writeReloadFile(path: string, content: ReloadFile): void {
  writeWhole(join(path, 'reload.json'), content);
}

function readWhole(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
