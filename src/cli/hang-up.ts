/**
 * SIGHUP of `serve`: all that the options come from is read again, and what can be changed while it serves is.
 *
 * What came of it is logged, and left in the run directory for `megacomet reload`. When the terminal of a server in the foreground
 * goes away, the kernel sends SIGHUP too: then it ends.
 */

import { closeSync, openSync } from 'node:fs';
import { CommanderError } from 'commander';
import type { Logger } from '../log-line.js';
import type { Manager } from '../manager/manager.js';
import { type ReloadFile, readReloadFile, writeReloadFile } from '../manager/run-directory.js';
import { isOperational, oneLine, UsageError } from './errors.js';
import { serveOptionsHere } from './flags.js';
import { readSettings } from './settings.js';

export class HangUps {
  readonly #logger: Logger;
  readonly #runDirectory: string;
  readonly #args: readonly string[];
  readonly #onTerminal = process.stdin.isTTY === true || process.stdout.isTTY === true;
  /** Resolves when there is a server to reload. */
  readonly #serving: Promise<Manager>;
  #running: Promise<unknown>;
  /** Told once, when the server is ready: what was signalled before is done then. */
  serves!: (manager: Manager) => void;

  /**
   * Listens from now on: a signal that comes before the server is ready must not end it.
   *
   * @param args of `serve`, as they were on the command line
   * @param end called when the terminal has gone
   */
  constructor(logger: Logger, runDirectory: string, args: readonly string[], end: () => void) {
    this.#serving = new Promise((resolve) => (this.serves = resolve));
    this.#running = this.#serving;
    this.#logger = logger;
    this.#runDirectory = runDirectory;
    this.#args = args;
    process.on('SIGHUP', () => {
      if (this.#onTerminal && !hasTerminal()) end();
      else this.#running = this.#running.then(() => this.#reload());
    });
  }

  async #reload(): Promise<void> {
    const manager = await this.#serving;
    const outcome = await this.#attempt(manager);
    try {
      const number = (readReloadFile(this.#runDirectory)?.number ?? 0) + 1;
      writeReloadFile(this.#runDirectory, { number, ...outcome });
    } catch (error) {
      // A full disk, or a directory that somebody has removed, is no reason to end a server.
      if (!isOperational(error)) throw error;
      this.#logger.warn('megacomet reload cannot be told of a reload', { reason: oneLine(error.message) });
    }
  }

  /** Reloads, and logs what came of it. */
  async #attempt(manager: Manager): Promise<Omit<ReloadFile, 'number'>> {
    try {
      const { flags } = readSettings(this.#args);
      const options = serveOptionsHere(flags, () => {});
      const { changed, fixed } = await manager.reload(options);
      this.#logger.info('reloaded', { changed: changed.join(' ') || 'nothing but what is in key files' });
      if (fixed.length > 0) this.#logger.warn('not changed while serving', { options: fixed.join(' ') });
      return { error: null, changed, fixed };
    } catch (error) {
      if (!isOperational(error) && !(error instanceof UsageError) && !(error instanceof CommanderError)) throw error;
      const reason = oneLine(error.message.replace(/^error: /, ''));
      this.#logger.error('not reloaded: everything stays as it was', { reason });
      return { error: reason, changed: [], fixed: [] };
    }
  }
}

/** Whether this process still has a controlling terminal, tty(4). */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENXIO' || code === 'EIO' || code === 'ENOENT' || code === 'EACCES') return false;
    throw error;
  }
}
