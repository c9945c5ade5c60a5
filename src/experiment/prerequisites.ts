/** What this machine must have for an experiment, both ends of it: looked at before anything is started. */

import { readFileSync } from 'node:fs';
import { OperatorError } from '../cli/errors.js';
import { readFileCount, readKernelMemory } from '../kernel/counters.js';
import { CONNECTION_BYTES_MAX } from '../limits.js';

/** Both ends of an idle connection in the kernel, measured: sock, inode, file, dentry, epoll item, twice. */
const KERNEL_BYTES_PER_CONNECTION = 9000;
/** Of a client process: state, client, timer, news and queue of re-polls. */
const CLIENT_BYTES_PER_CONNECTION = 32;
/** A Node process, mostly shared pages of which each needs its own part. */
const PROCESS_BYTES = 60 << 20;
/** Open files for everything else on the machine. */
const OTHER_FILES = 10_000;

export interface Machine {
  /** Memory that can be had without swapping, of the machine or of the container, whichever is less. */
  availableBytes: number;
  filesOpen: number;
  filesMax: number;
  root: boolean;
}

export interface Shortage {
  /** The name of the limit: `memory`, or the sysctl's own. */
  name: string;
  is: number;
  needs: number;
  /** What to do about it. */
  fix: string;
}

export function readMachine(root: boolean): Machine {
  const { availableBytes } = readKernelMemory();
  const { open, max } = readFileCount();
  return { availableBytes: Math.min(availableBytes, containerBytes()), filesOpen: open, filesMax: max, root };
}

/** What is missing, worst first; empty where all is well. @param processes of server and clients together */
export function findShortages(connections: number, processes: number, machine: Machine): Shortage[] {
  const shortages: Shortage[] = [];
  const bytesEach = KERNEL_BYTES_PER_CONNECTION + CLIENT_BYTES_PER_CONNECTION + CONNECTION_BYTES_MAX;
  const bytes = connections * bytesEach + processes * PROCESS_BYTES;
  if (machine.availableBytes < bytes) {
    const possible = Math.max(0, Math.floor((machine.availableBytes - processes * PROCESS_BYTES) / bytesEach));
    shortages.push({
      name: 'memory',
      is: machine.availableBytes,
      needs: bytes,
      fix: `free some, or take at most --connections ${possible}`,
    });
  }
  // The limit does not hold for root (get_empty_filp in fs/file_table.c).
  const files = machine.filesOpen + 2 * connections + OTHER_FILES;
  if (!machine.root && machine.filesMax < files) {
    shortages.push({ name: 'fs.file-max', is: machine.filesMax, needs: files, fix: `sysctl -w fs.file-max=${files}` });
  }
  return shortages;
}

/** @throws OperatorError that names each shortage with its cure */
export function refuseShortages(shortages: Shortage[]): void {
  if (shortages.length === 0) return;
  const texts = shortages.map(({ name, is, needs, fix }) => {
    const amount = name === 'memory' ? (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB` : String;
    return `${name} is ${amount(is)}, needed are ${amount(needs)}: ${fix}`;
  });
  throw new OperatorError(texts.join('; '));
}

/** What a memory limit of the control group leaves, cgroups(7); Infinity where there is none. */
function containerBytes(): number {
  const limit = process.constrainedMemory();
  if (limit === 0 || limit === undefined || limit > Number.MAX_SAFE_INTEGER) return Number.POSITIVE_INFINITY;
  try {
    return limit - Number(readFileSync('/sys/fs/cgroup/memory.current', 'latin1'));
  } catch (error) {
    // cgroup v1, or the root group, which counts nothing: the limit itself is the best that is known.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return limit;
    throw error;
  }
}
