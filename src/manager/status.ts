/** What GET /v1/status answers: the manager's own figures, and the workers' last reports with their sums. */

import { DELIVERY_BOUNDS_MS, type LatencyCounts, percentileMs, sumOfLatencies } from '../latency-histogram.js';
import { type ConnectionsByTransport, EMPTY_STATS, TRANSPORTS, type WorkerStats } from '../link/stats.js';
import { residentBytes } from '../linux/proc.js';
import type { LogCounters } from '../log/log.js';
import type { DrainStatus } from './drain.js';
import type { FanOutCounters } from './fan-out.js';
import type { LinkServer } from './link-server.js';
import type { ServeOptions } from './options.js';
import type { WorkerProcess } from './processes.js';
import type { PublisherCounters } from './publisher.js';
import type { QueueCounters } from './queue.js';
import type { WebhookCounters } from './webhooks.js';

/** The figures of a worker's last report (src/link/stats.ts); null before the first. */
type Reported = { [Figure in keyof WorkerStats]: WorkerStats[Figure] | null };

export interface WorkerStatus extends Reported {
  worker: number;
  pid: number;
  /** True while the worker has a link. */
  linked: boolean;
  /** How old its figures are. */
  reportAgeMs: number | null;
  capacity: number | null;
  /** Bytes that the manager has for it and that it has not read yet. */
  backlogBytes: number | null;
  rssBytes: number | null;
}

export interface LogStatus extends LogCounters {
  kind: ServeOptions['log'];
  epoch: string;
  /** The highest sequence. */
  last: number;
  /** Null where nothing is on disk. */
  fsync: ServeOptions['fsync'] | null;
}

/** Sums over the workers' last reports. */
export interface WorkerSums {
  connections: number;
  connectionsByTransport: ConnectionsByTransport;
  messagesSent: number;
  slowConsumers: number;
  /** Connections that the server ended before they were done, by reason. */
  ended: Record<string, number>;
  /** Since the workers' starts; null before the first message. Not exceeded by half, and by 99 %, of all messages. */
  deliveryMs: { p50: number | null; p99: number | null };
}

export interface ManagerStatus extends WorkerSums {
  /** Null unless clients are being ended. */
  drain: DrainStatus | null;
  /** Null where nobody is told of clients. */
  webhooks: WebhookCounters | null;
  pid: number;
  uptimeSeconds: number;
  rssBytes: number;
  /** `http://host:port`, `host:port`, `host:port` of each client port. */
  api: string;
  classic: string | null;
  clients: string[];
  log: LogStatus;
  publisher: PublisherCounters;
  queue: QueueCounters;
  streams: FanOutCounters;
  workers: WorkerStatus[];
}

/** Of fewer connections, memory for each is not told: what a process has beside them weighs more than they. */
export const CONNECTIONS_MIN = 1000;

const NOTHING_REPORTED = Object.fromEntries(Object.keys(EMPTY_STATS).map((figure) => [figure, null])) as never as {
  [Figure in keyof WorkerStats]: null;
};

export function workerStatus({ worker, pid }: WorkerProcess, server: LinkServer): WorkerStatus {
  const link = server.links.get(worker);
  return {
    worker,
    pid,
    linked: link !== undefined,
    reportAgeMs: link === undefined || link.stats === null ? null : Math.round(performance.now() - link.statsMs),
    capacity: link?.hello.capacity ?? null,
    backlogBytes: link?.backlogBytes ?? null,
    ...(link?.stats ?? NOTHING_REPORTED),
    rssBytes: residentBytes(pid),
  };
}

export function sumsOf(workers: readonly WorkerStatus[]): WorkerSums {
  const sum = (figure: 'connections' | 'messagesSent' | 'slowConsumers') =>
    workers.reduce((n, status) => n + (status[figure] ?? 0), 0);
  const connectionsByTransport = { ...EMPTY_STATS.connectionsByTransport };
  const ended: Record<string, number> = {};
  const deliveries: LatencyCounts[] = [];
  for (const worker of workers) {
    for (const transport of TRANSPORTS) {
      connectionsByTransport[transport] += worker.connectionsByTransport?.[transport] ?? 0;
    }
    for (const [reason, count] of Object.entries(worker.ended ?? {})) ended[reason] = (ended[reason] ?? 0) + count;
    if (worker.delivery !== null) deliveries.push(worker.delivery);
  }
  const delivery = sumOfLatencies(DELIVERY_BOUNDS_MS, deliveries);
  return {
    connections: sum('connections'),
    connectionsByTransport,
    messagesSent: sum('messagesSent'),
    slowConsumers: sum('slowConsumers'),
    ended,
    deliveryMs: {
      p50: percentileMs(DELIVERY_BOUNDS_MS, delivery, 50),
      p99: percentileMs(DELIVERY_BOUNDS_MS, delivery, 99),
    },
  };
}

/** What the workers have grown by, shared out. Null where a heap shrank: that says nothing about connections. */
export function userBytesOf({ connections, workers }: Pick<ManagerStatus, 'connections' | 'workers'>): number | null {
  let grown = 0;
  for (const { memoryBytes, startMemoryBytes } of workers) grown += (memoryBytes ?? 0) - (startMemoryBytes ?? 0);
  return grown > 0 ? grown / connections : null;
}
