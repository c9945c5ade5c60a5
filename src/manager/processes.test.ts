import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { hasProcesses, isEnding } from './processes.js';

// That one which really ends is seen, test/lifecycle.test.ts shows when the machine is busy: it takes a few milliseconds.
test('a process that lives, has ended or waits to be waited for does not end any more', {
  skip: !hasProcesses() && 'there is no /proc here',
}, async () => {
  assert.equal(isEnding(process.pid), false);
  // The shell becomes a program that does not wait for its child.
  const parent = spawn('sh', ['-c', 'true & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [pid] = await once(parent.stdout, 'data');
  const zombie = Number(pid);
  try {
    const deadlineMs = performance.now() + 5000;
    while (isEnding(zombie)) assert.ok(performance.now() < deadlineMs, 'a zombie is no process that ends');
    assert.equal(isEnding(parent.pid!), false);
  } finally {
    parent.kill();
    await once(parent, 'exit');
  }
  assert.equal(isEnding(parent.pid!), false);
});
