/** The client processes of a megatest as one: started, counted together, waited for, ended. */

import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { execPath as node } from 'node:process';
import { fileURLToPath } from 'node:url';
import { OperatorError } from '../cli/errors.js';
import type { ChildMessage, ChildReport, ClientsConfig, ParentMessage } from './child-protocol.js';
import type { MegatestOptions } from './options.js';

const CHILD_FILE = fileURLToPath(new URL('./child.js', import.meta.url));
/** Between 'stop' and SIGKILL. */
const STOP_TIMEOUT_MS = 60_000;
/** The same after Ctrl-C: the whole test has to end within two seconds of it. */
const HURRIED_STOP_TIMEOUT_MS = 1200;
/** Connections being established by all processes: fewer than a server's accept queue holds (net.core.somaxconn 4096). */
const CONNECTING_MAX = 2000;
const CONNECTING_PER_PROCESS_MAX = 200;

/** What some of the processes do together: they share a prefix and the place where they run. */
export interface Load
  extends Pick<
    MegatestOptions,
    | 'targets'
    | 'connections'
    | 'prefix'
    | 'rate'
    | 'sources'
    | 'processes'
    | 'timeoutMs'
    | 'reopen'
    | 'reactor'
    | 'messageBytes'
  > {
  /** What runs a program in that place, such as `ip netns exec NAME`; empty: here. */
  within: string[];
}

/** The numbers of all reports together. */
export type Totals = Omit<ChildReport, 'sequences' | 'latenciesUs'>;

export type Receipts = (sequences: Uint32Array, latenciesUs: Uint32Array) => void;

interface Child {
  process: ChildProcess;
  clients: number;
  report: ChildReport | null;
}

/** Emits 'report' after each report, and 'broken' when a process ended that nobody had asked to. */
export class Crew extends EventEmitter {
  private readonly children: Child[] = [];
  private readonly receipts: Receipts;
  private stopping = false;
  private broken: OperatorError | null = null;

  private constructor(receipts: Receipts) {
    super();
    this.receipts = receipts;
  }

  /**
   * Starts the processes and waits until all are ready.
   *
   * @param receipts is told of every message that came to its client
   * @throws OperatorError where a process ends instead
   */
  static async muster(loads: Load[], run: string, receipts: Receipts, signal: AbortSignal): Promise<Crew> {
    const crew = new Crew(receipts);
    let ready = 0;
    crew.on('ready', () => ready++);
    const processes = loads.reduce((sum, load) => sum + load.processes, 0);
    const connectingMax = Math.min(CONNECTING_PER_PROCESS_MAX, Math.max(1, Math.floor(CONNECTING_MAX / processes)));
    for (const load of loads) {
      for (const config of divide(load, run, connectingMax)) crew.start(config, load.within);
    }
    try {
      await crew.until(() => ready === crew.children.length, Number.POSITIVE_INFINITY, signal);
    } catch (error) {
      await crew.stop(signal);
      throw error;
    }
    return crew;
  }

  /** All processes begin to connect. */
  go(): void {
    for (const { process } of this.children) post(process, { kind: 'go' });
  }

  /** Whether clients that lose their connection connect again from now on. */
  reopen(reopen: boolean): void {
    for (const { process } of this.children) post(process, { kind: 'reopen', reopen });
  }

  /** The ids of the processes, in the order of their loads. */
  get pids(): number[] {
    return this.children.map(({ process }) => process.pid!);
  }

  totals(): Totals {
    const totals: Totals = {
      opened: 0,
      repolls: 0,
      decided: 0,
      waiting: 0,
      turning: 0,
      reopening: 0,
      failed: {},
      dropped: {},
      misdelivered: 0,
      strays: 0,
      lastOpenedUs: 0,
      lastPolledUs: 0,
    };
    for (const { report } of this.children) {
      if (report === null) continue;
      totals.opened += report.opened;
      totals.repolls += report.repolls;
      totals.decided += report.decided;
      totals.waiting += report.waiting;
      totals.turning += report.turning;
      totals.reopening += report.reopening;
      totals.misdelivered += report.misdelivered;
      totals.strays += report.strays;
      totals.lastOpenedUs = Math.max(totals.lastOpenedUs, report.lastOpenedUs);
      totals.lastPolledUs = Math.max(totals.lastPolledUs, report.lastPolledUs);
      addCounts(totals.failed, report.failed);
      addCounts(totals.dropped, report.dropped);
    }
    return totals;
  }

  /**
   * Waits until `done` is true (looked at after each report), the time is over or the signal came.
   *
   * @throws OperatorError where a client process has ended by itself
   */
  async until(done: () => boolean, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.broken !== null) throw this.broken;
    if (signal.aborted || done()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = timeoutMs === Number.POSITIVE_INFINITY ? null : setTimeout(finish, timeoutMs);
      const look = () => {
        if (done()) finish();
      };
      const broken = (error: OperatorError) => finish(error);
      this.on('report', look).on('ready', look).once('broken', broken);
      const interrupted = () => finish();
      signal.addEventListener('abort', interrupted, { once: true });
      const leave = () => {
        if (timer !== null) clearTimeout(timer);
        this.off('report', look).off('ready', look).off('broken', broken);
        signal.removeEventListener('abort', interrupted);
      };
      function finish(error?: OperatorError): void {
        leave();
        if (error === undefined) resolve();
        else reject(error);
      }
    });
  }

  /**
   * Ends all connections and processes; the last reports are in the totals afterwards. To reset 100,000 connections takes a
   * second or two. Once the signal has come there is no time for that: what is left is killed, and the kernel closes the
   * connections, which leaves their ports in TIME_WAIT.
   */
  async stop(signal: AbortSignal): Promise<void> {
    this.stopping = true;
    const living = this.children.map(({ process }) => process).filter(isRunning);
    const exits = Promise.all(living.map((process) => once(process, 'exit')));
    for (const process of living) post(process, { kind: 'stop' });
    const kill = () => {
      for (const process of living.filter(isRunning)) process.kill('SIGKILL');
    };
    const timers = [setTimeout(kill, STOP_TIMEOUT_MS)];
    const hurry = () => timers.push(setTimeout(kill, HURRIED_STOP_TIMEOUT_MS));
    if (signal.aborted) hurry();
    else signal.addEventListener('abort', hurry, { once: true });
    await exits;
    signal.removeEventListener('abort', hurry);
    timers.forEach(clearTimeout);
  }

  private start(config: ClientsConfig, within: string[]): void {
    const [execPath, ...execArgv] = [...within, node];
    // Detached: Ctrl-C goes to the parent alone, who asks for the last reports.
    const process = fork(CHILD_FILE, [], {
      serialization: 'advanced',
      execPath,
      execArgv,
      stdio: ['ignore', 2, 2, 'ipc'],
      detached: true,
    });
    const child: Child = { process, clients: config.clientCount, report: null };
    this.children.push(child);
    process.on('message', (message: ChildMessage) => {
      if (message.kind === 'ready') {
        this.emit('ready');
        return;
      }
      child.report = message.report;
      this.receipts(message.report.sequences, message.report.latenciesUs);
      this.emit('report');
    });
    process.on('error', (error) => this.break(`a client process failed: ${error.message}`));
    process.on('exit', (code, signal) => {
      if (!this.stopping)
        this.break(`a client process with ${child.clients} clients ended: ${signal ?? `code ${code}`}`);
    });
    post(process, { kind: 'prepare', config });
  }

  private break(message: string): void {
    this.broken ??= new OperatorError(message);
    this.emit('broken', this.broken);
  }
}

/** The shares of a load's processes, which differ by at most one client. */
function divide(load: Load, run: string, connectingMax: number): ClientsConfig[] {
  const { connections, processes } = load;
  return Array.from({ length: processes }, (_, index) => {
    const firstClient = Math.floor((index * connections) / processes);
    const clientCount = Math.floor(((index + 1) * connections) / processes) - firstClient;
    return {
      targets: load.targets,
      sources: load.sources,
      prefix: load.prefix,
      firstClient,
      clientCount,
      rate: (load.rate * clientCount) / connections,
      connectingMax,
      timeoutMs: load.timeoutMs,
      reopen: load.reopen,
      reactor: load.reactor,
      run,
      messageBytes: load.messageBytes,
    };
  });
}

function isRunning(process: ChildProcess): boolean {
  return process.exitCode === null && process.signalCode === null;
}

function post(process: ChildProcess, message: ParentMessage): void {
  // A process that cannot be told has ended: its 'exit' says so.
  if (process.connected) process.send(message, () => undefined);
}

function addCounts(sum: Record<string, number>, counts: Record<string, number>): void {
  for (const [reason, count] of Object.entries(counts)) sum[reason] = (sum[reason] ?? 0) + count;
}
