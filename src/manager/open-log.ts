/** The log that `serve` was asked for. */

import type { Log } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import type { ServeOptions } from './options.js';

/** @throws LogError where the data directory cannot be used */
export async function openLog({ retention }: ServeOptions): Promise<Log> {
  return new MemoryLog(retention);
}
