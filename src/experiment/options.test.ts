import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  clientId,
  completeExperimentOptions,
  type ExperimentFlags,
  PHASES,
  parsePhases,
  planBoxes,
} from './options.js';
import { findShortages, refuseShortages } from './prerequisites.js';

const FLAGS: ExperimentFlags = {
  connections: 1000,
  clientBoxes: 4,
  phases: [...PHASES],
  hold: 60,
  messages: 100,
  messageRate: 10,
  reactor: 'auto',
};

test('phases come in their order, and opening is always one of them', () => {
  assert.deepEqual(parsePhases('return, hold'), ['open', 'hold', 'return']);
  assert.deepEqual(parsePhases('open'), ['open']);
  assert.throws(() => parsePhases('hold,sleep'), /Allowed: a list of open, hold, directed, broadcast, return/);
  assert.throws(() => parsePhases(''), /Allowed/);
});

test('boxes share the connections, and every client of every box has one number', () => {
  for (const [connections, boxes] of [
    [1_048_576, 4],
    [10, 3],
    [26, 26],
    [7, 1],
  ]) {
    const plans = planBoxes(connections, boxes);
    assert.equal(
      plans.reduce((sum, plan) => sum + plan.connections, 0),
      connections,
    );
    const sizes = plans.map((plan) => plan.connections);
    assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
  }
  const plans = planBoxes(10, 3);
  const ids = Array.from({ length: 10 }, (_, client) => clientId(plans, client)).sort();
  assert.deepEqual(ids, ['a0', 'a1', 'a2', 'a3', 'b0', 'b1', 'b2', 'c0', 'c1', 'c2']);
});

test('without root the boxes are on loopback', () => {
  assert.equal(completeExperimentOptions(FLAGS, true, 'epoll').loopback, false);
  assert.equal(completeExperimentOptions(FLAGS, false, 'epoll').loopback, true);
  assert.equal(completeExperimentOptions({ ...FLAGS, loopback: true }, true, 'epoll').loopback, true);
});

test('each box needs a connection', () => {
  assert.throws(
    () => completeExperimentOptions({ ...FLAGS, connections: 3 }, true, 'epoll'),
    /--connections is 3.*--client-boxes/,
  );
});

test('what the machine lacks is named with its cure', () => {
  const large = { availableBytes: 20e9, filesOpen: 5000, filesMax: 2_400_000, root: true };
  assert.deepEqual(findShortages(1_048_576, 60, large), []);
  const [memory, ...others] = findShortages(1_048_576, 60, { ...large, availableBytes: 8e9 });
  assert.deepEqual([memory.name, memory.is, others], ['memory', 8e9, []]);
  assert.match(memory.fix, /--connections \d{6}$/);
  const [files] = findShortages(1_048_576, 60, { ...large, root: false, filesMax: 1_000_000 });
  assert.deepEqual([files.name, files.needs, files.fix], ['fs.file-max', 2_112_152, 'sysctl -w fs.file-max=2112152']);
  assert.throws(() => refuseShortages([memory, files]), /memory is 7630 MiB, .*; fs.file-max is 1000000, needed are /);
  refuseShortages([]);
});
