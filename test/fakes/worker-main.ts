/**
 * A worker process without clients: it dials, hands over its listeners, stops when told, as src/worker/main.ts does.
 * FAKE_WORKER in the environment makes it misbehave: `dies` at once, `deaf` to STOP and SIGTERM, `old` in its version, which also
 * says that it is there; or makes it what the others are not: `reports` has it say now and then that it lives.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { LINK_VERSION, SEND_LISTENERS, STOP } from '../../src/link/frames.js';
import { sendDescriptors } from '../../src/linux/descriptors.js';
import type { WorkerConfig } from '../../src/worker/config.js';
import { FakeWorker } from './worker.js';

const config = JSON.parse(process.argv.at(-1)!) as WorkerConfig;
const path = `${config.runDirectory}/manager.sock`;
const fault = process.env['FAKE_WORKER'];
if (fault === 'dies') process.exit(1);
if (fault === 'old') process.stdout.write('here\n');
if (fault === 'deaf') process.on('SIGTERM', () => {});

// However a test ends, nothing of it stays behind.
setTimeout(() => process.exit(3), 20_000);

for (;;) {
  if (await listens()) await serve();
  await delay(50);
}

async function listens(): Promise<boolean> {
  const socket = connect(path);
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

async function serve(): Promise<void> {
  const fake = await FakeWorker.dial(path, config.worker, {
    version: fault === 'old' ? 0 : LINK_VERSION,
    pid: process.pid,
    capacity: config.maxConnections,
    listeners: config.listeners.map(({ address }) => address),
  });
  if (fault === 'reports') setInterval(() => fake.wait('alive'), 100);
  const ended = once(fake.socket, 'close').then(() => null);
  for (;;) {
    const told = await Promise.race([fake.next(), ended]);
    if (told === null) return;
    if (told.type === STOP && fault !== 'deaf') process.exit(0);
    if (told.type === SEND_LISTENERS) {
      const descriptors = config.listeners.map(({ descriptor }) => descriptor!);
      sendDescriptors(`${config.runDirectory}/listeners.sock`, descriptors);
    }
  }
}
