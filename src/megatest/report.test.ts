import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProgress } from './progress.js';
import { formatReport } from './report.js';
import { isFlawless, type MegatestResult } from './result.js';
import { cpuSecondsBetween, type ServerCost } from './server-cost.js';

const FLAWLESS: MegatestResult = {
  run: '1f0e33ab',
  connections: 100_000,
  processes: 6,
  sourceAddresses: 25,
  opened: 100_000,
  failed: 0,
  failedByReason: {},
  seconds: 7.5,
  connectionsPerSecond: 13_333,
  held: 100_000,
  dropped: 0,
  droppedByReason: {},
  repolls: 0,
  sent: 0,
  unsent: 0,
  unsentByReason: {},
  publishSeconds: 0,
  received: 0,
  lost: 0,
  duplicates: 0,
  misdelivered: 0,
  strays: 0,
  latency: { p50Ms: 0, p90Ms: 0, p99Ms: 0, maxMs: 0 },
  server: null,
  interrupted: false,
};

function cost(...processes: [pid: number, cpuSeconds: number][]): ServerCost {
  const memory = { rssBytes: 3 * 2 ** 20, pssBytes: 2 * 2 ** 20, privateBytes: 2 ** 20 };
  const cpuSeconds = processes.reduce((sum, [, seconds]) => sum + seconds, 0);
  return { ...memory, cpuSeconds, processes: processes.map(([pid, cpuSeconds]) => ({ pid, ...memory, cpuSeconds })) };
}

test('the table leaves out what was not tested', () => {
  assert.equal(
    formatReport(FLAWLESS),
    `connections  100,000 from 6 processes
opened       100,000 in 7.50 s, 13,333 a second
failed       0
held         100,000
dropped      0
verdict      flawless
`,
  );
});

test('the table names reasons, latency and what the server cost', () => {
  const table = formatReport({
    ...FLAWLESS,
    failed: 3,
    failedByReason: { ECONNREFUSED: 2, 'HTTP 503': 1 },
    sent: 10,
    received: 10,
    latency: { p50Ms: 0.5, p90Ms: 1, p99Ms: 2, maxMs: 3 },
    server: { before: cost([1, 10]), after: cost([1, 12.5]) },
  });
  assert.match(table, /^failed +3: ECONNREFUSED 2, HTTP 503 1$/m);
  assert.match(table, /^latency +p50 0.5 ms, p90 1 ms, p99 2 ms, max 3 ms$/m);
  assert.match(table, /^ {2}private +1.0 MiB before, 1.0 MiB after$/m);
  assert.match(table, /^ {2}CPU +2.50 s$/m);
  assert.match(table, /^verdict +NOT flawless$/m);
});

test('any single thing that went wrong spoils the verdict', () => {
  assert.ok(isFlawless(FLAWLESS));
  for (const field of ['failed', 'dropped', 'unsent', 'lost', 'duplicates', 'misdelivered'] as const) {
    assert.ok(!isFlawless({ ...FLAWLESS, [field]: 1 }), field);
  }
  assert.ok(!isFlawless({ ...FLAWLESS, interrupted: true }));
});

test('CPU time of a process that came later counts whole, that of one that is gone not at all', () => {
  assert.equal(cpuSecondsBetween(cost([1, 10], [2, 5]), cost([1, 11], [3, 0.5])), 1.5);
});

test('progress shows the rate while connections are being opened, and messages once there are any', () => {
  const numbers = { connections: 2000, failed: 1, dropped: 0, sent: 0, received: 0 };
  assert.equal(
    formatProgress({ ...numbers, phase: 'opening', opened: 1000 }, 512.4),
    'opening: 1,000 of 2,000 opened, 512/s, 1 failed, 0 dropped',
  );
  assert.equal(
    formatProgress({ ...numbers, phase: 'publishing', opened: 2000, sent: 20, received: 19 }, 0),
    'publishing: 2,000 of 2,000 opened, 1 failed, 0 dropped, 19 of 20 messages received',
  );
});
