/**
 * What a kernel complains about when it has more connections than it was set up for: lines of its log and counters, and
 * what helps. The settings are described in ip-sysctl.rst, sysctl/net.rst and sysctl/fs.rst of the kernel's documentation,
 * the counters in networking/snmp_counter.rst.
 */

import type { Counters } from './counters.js';
import type { KernelLogLine } from './kernel-log.js';

export interface Complaint {
  /** The line of the log, or the name of the counter. */
  what: string;
  /** Lines of that kind, or what the counter has grown by. */
  count: number;
  /** Null where nobody knows one: the line itself has to be understood. */
  cure: string | null;
}

/** Warnings and worse count as complaints even if they are not known. */
const LEVEL_WARNING = 4;

const MESSAGES: { pattern: RegExp; cure: string }[] = [
  {
    pattern: /TCP: out of memory|out of memory -- consider tuning tcp_mem/,
    cure: 'socket buffers have reached tcp_mem: raise all three values, sysctl -w net.ipv4.tcp_mem="PAGES PAGES PAGES"',
  },
  {
    pattern: /too many orphaned sockets/i,
    cure: 'more closed connections wait for their last acknowledgement than allowed: sysctl -w net.ipv4.tcp_max_orphans=262144',
  },
  {
    pattern: /time wait bucket table overflow/i,
    cure: 'connections end faster than TIME_WAIT lasts: sysctl -w net.ipv4.tcp_max_tw_buckets=2000000',
  },
  {
    pattern: /[Pp]ossible SYN flooding/,
    cure: 'the queue of half-open connections is full: sysctl -w net.ipv4.tcp_max_syn_backlog=65535 net.core.somaxconn=65535',
  },
  {
    pattern: /nf_conntrack: .*table full/,
    cure: 'conntrack follows every connection: take the ports out (nft notrack), or sysctl -w net.netfilter.nf_conntrack_max=4000000',
  },
  {
    pattern: /neighbour(: \S+:)? (table|neighbor table) overflow/i,
    cure: 'more neighbours than allowed: sysctl -w net.ipv4.neigh.default.gc_thresh3=16384, or route through one gateway',
  },
  {
    pattern: /VFS: file-max limit \d+ reached/,
    cure: 'the machine may not open more files: sysctl -w fs.file-max=4000000',
  },
  {
    pattern: /Out of memory: Killed process|oom-kill:|invoked oom-killer/,
    cure: 'the machine has no memory left: fewer connections (about 9 KB each with both ends on it), or more memory',
  },
  {
    pattern: /page allocation failure/,
    cure: 'the kernel found no free pages at once: sysctl -w vm.min_free_kbytes=262144',
  },
  {
    pattern: /TCP: Peer .* unexpectedly shrunk window/,
    cure: 'the other end ran out of buffer memory: see tcp_mem and tcp_rmem there',
  },
  {
    pattern: /soft lockup|rcu.*(stall|detected)|blocked for more than \d+ seconds/,
    cure: 'a CPU was busy in the kernel for too long: fewer connections at a time (--rate), or more cores',
  },
  {
    pattern: /port \d+\(.*\) entered|promiscuous mode|link becomes ready/,
    cure: 'no complaint: a link came or went',
  },
];

const COUNTERS: Record<string, string> = {
  'TcpExt.ListenOverflows':
    'the accept queue was full: sysctl -w net.core.somaxconn=65535, and workers that keep up (--rate, --workers)',
  'TcpExt.ListenDrops': 'connections that were refused for lack of a queue place or of memory: see ListenOverflows',
  'TcpExt.TCPReqQFullDrop': 'the queue of half-open connections was full: sysctl -w net.ipv4.tcp_max_syn_backlog=65535',
  'TcpExt.TCPReqQFullDoCookies':
    'the queue of half-open connections was full, cookies were sent: sysctl -w net.ipv4.tcp_max_syn_backlog=65535',
  'TcpExt.TCPAbortOnMemory':
    'connections were cut for lack of memory or as orphans: raise net.ipv4.tcp_mem and net.ipv4.tcp_max_orphans',
  'TcpExt.TCPMemoryPressures': 'socket buffers came near tcp_mem: raise net.ipv4.tcp_mem',
  'TcpExt.PruneCalled': 'receive buffers had to be squeezed: raise net.ipv4.tcp_rmem and net.ipv4.tcp_mem',
  'TcpExt.RcvPruned': 'received data was thrown away for lack of buffer: raise net.ipv4.tcp_rmem and net.ipv4.tcp_mem',
  'TcpExt.TCPBacklogDrop': 'packets for a busy socket were dropped: raise net.ipv4.tcp_rmem',
  'TcpExt.TCPTimeWaitOverflow': 'TIME_WAIT was full: sysctl -w net.ipv4.tcp_max_tw_buckets=2000000',
  'TcpExt.TCPTimeouts':
    'packets were lost or answered late and sent again: look for drops (backlogDrops), a slower --rate, more cores',
  'TcpExt.TCPAbortOnTimeout': 'peers did not answer for minutes: lost packets, see TCPTimeouts',
  'Tcp.AttemptFails': 'connects that failed: the server refused them or was too slow, see ListenOverflows',
  backlogDrops:
    "packets found a CPU's queue full: sysctl -w net.core.netdev_max_backlog=16384 (the whole machine's, so not set here)",
};

/** The cure for a line of the log; null where it is not known. */
export function cureOf(text: string): string | null {
  return MESSAGES.find(({ pattern }) => pattern.test(text))?.cure ?? null;
}

/** Everything that the kernel has complained about: known lines and unknown warnings, alike ones once, and counters. */
export function findComplaints(log: KernelLogLine[], changes: Counters): Complaint[] {
  const complaints = new Map<string, Complaint>();
  for (const { level, text } of log) {
    const cure = cureOf(text);
    if (cure === null && level > LEVEL_WARNING) continue;
    if (cure?.startsWith('no complaint')) continue;
    const kind = cure ?? text.replace(/\d+/g, '0');
    const complaint = complaints.get(kind) ?? { what: text, count: 0, cure };
    complaint.count++;
    complaints.set(kind, complaint);
  }
  for (const [name, cure] of Object.entries(COUNTERS)) {
    const count = changes[name] ?? 0;
    if (count > 0) complaints.set(name, { what: name, count, cure });
  }
  return [...complaints.values()];
}
