/**
 * What people set in 2011 to hold half a million or a million connections, and whether a kernel of today needs it.
 *
 * The lines are those of the report on the original MegaComet ("Half way there: getting MegaComet to 523,000
 * connections", splinter.com.au, 2011), which took most of them from "A million-user comet application with Mochiweb"
 * (metabrew.com, 2008), and those that other posts of these years add. docs/tuning.md has the source of each fact.
 */

export interface HistoricLine {
  line: string;
  /** `check`: still to be looked at, the doctor does; `no`: not for connections; `gone`: the kernel has it no longer. */
  verdict: 'check' | 'no' | 'gone';
  today: string;
}

export const HISTORY: readonly HistoricLine[] = [
  {
    line: '* soft nofile 1048576, * hard nofile 1048576',
    verdict: 'check',
    today:
      'RLIMIT_NOFILE, the hard one: serve raises the soft limit by itself, several workers share the connections, and ' +
      'io_uring goes past it. systemd gives services 524,288',
  },
  {
    line: 'fs.file-max = 1100000',
    verdict: 'check',
    today:
      'still bounds all open files; the default is a file for each 10 KB of memory, and systemd sets it to the maximum',
  },
  {
    line: 'net.ipv4.ip_local_port_range = 1024 65535',
    verdict: 'no',
    today:
      'for clients only, one port for each connection from one address to one target. megatest takes more source ' +
      'addresses instead, which is faster: the kernel searches long for a port when most are taken',
  },
  {
    line: 'net.ipv4.tcp_mem = 786432 1048576 26777216',
    verdict: 'check',
    today:
      'the default is 4.7, 6.2 and 9.4 % of the memory. It bounds queued data, of which idle connections have none; ' +
      '26,777,216 pages are 102 GiB, more than that machine had: no limit at all',
  },
  {
    line: 'net.ipv4.tcp_rmem, net.ipv4.tcp_wmem = 4096 16384 33554432',
    verdict: 'no',
    today:
      'bounds, not allocations: an empty queue costs nothing whatever they say, and queues begin small and grow by need',
  },
  {
    line: 'net.core.rmem_max, net.core.wmem_max = 33554432',
    verdict: 'no',
    today: 'they bound what SO_RCVBUF and SO_SNDBUF may ask for, and MegaComet asks for nothing',
  },
  {
    line: 'net.core.somaxconn',
    verdict: 'check',
    today: '128 until Linux 5.4, 4096 since: enough unless very many come back at once',
  },
  {
    line: 'net.ipv4.tcp_max_syn_backlog',
    verdict: 'no',
    today:
      'not looked at with tcp_syncookies = 1, the default; somaxconn bounds handshakes under way (since Linux 4.4)',
  },
  {
    line: 'net.core.netdev_max_backlog = 2500',
    verdict: 'no',
    today:
      'the queue of packets from loopback, veth and RPS, for each CPU; drivers of real network cards (NAPI) do not use it. ' +
      'Only if the second column of /proc/net/softnet_stat grows',
  },
  {
    line: 'net.ipv4.tcp_max_tw_buckets = 360000',
    verdict: 'no',
    today: 'ends in TIME_WAIT take 256 bytes and no descriptor; beyond the number a connection ends without that wait',
  },
  {
    line: 'net.ipv4.tcp_max_orphans',
    verdict: 'no',
    today:
      'connections that a killed worker leaves behind and that are not acknowledged yet; beyond the number they are reset, ' +
      'and their clients come back the sooner',
  },
  {
    line: 'net.ipv4.tcp_fin_timeout = 12',
    verdict: 'no',
    today: 'how long an orphan stays in FIN_WAIT_2, not in TIME_WAIT, which is 60 s and fixed; orphans there are small',
  },
  {
    line: 'net.ipv4.tcp_tw_recycle = 1',
    verdict: 'gone',
    today: 'removed in Linux 4.12: it dropped connections of clients behind one NAT address',
  },
  {
    line: 'net.ipv4.tcp_tw_reuse = 1',
    verdict: 'no',
    today: 'concerns connections that this machine opens, so testers only; 2 (loopback only) is the default since 4.19',
  },
  {
    line: 'net.ipv4.ip_conntrack_max',
    verdict: 'check',
    today: 'its name is net.netfilter.nf_conntrack_max now; it counts only where a firewall rule asks for tracking',
  },
  {
    line: 'vm.min_free_kbytes = 65536',
    verdict: 'no',
    today: 'the default follows the size of the memory (67,584 at 24 GB)',
  },
  {
    line: 'vm.swappiness = 0',
    verdict: 'no',
    today: "the kernel's memory of a socket is never swapped; since Linux 3.5 0 means: swap only to avoid running out",
  },
  {
    line: 'vm.overcommit_memory = 1',
    verdict: 'no',
    today: 'the default 0 is fine; only 2 (strict accounting) is in the way',
  },
  {
    line: 'vm.max_map_count, kernel.pid_max, kernel.threads-max',
    verdict: 'no',
    today:
      'for a thread or a mapping a connection. A worker has 5 threads and some 150 mappings, however many it holds',
  },
];
