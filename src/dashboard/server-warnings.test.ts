import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManagerStatus } from '../manager/status.js';
import { serverWarnings } from './server-warnings.js';

const QUIET = {
  workers: [{ linked: true, accepting: true }],
  streams: { linksBehind: 0 },
  publisher: { failed: 0 },
  slowConsumers: 0,
  drain: null,
};

const warningsOf = (change: object) => serverWarnings({ ...QUIET, ...change } as never as ManagerStatus);

test('a server that is well has nothing to complain about', () => {
  assert.deepEqual(warningsOf({}), []);
});

test('each thing that is wrong is counted, and has a cure', () => {
  const cases: [object, RegExp, number][] = [
    [{ workers: [{ linked: false }, { linked: true }] }, /without a link/, 1],
    [{ workers: [{ linked: true, accepting: false }] }, /full/, 1],
    [{ streams: { linksBehind: 2 } }, /catch up/, 2],
    [{ publisher: { failed: 3 } }, /could not keep/, 3],
    [{ slowConsumers: 4 }, /did not read/, 4],
  ];
  for (const [change, what, count] of cases) {
    const [warning, ...others] = warningsOf(change);
    assert.match(warning.what, what);
    assert.deepEqual([warning.count, warning.source, others], [count, 'server', []]);
    assert.ok(warning.cure);
  }
});

test('a drain says how far it is, and not that workers accept nobody', () => {
  const drain = { seconds: 20, connections: 50_000, remaining: 12_000 };
  const [warning, ...others] = warningsOf({ drain, workers: [{ linked: true, accepting: false }] });
  assert.match(warning.what, /12000 of 50000/);
  assert.deepEqual(others, []);
});
