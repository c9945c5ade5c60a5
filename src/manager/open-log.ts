/** The log that `serve` was asked for. */

import { type Log, LogError } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import type { ServeOptions } from './options.js';

/** @throws LogError where the data directory cannot be used, ELOGNATIVE where LMDB is not to be had */
export async function openLog({ log, dataDirectory, fsync, retention }: ServeOptions): Promise<Log> {
  if (log === 'memory') return new MemoryLog(retention);
  const { openLmdbLog } = await loadLmdb();
  return openLmdbLog({ directory: dataDirectory, fsync, retention });
}

/** LMDB is a native add-on: there are machines that it was not built for, and processes that may not load any. */
async function loadLmdb(): Promise<typeof import('../log/lmdb.js')> {
  try {
    return await import('../log/lmdb.js');
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    const cure = 'use --log memory, which keeps messages until the server ends';
    throw new LogError('ELOGNATIVE', `LMDB cannot be loaded here (${reason})`, cure, error);
  }
}
