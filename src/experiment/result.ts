/** What an experiment found. This is the object that --json prints: its fields are part of the interface. */

import type { Complaint } from '../kernel/complaints.js';
import type { Counters, KernelMemory } from '../kernel/counters.js';
import type { KernelLogLine } from '../kernel/kernel-log.js';
import type { ReactorName } from '../reactor/reactor.js';
import type { PhaseName } from './options.js';

/** A process of the server at one moment. */
export interface ProcessFigures {
  /** `manager`, `worker 0` … */
  name: string;
  pid: number;
  rssBytes: number;
  pssBytes: number;
  privateBytes: number;
  /** Of one core, since the sample or the phase began. */
  cpuPercent: number;
}

/** The server's processes together; the machine's kernel, as it has grown since the server was not there yet. */
export interface MemoryFigures {
  rssBytes: number;
  pssBytes: number;
  privateBytes: number;
  kernelBytes: number;
}

/** One second of the experiment. Counts are since its beginning. */
export interface Sample extends MemoryFigures {
  /** Since the clients began to connect. */
  seconds: number;
  phase: PhaseName;
  opened: number;
  /** Polls that are open, as the clients see it. */
  held: number;
  failed: number;
  dropped: number;
  received: number;
  duplicates: number;
  /** TCP sockets in the server's namespace, as its kernel sees it. On loopback these are both ends. */
  sockets: number;
  orphans: number;
  timeWait: number;
  slabUnreclaimableBytes: number;
  bufferBytes: number;
  openFiles: number;
  /** All server processes. */
  cpuPercent: number;
  processes: ProcessFigures[];
  /** All client processes. */
  testersRssBytes: number;
  /** Of the messages that came since the last sample; null where none came. */
  latencyP50Ms: number | null;
  latencyMaxMs: number | null;
}

export interface PhaseResult extends MemoryFigures {
  name: PhaseName;
  startSeconds: number;
  seconds: number;
  /** Polls that were open at its end. */
  held: number;
  serverCpuSeconds: number;
  /** At its end; CPU over the whole phase. */
  processes: ProcessFigures[];
}

export interface ExperimentResult extends MemoryFigures {
  run: string;
  startedAt: string;
  connections: number;
  mode: 'namespaces' | 'loopback';
  clientBoxes: number;
  reactor: ReactorName;
  clientProcesses: number;
  sourceAddresses: number;
  machine: { cpu: string; cores: number; memoryBytes: number; arch: string };
  versions: { megacomet: string; commit: string | null; node: string; kernel: string };
  /** Ended by a signal before its time. */
  interrupted: boolean;

  opened: number;
  /** Polls that could not be established or got a wrong answer. */
  failed: number;
  failedByReason: Record<string, number>;
  /** Connections that ended without a message, other than those of the worker that was killed. */
  dropped: number;
  droppedByReason: Record<string, number>;
  /** Polls open at the end. */
  held: number;
  openedPerSecond: number;
  /** The server's processes while nothing happened, of one core; null without the phase. */
  idleCpuPercent: number | null;
  /** The phase at whose end rssBytes, pssBytes, privateBytes, kernelBytes and `processes` were read. */
  memoryAfter: PhaseName;
  processes: ProcessFigures[];
  /** What kernelBytes consists of: both ends of the connections, where both are on this machine. */
  kernel: KernelMemory & { bufferBytes: number };

  directed: DirectedResult | null;
  broadcast: BroadcastResult | null;
  return: ReturnResult | null;
  /**
   * Messages that came twice, to another client than theirs, or were none of this run's. What comes again because a worker
   * was killed is no flaw (delivery is at least once) and counts in `return`.
   */
  duplicates: number;
  misdelivered: number;
  strays: number;

  phases: PhaseResult[];
  /** What has changed of the counters of TCP, in the server's namespace and in those of the clients together. */
  counters: { server: Counters; clients: Counters };
  complaints: Complaint[];
  /** Whether /dev/kmsg could be read. */
  kernelLogRead: boolean;
  /** What the kernel logged meanwhile. */
  kernelLog: (KernelLogLine & { cure: string | null })[];
  samples: Sample[];
}

export interface MessagesResult {
  sent: number;
  received: number;
  /** Sent, and not received although nothing came any more for a while. */
  lost: number;
  /** Messages that could not be published, and why. */
  unsent: number;
  unsentByReason: Record<string, number>;
}

export interface DirectedResult extends MessagesResult {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

export interface BroadcastResult extends MessagesResult {
  /** From the first publish to the first and to the last client that has its message. */
  firstMs: number;
  lastMs: number;
  /** Until the server had taken all messages. */
  publishSeconds: number;
}

export interface ReturnResult {
  /** Connections that the killed worker had. */
  clients: number;
  dropped: number;
  /** Messages that came once more: the killed worker had not told yet that they had come. */
  duplicates: number;
  /** From the kill until the last of them was connected again. */
  seconds: number;
  /** … and until the server said that it holds them all, which it knows once a second; null where it never did. */
  heldSeconds: number | null;
}

/** True where nothing failed, was dropped, lost, doubled or misdelivered, to the end. */
export function isFlawless(result: ExperimentResult): boolean {
  const { failed, dropped, duplicates, misdelivered, interrupted, directed, broadcast, connections, opened, held } =
    result;
  const messages = [directed, broadcast].filter((each) => each !== null);
  const lost = messages.reduce((sum, each) => sum + each.lost + each.unsent, 0);
  return (
    failed + dropped + duplicates + misdelivered + lost === 0 &&
    !interrupted &&
    opened === connections &&
    held === connections
  );
}
