import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ffiProblem } from './ffi.js';
import { giveMemoryBack, MemoryAtRest } from './memory-at-rest.js';
import { processMemory } from './proc.js';

test('memory is given back once after work, when the process has rested for five seconds', () => {
  let cpuMs = 0;
  let nowMs = 0;
  const times: number[] = [];
  const memory = new MemoryAtRest(
    nowMs,
    0.02,
    () => cpuMs,
    () => times.push(nowMs),
  );
  const seconds = (count: number, cpuMsEach: number) => {
    for (; count > 0; count--) {
      cpuMs += cpuMsEach;
      memory.tick((nowMs += 1000));
    }
  };
  seconds(4, 10);
  assert.deepEqual(times, []);
  seconds(10, 10);
  assert.deepEqual(times, [5000], 'what the start left behind');
  seconds(10, 10);
  assert.deepEqual(times, [5000], 'nothing was done since');
  seconds(10, 500);
  seconds(10, 21);
  assert.deepEqual(times, [5000], 'not in the middle of work');
  seconds(4, 19);
  seconds(1, 500);
  seconds(5, 19);
  assert.deepEqual(times, [5000, 54_000]);
});

test('garbage goes back to the machine', { skip: ffiProblem ?? false }, () => {
  const privateBytes = () => processMemory(process.pid).privateBytes;
  let garbage: unknown[] = Array.from({ length: 400_000 }, (_, i) => ({ i, text: `${i}` }));
  const full = privateBytes();
  assert.equal(garbage.length, 400_000);
  garbage = [];
  giveMemoryBack();
  assert(privateBytes() < full - (10 << 20), `${full} bytes, then ${privateBytes()}`);
});
