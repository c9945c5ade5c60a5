/**
 * Limits of the control groups that this process is in: what containers and systemd units set. Both versions are read; a
 * machine may mount both at once. A limit of a group holds for all groups in it, so every ancestor counts and the
 * tightest one is told.
 *
 * Inside a container the path in /proc/self/cgroup may be the host's, which does not exist there; what is mounted is then
 * the container's own group, and the walk upwards ends at it.
 *
 * Sources: Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.current, pids.max), cgroup-v1/memory.rst
 * (memory.limit_in_bytes, memory.kmem.tcp.limit_in_bytes), cgroup-v1/pids.rst.
 */

import { join } from 'node:path';

/** Text of a file, or null where there is none or it may not be read. */
export type ReadText = (path: string) => string | null;

export interface GroupLimit {
  /** The limit's file name, such as `memory.max`. */
  name: string;
  /** Where it is set. */
  path: string;
  limit: number;
  /** What is used of it; for memory without what the kernel can reclaim at once. */
  used: number;
}

/** The tightest limit of each kind; null where nothing is limited. */
export interface GroupLimits {
  memory: GroupLimit | null;
  /** Version 1 only: socket buffers. Version 2 counts them as memory. */
  tcpMemory: GroupLimit | null;
  tasks: GroupLimit | null;
}

const ROOT = '/sys/fs/cgroup';
/** Version 1 writes "no limit" as the largest multiple of a page in 63 bits. */
const UNLIMITED_BYTES = 2 ** 62;

export function readGroupLimits(read: ReadText): GroupLimits {
  const memory: GroupLimit[] = [];
  const tcpMemory: GroupLimit[] = [];
  const tasks: GroupLimit[] = [];
  for (const { version, controllers, path } of ownGroups(read('/proc/self/cgroup') ?? '')) {
    if (version === 2) {
      for (const mount of [ROOT, join(ROOT, 'unified')]) {
        for (const directory of ancestors(mount, path)) {
          addLimit(memory, read, directory, 'memory.max', 'memory.current', 'inactive_file');
          addLimit(tasks, read, directory, 'pids.max', 'pids.current');
        }
      }
    } else if (controllers.includes('memory')) {
      for (const directory of ancestors(join(ROOT, 'memory'), path)) {
        addLimit(memory, read, directory, 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file');
        addLimit(tcpMemory, read, directory, 'memory.kmem.tcp.limit_in_bytes', 'memory.kmem.tcp.usage_in_bytes');
      }
    } else if (controllers.includes('pids')) {
      for (const directory of ancestors(join(ROOT, 'pids'), path)) {
        addLimit(tasks, read, directory, 'pids.max', 'pids.current');
      }
    }
  }
  return { memory: tightest(memory), tcpMemory: tightest(tcpMemory), tasks: tightest(tasks) };
}

/** Lines are `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers, cgroups(7). */
function ownGroups(text: string): { version: 1 | 2; controllers: string[]; path: string }[] {
  return [...text.matchAll(/^(\d+):([^:]*):(.*)$/gm)].map(([, hierarchy, controllers, path]) => ({
    version: hierarchy === '0' && controllers === '' ? 2 : 1,
    controllers: controllers.split(','),
    path,
  }));
}

/** The group's directory and those above it, down to the mount itself. */
function ancestors(mount: string, path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..');
  return Array.from({ length: names.length + 1 }, (_, depth) => join(mount, ...names.slice(0, names.length - depth)));
}

function addLimit(
  limits: GroupLimit[],
  read: ReadText,
  directory: string,
  limitFile: string,
  usedFile: string,
  reclaimable?: string,
): void {
  const path = join(directory, limitFile);
  const text = read(path)?.trim();
  if (text === undefined || !/^\d+$/.test(text)) return;
  const limit = Number(text);
  if (limit >= UNLIMITED_BYTES) return;
  let used = Number(read(join(directory, usedFile)) ?? 0);
  if (reclaimable !== undefined) {
    const stat = read(join(directory, 'memory.stat')) ?? '';
    used -= Number(new RegExp(`^${reclaimable} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
  }
  limits.push({ name: limitFile, path, limit, used: Math.max(0, used) });
}

function tightest(limits: GroupLimit[]): GroupLimit | null {
  return limits.reduce<GroupLimit | null>(
    (best, each) => (best === null || each.limit - each.used < best.limit - best.used ? each : best),
    null,
  );
}
