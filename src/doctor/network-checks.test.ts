import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  acceptQueue,
  connectionTracking,
  groupTcpMemory,
  handshakeQueue,
  localPorts,
  tcpMemory,
  trackingTimeout,
} from './network-checks.js';
import { runCheck } from './testing/run-check.js';

describe('net.core.somaxconn', () => {
  it('must hold what arrives in a tenth of a second when all come back in ten', () => {
    const at = (queue: number) => runCheck(acceptQueue, { sysctls: { 'net.core.somaxconn': [queue] } });
    assert.equal(at(1000).ok, true);
    const check = at(999);
    assert.equal(check.ok, false);
    assert.equal(check.needs, '1000');
    assert.equal(check.fix, 'sysctl -w net.core.somaxconn=1024');
  });

  it('needs never more than serve asks of listen(2)', () => {
    const check = runCheck(acceptQueue, {}, { connections: 50_000_000 });
    assert.equal(check.needs, '65535');
    assert.equal(check.fix, 'sysctl -w net.core.somaxconn=65535');
  });
});

describe('net.ipv4.tcp_max_syn_backlog', () => {
  const queue = { 'net.ipv4.tcp_max_syn_backlog': [1024] };

  it('does not matter with SYN cookies', () => {
    const check = runCheck(handshakeQueue, { sysctls: { ...queue, 'net.ipv4.tcp_syncookies': [1] } });
    assert.equal(check.ok, true);
    assert.match(check.why, /do not look at it/);
  });

  it('must hold the handshakes of a return without them, and a quarter in reserve', () => {
    const check = runCheck(handshakeQueue, { sysctls: { ...queue, 'net.ipv4.tcp_syncookies': [0] } });
    assert.equal(check.ok, false);
    assert.equal(check.needs, '3334');
    assert.equal(check.fix, 'sysctl -w net.ipv4.tcp_max_syn_backlog=4096');
  });
});

describe('net.ipv4.tcp_mem', () => {
  it('is enough for idle connections, however many, and for the messages under way', () => {
    const check = runCheck(tcpMemory, {}, { connections: 2_000_000, workers: 4 });
    assert.equal(check.ok, true);
    assert.equal(check.is, '190000 253000 380000');
    assert.equal(check.needs, 'third value 100010');
    assert.match(check.why, /all at once would be 2,000,000 pages/);
  });

  it('is mended in the proportions that the kernel gives it', () => {
    const check = runCheck(tcpMemory, { sysctls: { 'net.ipv4.tcp_mem': [3000, 4000, 6000] } }, { workers: 2 });
    assert.equal(check.ok, false);
    assert.equal(check.needs, 'third value 50010');
    assert.equal(check.fix, 'sysctl -w net.ipv4.tcp_mem="32768 43691 65536"');
  });

  it('needs a page at each end where both are here', () => {
    assert.equal(runCheck(tcpMemory, {}, { workers: 2, loopback: true }).needs, 'third value 100010');
  });
});

describe('net.netfilter.nf_conntrack_max', () => {
  const tracking = {
    sysctls: {
      'net.netfilter.nf_conntrack_max': [65_536],
      'net.netfilter.nf_conntrack_count': [100],
      'net.netfilter.nf_conntrack_tcp_timeout_established': [432_000],
    },
  };

  it('does not matter where the module is not loaded, or tracks nothing', () => {
    const absent = runCheck(connectionTracking);
    assert.equal(absent.ok, true);
    assert.equal(absent.is, 'not loaded');
    const idle = runCheck(connectionTracking, tracking);
    assert.equal(idle.ok, true);
    assert.equal(idle.is, '65536, tracking is not in use');
  });

  it('must hold every connection where it tracks', () => {
    const check = runCheck(connectionTracking, { ...tracking, tracksConnections: true });
    assert.equal(check.ok, false);
    assert.equal(check.is, '65536, 100 in use');
    assert.equal(check.needs, '100100');
    assert.equal(check.fix, 'sysctl -w net.netfilter.nf_conntrack_max=131072');
    assert.equal(
      runCheck(connectionTracking, { ...tracking, tracksConnections: true }, { connections: 65_436 }).ok,
      true,
    );
  });

  it('must remember a connection until its next keep-alive', () => {
    assert.equal(runCheck(trackingTimeout, tracking), null);
    assert.equal(runCheck(trackingTimeout, { ...tracking, tracksConnections: true })?.ok, true);
    const sysctls = { ...tracking.sysctls, 'net.netfilter.nf_conntrack_tcp_timeout_established': [300] };
    const check = runCheck(trackingTimeout, { sysctls, tracksConnections: true });
    assert.equal(check?.ok, false);
    assert.equal(check?.fix, 'sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=600');
  });
});

describe('net.ipv4.ip_local_port_range', () => {
  it('says how many source addresses a tester needs', () => {
    const check = runCheck(localPorts, {}, { connections: 1_048_576 });
    assert.equal(check.ok, true);
    assert.match(check.why, /28,232 for each of its addresses, so it takes 38 source addresses/);
    assert.match(runCheck(localPorts, {}, { connections: 1000 }).why, /takes 1 source address to/);
  });

  it('must have the ports that megatest takes of each loopback address', () => {
    const check = runCheck(localPorts, { sysctls: { 'net.ipv4.ip_local_port_range': [60_000, 60_999] } });
    assert.equal(check.ok, false);
    assert.equal(check.fix, 'sysctl -w net.ipv4.ip_local_port_range="32768 60999"');
  });
});

describe('memory.kmem.tcp.limit_in_bytes', () => {
  const limited = (limit: number) => ({
    groups: {
      memory: null,
      tasks: null,
      tcpMemory: { name: 'memory.kmem.tcp.limit_in_bytes', path: '/sys/fs/cgroup/memory/x', limit, used: 4096 },
    },
  });

  it('is left out where there is none', () => {
    assert.equal(runCheck(groupTcpMemory), null);
  });

  it('must hold a page for each message under way', () => {
    assert.equal(runCheck(groupTcpMemory, limited(50_001 * 4096), { workers: 2 })?.ok, true);
    const check = runCheck(groupTcpMemory, limited(50_000 * 4096), { workers: 2 });
    assert.equal(check?.ok, false);
    assert.equal(check?.fix, 'echo -1 > /sys/fs/cgroup/memory/x');
  });
});
