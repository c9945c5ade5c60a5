/**
 * A process for the tests to kill: opens the log of a directory and appends batches without end. Each line that it prints is the
 * JSON of what was acknowledged: epoch, and sequences with the number that their data repeats.
 */

import { openLmdbLog } from './lmdb.js';
import { publication } from './log-suite.js';

const [directory, fsync, first] = process.argv.slice(2);
const log = await openLmdbLog({
  directory: directory!,
  fsync: fsync as 'always',
  retention: { seconds: 3600, messages: 1 << 20, bytes: 1 << 30, totalBytes: 1 << 30 },
});
let next = Number(first);

async function publish(): Promise<never> {
  for (;;) {
    const numbers = Array.from({ length: 1 + (next % 7) }, () => next++);
    const appended = await log.append(
      numbers.map((n) => publication(`c${n % 5}`, `${n}`, n % 3 === 0 ? `${n}` : undefined)),
    );
    const places = appended.map(({ sequence }, i) => [sequence, numbers[i]]);
    process.stdout.write(`${JSON.stringify({ epoch: log.epoch, places })}\n`);
  }
}

setInterval(() => log.expire(), 20);
await Promise.all([publish(), publish(), publish()]);
