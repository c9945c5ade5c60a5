/**
 * Watches machine and server while an experiment runs: a sample a second, the kernel's log, and counters from beginning to
 * end. Reads /proc only, so nothing that it measures has to answer it.
 */

import {
  type Counters,
  changesSince,
  type KernelMemory,
  kernelBytes,
  readBacklogDrops,
  readFileCount,
  readKernelMemory,
  readNetworkCounters,
  readSocketCounts,
} from '../kernel/counters.js';
import { KernelLog, type KernelLogLine } from '../kernel/kernel-log.js';
import { type ProcessMemory, processCpu, processMemory, residentBytes } from '../linux/proc.js';
import { Histogram } from '../megatest/histogram.js';
import type { MemoryFigures, ProcessFigures, Sample } from './result.js';
import type { ServerProcess } from './server.js';

const SAMPLE_MS = 1000;

/** What the clients know at the moment. */
export type ClientCounts = Pick<Sample, 'phase' | 'opened' | 'held' | 'failed' | 'dropped' | 'received' | 'duplicates'>;

export interface Observed {
  serverProcesses: () => ServerProcess[];
  /** One client process of each box, for the counters of its namespace; none where it is the server's own. */
  boxPids: number[];
  testerPids: number[];
  counts: () => ClientCounts;
}

/** What the machine looked like before the server was started. */
export interface Baseline {
  memory: KernelMemory;
  kernelBytes: number;
}

/** CPU seconds of the server, by name of the process; for what is used between two moments. */
export type CpuSeconds = Map<string, number>;

export function readBaseline(): Baseline {
  const memory = readKernelMemory();
  return { memory, kernelBytes: kernelBytes(memory, readSocketCounts('self')) };
}

export class Observer {
  readonly samples: Sample[] = [];
  readonly kernelLog: KernelLogLine[] = [];
  readonly kernelLogRead: boolean;
  private readonly observed: Observed;
  private readonly baseline: Baseline;
  private readonly log = KernelLog.open();
  private readonly startMs = performance.now();
  private readonly timer: NodeJS.Timeout;
  private readonly serverPid: number;
  private readonly serverBefore: Counters;
  private readonly boxesBefore: Counters[];
  private readonly backlogDropsBefore = readBacklogDrops();
  /** CPU seconds of each process at the last look, and by name of all processes that ever had it. */
  private readonly lastCpu = new Map<number, number>();
  private readonly cpu: CpuSeconds = new Map();
  private sampledMs = this.startMs;
  private sampledCpu: CpuSeconds = new Map();
  private latencies = new Histogram();

  constructor(observed: Observed, baseline: Baseline) {
    this.observed = observed;
    this.baseline = baseline;
    this.kernelLogRead = this.log !== null;
    this.serverPid = observed.serverProcesses()[0].pid;
    this.serverBefore = readNetworkCounters(this.serverPid);
    this.boxesBefore = observed.boxPids.map(readNetworkCounters);
    this.readProcesses();
    this.sampledCpu = this.cpuSeconds();
    this.sample();
    this.timer = setInterval(() => this.sample(), SAMPLE_MS);
  }

  get elapsedSeconds(): number {
    return (performance.now() - this.startMs) / 1000;
  }

  /** A message has come after so many microseconds. */
  record(latencyUs: number): void {
    this.latencies.record(latencyUs);
  }

  /** CPU time that the server has used so far, for `figures`. */
  cpuSeconds(): CpuSeconds {
    return new Map(this.cpu);
  }

  /** The server now, and its CPU since a moment. */
  figures(since: CpuSeconds, seconds: number): MemoryFigures & { processes: ProcessFigures[]; cpuSeconds: number } {
    const memories = this.readProcesses();
    const processes = memories.map(({ name, pid, memory }) => {
      const used = (this.cpu.get(name) ?? 0) - (since.get(name) ?? 0);
      return { name, pid, ...memory, cpuPercent: round((used / Math.max(seconds, 0.001)) * 100, 2) };
    });
    const sum = (field: keyof ProcessMemory) => processes.reduce((total, each) => total + each[field], 0);
    let cpuSeconds = 0;
    for (const [name, used] of this.cpu) cpuSeconds += used - (since.get(name) ?? 0);
    return {
      rssBytes: sum('rssBytes'),
      pssBytes: sum('pssBytes'),
      privateBytes: sum('privateBytes'),
      kernelBytes: kernelBytes(readKernelMemory(), readSocketCounts('self')) - this.baseline.kernelBytes,
      processes,
      cpuSeconds: round(cpuSeconds, 2),
    };
  }

  /** By how much each part of the kernel's memory has grown. */
  kernelGrowth(): KernelMemory & { bufferBytes: number } {
    const now = readKernelMemory();
    const { memory } = this.baseline;
    return {
      slabBytes: now.slabBytes - memory.slabBytes,
      slabUnreclaimableBytes: now.slabUnreclaimableBytes - memory.slabUnreclaimableBytes,
      vmallocBytes: now.vmallocBytes - memory.vmallocBytes,
      perCpuBytes: now.perCpuBytes - memory.perCpuBytes,
      pageTableBytes: now.pageTableBytes - memory.pageTableBytes,
      bufferBytes: readSocketCounts('self').bufferBytes,
    };
  }

  /** What the counters have grown by so far. */
  counters(): { server: Counters; clients: Counters } {
    const server = changesSince(this.serverBefore, readNetworkCounters(this.serverPid));
    const backlogDrops = readBacklogDrops() - this.backlogDropsBefore;
    if (backlogDrops > 0) server['backlogDrops'] = backlogDrops;
    const clients: Counters = {};
    for (const [index, pid] of this.observed.boxPids.entries()) {
      for (const [name, change] of Object.entries(changesSince(this.boxesBefore[index], readNetworkCounters(pid)))) {
        clients[name] = (clients[name] ?? 0) + change;
      }
    }
    return { server, clients };
  }

  /** Takes a last sample. */
  stop(): void {
    clearInterval(this.timer);
    this.sample();
    this.log?.close();
  }

  private sample(): void {
    const nowMs = performance.now();
    const seconds = (nowMs - this.sampledMs) / 1000;
    const { processes, cpuSeconds, ...memory } = this.figures(this.sampledCpu, seconds);
    const sockets = readSocketCounts(this.serverPid);
    const messages = this.latencies;
    this.samples.push({
      seconds: round(this.elapsedSeconds, 2),
      ...this.observed.counts(),
      ...memory,
      sockets: sockets.inUse,
      orphans: sockets.orphans,
      timeWait: sockets.timeWait,
      slabUnreclaimableBytes: readKernelMemory().slabUnreclaimableBytes,
      bufferBytes: sockets.bufferBytes,
      openFiles: readFileCount().open,
      cpuPercent: round((cpuSeconds / Math.max(seconds, 0.001)) * 100, 2),
      processes,
      testersRssBytes: this.observed.testerPids.reduce((sum, pid) => sum + (residentBytes(pid) ?? 0), 0),
      latencyP50Ms: messages.count === 0 ? null : messages.percentile(50) / 1000,
      latencyMaxMs: messages.count === 0 ? null : messages.max / 1000,
    });
    this.latencies = new Histogram();
    this.sampledMs = nowMs;
    this.sampledCpu = this.cpuSeconds();
    if (this.log !== null) this.kernelLog.push(...this.log.read());
  }

  /** Memory of the living processes; adds what CPU they have used since the last look. */
  private readProcesses(): (ServerProcess & { memory: ProcessMemory })[] {
    return this.observed.serverProcesses().flatMap((process) => {
      const read = readProcess(process.pid);
      if (read === null) return [];
      const { memory, cpuSeconds } = read;
      const used = cpuSeconds - (this.lastCpu.get(process.pid) ?? 0);
      this.lastCpu.set(process.pid, cpuSeconds);
      this.cpu.set(process.name, (this.cpu.get(process.name) ?? 0) + used);
      return [{ ...process, memory }];
    });
  }
}

/** Null where the process has just ended. */
function readProcess(pid: number): { memory: ProcessMemory; cpuSeconds: number } | null {
  try {
    const { userSeconds, systemSeconds } = processCpu(pid);
    return { memory: processMemory(pid), cpuSeconds: userSeconds + systemSeconds };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

function round(number: number, digits: number): number {
  return Number(number.toFixed(digits));
}
