import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { withinTime } from './time-limit.js';

const never = new AbortController().signal;
const ending = async (signal: AbortSignal): Promise<never> => {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
};

describe('a time limit', () => {
  test('ends work that takes longer', async () => {
    await assert.rejects(withinTime(5, never, ending), { name: 'TimeoutError' });
  });

  test('ends with the outer signal, for its reason, also where that was over before', async () => {
    const outer = new AbortController();
    const reason = new Error('enough');
    const work = withinTime(60_000, outer.signal, ending);
    outer.abort(reason);
    await assert.rejects(work, reason);
    await assert.rejects(withinTime(60_000, outer.signal, ending), reason);
  });

  test('leaves what ends in time alone, and its failures too', async () => {
    assert.equal(await withinTime(60_000, never, async () => 7), 7);
    await assert.rejects(
      withinTime(60_000, never, () => Promise.reject(new TypeError('broken'))),
      TypeError,
    );
  });
});
