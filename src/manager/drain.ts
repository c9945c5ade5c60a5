/**
 * A drain as the manager sees it: all workers are told to end their clients evenly over the same time, each its own, so that all of
 * them together end evenly too. Publishing goes on meanwhile, and so does the delivery to those who are still here.
 *
 * It is over when every worker says so, or when its time and DRAIN_GRACE_MS have passed; then whoever began it ends the server.
 */

import { DRAIN_GRACE_MS } from '../limits.js';
import type { DrainOrder } from '../link/questions.js';
import { UnansweredError } from './inquiries.js';
import type { LinkServer } from './link-server.js';
import type { Logger } from './logger.js';

/** How often the workers' reports are looked at. */
const LOOK_MS = 200;
const ANSWER_MS = 5000;

/** What GET /v1/status says of it. */
export interface DrainStatus {
  seconds: number;
  returnAfterSeconds: number;
  /** Milliseconds since 1970. */
  startedAt: number;
  /** Connections that there were at the beginning, and those that are left, as of the workers' last reports. */
  connections: number;
  remaining: number;
}

export class Drain {
  readonly #server: LinkServer;
  readonly #logger: Logger;
  readonly #over: Promise<void>;
  #isOver: () => void = () => {};
  #status: DrainStatus | null = null;
  #look: NodeJS.Timeout | null = null;
  #deadlineMs = 0;
  /** Over, or the server ends. */
  #ended = false;
  /** Workers that were told, by number, with the pid. */
  readonly #told = new Map<number, number>();

  constructor(server: LinkServer, logger: Logger) {
    this.#server = server;
    this.#logger = logger;
    this.#over = new Promise((resolve) => (this.#isOver = resolve));
  }

  /** Resolves when a drain is over, or the server ends. */
  get over(): Promise<void> {
    return this.#over;
  }

  get status(): DrainStatus | null {
    if (this.#status === null) return null;
    return { ...this.#status, remaining: this.#remaining() };
  }

  /** Begins, unless it has begun already. Resolves when the workers know. */
  async begin(order: DrainOrder): Promise<DrainStatus> {
    if (this.#status === null) {
      this.#server.draining = true;
      this.#status = { ...order, startedAt: Date.now(), connections: 0, remaining: 0 };
      this.#deadlineMs = performance.now() + order.seconds * 1000 + DRAIN_GRACE_MS;
      const connections = await this.#tellAll();
      this.#status.connections = connections;
      this.#logger.info('drain begins', { seconds: order.seconds, connections });
      if (!this.#ended) this.#look = setInterval(() => void this.#check(), LOOK_MS);
    }
    return this.status!;
  }

  /** The server ends, whatever is left of a drain: who waits for it waits no longer. */
  end(): void {
    this.#ended = true;
    if (this.#look !== null) clearInterval(this.#look);
    this.#look = null;
    this.#isOver();
  }

  /** Tells every worker that has not been told; one that has lost its link and is back may not have heard. */
  async #tellAll(): Promise<number> {
    const { seconds, returnAfterSeconds, startedAt } = this.#status!;
    const left = Math.max(0, seconds - (Date.now() - startedAt) / 1000);
    const untold = [...this.#server.links.values()].filter(({ hello }) => this.#told.get(hello.worker) !== hello.pid);
    const told = untold.map(async ({ hello: { worker, pid } }) => {
      this.#told.set(worker, pid);
      try {
        return (await this.#server.ask(worker, 'drain', { seconds: left, returnAfterSeconds }, ANSWER_MS)).connections;
      } catch (error) {
        if (!(error instanceof UnansweredError)) throw error;
        this.#told.delete(worker);
        return 0;
      }
    });
    return (await Promise.all(told)).reduce((sum, count) => sum + count, 0);
  }

  async #check(): Promise<void> {
    if (this.#ended) return;
    const late = performance.now() >= this.#deadlineMs;
    const finished = [...this.#server.links.values()].every(({ stats }) => stats?.drain === 'finished');
    if (!finished && !late) {
      await this.#tellAll();
      return;
    }
    if (late) this.#logger.warn('drain is over, and some clients are still there', { remaining: this.#remaining() });
    else this.#logger.info('drain is over', { connections: this.#status!.connections });
    this.end();
  }

  #remaining(): number {
    let connections = 0;
    for (const { stats } of this.#server.links.values()) connections += stats?.connections ?? 0;
    return connections;
  }
}
