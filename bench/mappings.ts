/**
 * What the memory of a process is for, told from its mappings.
 *
 * It is told from where each lies, which is so for Node on x64 with the GNU C library: V8 takes addresses at random, far
 * below those that the kernel chooses; what malloc(3) does not map on its own is in [heap] or in arenas, which begin at multiples of
 * 64 MiB; a thread's stack lies above a page that nobody may touch.
 *
 * Source: proc(5) smaps; mallopt(3) M_MMAP_THRESHOLD; pthread_attr_setguardsize(3).
 */

export const KINDS = {
  tables: 'tables of connections, channels and names; whatever else is mapped by itself',
  v8: "V8's heap and code",
  malloc: 'malloc(3)',
  rings: 'queues of io_urings',
  stacks: 'stacks',
  files: "share of Node's binary and of libraries",
} as const;

export type Kind = keyof typeof KINDS;

interface Mapping {
  start: number;
  end: number;
  permissions: string;
  path: string;
  pssKilobytes: number;
}

const KERNEL_CHOOSES_FROM = 0x7000_0000_0000;
const ARENA_BYTES = 64 << 20;

/** KiB of PSS by kind. @param smaps what /proc/<pid>/smaps has */
export function byKind(smaps: string): Record<Kind, number> {
  const sums: Record<Kind, number> = { tables: 0, v8: 0, malloc: 0, rings: 0, stacks: 0, files: 0 };
  let before: Mapping | null = null;
  for (const mapping of mappings(smaps)) {
    sums[kindOf(mapping, before)] += mapping.pssKilobytes;
    before = mapping;
  }
  return sums;
}

function* mappings(smaps: string): Generator<Mapping> {
  const pattern = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)\n(?:.*\n)*?Pss: +(\d+) kB$/gm;
  for (const [, start, end, permissions, path, pss] of smaps.matchAll(pattern)) {
    yield {
      start: Number.parseInt(start!, 16),
      end: Number.parseInt(end!, 16),
      permissions: permissions!,
      path: path!,
      pssKilobytes: Number(pss),
    };
  }
}

function kindOf({ start, end, permissions, path }: Mapping, before: Mapping | null): Kind {
  if (path === '[heap]') return 'malloc';
  if (path === '[stack]') return 'stacks';
  if (path === 'anon_inode:[io_uring]') return 'rings';
  if (path !== '') return 'files';
  const follows = before !== null && before.end === start;
  // Variables of a binary or library that are zero at first.
  if (follows && before.path.startsWith('/')) return 'files';
  if (permissions.includes('x') || start < KERNEL_CHOOSES_FROM) return 'v8';
  if (start % ARENA_BYTES === 0 && end - start <= ARENA_BYTES) return 'malloc';
  if (follows && before.permissions === '---p' && before.end - before.start === 4096) return 'stacks';
  return 'tables';
}
