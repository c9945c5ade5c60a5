/** Readers for what a kernel says of its sockets and its memory: /proc/net, /proc/meminfo, /proc/sys/fs/file-nr; proc(5). */

import { readFileSync } from 'node:fs';

const PAGE_BYTES = 4096;

/** /proc/net/sockstat of a namespace, the line TCP. */
export interface SocketCounts {
  inUse: number;
  orphans: number;
  timeWait: number;
  /** Buffers of all TCP sockets of the machine, not of the namespace. */
  bufferBytes: number;
}

/** @param pid any process in the namespace */
export function readSocketCounts(pid: number | 'self'): SocketCounts {
  return parseSocketCounts(readFileSync(`/proc/${pid}/net/sockstat`, 'latin1'));
}

export function parseSocketCounts(sockstat: string): SocketCounts {
  const words = /^TCP: (.*)$/m.exec(sockstat)?.[1].split(' ') ?? [];
  const after = (name: string) => Number(words[words.indexOf(name) + 1] ?? 0);
  return {
    inUse: after('inuse'),
    orphans: after('orphan'),
    timeWait: after('tw'),
    bufferBytes: after('mem') * PAGE_BYTES,
  };
}

/** Counters by names such as `TcpExt.ListenDrops`. */
export type Counters = Record<string, number>;

/** /proc/net/netstat and the Tcp part of /proc/net/snmp. @param pid any process in the namespace */
export function readNetworkCounters(pid: number | 'self'): Counters {
  const netstat = readFileSync(`/proc/${pid}/net/netstat`, 'latin1');
  const snmp = readFileSync(`/proc/${pid}/net/snmp`, 'latin1');
  return parseNetworkCounters(netstat + snmp);
}

/** Pairs of lines: `TcpExt: NAME NAME …` and `TcpExt: NUMBER NUMBER …`. Only TCP's. */
export function parseNetworkCounters(text: string): Counters {
  const counters: Counters = {};
  const lines = text.split('\n').filter((line) => /^Tcp(Ext)?: /.test(line));
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const [group, ...names] = lines[index].split(' ');
    const [, ...numbers] = lines[index + 1].split(' ');
    names.forEach((name, column) => {
      counters[`${group.slice(0, -1)}.${name}`] = Number(numbers[column]);
    });
  }
  return counters;
}

/** Packets that found a CPU's queue full, of the whole machine; second column of /proc/net/softnet_stat, in hexadecimal. */
export function readBacklogDrops(): number {
  const lines = readFileSync('/proc/net/softnet_stat', 'latin1').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1], 16), 0);
}

/** What has changed, without counters that have not. */
export function changesSince(before: Counters, now: Counters): Counters {
  const changes: Counters = {};
  for (const [name, value] of Object.entries(now)) {
    const change = value - (before[name] ?? 0);
    if (change !== 0) changes[name] = change;
  }
  return changes;
}

/** Memory that the kernel itself has, of the whole machine. What is vmalloc'ed includes kernel stacks. */
export interface KernelMemory {
  slabBytes: number;
  /** The part of the slab that cannot be taken back: sockets, inodes, files. */
  slabUnreclaimableBytes: number;
  vmallocBytes: number;
  perCpuBytes: number;
  pageTableBytes: number;
}

export function readKernelMemory(): KernelMemory & { availableBytes: number } {
  return parseKernelMemory(readFileSync('/proc/meminfo', 'latin1'));
}

export function parseKernelMemory(meminfo: string): KernelMemory & { availableBytes: number } {
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
  return {
    slabBytes: bytes('Slab'),
    slabUnreclaimableBytes: bytes('SUnreclaim'),
    vmallocBytes: bytes('VmallocUsed'),
    perCpuBytes: bytes('Percpu'),
    pageTableBytes: bytes('PageTables'),
    availableBytes: bytes('MemAvailable'),
  };
}

/**
 * Memory of some caches of the kernel's objects, whole slabs, in use or not; slabinfo(5):
 *
 *     # name  <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables … : slabdata <active_slabs> <num_slabs> …
 */
export function parseSlabBytes(slabinfo: string, caches: readonly string[]): number {
  let bytes = 0;
  for (const line of slabinfo.split('\n')) {
    const [cache, , , , , pagesPerSlab] = line.split(/\s+/, 6);
    if (!caches.includes(cache)) continue;
    bytes += Number(pagesPerSlab) * Number(/: slabdata\s+\d+\s+(\d+)/.exec(line)?.[1] ?? 0) * PAGE_BYTES;
  }
  return bytes;
}

/** Everything together, with the buffers of TCP. */
export function kernelBytes(memory: KernelMemory, { bufferBytes }: SocketCounts): number {
  return memory.slabBytes + memory.vmallocBytes + memory.perCpuBytes + memory.pageTableBytes + bufferBytes;
}

/** Open files of the machine, and how many it may have (fs.file-max). */
export function readFileCount(): { open: number; max: number } {
  const [open, , max] = readFileSync('/proc/sys/fs/file-nr', 'latin1').trim().split('\t').map(Number);
  return { open, max };
}
