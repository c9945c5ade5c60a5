/** Memory and processes: the machine's, and the control group's. */

import type { GroupLimit } from './cgroup.js';
import { type Check, count, formatBytes, sysctlCheck } from './check.js';
import { MANAGER_THREADS, type MemoryNeeds, memoryNeeds, type Plan, WORKER_THREADS } from './plan.js';
import type { Reading } from './reading.js';

/** MemAvailable of /proc/meminfo, proc(5): what can be had without swapping. */
export function machineMemory(reading: Reading, plan: Plan): Check {
  const needs = memoryNeeds(plan, reading.descriptors.hard);
  const { availableBytes } = reading.memory;
  const ok = availableBytes >= needs.totalBytes;
  return {
    name: 'MemAvailable',
    ok,
    is: formatBytes(availableBytes),
    needs: formatBytes(needs.totalBytes),
    why: memoryText(needs, plan),
    fix: ok ? '' : `no setting mends it: more memory, or ${lessToHold(needs, plan, availableBytes)}`,
  };
}

/** memory.max and memory.limit_in_bytes: the kernel's memory for sockets is charged to the group, too. */
export function groupMemory(reading: Reading, plan: Plan): Check {
  const group = reading.groups.memory;
  const needs = memoryNeeds(plan, reading.descriptors.hard);
  const why = 'the kernel charges sockets, their files and their buffers to the control group, as it does user space';
  if (group === null) {
    return { name: 'memory.max', ok: true, is: 'no limit', needs: formatBytes(needs.totalBytes), why, fix: '' };
  }
  const free = group.limit - group.used;
  const ok = free >= needs.totalBytes;
  return {
    name: group.name,
    ok,
    is: `${formatBytes(group.limit)}, ${formatBytes(free)} of it free`,
    needs: formatBytes(needs.totalBytes),
    why,
    fix: ok ? '' : raiseGroup(group, Math.ceil(group.used + needs.totalBytes * 1.1), 'MemoryMax', '--memory'),
  };
}

/** pids.max (systemd: TasksMax) counts threads: Documentation/admin-guide/cgroup-v2.rst. */
export function groupTasks(reading: Reading, plan: Plan): Check {
  const group = reading.groups.tasks;
  const needed = MANAGER_THREADS + plan.workers * WORKER_THREADS;
  const why = `a manager of ${MANAGER_THREADS} threads and ${plan.workers} workers of ${WORKER_THREADS}`;
  if (group === null) return { name: 'pids.max', ok: true, is: 'no limit', needs: String(needed), why, fix: '' };
  const free = group.limit - group.used;
  const ok = free >= needed;
  return {
    name: 'pids.max',
    ok,
    is: `${group.limit}, ${group.used} in use`,
    needs: `${needed} free`,
    why,
    fix: ok ? '' : raiseGroup(group, group.used + needed * 2, 'TasksMax', '--pids-limit'),
  };
}

/** vm.overcommit_memory 2 refuses mappings beyond CommitLimit: Documentation/mm/overcommit-accounting.rst. */
export function overcommit(reading: Reading, plan: Plan): Check {
  const mode = reading.sysctls['vm.overcommit_memory']?.[0] ?? 0;
  const needs = memoryNeeds(plan, reading.descriptors.hard);
  const { commitLimitBytes, committedBytes } = reading.memory;
  const free = Math.max(0, commitLimitBytes - committedBytes);
  const strict = mode === 2;
  return sysctlCheck(
    {
      name: 'vm.overcommit_memory',
      ok: !strict || free >= needs.userBytes,
      is: strict ? `2, ${formatBytes(free)} left to commit` : String(mode),
      needs: strict ? `0, or ${formatBytes(needs.userBytes)} left to commit` : 'nothing',
      why: strict
        ? 'in mode 2 memory counts when it is mapped, and tables are mapped for all clients at the start'
        : 'tables are mapped for all clients at the start, and in this mode they cost memory only where they are used',
    },
    '0',
  );
}

function memoryText(needs: MemoryNeeds, plan: Plan): string {
  const each = Math.round(needs.connectionBytes).toLocaleString('en');
  return (
    `the kernel ${formatBytes(needs.kernelBytes)} for ${count(plan.ends)} ends of connections, MegaComet ` +
    `${formatBytes(needs.userBytes)}${plan.loopback ? ' with its tester' : ''}, messages under way ` +
    `${formatBytes(needs.queueBytes)}: ${each} bytes a connection and what is fixed. Queued messages for absent clients ` +
    'come on top (--retain-total-bytes at most)'
  );
}

/** What the memory suffices for: fewer connections, where what is fixed leaves room for some. */
function lessToHold(needs: MemoryNeeds, plan: Plan, availableBytes: number): string {
  const fixedBytes = needs.totalBytes - plan.connections * needs.connectionBytes;
  const thousands = Math.floor((availableBytes - fixedBytes) / needs.connectionBytes / 1000);
  return thousands > 0 ? `--connections ${thousands * 1000}` : 'fewer workers and connections';
}

function raiseGroup(group: GroupLimit, value: number, unitOption: string, dockerOption: string): string {
  return `echo ${value} > ${group.path}; for good: ${unitOption}=${value} in the systemd unit, docker run ${dockerOption} ${value}`;
}
