/** The server's side of the dashboard: what is sampled, kept and shown, put together. routes.ts gives it its addresses. */

import { KernelMemoryGrowth } from '../kernel/memory-growth.js';
import type { Log } from '../log/log.js';
import type { ManagerStatus } from '../manager/status.js';
import { KernelWatch } from './kernel-watch.js';
import { Ring } from './ring.js';
import { Sampler } from './sampler.js';
import { serverWarnings } from './server-warnings.js';
import type { Warning } from './shared/snapshot.js';
import { Tails } from './tails.js';
import { Viewers } from './viewers.js';

/** How much of the past a viewer sees; a point each second at most. */
const HISTORY_SECONDS = 900;

export interface DashboardParts {
  log: Log;
  status(): ManagerStatus;
  version: string;
  /** What the doctor found in this machine at the start, a line for each. */
  doctorWarnings: readonly string[];
}

export class Dashboard {
  readonly viewers: Viewers;
  readonly tails: Tails;
  readonly #kernel = new KernelWatch();

  constructor({ log, status, version, doctorWarnings }: DashboardParts) {
    const doctor = doctorWarnings.map((line): Warning => ({ source: 'doctor', what: line, count: null, cure: null }));
    const complaints = () => this.#kernel.complaints().map((one): Warning => ({ source: 'kernel', ...one }));
    const memory = new KernelMemoryGrowth();
    const sampler = new Sampler({
      version,
      status,
      cpuSeconds: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1e6;
      },
      kernelBytes: (connections) => memory.bytesEach(connections),
      warnings: (now) => [...serverWarnings(now), ...doctor, ...complaints()],
      wallMs: () => Date.now(),
      steadyMs: () => performance.now(),
    });
    this.viewers = new Viewers(sampler, new Ring(HISTORY_SECONDS), HISTORY_SECONDS * 1000);
    this.tails = new Tails(log);
  }

  /** Begins to look; `status` must answer from now on. */
  start(): void {
    this.viewers.start();
  }

  /** Whose key is still good comes back: called when keys have changed, since a stream may last for days. */
  endStreams(): void {
    this.viewers.endStreams();
    this.tails.endStreams();
  }

  /** Ends all streams, and looks no more. */
  close(): void {
    this.viewers.close();
    this.tails.endStreams();
    this.#kernel.close();
  }
}
