import assert from 'node:assert/strict';

const TRIES = 3;

/**
 * Holds what is done to a time that a machine with other things to do may exceed once, but not each time.
 *
 * @param attempt does it, asserts what has to be so however long it takes, and returns how long that was, in ms
 */
export async function assertWithin(limitMs: number, attempt: () => Promise<number>): Promise<void> {
  const tookMs: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    tookMs.push(await attempt());
    if (tookMs[i]! < limitMs) return;
  }
  assert.fail(`took ${tookMs.map((ms) => Math.round(ms)).join(', ')} ms, not within ${limitMs}`);
}
