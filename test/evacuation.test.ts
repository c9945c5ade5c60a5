/** A small drain in which the clients go on at a second server; test/drain/main.ts has it as large as one likes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evacuate } from './drain/evacuation.js';

test('2,000 clients are drained evenly over 3 s, come back to a second server and lose nothing', async () => {
  const report = await evacuate({
    clients: 2000,
    seconds: 3,
    processes: 1,
    channels: 100,
    rate: 200,
    reactor: 'auto',
    log: () => {},
  });
  assert.deepEqual(report.errors, []);
  // Connections between two polls just end.
  const { 'errno 0': ended = 0, ...others } = report.unadvised;
  assert.deepEqual(others, {});
  assert.equal(
    report.perSecond.reduce((sum, count) => sum + count, ended),
    2000,
  );
  assert(report.received > 2000);
});
