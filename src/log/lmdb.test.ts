import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type FsyncPolicy, openLmdbLog } from './lmdb.js';
import { modelRun } from './log-model.js';
import { logSuite } from './log-suite.js';

const root = mkdtempSync(join(tmpdir(), 'megacomet-log-'));
after(() => rmSync(root, { recursive: true }));

function emptyDirectory(): string {
  return mkdtempSync(join(root, 'data-'));
}

for (const fsync of ['never', 'interval', 'always'] satisfies FsyncPolicy[]) {
  const seeds = fsync === 'never' ? [1, 2, 3, 4, 5] : [6];
  logSuite(
    `LMDB, fsync ${fsync}`,
    (retention, parts) => openLmdbLog({ directory: emptyDirectory(), fsync, retention }, parts),
    seeds,
  );
}

for (const seed of [11, 12, 13, 14]) {
  test(`a random history goes on through closing and opening, and changes of the policy (seed ${seed})`, async () => {
    const directory = emptyDirectory();
    let turn = seed;
    const policies: FsyncPolicy[] = ['never', 'interval', 'always'];
    await modelRun(
      (retention, parts) => openLmdbLog({ directory, fsync: 'never', retention }, parts),
      seed,
      async (log, clock, retention) => {
        await log.close();
        return openLmdbLog({ directory, fsync: policies[turn++ % 3]!, retention }, { clock });
      },
    );
  });
}
