/**
 * Worker processes: spawned, adopted, watched, replaced, stopped.
 *
 * Workers are detached (a session of their own): they outlive the manager, so that its end costs no client, unless it hands them
 * their clients (client-ports.ts): then they end with it. A new manager finds them (processes.ts) and adopts those that dial. Each
 * number 0 … workers-1 is kept alive: a worker that ends is replaced at once; one that ends young again and again is replaced after
 * a delay that doubles from 100 ms.
 * Adopted workers with higher numbers (an earlier serve had more) are kept for their clients and not replaced.
 *
 * A worker is lost when its process has ended, when it has no link for `LINK_TIMEOUT_MS`, or when it has said nothing for
 * `SILENCE_MS`, although it reports every five seconds at the least: then it is killed, so that its clients come back to one that serves.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Hello, STOP } from '../link/frames.js';
import { signal } from '../platform/signal.js';
import type { WorkerConfig } from '../worker/config.js';
import { type ClientPorts, takeOverClientPorts } from './client-ports.js';
import type { LinkServer } from './link-server.js';
import type { Logger } from './logger.js';
import { findWorkers, isWorker, type WorkerProcess } from './processes.js';
import type { WorkerLink } from './worker-link.js';

/**
 * What makes a worker small. It allocates next to nothing, so a young generation of 1 MB is ample, and one thread beside its own is
 * enough to collect and to compile. What it does for each client is many small functions in many modules, which are worth more
 * inlining than V8 does by default (920).
 */
export const NODE_FLAGS: readonly string[] = [
  '--max-semi-space-size=1',
  '--single-threaded-gc',
  '--v8-pool-size=1',
  '--max-inlined-bytecode-size-cumulative=5000',
];
/** … and one for libuv, unless it is set: reading modules at the start, and verifying tokens. By default each processor has a worker. */
const ENVIRONMENT = { UV_THREADPOOL_SIZE: '1' };

/** How long a new manager waits for the workers of an earlier one to dial; they try every 200 ms. */
export const ADOPTION_MS = 1000;
/** A worker that lives and has no link for so long is stuck. */
const LINK_TIMEOUT_MS = 10_000;
/** Longer than it takes to hand a message to a million clients, in which a worker says nothing. */
const SILENCE_MS = 30_000;
/** A worker that lived so long did not die of its start. */
const YOUNG_MS = 10_000;
const RESTART_DELAY_FIRST_MS = 100;
const RESTART_DELAY_MAX_MS = 10_000;
/** How often those are looked at whose end does not tell of itself: adopted ones, and any without a link. */
const WATCH_MS = 100;
/** How long a start waits for workers to be there before it goes on without. */
const READY_MS = 1500;
/** How long workers may take to finish what they are sending. */
const STOP_MS = 1500;

export interface SupervisorOptions {
  runDirectory: string;
  workers: number;
  connectionsPerWorker: number;
  orphanSeconds: number;
  reactor: WorkerConfig['reactor'];
  logFormat: WorkerConfig['logFormat'];
  logLevel: WorkerConfig['logLevel'];
  testEcho: boolean;
  /** Path of the worker's main module; a test has its own. */
  workerMain?: string;
  /** {@link SILENCE_MS}; a test has less. */
  silenceMs?: number;
}

interface Worker {
  readonly worker: number;
  readonly pid: number;
  readonly startedMs: number;
  /** Null for an adopted worker: it is not our child, so nobody tells us when it ends. */
  readonly child: ChildProcess | null;
  /** When the link ended, or the start; meaningless while there is a link. */
  unlinkedMs: number;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #logger: Logger;
  readonly #workers = new Map<number, Worker>();
  /** Deaths in youth in a row, by worker number. */
  readonly #youngDeaths = new Map<number, number>();
  readonly #restarts = new Map<number, NodeJS.Timeout>();
  #server!: LinkServer;
  #ports!: ClientPorts;
  #watch: NodeJS.Timeout | null = null;
  #endings = 0;
  #state: 'starting' | 'running' | 'draining' | 'detached' | 'stopping' = 'starting';

  constructor(options: SupervisorOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  /** Links are served by `server`, whose events come here. Called once, first. */
  attach(server: LinkServer): void {
    this.#server = server;
  }

  /** Workers that ended without being told to. */
  get endings(): number {
    return this.#endings;
  }

  /** Living workers: number and pid. */
  get processes(): WorkerProcess[] {
    return [...this.#workers.values()].map(({ worker, pid }) => ({ worker, pid }));
  }

  /**
   * Waits for the workers that an earlier manager left alive, and takes over the client ports from one of them.
   *
   * @returns null where there are none, or only such as speak another version (they have been stopped)
   * @throws Error EADOPT where they live and hand over no ports
   */
  async adopt(): Promise<ClientPorts | null> {
    const { runDirectory } = this.#options;
    const orphans = findWorkers(runDirectory);
    for (const { worker, pid } of orphans) this.#register(worker, pid, null);
    const deadlineMs = performance.now() + ADOPTION_MS;
    while (performance.now() < deadlineMs && [...this.#workers.keys()].some((n) => !this.#server.links.has(n))) {
      this.#forgetDead();
      await delay(10);
    }
    this.#forgetDead();
    if (this.#server.links.size > 0) {
      if (this.#options.reactor !== 'portable') return this.#takePorts();
      throw adoptionFailed(
        'workers of an earlier serve hold its ports, and the portable reactor cannot take them over',
      );
    }
    if (this.#workers.size > 0) {
      this.#logger.warn('workers of an earlier serve do not answer and are killed', { workers: this.#workers.size });
      await this.#end([...this.#workers.values()]);
    }
    return null;
  }

  /** Spawns what is missing and keeps it alive from now on. */
  run(ports: ClientPorts): void {
    this.#ports = ports;
    this.#state = 'running';
    for (let worker = 0; worker < this.#options.workers; worker++) if (!this.#workers.has(worker)) this.#spawn(worker);
  }

  /** Waits until every worker has dialled, so that who connects next is served at once; at most 1.5 s. */
  async ready(): Promise<void> {
    const { workers } = this.#options;
    const deadlineMs = performance.now() + READY_MS;
    while (performance.now() < deadlineMs) {
      let serving = 0;
      for (const worker of this.#server.links.keys()) if (worker < workers) serving++;
      if (serving === workers) return;
      await delay(10);
    }
    this.#logger.warn('not all workers serve yet', { workers, serving: this.#server.links.size });
  }

  /** From now on workers that end are not replaced: their clients are to go elsewhere. */
  drain(): void {
    this.#state = 'draining';
    this.#cancelRestarts();
  }

  /** Ends workers: they are asked, and after 1.5 s killed. `children` leaves adopted ones alone. */
  async stop(which: 'all' | 'children'): Promise<void> {
    const workers = [...this.#workers.values()].filter(({ child }) => which === 'all' || child !== null);
    this.#state = which === 'all' ? 'stopping' : 'detached';
    this.#endWatch();
    this.#cancelRestarts();
    await this.#end(workers);
  }

  linked(link: WorkerLink): void {
    const { worker, pid } = link.hello;
    const known = this.#workers.get(worker);
    if (known?.pid !== pid) {
      // An orphan that was missed at the start, for instance. Its number is free, or we were about to restart it.
      if (known !== undefined) this.#kill(known, 'another worker has its number');
      this.#cancelRestart(worker);
      this.#register(worker, pid, null);
    }
    this.#logger.info(this.#workers.get(worker)!.child === null ? 'worker adopted' : 'worker serves', { worker, pid });
    if (this.#state === 'stopping') link.command(STOP);
  }

  unlinked(link: WorkerLink): void {
    const known = this.#workers.get(link.hello.worker);
    if (known?.pid === link.hello.pid) known.unlinkedMs = performance.now();
  }

  outdated(hello: Hello): void {
    // Its number is filled when it has ended.
    if (!this.#workers.has(hello.worker)) this.#register(hello.worker, hello.pid, null);
  }

  #register(worker: number, pid: number, child: ChildProcess | null): void {
    const nowMs = performance.now();
    this.#workers.set(worker, { worker, pid, child, startedMs: nowMs, unlinkedMs: nowMs });
  }

  #spawn(worker: number): void {
    const { runDirectory, orphanSeconds, reactor, connectionsPerWorker, logFormat, logLevel, testEcho, workerMain } =
      this.#options;
    const { addresses, stdio } = this.#ports;
    const config: WorkerConfig = {
      worker,
      runDirectory,
      listeners: addresses.map((address, i) => ({ descriptor: typeof stdio[i] === 'number' ? 3 + i : null, address })),
      maxConnections: connectionsPerWorker,
      orphanSeconds,
      reactor,
      logFormat,
      logLevel,
      testEcho,
    };
    const main = workerMain ?? fileURLToPath(new URL('../worker/main.js', import.meta.url));
    const unstarted = (error: Error) => this.#ended(worker, `it cannot be started: ${error.message}`);
    let child: ChildProcess;
    try {
      child = spawn(process.execPath, [...NODE_FLAGS, main, JSON.stringify(config)], {
        detached: this.#ports.outliveManager,
        windowsHide: true,
        cwd: '/',
        env: { ...ENVIRONMENT, ...process.env },
        stdio: ['ignore', 'inherit', 'inherit', ...stdio],
      });
    } catch (error) {
      // The one shortage that Node throws; it reports the others (EAGAIN, EMFILE …) by 'error'. Both pass.
      if ((error as NodeJS.ErrnoException).code !== 'ENOMEM') throw error;
      unstarted(error as Error);
      return;
    }
    child.unref();
    if (child.pid === undefined) {
      child.once('error', unstarted);
      return;
    }
    const { pid } = child;
    this.#register(worker, pid, child);
    this.#ports.spawned(child);
    child.once('exit', (code, by) => {
      if (this.#workers.get(worker)?.pid === pid) this.#ended(worker, by ?? `exit code ${code}`);
    });
  }

  /** A worker's process is gone (or could not be had): its number is filled again. */
  #ended(worker: number, reason: string): void {
    const known = this.#workers.get(worker);
    this.#workers.delete(worker);
    this.#server.drop(worker);
    if (this.#state !== 'running') return;
    this.#endings++;
    const replaced = worker < this.#options.workers;
    const young = known === undefined || performance.now() - known.startedMs < YOUNG_MS;
    const deaths = young ? (this.#youngDeaths.get(worker) ?? 0) : 0;
    this.#youngDeaths.set(worker, deaths + 1);
    const delayMs = deaths === 0 ? 0 : Math.min(RESTART_DELAY_FIRST_MS * 2 ** (deaths - 1), RESTART_DELAY_MAX_MS);
    this.#logger.warn('worker ended', { worker, pid: known?.pid, reason, restartMs: replaced ? delayMs : undefined });
    if (!replaced) return;
    this.#restarts.set(
      worker,
      setTimeout(() => {
        this.#restarts.delete(worker);
        this.#spawn(worker);
      }, delayMs),
    );
  }

  #cancelRestarts(): void {
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    this.#restarts.clear();
  }

  #cancelRestart(worker: number): void {
    clearTimeout(this.#restarts.get(worker));
    this.#restarts.delete(worker);
  }

  /**
   * Called about once a second while workers run. Ends those that stand still. Silence is counted in calls, so that nobody is charged
   * with a time when we stood still ourselves.
   *
   * @param sinceMs since the last call, as it was planned
   */
  tick(sinceMs: number): void {
    for (const known of [...this.#workers.values()]) {
      const link = this.#server.links.get(known.worker);
      if (link === undefined) continue;
      link.silentMs += sinceMs;
      if (link.silentMs < (this.#options.silenceMs ?? SILENCE_MS)) continue;
      link.silentMs = 0;
      this.#kill(known, 'it says nothing');
    }
    if (!this.#calm) this.#watch ??= setInterval(() => this.#look(), WATCH_MS);
  }

  /** All workers are children that have a link. */
  get #calm(): boolean {
    return [...this.#workers.values()].every(({ worker, child }) => child !== null && this.#server.links.has(worker));
  }

  /** Looks after workers without a link: adopted ones are not our children, so nobody tells us that they ended. */
  #look(): void {
    const nowMs = performance.now();
    for (const known of [...this.#workers.values()]) {
      if (this.#server.links.has(known.worker)) continue;
      if (known.child === null && !this.#lives(known)) this.#ended(known.worker, 'it is gone');
      else if (nowMs - known.unlinkedMs > LINK_TIMEOUT_MS) {
        this.#kill(known, 'it has no link');
        known.unlinkedMs = nowMs;
      }
    }
    if (this.#calm) this.#endWatch();
  }

  #endWatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }

  /** The number of a child that we have not waited for cannot be anybody else's; that of an adopted worker can. */
  #lives({ pid, child }: Worker): boolean {
    if (child !== null) return child.exitCode === null && child.signalCode === null;
    return isWorker(pid, this.#options.runDirectory);
  }

  #kill(known: Worker, reason: string): void {
    this.#logger.warn('worker killed', { worker: known.worker, pid: known.pid, reason });
    if (this.#lives(known)) signal(known.pid, 'SIGKILL');
  }

  #forgetDead(): void {
    for (const known of [...this.#workers.values()]) {
      if (this.#lives(known)) continue;
      this.#workers.delete(known.worker);
      this.#server.drop(known.worker);
    }
  }

  async #takePorts(): Promise<ClientPorts> {
    const ports = await takeOverClientPorts(this.#options.runDirectory, this.#server.links.values());
    if (ports !== null) return ports;
    throw adoptionFailed('workers of an earlier serve live and do not hand over their ports');
  }

  /** Asks workers to stop (by signal where there is no link) and waits; who is alive after 1.5 s is killed. */
  async #end(workers: Worker[]): Promise<void> {
    for (const known of workers) {
      const link = this.#server.links.get(known.worker);
      if (link !== undefined) link.command(STOP);
      else if (this.#lives(known)) signal(known.pid, 'SIGTERM');
    }
    const deadlineMs = performance.now() + STOP_MS;
    let living = workers;
    while ((living = living.filter((known) => this.#lives(known))).length > 0) {
      if (performance.now() > deadlineMs) {
        for (const known of living) this.#kill(known, 'it does not stop');
        break;
      }
      await delay(10);
    }
    for (const { worker } of workers) {
      this.#workers.delete(worker);
      this.#server.drop(worker);
    }
  }
}

function adoptionFailed(problem: string): Error {
  return Object.assign(new Error(`${problem}; run \`megacomet stop\` first`), { code: 'EADOPT' });
}
