/**
 * The values of command-line options: parsing, ranges, contradictions and computed defaults.
 *
 * Pure: cores, descriptor limit and environment are arguments, so that every rule can be tested. Each parser takes the text
 * of one option and throws InvalidArgumentError with what is allowed; commander puts the name of the option, or of the
 * environment variable, before it.
 */

import { isIP } from 'node:net';
import { join } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { CHANNEL_PATTERN_RULE, isChannelPattern } from '../channel-pattern.js';
import { RESERVED_DESCRIPTORS, WORKERS_MAX } from '../limits.js';
import type { RetentionRule } from '../log/log.js';
import { parseRetentionRule } from '../log/retention.js';
import { classicHost } from '../loopback.js';
import type { ServeOptions } from '../manager/options.js';
import type { ReactorChoice } from '../reactor/choose.js';
import type { ReactorName } from '../reactor/reactor.js';
import { UsageError } from './errors.js';
import { type AccessFlags, accessOptions } from './flags/access.js';
import { type ApiFlags, assertApiKeys } from './flags/api.js';
import type { OperationFlags } from './flags/operation.js';
import { type StormFlags, stormOptions } from './flags/storms.js';

/**
 * Ports that one --client-ports may name. Each is a descriptor in each worker, and they have to fit into
 * RESERVED_DESCRIPTORS beside some 22 others; and more would be a slip of the pen (`8000-80000`).
 */
export const CLIENT_PORTS_MAX = 32;

/**
 * What one worker holds at most, however many descriptors it may have: containers often set a limit of 10⁹, which is
 * no statement about connections, and the tables have a row for each.
 */
export const WORKER_CONNECTIONS_MAX = 1 << 21;

/** What it holds at most when nobody says: its hash table grows with it, and is spread over by the first few clients. */
export const WORKER_CONNECTIONS_DEFAULT = 1 << 17;

/** sockaddr_un.sun_path holds 108 bytes with the final zero (unix(7)); the longest name in the directory takes 17. */
export const RUN_DIRECTORY_BYTES_MAX = 90;

export const LOG_CHOICES = ['memory', 'lmdb'] as const;
export const FSYNC_CHOICES = ['always', 'interval', 'never'] as const;

/** The flags of `serve` after parsing, before the computed defaults. */
export interface ServeFlags extends AccessFlags, ApiFlags, OperationFlags, StormFlags {
  host: string;
  clientPorts: number[];
  classicPort: number | 'none';
  apiPort: number;
  workers?: number;
  maxConnections?: number;
  runDir: string;
  log: ServeOptions['log'];
  dataDir: string;
  fsync: ServeOptions['fsync'];
  retainSeconds: number;
  retainMessages: number;
  retainBytes: number;
  retainTotalBytes: number;
  retain: RetentionRule[];
  clientPublish: string[];
  testEcho?: true;
  orphanSeconds: number;
  reactor: ReactorChoice;
}

/** What the computed defaults depend on. */
export interface Machine {
  cores: number;
  /** What the workers will use. io_uring's direct descriptors are not counted by RLIMIT_NOFILE. */
  reactor: ReactorName;
  /** Descriptors that one process may hold: RLIMIT_NOFILE, after the soft limit was raised to the hard one. */
  descriptorLimit: number;
}

/** A parser of whole numbers, `minimum` to `maximum`, both allowed. */
export function integer(minimum: number, maximum: number, unit = ''): (text: string) => number {
  const allowed = `Allowed: a whole number${unit && ` of ${unit}`} from ${minimum} to ${maximum}.`;
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : -1;
    if (value < minimum || value > maximum) throw new InvalidArgumentError(allowed);
    return value;
  };
}

/** One port, 0 to 65535; 0 lets the kernel choose a free one. */
export function parsePort(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > 65535) {
    throw new InvalidArgumentError('Allowed: a port from 1 to 65535, or 0 for any free one.');
  }
  return value;
}

/** As {@link parsePort}, or `none` (not null: commander takes that for no value). */
export function parsePortOrNone(text: string): number | 'none' {
  if (text === 'none') return text;
  const value = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > 65535) {
    throw new InvalidArgumentError("Allowed: a port from 1 to 65535, 0 for any free one, or 'none'.");
  }
  return value;
}

/**
 * Ports and ranges, separated by commas: `8000`, `8000-8007`, `8000,8100-8103`.
 *
 * @returns the ports in the order given, without duplicates among the numbered ones
 */
export function parsePorts(text: string): number[] {
  const ports: number[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim());
    const first = match ? Number(match[1]) : -1;
    const last = match?.[2] === undefined ? first : Number(match[2]);
    const isRange = last !== first;
    if (first < 0 || last > 65535 || last < first || (isRange && first === 0)) {
      throw new InvalidArgumentError(
        'Allowed: ports from 1 to 65535 and ranges, such as 8000, 8000-8007 or 8000,8100; 0 for any free one.',
      );
    }
    if (ports.length + last - first + 1 > CLIENT_PORTS_MAX) {
      throw new InvalidArgumentError(`Allowed: at most ${CLIENT_PORTS_MAX} ports.`);
    }
    for (let port = first; port <= last; port++) {
      if (port !== 0 && ports.includes(port)) throw new InvalidArgumentError(`Port ${port} is named twice.`);
      ports.push(port);
    }
  }
  return ports;
}

const SIZE_UNITS: Record<string, number> = { '': 1, B: 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** A parser of sizes in bytes, with the units K, M, G (or KiB, MiB, GiB) of 1024, 1024² and 1024³ bytes. */
export function size(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const match = /^(\d{1,15})\s*(?:([BKMG]?)|([KMG])iB)$/i.exec(text.trim());
    const value = match ? Number(match[1]) * SIZE_UNITS[(match[2] ?? match[3] ?? '').toUpperCase()] : -1;
    if (value < minimum || value > maximum) {
      throw new InvalidArgumentError(
        `Allowed: ${formatSize(minimum)} to ${formatSize(maximum)}, as bytes or with K, M, G, KiB, MiB or GiB.`,
      );
    }
    return value;
  };
}

/** A size as the parser would read it back: 1 MiB as `1MiB`, 1000 as `1000`. */
export function formatSize(bytes: number): string {
  for (const unit of ['G', 'M', 'K']) {
    if (bytes > 0 && bytes % SIZE_UNITS[unit] === 0) return `${bytes / SIZE_UNITS[unit]}${unit}iB`;
  }
  return String(bytes);
}

/** An IP address, or `localhost` (127.0.0.1). Names are refused: what they resolve to may change under a server. */
export function parseHost(text: string): string {
  if (text === 'localhost') return '127.0.0.1';
  // isIP takes zones (fe80::1%eth0), which are no part of an address.
  if (isIP(text) === 0 || text.includes('%')) {
    throw new InvalidArgumentError('Allowed: an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or localhost.');
  }
  return text;
}

/** The base address of an HTTP API, without a trailing slash. */
export function parseApiUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== 'http:' || url.search || url.hash) {
    throw new InvalidArgumentError('Allowed: an address such as http://127.0.0.1:9001.');
  }
  return url.href.replace(/\/+$/, '');
}

/** A directory path, short enough for the Unix sockets in it. Made absolute by the caller, who knows the directory. */
export function parseRunDirectory(text: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes === 0 || bytes > RUN_DIRECTORY_BYTES_MAX || text.includes('\0')) {
    throw new InvalidArgumentError(
      `Allowed: a path of 1 to ${RUN_DIRECTORY_BYTES_MAX} bytes (a Unix socket's address is no longer).`,
    );
  }
  return text;
}

/** The path of a file or directory. Made absolute by the caller, who knows the directory. */
export function parsePath(text: string): string {
  if (text === '' || text.includes('\0')) throw new InvalidArgumentError('Allowed: a path.');
  return text;
}

/** /var/lib/megacomet for root; else $XDG_STATE_HOME/megacomet, or ~/.local/state/megacomet where that is not set. */
export function defaultDataDirectory(stateHome: string | undefined, home: string, uid: number): string {
  if (uid === 0) return '/var/lib/megacomet';
  return join(stateHome || join(home, '.local', 'state'), 'megacomet');
}

/** Rules of retention, separated by commas: src/log/retention.ts. */
export function parseRetain(text: string): RetentionRule[] {
  try {
    return text.split(',').map(parseRetentionRule);
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
}

/** Channels and prefixes with `*`, separated by commas: `chat/*,lobby`. */
export function parseChannelPatterns(text: string): string[] {
  return text.split(',').map((pattern) => {
    if (isChannelPattern(pattern)) return pattern;
    throw new InvalidArgumentError(`Allowed: ${CHANNEL_PATTERN_RULE}.`);
  });
}

/** $XDG_RUNTIME_DIR/megacomet, or `<temporary directory>/megacomet-<uid>` where there is no such directory. */
export function defaultRunDirectory(runtimeDirectory: string | undefined, temporary: string, uid: number): string {
  return runtimeDirectory ? join(runtimeDirectory, 'megacomet') : join(temporary, `megacomet-${uid}`);
}

/** Connections that one worker can hold: its descriptors without those that it needs itself, up to a maximum. */
export function workerCapacity(machine: Machine): number {
  if (machine.reactor === 'io-uring') return WORKER_CONNECTIONS_MAX;
  return Math.min(Math.max(1, machine.descriptorLimit - RESERVED_DESCRIPTORS), WORKER_CONNECTIONS_MAX);
}

/**
 * Workers and connections, each computed from the other where it was not given: one worker a core, more where
 * `maxConnections` does not fit their descriptors; and as many connections as the workers can hold, up to
 * WORKER_CONNECTIONS_DEFAULT each.
 *
 * @throws UsageError where the two contradict each other, with the number that would do
 */
export function planWorkers(
  machine: Machine,
  workers: number | undefined,
  maxConnections: number | undefined,
): { workers: number; maxConnections: number } {
  const capacity = workerCapacity(machine);
  const perCore = Math.min(Math.max(1, machine.cores), WORKERS_MAX);
  if (maxConnections === undefined) {
    const count = workers ?? perCore;
    return { workers: count, maxConnections: count * Math.min(capacity, WORKER_CONNECTIONS_DEFAULT) };
  }
  const needed = Math.ceil(maxConnections / capacity);
  if (needed > WORKERS_MAX) {
    throw new UsageError(
      `--max-connections ${maxConnections} needs ${needed} workers of ${capacity} connections each ` +
        `(RLIMIT_NOFILE ${machine.descriptorLimit}), but at most ${WORKERS_MAX} are allowed: ` +
        `raise the limit (ulimit -Hn) or ask for at most ${WORKERS_MAX * capacity}`,
    );
  }
  if (workers !== undefined && workers < needed) {
    throw new UsageError(
      `--max-connections ${maxConnections} needs at least --workers ${needed}: --workers ${workers} can hold ` +
        `${workers * capacity} (${capacity} each, RLIMIT_NOFILE ${machine.descriptorLimit})`,
    );
  }
  return { workers: workers ?? Math.max(perCore, needed), maxConnections };
}

/** True where two listeners on these hosts could not share a port. Wildcards overlap with everything. */
function hostsOverlap(one: string, other: string): boolean {
  return one === other || isWildcard(one) || isWildcard(other);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function assertNoClash(flags: ServeFlags): void {
  const { classicPort, apiPort, clientPorts } = flags;
  if (apiPort !== 0 && apiPort === classicPort) {
    throw new UsageError(`--api-port and --classic-port are both ${apiPort}: they must differ`);
  }
  for (const [name, port, host] of [
    ['--api-port', apiPort, flags.apiHost],
    ['--classic-port', classicPort, classicHost(flags.apiHost)],
  ] as const) {
    if (!hostsOverlap(flags.host, host)) continue;
    if (port !== 'none' && port !== 0 && clientPorts.includes(port)) {
      throw new UsageError(`${name} ${port} is also one of --client-ports: they must differ`);
    }
  }
}

function assertRetention({ retainBytes, retainTotalBytes, retain }: ServeFlags): void {
  const total = `--retain-total-bytes ${formatSize(retainTotalBytes)}`;
  if (retainTotalBytes < retainBytes) {
    throw new UsageError(
      `${total} is less than --retain-bytes ${formatSize(retainBytes)}: it must be at least as much`,
    );
  }
  for (const [i, { pattern, bytes = 0 }] of retain.entries()) {
    if (retain.findIndex((rule) => rule.pattern === pattern) !== i) {
      throw new UsageError(`--retain has two rules for '${pattern}': leave one out`);
    }
    if (retainTotalBytes < bytes) {
      throw new UsageError(`${total} is less than what --retain '${pattern}' allows: it must be at least as much`);
    }
  }
}

/**
 * The complete options of a server.
 *
 * @param directories absolute paths of run directory and data directory
 * @throws UsageError where flags contradict each other
 */
export function completeServeOptions(
  flags: ServeFlags,
  directories: { run: string; data: string },
  machine: Machine,
): ServeOptions {
  assertNoClash(flags);
  assertApiKeys(flags);
  assertRetention(flags);
  return {
    host: flags.host,
    apiHost: flags.apiHost,
    clientPorts: flags.clientPorts,
    classicPort: flags.classicPort === 'none' ? null : flags.classicPort,
    apiPort: flags.apiPort,
    apiKeysFile: flags.apiKeys ?? null,
    ...planWorkers(machine, flags.workers, flags.maxConnections),
    runDirectory: directories.run,
    log: flags.log,
    dataDirectory: directories.data,
    fsync: flags.fsync,
    retention: {
      seconds: flags.retainSeconds,
      messages: flags.retainMessages,
      bytes: flags.retainBytes,
      totalBytes: flags.retainTotalBytes,
      rules: flags.retain,
    },
    clientPublish: flags.clientPublish,
    logFormat: flags.logFormat === 'auto' ? 'json' : flags.logFormat,
    logLevel: flags.logLevel,
    testEcho: flags.testEcho ?? false,
    orphanSeconds: flags.orphanSeconds,
    access: accessOptions(flags),
    storms: stormOptions(flags),
    reactor: machine.reactor,
  };
}
