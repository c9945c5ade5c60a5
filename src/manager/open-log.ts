/** The log that `serve` was asked for. */

import { openLmdbLog } from '../log/lmdb.js';
import type { Log } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import type { ServeOptions } from './options.js';

/** @throws LogError where the data directory cannot be used */
export async function openLog({ log, dataDirectory, fsync, retention }: ServeOptions): Promise<Log> {
  if (log === 'memory') return new MemoryLog(retention);
  return openLmdbLog({ directory: dataDirectory, fsync, retention });
}
