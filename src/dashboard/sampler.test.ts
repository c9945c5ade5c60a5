import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY_STATS, type WorkerStats } from '../link/stats.js';
import { type ManagerStatus, sumsOf, type WorkerStatus } from '../manager/status.js';
import { Sampler } from './sampler.js';

/** A worker that has reported so much, `reportAgeMs` ago. */
function workerOf(worker: number, stats: Partial<WorkerStats>, more: Partial<WorkerStatus> = {}): WorkerStatus {
  const of = {
    worker,
    pid: 100 + worker,
    linked: true,
    reportAgeMs: 0,
    capacity: 1000,
    backlogBytes: 0,
    rssBytes: 50e6,
  };
  return { ...EMPTY_STATS, accepting: true, ...of, ...stats, ...more };
}

/** A status with these workers. */
function statusOf(workers: WorkerStatus[], published = 0): ManagerStatus {
  const log = { kind: 'memory', epoch: 'e', last: published, fsync: null, publications: 4, bytes: 40, channels: 2 };
  return {
    ...{ pid: 1, uptimeSeconds: 60, rssBytes: 40e6, api: '', classic: null, clients: [], workers, ...sumsOf(workers) },
    log: { ...log, queued: 1, expired: 0, evicted: 0 },
    publisher: { published, duplicates: 0, failed: 0, pending: 0, pendingBytes: 0, publishersWaiting: 0 },
    streams: { subscriptions: 0, fanOuts: 0, receivers: 0, linksBehind: 0 },
  } as Partial<ManagerStatus> as ManagerStatus;
}

/** A sampler with a clock, a CPU and a status that the test sets. */
function rig() {
  const now = { ms: 0, cpuSeconds: 0, status: statusOf([]), kernelBytes: null as number | null };
  const sampler = new Sampler({
    version: '1.2.3',
    status: () => now.status,
    cpuSeconds: () => now.cpuSeconds,
    kernelBytes: () => now.kernelBytes,
    warnings: () => [],
    wallMs: () => 1_700_000_000_000 + now.ms,
    steadyMs: () => now.ms,
  });
  return { now, sampler };
}

test('a first look knows what there is, and no rates', () => {
  const { now, sampler } = rig();
  now.status = statusOf([
    workerOf(0, { connections: 3, connectionsByTransport: { ...EMPTY_STATS.connectionsByTransport, sse: 2, poll: 1 } }),
    workerOf(1, { connections: 1, connectionsByTransport: { ...EMPTY_STATS.connectionsByTransport, sse: 1 } }),
  ]);
  const { point, capacity, workers, version } = sampler.sample();
  assert.deepEqual([point.connections, point.sse, point.poll, point.websocket], [4, 3, 1, 0]);
  assert.deepEqual([point.opened, point.messages, point.workersCpu, point.deliveryP50Ms], [null, null, null, null]);
  assert.deepEqual([capacity, version, workers[0].transports.sse], [2000, '1.2.3', 2]);
  assert.equal(point.residentBytes, 140e6);
});

test('rates, CPU and delivery times are those between two reports', () => {
  const { now, sampler } = rig();
  const counts = (at: number, count: number) => EMPTY_STATS.delivery.counts.map((_, i) => (i === at ? count : 0));
  now.status = statusOf([workerOf(0, { accepted: 10, connections: 10 })], 5);
  sampler.sample();
  now.ms = 2000;
  now.cpuSeconds = 0.5;
  now.status = statusOf(
    [
      workerOf(0, {
        ...{ accepted: 30, connections: 20, messagesSent: 400, cpuUserSeconds: 0.6, cpuSystemSeconds: 0.4 },
        // All of them took more than 2 and at most 5 ms.
        delivery: { counts: counts(2, 400), sumMs: 1600 },
      }),
    ],
    25,
  );
  const { point, workers, manager } = sampler.sample();
  assert.deepEqual([point.opened, point.closed, point.messages, point.publications], [10, 5, 200, 10]);
  assert.deepEqual([point.workersCpu, point.busiestWorkerCpu, point.managerCpu, manager.cpu], [0.5, 0.5, 0.25, 0.25]);
  assert.deepEqual([point.deliveryP50Ms, point.deliveryP99Ms?.toFixed(6)], [3.5, '4.970000']);
  assert.equal(workers[0].closed, 5);
  now.ms = 4000;
  now.status = statusOf([workerOf(0, { ...now.status.workers[0] } as WorkerStats)], 25);
  assert.equal(sampler.sample().point.deliveryP99Ms, null, 'no message in this time, so no time of one');
});

test('memory for each connection is told from 1,000 connections on, and only where it has grown', () => {
  const { now, sampler } = rig();
  const workers = (connections: number, grownBytes: number) =>
    statusOf([workerOf(0, { connections, memoryBytes: 9e6 + grownBytes, startMemoryBytes: 9e6 })]);
  now.kernelBytes = 4000;
  now.status = workers(999, 50_000);
  assert.deepEqual([sampler.sample().point.userBytes, sampler.sample().point.kernelBytes], [null, null]);
  now.status = workers(1000, 50_000);
  assert.deepEqual([sampler.sample().point.userBytes, sampler.sample().point.kernelBytes], [50, 4000]);
  now.status = workers(1000, -50_000);
  assert.equal(sampler.sample().point.userBytes, null);
});

test('a worker that is full, and one without a link, say so; of one that never reported nothing is known', () => {
  const { now, sampler } = rig();
  const nothing = Object.fromEntries(Object.keys(EMPTY_STATS).map((figure) => [figure, null])) as never as WorkerStats;
  now.status = statusOf([
    workerOf(0, { accepting: false }),
    workerOf(1, nothing, { linked: false, reportAgeMs: null, rssBytes: null }),
  ]);
  const { workers, totals } = sampler.sample();
  assert.deepEqual(
    workers.map(({ state }) => state),
    ['full', 'lost'],
  );
  assert.deepEqual([workers[1].connections, workers[1].transports.sse, workers[1].cpu], [null, null, null]);
  assert.deepEqual(totals, { accepted: 0, messages: 0, publications: 0, slowConsumers: 0, refused: 0 });
});
