import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENFILE } from '../linux/errno.js';
import { openListener } from '../linux/sockets.js';
import { IoUringListeners } from './io-uring-listeners.js';
import { probeIoUring } from './io-uring-probe.js';
import { Rings } from './io-uring-rings.js';
import type { ReactorEvents } from './reactor.js';

const skip = probeIoUring() ?? false;

test('an accept that fails for lack of resources stops accepting until a connection ends', { skip }, () => {
  const rings = new Rings({ capacity: 64, slotsPerRing: 64, submissions: 64, completions: 128 });
  const told: string[] = [];
  let armed: number[] = [];
  const events = {
    acceptingStopped: (errno: number) => told.push(`stopped ${errno}`),
    acceptingResumed: () => told.push('resumed'),
  } as Partial<ReactorEvents> as ReactorEvents;
  const owner = {
    submitAccept: (slot: number) => armed.push(slot),
    returnSlot: (slot: number) => rings.release(slot),
    acceptedInto: () => told.push('accepted'),
  };
  const listeners = new IoUringListeners(owner, events, rings);
  listeners.add(openListener({ host: '127.0.0.1', port: 0 }).fd);
  listeners.beforeWait(false);
  assert.equal(armed.length, 16, 'a quarter of the slots');

  for (const slot of armed.splice(0)) listeners.completed(slot, 0, -ENFILE);
  assert.deepEqual(told.splice(0), [`stopped ${ENFILE}`], 'it is told once');
  assert.equal(rings.free, 64, 'no slot is lost');
  listeners.beforeWait(false);
  assert.deepEqual(armed, [], 'it does not try at once');

  listeners.connectionEnded();
  listeners.beforeWait(false);
  assert.equal(armed.length, 16);
  assert.deepEqual(told, [], 'whether there are resources again is not known yet');
  listeners.completed(armed[0], 0, 0);
  assert.deepEqual(told.splice(0), ['resumed', 'accepted']);

  armed = armed.slice(1);
  listeners.completed(armed[0], 0, -ENFILE);
  assert.deepEqual(told.splice(0), [`stopped ${ENFILE}`], 'a second time is told again');
  listeners.destroy();
  rings.destroy();
});
