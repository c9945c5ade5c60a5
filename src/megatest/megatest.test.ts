import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { closeDescriptor, openListener } from '../linux/sockets.js';
import { assertWithin } from '../testing/assert-within.js';
import { freePort } from '../testing/free-port.js';
import { runMegatest } from './megatest.js';
import type { MegatestOptions } from './options.js';
import { isFlawless, type MegatestResult } from './result.js';
import { type FakeServer, type Faults, startFakeServer } from './testing/fake-server.js';

function optionsFor(server: FakeServer, options: Partial<MegatestOptions>): MegatestOptions {
  return {
    targets: [{ host: '127.0.0.1', port: server.port }],
    connections: 50,
    prefix: 'a',
    rate: Number.POSITIVE_INFINITY,
    holdSeconds: 0,
    messagesPerSecond: 0,
    messageCount: 0,
    messageBytes: 100,
    api: null,
    classic: null,
    sources: [],
    processes: 1,
    timeoutMs: 10_000,
    graceMs: 1000,
    reopen: false,
    reactor: 'epoll',
    serverPids: [],
    ...options,
  };
}

/** Options that send messages through the classic port. */
function messagesThrough(server: FakeServer, messageCount: number): Partial<MegatestOptions> {
  return { messagesPerSecond: 500, messageCount, classic: { host: '127.0.0.1', port: server.classicPort } };
}

const SILENT = { write: () => undefined };

/** Runs a test against a fake server with these faults. */
async function run(
  faults: Faults,
  choose: (server: FakeServer) => Partial<MegatestOptions>,
  signal: AbortSignal = new AbortController().signal,
): Promise<{ result: MegatestResult; server: FakeServer }> {
  const server = await startFakeServer(faults);
  try {
    return { result: await runMegatest(optionsFor(server, choose(server)), { progress: SILENT, signal }), server };
  } finally {
    await server.close();
  }
}

// Most of the time of each of these goes into waiting for the last reports: several run at a time.
describe('megatest', { concurrency: 4 }, () => {
  test('500 connections from two processes are held, and messages from both ways reach their clients', async () => {
    const { result, server } = await run({}, ({ classicPort }) => ({
      connections: 500,
      processes: 2,
      sources: ['127.1.0.1', '127.1.0.2'],
      messagesPerSecond: 1000,
      messageCount: 1000,
      classic: { host: '127.0.0.1', port: classicPort },
      serverPids: [process.pid],
    }));
    assert.deepEqual(
      { opened: result.opened, held: result.held, failed: result.failedByReason, dropped: result.droppedByReason },
      { opened: 500, held: 500, failed: {}, dropped: {} },
    );
    assert.deepEqual([result.sent, result.received, result.lost], [1000, 1000, 0]);
    assert.deepEqual([result.duplicates, result.misdelivered, result.strays, result.unsent], [0, 0, 0, 0]);
    assert.equal(result.repolls, 1000);
    assert.equal(server.taken.classic, 1000);
    assert.ok(result.seconds > 0 && result.connectionsPerSecond > 0);
    const { p50Ms, p90Ms, p99Ms, maxMs } = result.latency;
    assert.ok(p50Ms > 0 && p50Ms <= p90Ms && p90Ms <= p99Ms && p99Ms <= maxMs);
    assert.ok(result.publishSeconds >= 0.9, `1000 messages at 1000 a second took ${result.publishSeconds} s`);
    assert.equal(result.server?.after.processes[0].pid, process.pid);
    assert.ok(result.server.after.cpuSeconds > result.server.before.cpuSeconds);
    assert.ok(isFlawless(result));
  });

  test('messages alternate between the API and the classic port', async () => {
    const { result, server } = await run({}, (server) => ({
      ...messagesThrough(server, 101),
      api: server.api,
      // The fake API names no processes; these are not asked for then.
      serverPids: [process.pid],
    }));
    assert.deepEqual(server.taken, { api: 51, classic: 50 });
    assert.equal(result.received, 101);
    assert.ok(isFlawless(result));
  });

  test('answers that come in pieces are put together', async () => {
    const { result } = await run({ pieceBytes: 17 }, (server) => messagesThrough(server, 60));
    assert.equal(result.received, 60);
    assert.ok(isFlawless(result));
  });

  test('lost messages are noticed', async () => {
    const { result } = await run({ loseEach: 10 }, (server) => messagesThrough(server, 50));
    assert.deepEqual([result.sent, result.received, result.lost], [50, 45, 5]);
    assert.ok(!isFlawless(result));
  });

  test('duplicates are noticed, and do not make up for lost messages', async () => {
    const { result } = await run({ duplicateEach: 10, loseEach: 25 }, (server) => messagesThrough(server, 50));
    // The 1st and the 26th are lost before they can be doubled: of 1, 11, 21, 31, 41 four remain.
    assert.deepEqual([result.received, result.lost, result.duplicates], [48, 2, 4]);
    assert.ok(!isFlawless(result));
  });

  test('messages to the wrong client are noticed', async () => {
    const { result } = await run({ misdeliverEach: 10 }, (server) => messagesThrough(server, 50));
    assert.deepEqual([result.received, result.misdelivered, result.lost], [45, 5, 5]);
    assert.ok(!isFlawless(result));
  });

  test('dropped connections are noticed and not opened again', async () => {
    const { result } = await run({ dropEach: 10 }, () => ({}));
    assert.deepEqual([result.opened, result.dropped, result.droppedByReason, result.held], [50, 5, { FIN: 5 }, 45]);
    assert.ok(!isFlawless(result));
  });

  test('with --reopen dropped connections are opened again', async () => {
    const { result } = await run({ dropEach: 60 }, () => ({ reopen: true }));
    assert.deepEqual([result.opened, result.dropped, result.repolls, result.held], [50, 1, 1, 50]);
  });

  test('refused polls count as failed, by their status', async () => {
    const { result } = await run({ refuseEach: 10 }, () => ({}));
    assert.deepEqual([result.failed, result.failedByReason, result.held], [5, { 'HTTP 503': 5 }, 45]);
    assert.ok(!isFlawless(result));
  });

  test('publications that the API refuses are neither sent nor lost', async () => {
    const { result } = await run({ rejectEach: 1000 }, (server) => ({
      messagesPerSecond: 50,
      messageCount: 10,
      api: server.api,
      serverPids: [process.pid],
    }));
    assert.deepEqual([result.unsent, result.unsentByReason], [1, { 'HTTP 503': 1 }]);
    assert.deepEqual([result.sent, result.received, result.lost], [9, 9, 0]);
    assert.ok(!isFlawless(result));
  });

  test('where nobody listens every connection fails, by the name of the errno', async () => {
    const port = await freePort();
    const { result } = await run({}, () => ({ targets: [{ host: '127.0.0.1', port }] }));
    assert.deepEqual([result.opened, result.failedByReason, result.held], [0, { ECONNREFUSED: 50 }, 0]);
  });

  test('a connection that is not established in time has failed', async () => {
    // Nobody accepts: the queue takes one connection more than its length, and the kernel drops what comes after that.
    const { fd, port } = openListener({ host: '127.0.0.1', port: 0, backlog: 1 });
    try {
      const { result } = await run({}, () => ({
        targets: [{ host: '127.0.0.1', port }],
        connections: 5,
        timeoutMs: 500,
      }));
      assert.deepEqual([result.opened, result.failedByReason, result.held], [2, { ETIMEDOUT: 3 }, 2]);
    } finally {
      closeDescriptor(fd);
    }
  });

  test('a client polls again also where the server does not close the connection that it has answered', async () => {
    const { result } = await run({ keepOpenEach: 2 }, (server) => ({ ...messagesThrough(server, 20), timeoutMs: 500 }));
    assert.deepEqual([result.received, result.repolls, result.held, result.dropped], [20, 20, 50, 0]);
  });

  test('the rate is kept', async () => {
    const { result } = await run({}, () => ({ connections: 60, rate: 100, processes: 2 }));
    assert.equal(result.opened, 60);
    assert.ok(result.seconds >= 0.5, `60 connections at 100 a second took ${result.seconds} s`);
  });

  test('an interrupted test ends within two seconds, leaves no connection and returns what it has', async () => {
    await assertWithin(2000, async () => {
      const interrupted = new AbortController();
      const server = await startFakeServer();
      try {
        const options = optionsFor(server, { connections: 200, processes: 2, holdSeconds: 60 });
        let abortedMs = 0;
        const progress = {
          // Called on a terminal four times a second: the first that shows all of them open ends the test.
          isTTY: true,
          write: (text: string) => {
            if (!text.includes('200 of 200 opened') || abortedMs > 0) return;
            abortedMs = performance.now();
            interrupted.abort();
          },
        };
        const result = await runMegatest(options, { progress, signal: interrupted.signal });
        const tookMs = performance.now() - abortedMs;
        assert.deepEqual([result.opened, result.held, result.interrupted], [200, 200, true]);
        assert.ok(!isFlawless(result));
        return tookMs;
      } finally {
        await server.close();
      }
    });
  });
});
