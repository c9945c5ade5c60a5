/** Queues, memory and tables of the network stack. */

import { TCP_KEEPALIVE_IDLE_S } from '../limits.js';
import { CONNECTIONS_PER_LOOPBACK_ADDRESS } from '../megatest/addresses.js';
import { type Check, count, formatBytes, roundUp, sysctlCheck } from './check.js';
import {
  ACCEPT_PAUSE_SECONDS,
  BACKLOG_MAX,
  messagesUnderWay,
  type Plan,
  RETURN_SECONDS,
  ROUND_TRIP_SECONDS,
} from './plan.js';
import type { Reading } from './reading.js';

/** net.core.somaxconn: listen(2). It bounds the queue of finished handshakes and, since 4.4, that of unfinished ones. */
export function acceptQueue(reading: Reading, plan: Plan): Check {
  const is = first(reading, 'net.core.somaxconn');
  const arrivals = (plan.connections / RETURN_SECONDS) * ACCEPT_PAUSE_SECONDS;
  const needed = Math.min(BACKLOG_MAX, Math.ceil(arrivals));
  return sysctlCheck(
    {
      name: 'net.core.somaxconn',
      ok: is >= needed,
      is: String(is),
      needs: String(needed),
      why:
        `when all clients come back within ${RETURN_SECONDS} s, so many arrive in ${ACCEPT_PAUSE_SECONDS * 1000} ms without ` +
        'an accept (a burst of messages, a collection of garbage); what does not fit the queue is dropped, and that client tries again a second later, or two, or more',
    },
    String(Math.min(BACKLOG_MAX, roundUp(needed))),
  );
}

/** net.ipv4.tcp_max_syn_backlog: looked at only without SYN cookies, tcp_conn_request() in net/ipv4/tcp_input.c. */
export function handshakeQueue(reading: Reading, plan: Plan): Check {
  const is = first(reading, 'net.ipv4.tcp_max_syn_backlog');
  const cookies = (reading.sysctls['net.ipv4.tcp_syncookies']?.[0] ?? 0) !== 0;
  const arrivals = (plan.connections / RETURN_SECONDS) * ROUND_TRIP_SECONDS;
  // The last quarter is kept for addresses that the kernel knows.
  const needed = cookies ? 0 : Math.min(BACKLOG_MAX, Math.ceil((arrivals * 4) / 3));
  return sysctlCheck(
    {
      name: 'net.ipv4.tcp_max_syn_backlog',
      ok: is >= needed,
      is: String(is),
      needs: String(needed),
      why: cookies
        ? 'kernels with tcp_syncookies on, as here, do not look at it; net.core.somaxconn bounds handshakes under way'
        : `without tcp_syncookies it bounds handshakes under way: all clients back within ${RETURN_SECONDS} s, ` +
          `${ROUND_TRIP_SECONDS * 1000} ms each`,
    },
    String(Math.min(BACKLOG_MAX, roundUp(needed))),
  );
}

/** net.ipv4.tcp_mem: pages of queued data of all sockets: below the first, from the second on sparing, the third at most. */
export function tcpMemory(reading: Reading, plan: Plan): Check {
  const values = reading.sysctls['net.ipv4.tcp_mem'] ?? [];
  const most = values[2] ?? Number.POSITIVE_INFINITY;
  const ends = plan.loopback ? 2 : 1;
  const needed = messagesUnderWay(plan) * ends + reading.tcpPages;
  // The kernel's own proportions, tcp_init_mem() in net/ipv4/tcp.c: 3/4 of the pressure, and twice the first.
  const third = roundUp(needed);
  return sysctlCheck(
    {
      name: 'net.ipv4.tcp_mem',
      ok: most >= needed,
      is: values.join(' '),
      needs: `third value ${needed}`,
      why:
        'idle connections have empty queues and use no page of it; a message takes a page until it is acknowledged. ' +
        `A message for all ${count(plan.connections)} has ${count(messagesUnderWay(plan))} under way ` +
        `(${ROUND_TRIP_SECONDS * 1000} ms each, as fast as ${plan.workers} workers send); all at once would be ` +
        `${count(plan.connections * ends)} pages. ${count(reading.tcpPages)} are in use now`,
    },
    `${third / 2} ${Math.ceil((third * 2) / 3)} ${third}`,
  );
}

/** net.netfilter.nf_conntrack_max: Documentation/networking/nf_conntrack-sysctl.rst. */
export function connectionTracking(reading: Reading, plan: Plan): Check {
  const is = reading.sysctls['net.netfilter.nf_conntrack_max']?.[0];
  const name = 'net.netfilter.nf_conntrack_max';
  if (is === undefined) {
    return {
      name,
      ok: true,
      is: 'not loaded',
      needs: 'nothing',
      why: 'without nf_conntrack there is no table of connections that could be full',
      fix: '',
    };
  }
  const tracked = reading.sysctls['net.netfilter.nf_conntrack_count']?.[0] ?? 0;
  // A connection of the machine with itself has one entry, not two.
  const needed = reading.tracksConnections ? plan.connections + tracked : 0;
  return sysctlCheck(
    {
      name,
      ok: is >= needed,
      is: reading.tracksConnections ? `${is}, ${tracked} in use` : `${is}, tracking is not in use`,
      needs: String(needed),
      why: reading.tracksConnections
        ? 'a firewall rule makes the kernel keep an entry of about 320 bytes for each connection, and drops new ones when ' +
          'the table is full. A rule `notrack` for the client ports saves it altogether'
        : 'nf_conntrack is loaded, but no rule in this network namespace asks for tracking',
    },
    String(roundUp(needed)),
  );
}

/** An entry that is forgotten before the connection speaks again makes a stateful firewall drop what comes then. */
export function trackingTimeout(reading: Reading): Check | null {
  const is = reading.sysctls['net.netfilter.nf_conntrack_tcp_timeout_established']?.[0];
  if (is === undefined || !reading.tracksConnections) return null;
  const needed = 2 * TCP_KEEPALIVE_IDLE_S;
  return sysctlCheck(
    {
      name: 'net.netfilter.nf_conntrack_tcp_timeout_established',
      ok: is >= needed,
      is: `${is} s`,
      needs: `${needed} s`,
      why: `an idle client's connection speaks every ${TCP_KEEPALIVE_IDLE_S} s (TCP keep-alive); an entry must live longer`,
    },
    String(needed),
  );
}

/** net.ipv4.ip_local_port_range: ip(7). It is the clients' machine that needs ports, one for each connection to one target. */
export function localPorts(reading: Reading, plan: Plan): Check {
  const [low = 1024, high = 65_535] = reading.sysctls['net.ipv4.ip_local_port_range'] ?? [];
  const ports = high - low + 1;
  const addresses = Math.ceil(plan.connections / ports);
  return sysctlCheck(
    {
      name: 'net.ipv4.ip_local_port_range',
      ok: ports >= CONNECTIONS_PER_LOOPBACK_ADDRESS,
      is: `${low} ${high}`,
      needs: `${CONNECTIONS_PER_LOOPBACK_ADDRESS} ports`,
      why:
        `a server needs no port for a client; a tester has ${count(ports)} for each of its addresses, so it takes ` +
        `${count(addresses)} source address${addresses === 1 ? '' : 'es'} to open ${count(plan.connections)} to one target. ` +
        'megatest takes them by itself on loopback, elsewhere name them with --source',
    },
    '32768 60999',
  );
}

/** memory.kmem.tcp.limit_in_bytes: version 1 control groups only, Documentation/admin-guide/cgroup-v1/memory.rst. */
export function groupTcpMemory(reading: Reading, plan: Plan): Check | null {
  const group = reading.groups.tcpMemory;
  if (group === null) return null;
  const needed = messagesUnderWay(plan) * (plan.loopback ? 2 : 1) * 4096 + group.used;
  const ok = group.limit >= needed;
  return {
    name: group.name,
    ok,
    is: formatBytes(group.limit),
    needs: formatBytes(needed),
    why: 'socket buffers of this control group: a page for each message that is under way',
    fix: ok ? '' : `echo -1 > ${group.path}`,
  };
}

function first(reading: Reading, name: keyof Reading['sysctls']): number {
  return reading.sysctls[name]?.[0] ?? Number.POSITIVE_INFINITY;
}
