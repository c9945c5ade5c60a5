/**
 * The phases of an experiment, one after another: what is done in each, and when it is over.
 *
 * Whether all is well again after a phase is asked of both ends: the clients (every poll is open again), and where it
 * matters the server (it holds as many connections). A connection in an accept queue is open for its client only.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { Counters } from '../kernel/counters.js';
import type { Crew, Totals } from '../megatest/crew.js';
import { monotonicUs } from '../megatest/marker.js';
import { signal as kill } from '../platform/signal.js';
import type { Books } from './books.js';
import type { ClientCounts, Observer } from './observer.js';
import type { ExperimentOptions, PhaseName } from './options.js';
import type { BroadcastResult, DirectedResult, ExperimentResult, PhaseResult, ReturnResult } from './result.js';
import type { Server } from './server.js';

/** What has not come by then, with nothing else coming either, will not come any more. */
const GRACE_MS = 5000;
/** The kernel may need so long to close what a killed worker has held before the first client hears of it. */
const FIRST_DROP_MS = 60_000;
/** Two reports of every client process. */
const LAST_REPORTS_MS = 600;
/** How long the server may take to accept what its clients have opened. */
const ACCEPT_MS = 30_000;
const STATUS_MS = 250;
/** Every worker has reported to the manager, more than once. */
const REPORTS_MS = 2500;

type Results = Pick<
  ExperimentResult,
  | 'opened'
  | 'failed'
  | 'failedByReason'
  | 'dropped'
  | 'droppedByReason'
  | 'held'
  | 'openedPerSecond'
  | 'idleCpuPercent'
  | 'memoryAfter'
  | 'processes'
  | 'rssBytes'
  | 'pssBytes'
  | 'privateBytes'
  | 'kernelBytes'
  | 'kernel'
  | 'directed'
  | 'broadcast'
  | 'return'
  | 'duplicates'
  | 'misdelivered'
  | 'strays'
  | 'phases'
>;

export class Phases {
  /** What the counters had grown by when the last phase was over: the end of all connections is not part of it. */
  counters: { server: Counters; clients: Counters } = { server: {}, clients: {} };
  private readonly options: ExperimentOptions;
  private readonly crew: Crew;
  private readonly server: Server;
  private readonly books: Books;
  private readonly signal: AbortSignal;
  private phase: PhaseName = 'open';
  private readonly done: PhaseResult[] = [];
  private kernel: ExperimentResult['kernel'] | null = null;
  private totals: Totals;
  private openedPerSecond = 0;
  private directed: DirectedResult | null = null;
  private broadcast: BroadcastResult | null = null;
  private returned: ReturnResult | null = null;
  /** Drops of the phase `return`: those of the killed worker are what it is about. */
  private returnDrops: Record<string, number> = {};

  constructor(options: ExperimentOptions, crew: Crew, server: Server, books: Books, signal: AbortSignal) {
    this.options = options;
    this.crew = crew;
    this.server = server;
    this.books = books;
    this.signal = signal;
    this.totals = crew.totals();
  }

  /** The numbers of this moment, for samples and progress. */
  counts(): ClientCounts {
    const { opened, waiting, failed, dropped } = this.crew.totals();
    const { phase, books } = this;
    const { received, duplicates } = books;
    return { phase, opened, held: waiting, failed: sum(failed), dropped: sum(dropped), received, duplicates };
  }

  /**
   * Runs the phases, until the signal at most.
   *
   * @param begun is called at the beginning of each
   * @throws OperatorError where a client process or the server has ended
   */
  async run(observer: Observer, begun: () => void): Promise<void> {
    const work = {
      open: () => this.open(),
      hold: () => this.crew.until(() => false, this.options.holdSeconds * 1000, this.signal),
      directed: () => this.sendDirected(),
      broadcast: () => this.sendBroadcast(),
      return: () => this.return(),
    };
    for (const phase of this.options.phases) {
      if (this.signal.aborted && this.done.length > 0) break;
      this.phase = phase;
      begun();
      const startSeconds = observer.elapsedSeconds;
      // Brings the CPU seconds up to this moment.
      observer.figures(new Map(), 1);
      const cpuBefore = observer.cpuSeconds();
      await work[phase]();
      const seconds = observer.elapsedSeconds - startSeconds;
      const { cpuSeconds, ...figures } = observer.figures(cpuBefore, seconds);
      const held = this.crew.totals().waiting;
      this.done.push({
        name: phase,
        startSeconds: round(startSeconds, 2),
        seconds: round(seconds, 2),
        held,
        serverCpuSeconds: cpuSeconds,
        ...figures,
      });
      if (phase === 'open' || phase === 'hold') this.kernel = observer.kernelGrowth();
    }
    this.totals = this.crew.totals();
    this.counters = observer.counters();
  }

  results(): Results {
    const { totals, books } = this;
    const hold = this.done.find(({ name }) => name === 'hold') ?? null;
    const memory = hold ?? this.done[0];
    const { dropped, droppedByReason } = this.unexpectedDrops();
    return {
      opened: totals.opened,
      failed: sum(totals.failed),
      failedByReason: totals.failed,
      dropped,
      droppedByReason,
      held: totals.waiting,
      openedPerSecond: this.openedPerSecond,
      idleCpuPercent:
        hold === null || hold.seconds === 0 ? null : round((hold.serverCpuSeconds / hold.seconds) * 100, 2),
      memoryAfter: memory.name,
      processes: memory.processes,
      rssBytes: memory.rssBytes,
      pssBytes: memory.pssBytes,
      privateBytes: memory.privateBytes,
      kernelBytes: memory.kernelBytes,
      kernel: this.kernel!,
      directed: this.directed,
      broadcast: this.broadcast,
      return: this.returned,
      duplicates: books.duplicates - (this.returned?.duplicates ?? 0),
      misdelivered: totals.misdelivered,
      strays: totals.strays,
      phases: this.done,
    };
  }

  private async open(): Promise<void> {
    const { crew, signal } = this;
    const { connections } = this.options;
    const startUs = monotonicUs();
    crew.go();
    await crew.until(() => crew.totals().decided === connections, Number.POSITIVE_INFINITY, signal);
    const { opened, lastOpenedUs } = crew.totals();
    if (opened > 0) this.openedPerSecond = Math.round(opened / ((lastOpenedUs - startUs) / 1e6));
    await this.serverHolds(opened);
  }

  private async sendDirected(): Promise<void> {
    const result = await this.books.publishDirected(this.signal);
    await this.settle();
    this.directed = result();
  }

  private async sendBroadcast(): Promise<void> {
    const result = await this.books.publishBroadcast(this.signal);
    await this.settle();
    this.broadcast = result();
  }

  /** Waits for what is missing, for as long as messages keep coming, and then until all polls are open again. */
  private async settle(): Promise<void> {
    const { crew, books, signal } = this;
    let received: number;
    do {
      received = books.received;
      await crew.until(() => books.missing === 0, GRACE_MS, signal);
    } while (books.missing > 0 && books.received > received && !signal.aborted);
    await crew.until(() => false, LAST_REPORTS_MS, signal);
    await this.untilTurned(() => true);
    await this.serverHolds(crew.totals().waiting);
  }

  private async return(): Promise<void> {
    const { crew, server, signal } = this;
    // Workers do not report at the same moment: their figures are right once each has reported without change.
    await crew.until(() => false, REPORTS_MS, signal);
    const { workers } = await server.status();
    const victim = workers.reduce((one, other) => ((other.connections ?? 0) > (one.connections ?? 0) ? other : one));
    const clients = victim.connections ?? 0;
    crew.reopen(true);
    await crew.until(() => crew.totals().reopening === crew.pids.length, GRACE_MS, signal);
    const before = crew.totals().dropped;
    const duplicatesBefore = this.books.duplicates;
    const startUs = monotonicUs();
    kill(victim.pid, 'SIGKILL');
    const dropped = () => sum(crew.totals().dropped) - sum(before);
    await crew.until(() => dropped() > 0, FIRST_DROP_MS, signal);
    await this.untilTurned(() => dropped() >= clients);
    const seconds = dropped() === 0 ? 0 : (crew.totals().lastPolledUs - startUs) / 1e6;
    const heldAgain = await this.serverHolds(crew.totals().waiting);
    const heldSeconds = heldAgain ? round((monotonicUs() - startUs) / 1e6, 3) : null;
    crew.reopen(false);
    this.returnDrops = difference(crew.totals().dropped, before);
    await crew.until(() => false, LAST_REPORTS_MS, signal);
    const duplicates = this.books.duplicates - duplicatesBefore;
    this.returned = { clients, dropped: dropped(), duplicates, seconds: round(seconds, 3), heldSeconds };
  }

  /** Until no client is between two polls and the condition holds; given up when nothing has happened for a while. */
  private async untilTurned(condition: () => boolean): Promise<void> {
    const { crew, signal } = this;
    const progress = () => {
      const { repolls, dropped, failed } = crew.totals();
      return repolls + sum(dropped) + sum(failed);
    };
    let last: number;
    const settled = () => crew.totals().turning === 0 && condition();
    do {
      last = progress();
      await crew.until(settled, GRACE_MS, signal);
    } while (!settled() && progress() > last && !signal.aborted);
  }

  /** Waits until the server says that it holds so many. @returns false where it does not get there */
  private async serverHolds(count: number): Promise<boolean> {
    for (const endMs = performance.now() + ACCEPT_MS; performance.now() < endMs && !this.signal.aborted; ) {
      if ((await this.server.status()).connections === count) return true;
      await delay(STATUS_MS);
    }
    return false;
  }

  /** Drops but for those that the killed worker has caused, which were at most as many as it had. */
  private unexpectedDrops(): { dropped: number; droppedByReason: Record<string, number> } {
    const droppedByReason = difference(this.totals.dropped, this.returnDrops);
    const excess = sum(this.returnDrops) - (this.returned?.clients ?? 0);
    if (excess > 0) droppedByReason['not of the killed worker'] = excess;
    return { dropped: sum(droppedByReason), droppedByReason };
  }
}

function difference(after: Record<string, number>, before: Record<string, number>): Record<string, number> {
  const entries = Object.entries(after).map(([name, count]): [string, number] => [name, count - (before[name] ?? 0)]);
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function round(number: number, digits: number): number {
  return Number(number.toFixed(digits));
}
