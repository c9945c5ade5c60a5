import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { ffiProblem } from '../linux/ffi.js';
import type { Reactor } from './reactor.js';
import { runLoop } from './run-loop.js';

/** A reactor of which the loop sees the turns only: it answers with the counts of a script, then with 0. */
function scripted(counts: number[]): { reactor: Reactor; waits: number[] } {
  const waits: number[] = [];
  const turn = (waitMs: number) => {
    waits.push(waitMs);
    return counts.shift() ?? 0;
  };
  return { reactor: { turn } as unknown as Reactor, waits };
}

/** How many turns there are in so many milliseconds. */
async function turnsWithin(ms: number, events: () => number): Promise<number> {
  const endMs = performance.now() + ms;
  let turns = 0;
  const reactor = { turn: events } as unknown as Reactor;
  const afterTurn = () => void turns++;
  await runLoop(reactor, { turnWaitMs: 250, afterTurn, stopped: () => performance.now() > endMs });
  return turns;
}

// Reactors that block are those of system calls.
describe('run loop', { skip: ffiProblem ?? false }, () => {
  test('runs turns until it is stopped, and tells the number of events of each', async () => {
    const { reactor, waits } = scripted([3, 0, 5]);
    const told: number[] = [];
    const afterTurn = (events: number) => void told.push(events);
    await runLoop(reactor, { turnWaitMs: 250, afterTurn, stopped: () => told.length === 4 });
    assert.deepEqual(told, [3, 0, 5, 0]);
    assert.deepEqual(waits, [250, 250, 250, 250]);
  });

  test('the next wait is what afterTurn returns, but no longer than turnWaitMs', async () => {
    const { reactor, waits } = scripted([]);
    const answers = [0, 10, 1000, undefined];
    await runLoop(reactor, { turnWaitMs: 250, afterTurn: () => answers.shift(), stopped: () => waits.length === 5 });
    assert.deepEqual(waits, [250, 0, 10, 250, 250]);
  });

  test('timers of Node run in spite of a flood of events', async () => {
    const { reactor } = scripted(Array(1e6).fill(1));
    let fired = false;
    setTimeout(() => {
      fired = true;
    }, 5);
    const beginMs = performance.now();
    await runLoop(reactor, {
      turnWaitMs: 250,
      afterTurn: () => undefined,
      stopped: () => fired || performance.now() - beginMs > 5000,
    });
    assert(fired);
  });

  test('turns of single events are spread out once they are many and sleeping gathers events', async () => {
    // Ten events a millisecond, delivered when the loop comes for them.
    const turnsOfMany = () => {
      let deliveredMs = performance.now();
      return turnsWithin(300, () => {
        const events = Math.floor((performance.now() - deliveredMs) * 10);
        deliveredMs += events / 10;
        return Math.max(events, 1);
      });
    };
    // When another process has the core meanwhile, events gather without sleep too, and the loop does without it for a while. That
    // only ever adds turns: the fewest of a few rounds are those of a loop that was left alone.
    const rounds: number[] = [];
    for (let round = 0; round < 3; round++) rounds.push(await turnsOfMany());
    const turns = Math.min(...rounds);
    // Without sleep there would be hundreds of thousands; the first 20 ms go without.
    const samples: number[] = [];
    for (let sample = 0; sample < 3; sample++) samples.push(await turnsWithin(20, () => 1));
    const unpaced = Math.max(...samples);
    assert(turns < unpaced * 2 + 280, `${rounds} turns in 300 ms, ${unpaced} in 20 ms without sleep`);
  });

  test('turns are not spread out where each event waits for the answer to the one before', async () => {
    // One event for each turn, however late the turn.
    const turns = await turnsWithin(300, () => 1);
    assert(turns > 3000, `${turns} turns`);
  });

  test('turns that are few are not delayed', async () => {
    // One event every 5 ms: 200 a second.
    let due = performance.now();
    let endedMs = 0;
    const pauses: number[] = [];
    const turn = () => {
      const begunMs = performance.now();
      if (endedMs > 0) pauses.push(begunMs - endedMs);
      due = Math.max(due + 5, begunMs);
      while (performance.now() < due);
      return 1;
    };
    await runLoop({ turn } as unknown as Reactor, {
      turnWaitMs: 250,
      afterTurn: () => {
        endedMs = performance.now();
        return undefined;
      },
      stopped: () => pauses.length >= 20,
    });
    pauses.sort((a, b) => a - b);
    assert(pauses[10] < 0.2, `half of the pauses are above ${pauses[10]} ms`);
  });

  test('what afterTurn throws ends the loop', async () => {
    const { reactor } = scripted([]);
    const afterTurn = () => {
      throw new Error('enough');
    };
    await assert.rejects(runLoop(reactor, { turnWaitMs: 1, afterTurn, stopped: () => false }), /enough/);
  });

  test('a signal ends the wait and is handled', async () => {
    const script = `
      import { EpollReactor } from '${new URL('./epoll.js', import.meta.url)}';
      import { sendBuffersFor } from '${new URL('./choose.js', import.meta.url)}';
      import { runLoop } from '${new URL('./run-loop.js', import.meta.url)}';
      let stopped = false;
      process.on('SIGTERM', () => { stopped = true; });
      const reactor = new EpollReactor({ capacity: 64, events: {}, buffers: sendBuffersFor('epoll') });
      console.log('ready');
      await runLoop(reactor, { turnWaitMs: 8000, afterTurn: () => undefined, stopped: () => stopped });
      reactor.destroy();
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const beginMs = performance.now();
    // Again and again, because one that comes just before the wait begins does not end it.
    const signals = setInterval(() => child.kill('SIGTERM'), 50);
    const code = await new Promise((resolve) => child.once('exit', resolve));
    clearInterval(signals);
    assert.equal(code, 0);
    assert(performance.now() - beginMs < 4000);
  });
});

describe('run loop of a reactor that has its events from Node', () => {
  test('awaits it before each turn, as long as afterTurn says, and does not block in the turn', async () => {
    const { reactor, waits: turns } = scripted([3, 0]);
    const waits: number[] = [];
    reactor.wait = async (waitMs) => void waits.push(waitMs);
    const told: number[] = [];
    const answers = [10, 1000];
    const afterTurn = (events: number) => {
      told.push(events);
      return answers.shift();
    };
    await runLoop(reactor, { turnWaitMs: 250, afterTurn, stopped: () => told.length === 3 });
    assert.deepEqual(told, [3, 0, 0]);
    assert.deepEqual(waits, [250, 10, 250]);
    assert.deepEqual(turns, [0, 0, 0]);
  });

  test('ends with what afterTurn throws', async () => {
    const { reactor } = scripted([]);
    reactor.wait = async () => {};
    const afterTurn = () => {
      throw new Error('enough');
    };
    await assert.rejects(runLoop(reactor, { turnWaitMs: 1, afterTurn, stopped: () => false }), /enough/);
  });
});
