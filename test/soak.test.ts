/** A minute of the soak (soak/soak.ts); MEGACOMET_TEST_SEED repeats one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from './soak/soak.js';

test('a thousand subscribers miss nothing while they, workers and managers come and go', {
  timeout: 180_000,
}, async (context) => {
  const seed = Number(process.env['MEGACOMET_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  context.diagnostic(`seed ${seed}`);
  const { lines, errors, acknowledged, workersKilled, managersKilled } = await soak({
    seconds: 60,
    seed,
    subscribers: 1000,
    rate: 1000,
    killWorkerS: 8,
    killManagerS: 15,
    log: () => {},
  });
  for (const line of lines) context.diagnostic(line);
  assert.deepEqual(errors, []);
  assert(acknowledged > 5000 && workersKilled > 2 && managersKilled > 1, lines.join('\n'));
});
