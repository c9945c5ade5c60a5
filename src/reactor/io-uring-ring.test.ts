import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDescriptors } from '../linux/proc.js';
import { probeIoUring } from './io-uring-probe.js';
import { Ring } from './io-uring-ring.js';

const skip = probeIoUring() ?? false;

/** IORING_OP_NOP is 0: an empty submission completes at once. */
function submitNothing(ring: Ring, data: number): void {
  const at = ring.submission();
  ring.sqes[at + 8] = data;
}

function readAll(ring: Ring): number[] {
  const seen: number[] = [];
  while (ring.next()) {
    assert.equal(ring.result, 0);
    seen.push(ring.data);
  }
  return seen;
}

const numbersTo = (count: number) => Array.from({ length: count }, (_, i) => i);

test('more submissions than the queue holds are submitted on the way, and no completion is lost', { skip }, () => {
  const ring = new Ring({ submissions: 4, completions: 8, waiting: 1, files: 1 });
  for (let i = 0; i < 1000; i++) submitNothing(ring, i);
  ring.enter(0, 0);
  const seen: number[] = [];
  while (ring.ready || ring.hasCompletions) {
    seen.push(...readAll(ring));
    ring.enter(0, 0);
  }
  assert.deepEqual(seen, numbersTo(1000));
  assert.equal(ring.lost, 0);
  ring.destroy();
});

test('completions that overflow the queue in the kernel come later, in order', { skip }, () => {
  const ring = new Ring({ submissions: 4, completions: 8, waiting: 1, files: 1 });
  for (let i = 0; i < 40; i++) {
    submitNothing(ring, i);
    ring.enter(0, 0);
  }
  assert(ring.ready, 'the kernel says that there is more');
  const seen = readAll(ring);
  assert.deepEqual(seen, numbersTo(8));
  while (ring.ready || ring.hasCompletions) {
    ring.enter(0, 0);
    seen.push(...readAll(ring));
  }
  assert.deepEqual(seen, numbersTo(40));
  assert.equal(ring.lost, 0);
  ring.destroy();
});

test('completions are read while new requests are made', { skip }, () => {
  const ring = new Ring({ submissions: 4, completions: 8, waiting: 1, files: 1 });
  submitNothing(ring, 0);
  const seen: number[] = [];
  let made = 1;
  while (ring.ready || ring.hasCompletions) {
    ring.enter(0, 0);
    while (ring.next()) {
      seen.push(ring.data);
      for (let i = 0; i < 7 && made < 500; i++) submitNothing(ring, made++);
    }
  }
  assert.deepEqual(seen, numbersTo(500));
  ring.destroy();
});

test('a fresh ring has nothing to do, whatever its queue was made of', { skip }, () => {
  for (const waiting of [1, 16_384]) {
    const ring = new Ring({ submissions: 4, completions: 8, waiting, files: 1 });
    assert.equal(ring.ready, false);
    submitNothing(ring, 0);
    assert.equal(ring.ready, true);
    ring.enter(0, 0);
    assert.equal(ring.ready, false);
    assert.deepEqual(readAll(ring), [0]);
    ring.destroy();
  }
});

test('a wait ends after its time', { skip }, () => {
  const ring = new Ring({ submissions: 4, completions: 8, waiting: 1, files: 1 });
  const beginMs = performance.now();
  assert.equal(ring.enter(1, 30), 0);
  assert(performance.now() - beginMs >= 29);
  ring.destroy();
});

test('a ring leaves no descriptor behind, whether it could be made or not', { skip }, () => {
  const before = openDescriptors('self');
  new Ring({ submissions: 4, completions: 8, waiting: 10_000, files: 100 }).destroy();
  assert.throws(() => new Ring({ submissions: 4, completions: 8, waiting: 1, files: 1 << 21 }));
  assert.equal(openDescriptors('self'), before);
});
