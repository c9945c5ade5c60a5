import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { KIND_RAW } from '../link/frames.js';
import type { Appended, NewPublication } from '../log/log.js';
import { ClassicPort, IN_FLIGHT_MAX } from './classic-port.js';
import { createLogger } from './logger.js';

test('a connection is paused while too much is in flight, and loses nothing', async () => {
  const accepted: NewPublication[] = [];
  const queue = { inFlight: 0 };
  const publisher = {
    pendingBytes: 0,
    async accept(batch: readonly NewPublication[]): Promise<Appended[]> {
      accepted.push(...batch);
      return [];
    },
  };
  const port = new ClassicPort(
    publisher,
    queue,
    createLogger(() => {}),
  );
  const socket = connect(await port.listen('127.0.0.1', 0), '127.0.0.1');
  try {
    queue.inFlight = IN_FLIGHT_MAX + 1;
    socket.write('\x02alice\0one\0');
    await until(() => accepted.length === 1);
    socket.write('\x02alice\0two\0');
    await delay(50);
    assert.equal(accepted.length, 1, 'it is not read while it is paused');
    queue.inFlight = IN_FLIGHT_MAX / 2;
    await until(() => accepted.length === 2);

    // Nor while the log is slow.
    publisher.pendingBytes = 1 << 30;
    socket.write('\x02alice\0again\0');
    await until(() => accepted.length === 3);
    socket.write('\x02alice\0and again\0');
    await delay(50);
    assert.equal(accepted.length, 3);
    publisher.pendingBytes = 0;
    await until(() => accepted.length === 4);
    accepted.length = 2;

    // What is stuck in flight stops an application for a second, not for ever.
    queue.inFlight = IN_FLIGHT_MAX + 1;
    socket.write('\x02bob\0three\0');
    await until(() => accepted.length === 3);
    socket.write('\x02bob\0four\0');
    const pausedMs = performance.now();
    await until(() => accepted.length === 4);
    assert.ok(performance.now() - pausedMs > 500);
    assert.deepEqual(
      accepted.map(({ channel, kind, data }) => `${channel} ${kind} ${data}`),
      [`alice ${KIND_RAW} one`, `alice ${KIND_RAW} two`, `bob ${KIND_RAW} three`, `bob ${KIND_RAW} four`],
    );
  } finally {
    port.close();
    await once(socket, 'close');
  }
});

/** Looks again and again until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `waited in vain for ${condition}`);
    await delay(2);
  }
}
