import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { groupMemory, groupTasks, machineMemory, overcommit } from './memory-checks.js';
import { makePlan, memoryNeeds } from './plan.js';
import { fakeReading } from './testing/fake-reading.js';
import { runCheck } from './testing/run-check.js';

const GIB = 2 ** 30;
const available = (availableBytes: number) => ({
  memory: { availableBytes, commitLimitBytes: 8 * GIB, committedBytes: GIB },
});

describe('MemAvailable', () => {
  it('suffices for a million on 15 GiB, not on 4', () => {
    const request = { connections: 1_000_000 };
    assert.equal(runCheck(machineMemory, available(15 * GIB), request).ok, true);
    const check = runCheck(machineMemory, available(4 * GIB), request);
    assert.equal(check.ok, false);
    assert.equal(check.is, '4.0 GiB');
    assert.match(check.why, /the kernel 3\.9 GiB for 1,000,000 ends/);
  });

  it('says how many connections there is memory for, and that number passes', () => {
    const check = runCheck(machineMemory, available(2 * GIB), { connections: 1_000_000 });
    const possible = Number(/--connections (\d+)$/.exec(check.fix)?.[1]);
    assert(possible > 300_000 && possible < 500_000, check.fix);
    assert.equal(runCheck(machineMemory, available(2 * GIB), { connections: possible }).ok, true);
  });

  it('counts both ends where both are here', () => {
    const sums = (loopback: boolean) => {
      const reading = fakeReading();
      return memoryNeeds(makePlan({ connections: 100_000, reactor: 'epoll', loopback }, reading), 524_288);
    };
    const [one, both] = [sums(false), sums(true)];
    assert.equal(both.kernelBytes, 2 * one.kernelBytes);
    assert.equal(both.queueBytes, 2 * one.queueBytes);
    assert.equal(one.totalBytes, one.userBytes + one.kernelBytes + one.queueBytes);
  });
});

describe('memory of the control group', () => {
  const limited = (limit: number, used: number) => ({
    groups: {
      memory: { name: 'memory.max', path: '/sys/fs/cgroup/memory.max', limit, used },
      tcpMemory: null,
      tasks: null,
    },
  });

  it('is fine without a limit', () => {
    const check = runCheck(groupMemory);
    assert.equal(check.ok, true);
    assert.equal(check.is, 'no limit');
  });

  it('counts what is left, not the limit', () => {
    assert.equal(runCheck(groupMemory, limited(2 * GIB, 0)).ok, true);
    const check = runCheck(groupMemory, limited(2 * GIB, 1.7 * GIB));
    assert.equal(check.ok, false);
    assert.match(check.is, /^2\.0 GiB, 308 MiB of it free$/);
    assert.match(check.fix, /^echo \d+ > \/sys\/fs\/cgroup\/memory\.max; .*MemoryMax=\d+ .*docker run --memory \d+$/);
  });
});

describe('pids.max', () => {
  const limited = (limit: number, used: number) => ({
    groups: {
      memory: null,
      tcpMemory: null,
      tasks: { name: 'pids.max', path: '/sys/fs/cgroup/pids.max', limit, used },
    },
  });

  it('must hold the threads of a manager and its workers', () => {
    assert.equal(runCheck(groupTasks, {}, { workers: 4 }).ok, true);
    assert.equal(runCheck(groupTasks, limited(100, 69), { workers: 4 }).ok, true);
    const check = runCheck(groupTasks, limited(100, 70), { workers: 4 });
    assert.equal(check.ok, false);
    assert.equal(check.needs, '31 free');
    assert.match(check.fix, /TasksMax=132/);
  });
});

describe('vm.overcommit_memory', () => {
  const strict = (freeBytes: number) => ({
    sysctls: { 'vm.overcommit_memory': [2] },
    memory: { availableBytes: 15 * GIB, commitLimitBytes: 8 * GIB, committedBytes: 8 * GIB - freeBytes },
  });

  it('is fine unless accounting is strict and little is left', () => {
    assert.equal(runCheck(overcommit).ok, true);
    assert.equal(runCheck(overcommit, strict(GIB)).ok, true);
    const check = runCheck(overcommit, strict(64 * 2 ** 20));
    assert.equal(check.ok, false);
    assert.equal(check.is, '2, 64 MiB left to commit');
    assert.equal(check.fix, 'sysctl -w vm.overcommit_memory=0');
  });
});
