import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TimerWheel } from './timer-wheel.js';

const TICK = 10;

/** The slots that expire up to a time, in order. */
function expiredBy(wheel: TimerWheel, nowMs: number): number[] {
  const slots: number[] = [];
  wheel.advance(nowMs, (slot) => slots.push(slot));
  return slots;
}

describe('timer wheel', () => {
  test('a timer expires after its delay, never early, at most one tick late, and once', () => {
    const wheel = new TimerWheel({ tickMs: TICK, buckets: 8 });
    wheel.schedule(1, 25, 1003);
    assert.deepEqual(expiredBy(wheel, 1027), []);
    assert.deepEqual(expiredBy(wheel, 1039), [1]);
    assert(!wheel.isScheduled(1));
    assert.deepEqual(expiredBy(wheel, 5000), []);
  });

  test('a delay of zero expires with the next tick', () => {
    const wheel = new TimerWheel({ tickMs: TICK, buckets: 8 });
    wheel.schedule(0, 0, 1000);
    assert.deepEqual(expiredBy(wheel, 1000), []);
    assert.deepEqual(expiredBy(wheel, 1010), [0]);
  });

  test('a timer beyond the horizon goes round and expires in its own time', () => {
    const wheel = new TimerWheel({ tickMs: TICK, buckets: 8 });
    wheel.schedule(0, 8 * TICK * 5, 0);
    wheel.schedule(1, 65_535 * TICK, 0);
    assert.deepEqual(expiredBy(wheel, 8 * TICK * 5 - 1), []);
    assert.deepEqual(expiredBy(wheel, 8 * TICK * 5), [0]);
    assert.deepEqual(expiredBy(wheel, 65_535 * TICK - 1), []);
    assert.deepEqual(expiredBy(wheel, 65_535 * TICK), [1]);
    assert.throws(() => wheel.schedule(0, 65_536 * TICK, 65_535 * TICK), /beyond/);
  });

  test('scheduling again moves the timer', () => {
    const wheel = new TimerWheel({ tickMs: TICK, buckets: 8 });
    wheel.schedule(0, 20, 0);
    wheel.schedule(0, 50, 0);
    assert.deepEqual(expiredBy(wheel, 40), []);
    assert.deepEqual(expiredBy(wheel, 50), [0]);
  });

  test('a cancelled timer does not expire, and cancelling nothing is allowed', () => {
    const wheel = new TimerWheel({ tickMs: TICK, buckets: 8 });
    wheel.schedule(0, 20, 0);
    wheel.cancel(0);
    wheel.cancel(1);
    assert.deepEqual(expiredBy(wheel, 100), []);
  });

  test('inside expired any slot may be cancelled or scheduled, also one due in the same tick', () => {
    const wheel = new TimerWheel({ tickMs: TICK, buckets: 4 });
    for (let slot = 0; slot < 4; slot++) wheel.schedule(slot, 20, 0);
    const expired: number[] = [];
    wheel.advance(20, (slot) => {
      expired.push(slot);
      if (expired.length > 1) return;
      wheel.cancel(1);
      wheel.schedule(2, 4 * TICK, 20);
      wheel.schedule(slot, 0, 20);
    });
    assert.deepEqual(expired, [0, 3]);
    assert.deepEqual(expiredBy(wheel, 59), [0]);
    assert.deepEqual(expiredBy(wheel, 60), [2]);
  });

  test('times of day in milliseconds are no problem', () => {
    const wheel = new TimerWheel();
    const now = 1_800_000_000_123;
    wheel.schedule(0, 10_000, now);
    assert.deepEqual(expiredBy(wheel, now + 9_999), []);
    assert.deepEqual(expiredBy(wheel, now + 10_250), [0]);
  });

  test('it behaves as a list of deadlines does', () => {
    const slots = 12;
    const slot = fc.nat({ max: slots - 1 });
    const step = fc.oneof(
      fc.record({ schedule: slot, delayMs: fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 2000 })) }),
      fc.record({ cancel: slot }),
      fc.record({ advanceMs: fc.oneof(fc.nat({ max: 15 }), fc.nat({ max: 1000 })), again: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 45 }), fc.array(step, { maxLength: 120 }), (startMs, steps) => {
        const wheel = new TimerWheel({ tickMs: TICK, buckets: 16 });
        /** Tick of expiry of each scheduled slot. */
        const model = new Map<number, number>();
        let nowMs = startMs;
        let tick = Math.floor(startMs / TICK);
        wheel.advance(nowMs, () => assert.fail());
        const schedule = (slot: number, delayMs: number, currentTick: number) => {
          wheel.schedule(slot, delayMs, nowMs);
          model.set(slot, Math.max(Math.ceil((nowMs + delayMs) / TICK), currentTick + 1));
        };
        for (const each of steps) {
          if ('schedule' in each) {
            schedule(each.schedule, each.delayMs, tick);
          } else if ('cancel' in each) {
            wheel.cancel(each.cancel);
            model.delete(each.cancel);
          } else {
            nowMs += each.advanceMs;
            tick = Math.floor(nowMs / TICK);
            let last = 0;
            wheel.advance(nowMs, (slot) => {
              const deadline = model.get(slot);
              assert(deadline !== undefined && deadline <= tick && deadline >= last, `slot ${slot}`);
              last = deadline;
              model.delete(slot);
              // Some are scheduled again from inside, past the ticks that are being caught up with.
              if (each.again && slot % 3 === 0) schedule(slot, TICK, tick);
            });
            for (const deadline of model.values()) assert(deadline > tick, 'one was forgotten');
          }
          for (let slot = 0; slot < slots; slot++) assert.equal(wheel.isScheduled(slot), model.has(slot));
        }
      }),
      { numRuns: 300 },
    );
  });
});
