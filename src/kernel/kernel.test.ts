/** What is read of the kernel, with texts as kernels write them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cureOf, findComplaints } from './complaints.js';
import {
  changesSince,
  parseKernelMemory,
  parseNetworkCounters,
  parseSlabBytes,
  parseSocketCounts,
  readBacklogDrops,
  readFileCount,
  readKernelMemory,
  readNetworkCounters,
  readSocketCounts,
} from './counters.js';
import { KernelLog, type KernelLogLine, parseKernelRecord } from './kernel-log.js';

const warning = (text: string): KernelLogLine => ({ uptimeSeconds: 1, level: 4, text });

test('caches of the kernel count with whole slabs, and only those that are asked for', () => {
  const slabinfo = [
    'slabinfo - version: 2.1',
    '# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>',
    'TCP                30030  30030   2368   13    8 : tunables    0    0    0 : slabdata   2300   2310      0',
    'tw_sock_TCP           16     32    256   16    1 : tunables    0    0    0 : slabdata      2      2      0',
    'filp               31198  31206    192   21    1 : tunables    0    0    0 : slabdata   1486   1486      0',
    '',
  ].join('\n');
  assert.equal(parseSlabBytes(slabinfo, ['TCP', 'filp']), (2310 * 8 + 1486) * 4096);
  assert.equal(parseSlabBytes(slabinfo, ['TCPv6']), 0);
});

describe('the kernel log', () => {
  test('has its level below the facility, and its dictionary left out', () => {
    assert.deepEqual(parseKernelRecord('12,339,5140900,-;NET: Registered PF_INET; really\n SUBSYSTEM=net\n'), {
      uptimeSeconds: 5.1409,
      level: 4,
      text: 'NET: Registered PF_INET; really',
    });
  });

  test('is read from now on, where it may be read', (context) => {
    const log = KernelLog.open();
    if (log === null) return context.skip('no /dev/kmsg for us');
    try {
      assert.ok(log.read().length < 100, 'what was there before is left out');
    } finally {
      log.close();
    }
  });
});

describe('the counters', () => {
  test('of sockets are those of TCP', () => {
    const sockstat = 'sockets: used 300\nTCP: inuse 19 orphan 2 tw 5 alloc 24 mem 3\nUDP: inuse 1 mem 0\n';
    assert.deepEqual(parseSocketCounts(sockstat), { inUse: 19, orphans: 2, timeWait: 5, bufferBytes: 12288 });
  });

  test('of the network come in pairs of lines, and only those of TCP are taken', () => {
    const netstat = 'TcpExt: SyncookiesSent ListenDrops\nTcpExt: 0 7\nIpExt: InOctets\nIpExt: 9\n';
    const snmp = 'Ip: Forwarding\nIp: 1\nTcp: RtoMin AttemptFails\nTcp: 200 3\n';
    const counters = parseNetworkCounters(netstat + snmp);
    assert.deepEqual(counters, {
      'TcpExt.SyncookiesSent': 0,
      'TcpExt.ListenDrops': 7,
      'Tcp.RtoMin': 200,
      'Tcp.AttemptFails': 3,
    });
    const changes = changesSince({ 'TcpExt.ListenDrops': 5, 'Tcp.AttemptFails': 3 }, counters);
    assert.deepEqual(changes, { 'TcpExt.ListenDrops': 2, 'Tcp.RtoMin': 200 });
  });

  test('of memory are bytes', () => {
    const memory = parseKernelMemory('MemAvailable:  10 kB\nSlab:   4 kB\nSUnreclaim:  3 kB\nPercpu: 2 kB\n');
    assert.deepEqual(
      [memory.availableBytes, memory.slabBytes, memory.slabUnreclaimableBytes, memory.perCpuBytes, memory.vmallocBytes],
      [10240, 4096, 3072, 2048, 0],
    );
  });

  test('of this machine make sense', () => {
    const memory = readKernelMemory();
    assert.ok(memory.slabUnreclaimableBytes > 0 && memory.slabBytes > memory.slabUnreclaimableBytes);
    assert.ok(memory.availableBytes > 0);
    const files = readFileCount();
    assert.ok(files.open > 0 && files.max > files.open);
    assert.ok('TcpExt.ListenOverflows' in readNetworkCounters('self'));
    assert.ok(readSocketCounts(process.pid).inUse >= 0);
    assert.ok(readBacklogDrops() >= 0);
  });
});

describe('a complaint', () => {
  // As printed by kernels 5.10 to 6.18: net/ipv4/tcp.c, tcp_input.c, inet_timewait_sock.c, core/neighbour.c, fs/file_table.c …
  const known: [line: string, cure: RegExp][] = [
    ['TCP: out of memory -- consider tuning tcp_mem', /tcp_mem/],
    ['TCP: too many orphaned sockets', /tcp_max_orphans/],
    ['TCP: time wait bucket table overflow', /tcp_max_tw_buckets/],
    ['TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:8000. Sending cookies.', /tcp_max_syn_backlog/],
    ['nf_conntrack: nf_conntrack: table full, dropping packet', /nf_conntrack_max/],
    ['neighbour: arp_cache: neighbor table overflow!', /gc_thresh3/],
    ['VFS: file-max limit 2466174 reached', /fs\.file-max/],
    ['Out of memory: Killed process 123 (node) total-vm:1kB', /memory/],
    ['node: page allocation failure: order:3, mode:0x40a20', /min_free_kbytes/],
    ['watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [node:77]', /--rate/],
  ];
  for (const [line, cure] of known) {
    test(`such as "${line}" has a cure`, () => assert.match(cureOf(line) ?? '', cure));
  }

  test('that comes again is counted', () => {
    const text = 'TCP: out of memory -- consider tuning tcp_mem';
    const complaints = findComplaints([warning(text), warning(text)], {});
    assert.deepEqual(complaints, [{ what: text, count: 2, cure: cureOf(text) }]);
  });

  test('that nobody knows is told without a cure, if it is a warning', () => {
    assert.deepEqual(findComplaints([warning('strange 1'), warning('strange 2')], {}), [
      { what: 'strange 1', count: 2, cure: null },
    ]);
    assert.deepEqual(findComplaints([{ ...warning('strange'), level: 6 }], {}), []);
  });

  test('is not that a link came up', () => {
    assert.deepEqual(findComplaints([warning('mc0: port 1(box-a) entered forwarding state')], {}), []);
  });

  test('may be a counter that has grown', () => {
    const [complaint, ...others] = findComplaints([], { 'TcpExt.ListenOverflows': 12, 'TcpExt.TCPPureAcks': 99 });
    assert.deepEqual(others, []);
    assert.equal(complaint.what, 'TcpExt.ListenOverflows');
    assert.equal(complaint.count, 12);
    assert.match(complaint.cure!, /somaxconn/);
  });
});
