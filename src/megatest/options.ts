/** What a megatest was asked for: the options, complete and free of contradictions. */

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { UsageError } from '../cli/errors.js';
import type { ReactorChoice } from '../reactor/choose.js';
import { connectionsPossible, type Endpoint, planSources } from './addresses.js';
import type { Backend } from './backend.js';
import { markerBytesMax } from './marker.js';

/** Clients are numbered with at most 8 digits, and so are messages. */
export const CONNECTIONS_MAX = 10_000_000;
export const MESSAGES_MAX = 99_999_999;
export const RATE_MAX = 1_000_000;
export const PROCESSES_MAX = 1000;
/** The kernel itself gives up after 127 s (tcp_syn_retries in tcp(7)). */
export const TIMEOUT_SECONDS_MAX = 120;
/** Where descriptors do not force more processes, this many connections each keep several cores busy. */
export const CONNECTIONS_PER_PROCESS = 50_000;
/** With io_uring, whose connections take no descriptors: two processes hold a million. */
const IO_URING_CONNECTIONS_PER_PROCESS = 1 << 19;
/** More of them would only take memory. */
const IO_URING_PROCESSES = 2;
/** Descriptors of a child process that are not clients: Node's own, and room for re-polls that overlap. */
export const CHILD_RESERVED_DESCRIPTORS = 500;

const GRACE_MS = 5000;

export interface MegatestOptions {
  targets: Endpoint[];
  connections: number;
  /** Client ids are the prefix and a number from 0: they need at least one more character than digits. */
  prefix: string;
  /** Connections begun in a second, by all processes together; Infinity: as fast as they go. */
  rate: number;
  /** Idle time between the last connection and the first message, or the end. */
  holdSeconds: number;
  /** 0: no messages. */
  messagesPerSecond: number;
  messageCount: number;
  messageBytes: number;
  /** Base address of the HTTP API, without a slash at the end. */
  api: string | null;
  /** The classic application port. */
  classic: Endpoint | null;
  /** Source addresses; empty lets the kernel choose. */
  sources: string[];
  processes: number;
  /** For a connection to be established, and for the server to close one that it has answered. */
  timeoutMs: number;
  /** After the last one sent, messages count as lost when none has come for so long. */
  graceMs: number;
  /** Connects again where a connection was lost. */
  reopen: boolean;
  reactor: Backend;
  /** Processes to measure; empty asks the API where it is on this machine. */
  serverPids: number[];
}

/** The options as the command line gives them: what was left out is undefined. */
export interface MegatestFlags {
  target: Endpoint[];
  connections: number;
  prefix: string;
  rate?: number;
  hold: number;
  messages?: number;
  messageCount?: number;
  messageBytes: number;
  api?: string;
  classic?: Endpoint;
  source?: string[];
  processes?: number;
  timeout: number;
  reopen?: boolean;
  reactor: ReactorChoice;
  serverPids?: number[];
}

/** What the computed defaults depend on. */
export interface LoadMachine {
  /** What `--reactor` comes down to. */
  reactor: Backend;
  /** Descriptors that one process may hold. */
  descriptorLimit: number;
  /** Ports of one address that the kernel gives out. */
  portsEach: number;
}

/**
 * Completes the options.
 *
 * @throws UsageError where two of them contradict each other or the machine cannot do it
 */
export function completeMegatestOptions(flags: MegatestFlags, machine: LoadMachine): MegatestOptions {
  const { connections, prefix, messages = 0, api = null, classic = null } = flags;
  const messageCount = flags.messageCount ?? Math.min(MESSAGES_MAX, messages * Math.max(1, flags.hold));
  if (messages > 0 && api === null && classic === null) {
    throw new UsageError('--messages needs a way to send them: --api URL, --classic HOST:PORT, or both');
  }
  if (messages === 0 && flags.messageCount !== undefined) {
    throw new UsageError('--message-count needs --messages, the number to send in a second');
  }
  if (flags.messageBytes < markerBytesMax(prefix)) {
    throw new UsageError(
      `--message-bytes is ${flags.messageBytes}: with this prefix at least ${markerBytesMax(prefix)}`,
    );
  }
  const families = new Set([flags.target[0].host, ...(flags.source ?? [])].map(isIP));
  if (families.size > 1) throw new UsageError('--source and --target must both be IPv4 or both IPv6 addresses');
  const sources = planSources(flags.target, connections, flags.source ?? []);
  const possible = connectionsPossible(flags.target, sources, machine.portsEach);
  if (connections > possible) {
    const needed = Math.ceil(connections / (flags.target.length * machine.portsEach));
    throw new UsageError(
      `--connections is ${connections}, but ${Math.max(1, sources.length)} source address(es) have ports for ${possible}: ` +
        `name ${needed} with --source`,
    );
  }
  return {
    targets: flags.target,
    connections,
    prefix,
    rate: flags.rate ?? Number.POSITIVE_INFINITY,
    holdSeconds: flags.hold,
    messagesPerSecond: messages,
    messageCount: messages > 0 ? messageCount : 0,
    messageBytes: flags.messageBytes,
    api,
    classic,
    sources,
    processes: planProcesses(connections, flags.processes, machine),
    timeoutMs: flags.timeout * 1000,
    graceMs: GRACE_MS,
    reopen: flags.reopen ?? false,
    reactor: machine.reactor,
    serverPids: flags.serverPids ?? [],
  };
}

/** As few processes as possible (each costs about 10 MB), but more than one for large tests. */
function planProcesses(connections: number, wanted: number | undefined, machine: LoadMachine): number {
  const needed = processesNeeded(connections, machine);
  const large = Math.ceil(connections / CONNECTIONS_PER_PROCESS);
  const sensible = machine.reactor === 'io-uring' ? Math.min(large, IO_URING_PROCESSES) : large;
  const processes = Math.min(wanted ?? Math.max(needed, sensible), connections);
  if (processes < needed || processes > PROCESSES_MAX) {
    throw new UsageError(
      `--connections ${connections} needs ${needed} processes, as RLIMIT_NOFILE is ${machine.descriptorLimit}: ` +
        `--processes may be ${needed} to ${PROCESSES_MAX}`,
    );
  }
  return processes;
}

/**
 * How many processes it takes to hold so many connections.
 *
 * @throws UsageError where the descriptors do not suffice for any
 */
export function processesNeeded(
  connections: number,
  machine: Pick<LoadMachine, 'reactor' | 'descriptorLimit'>,
): number {
  if (machine.reactor === 'io-uring') return Math.ceil(connections / IO_URING_CONNECTIONS_PER_PROCESS);
  const each = machine.descriptorLimit - CHILD_RESERVED_DESCRIPTORS;
  if (each < 1) {
    throw new UsageError(
      `RLIMIT_NOFILE is ${machine.descriptorLimit}: raise it above ${CHILD_RESERVED_DESCRIPTORS} (ulimit -Hn)`,
    );
  }
  return Math.ceil(connections / each);
}

/** The size of ip_local_port_range (ip(7), also for IPv6); elsewhere that of the dynamic ports of RFC 6335, which others keep to. */
export function localPorts(): number {
  if (process.platform !== 'linux') return 65_535 - 49_152 + 1;
  const [first, last] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'ascii').trim().split(/\s+/).map(Number);
  return last - first + 1;
}
