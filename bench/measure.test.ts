import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { cpuOf, idleCpu, measureSlope, median } from './measure.js';

/** Keeps 1,000 bytes for each of as many as it is told, a number a line; burns CPU for 'b', in ms. */
const PROGRAM = `
  const kept = [];
  require('node:readline').createInterface(process.stdin).on('line', (line) => {
    if (line.startsWith('b')) {
      const end = performance.now() + Number(line.slice(1));
      while (performance.now() < end);
    } else {
      while (kept.length < Number(line) / 1000) kept.push(Buffer.alloc(1_000_000, 1));
    }
    console.log('done');
  });
`;

test('measured from outside, a process has the slope and the CPU time that it really has', async () => {
  const child = spawn(process.execPath, ['-e', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const lines = createInterface(child.stdout);
    const tell = async (line: string): Promise<void> => {
      child.stdin.write(`${line}\n`);
      await once(lines, 'line');
    };
    await tell('0');
    const pids = [child.pid!];
    const openTo = (count: number): Promise<void> => tell(String(count));
    const [bytesPerConnection] = await measureSlope({ pids, connections: 50_000, openTo });
    assert.ok(Math.abs(bytesPerConnection - 1000) < 50, `${bytesPerConnection} bytes instead of 1000`);

    const [before] = await idleCpu(pids);
    await tell('b200');
    const [after] = await idleCpu(pids);
    const used = after.total - before.total;
    assert.ok(used > 0.01 && used < 0.3, `${used} s instead of at most 0.2 s`);
    assert.ok(cpuOf(child.pid!).user > before.user);
  } finally {
    child.kill();
  }
});

test('the median of an even number of values lies between the two in the middle', () => {
  assert.equal(median([5, 1, 3]), 3);
  assert.equal(median([10, 9, 1, 2]), 5.5);
  assert.equal(Number.isNaN(median([])), true);
});
