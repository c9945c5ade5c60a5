/** What a scrape of the metrics is told of the manager and its workers (src/metrics/families.ts). */

import type { RequestCount } from '../api/request-counts.js';
import { KernelMemoryGrowth } from '../kernel/memory-growth.js';
import { DELIVERY_BOUNDS_MS } from '../latency-histogram.js';
import type { Sample } from '../metrics/families.js';
import { type LatencyReport, LatencyTotals } from '../metrics/latency-totals.js';
import { packageVersion } from '../version.js';
import type { LinkServer } from './link-server.js';
import type { Publisher } from './publisher.js';
import { CONNECTIONS_MIN, type ManagerStatus, userBytesOf } from './status.js';
import type { Supervisor } from './supervisor.js';

export interface MetricsSourceParts {
  server: LinkServer;
  supervisor: Supervisor;
  publisher: Publisher;
  status: () => ManagerStatus;
  apiRequests: () => RequestCount[];
  reactor: string;
  /** What the doctor found at the start. */
  doctorWarnings: number;
}

export class MetricsSource {
  readonly #parts: MetricsSourceParts;
  readonly #startedSeconds = Date.now() / 1000;
  readonly #version = packageVersion();
  readonly #deliveries = new LatencyTotals(DELIVERY_BOUNDS_MS);
  readonly #kernelMemory = new KernelMemoryGrowth();

  constructor(parts: MetricsSourceParts) {
    this.#parts = parts;
  }

  /** Takes the workers' last reports, so that a worker that ends leaves its counts. Called about once a second. */
  look(): void {
    this.#deliveries.look(this.#reports());
  }

  *#reports(): Generator<LatencyReport> {
    for (const { hello, stats } of this.#parts.server.links.values()) {
      if (stats !== null) yield { worker: hello.worker, pid: hello.pid, delivery: stats.delivery };
    }
  }

  sample(): Sample {
    const { supervisor, publisher, reactor, doctorWarnings } = this.#parts;
    const status = this.#parts.status();
    const { user, system } = process.cpuUsage();
    const enough = status.connections >= CONNECTIONS_MIN;
    this.look();
    return {
      version: this.#version,
      reactor,
      startedSeconds: this.#startedSeconds,
      status,
      fanOut: publisher.fanOutTimes.counted,
      delivery: this.#deliveries.total,
      userBytes: enough ? userBytesOf(status) : null,
      kernelBytes: enough ? this.#kernelMemory.bytesEach(status.connections) : null,
      cpu: { userSeconds: user / 1e6, systemSeconds: system / 1e6 },
      doctorWarnings,
      workersEnded: supervisor.endings,
      apiRequests: this.#parts.apiRequests(),
    };
  }
}
