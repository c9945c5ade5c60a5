/**
 * What the doctor looks at: one reading of the machine, taken at once and then only judged. Checks get nothing else, so
 * that tests can give them any machine.
 */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { type DescriptorLimit, platform } from '../platform/platform.js';
import { ioUringProblem } from '../reactor/choose.js';
import { type GroupLimits, type ReadText, readGroupLimits } from './cgroup.js';

export const SYSCTLS = [
  'fs.epoll.max_user_watches',
  'fs.file-max',
  'fs.file-nr',
  'fs.nr_open',
  'kernel.io_uring_disabled',
  'net.core.somaxconn',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_max_syn_backlog',
  'net.ipv4.tcp_mem',
  'net.ipv4.tcp_syncookies',
  'net.netfilter.nf_conntrack_count',
  'net.netfilter.nf_conntrack_max',
  'net.netfilter.nf_conntrack_tcp_timeout_established',
  'vm.overcommit_memory',
] as const;
export type SysctlName = (typeof SYSCTLS)[number];

export interface Reading {
  /** As uname -r says it. */
  kernel: string;
  cores: number;
  descriptors: DescriptorLimit;
  /** Numbers of each sysctl; a name is missing where the kernel has none of it. */
  sysctls: Partial<Record<SysctlName, readonly number[]>>;
  memory: { availableBytes: number; commitLimitBytes: number; committedBytes: number };
  /** Pages that TCP has allocated to socket buffers, as tcp_mem counts them. */
  tcpPages: number;
  /** Netfilter keeps an entry for each connection here. */
  tracksConnections: boolean;
  groups: GroupLimits;
  /** null where this process can use io_uring, else why not. */
  ioUring: string | null;
}

/** Where a reading comes from. */
export interface Sources {
  read: ReadText;
  cores: number;
  descriptors: DescriptorLimit;
  ioUring: string | null;
  /** Makes one connection inside the machine and calls back while it is there. */
  whileConnected: (look: () => void) => Promise<void>;
}

/** This machine. Takes a few milliseconds; opens and closes an io_uring, and perhaps a connection to itself. */
export function readMachine(): Promise<Reading> {
  return takeReading({
    read: readText,
    cores: availableParallelism(),
    descriptors: platform.descriptorLimit(),
    ioUring: ioUringProblem(),
    whileConnected: whileConnectedToItself,
  });
}

export async function takeReading(sources: Sources): Promise<Reading> {
  const { read, cores, descriptors, ioUring } = sources;
  const sysctls: Reading['sysctls'] = {};
  for (const name of SYSCTLS) {
    const values = readNumbers(read, name);
    if (values !== null) sysctls[name] = values;
  }
  const meminfo = read('/proc/meminfo') ?? '';
  return {
    kernel: read('/proc/sys/kernel/osrelease')?.trim() ?? 'unknown',
    cores,
    descriptors,
    sysctls,
    memory: {
      availableBytes: kilobytes(meminfo, 'MemAvailable'),
      commitLimitBytes: kilobytes(meminfo, 'CommitLimit'),
      committedBytes: kilobytes(meminfo, 'Committed_AS'),
    },
    tcpPages: Number(/^TCP: .* mem (\d+)/m.exec(read('/proc/net/sockstat') ?? '')?.[1] ?? 0),
    tracksConnections: await tracksConnections(sources),
    groups: readGroupLimits(read),
    ioUring,
  };
}

function readNumbers(read: ReadText, name: SysctlName): number[] | null {
  const text = read(`/proc/sys/${name.replaceAll('.', '/')}`);
  return text === null ? null : text.trim().split(/\s+/).map(Number);
}

function kilobytes(meminfo: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo);
  if (match === null) throw new Error(`/proc/meminfo has no line '${name}'`);
  return Number(match[1]) * 1024;
}

/**
 * Netfilter tracks only where some rule of this network namespace asks for it: the module alone does nothing. Whether one
 * does is seen in its count, as long as a connection exists.
 */
async function tracksConnections({ read, whileConnected }: Sources): Promise<boolean> {
  const tracked = () => readNumbers(read, 'net.netfilter.nf_conntrack_count')?.[0] ?? 0;
  if (readNumbers(read, 'net.netfilter.nf_conntrack_max') === null) return false;
  if (tracked() > 0) return true;
  let seen = false;
  await whileConnected(() => (seen = tracked() > 0));
  return seen;
}

async function whileConnectedToItself(look: () => void): Promise<void> {
  const server = createServer((peer) => peer.on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  try {
    await once(client, 'connect');
    look();
  } catch (error) {
    // A network namespace whose loopback is down: nothing is connected, so nothing can be seen.
    if ((error as NodeJS.ErrnoException).code !== 'ENETUNREACH') throw error;
  } finally {
    client.resetAndDestroy();
    server.close();
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM') return null;
    throw error;
  }
}
