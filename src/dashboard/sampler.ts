/**
 * One look at the whole server: the manager's status, and rates since the looks before. Every viewer gets the same snapshot,
 * so its cost does not depend on how many look.
 */

import { DELIVERY_BOUNDS_MS, percentileMs } from '../latency-histogram.js';
import { CONNECTIONS_MIN, type ManagerStatus, userBytesOf, type WorkerStatus } from '../manager/status.js';
import { Rates } from './rates.js';
import { type Point, type Snapshot, TRANSPORTS, type Warning, type WorkerRow } from './shared/snapshot.js';

export interface SamplerSources {
  version: string;
  status(): ManagerStatus;
  /** CPU time of the manager so far. */
  cpuSeconds(): number;
  /** What the kernel has for all clients, for each of so many; null where that cannot be told. */
  kernelBytes(connections: number): number | null;
  /** What the machine and the server complain about now. */
  warnings(status: ManagerStatus): Warning[];
  wallMs(): number;
  /** Never goes back. */
  steadyMs(): number;
}

/** The manager's place among the workers' counters. */
const MANAGER = -1;
/** Names of the delivery classes among a worker's counters. */
const DELIVERY = [...DELIVERY_BOUNDS_MS.keys(), DELIVERY_BOUNDS_MS.length].map((at) => `delivery${at}`);

export class Sampler {
  readonly #sources: SamplerSources;
  readonly #rates = new Rates();

  constructor(sources: SamplerSources) {
    this.#sources = sources;
  }

  sample(): Snapshot {
    const { version, cpuSeconds, warnings, wallMs, steadyMs } = this.#sources;
    const status = this.#sources.status();
    const nowMs = steadyMs();
    const { log, publisher, streams, workers } = status;
    const workerRates = workers.map((worker) => this.#workerRates(worker, nowMs));
    const counters = { cpu: cpuSeconds(), published: publisher.published };
    const managerRates = this.#rates.report(MANAGER, status.pid, nowMs, counters);
    this.#rates.keep(new Set([MANAGER, ...workers.map(({ worker }) => worker)]));
    return {
      timeMs: wallMs(),
      version,
      pid: status.pid,
      uptimeSeconds: status.uptimeSeconds,
      point: this.#point(status, workerRates, managerRates),
      capacity: sum(workers, ({ capacity }) => capacity),
      totals: {
        accepted: sum(workers, ({ accepted }) => accepted),
        messages: status.messagesSent,
        publications: publisher.published,
        slowConsumers: status.slowConsumers,
        refused: sum(workers, ({ rejected }) => sum(Object.values(rejected ?? {}), (count) => count)),
      },
      subscriptions: sum(workers, ({ subscriptions }) => subscriptions),
      catchingUp: sum(workers, ({ catchingUp }) => catchingUp),
      linksBehind: streams.linksBehind,
      log: {
        kind: log.kind,
        publications: log.publications,
        bytes: log.bytes,
        channels: log.channels,
        queued: log.queued,
        evicted: log.evicted,
        expired: log.expired,
        pending: publisher.pending,
      },
      manager: { cpu: managerRates?.['cpu'] ?? null, residentBytes: status.rssBytes },
      workers: workers.map((worker, i) => toRow(worker, workerRates[i])),
      warnings: warnings(status),
    };
  }

  #workerRates(status: WorkerStatus, nowMs: number): Record<string, number> | null {
    const { worker, pid, reportAgeMs, accepted, connections, messagesSent, cpuUserSeconds, cpuSystemSeconds } = status;
    if (reportAgeMs === null || accepted === null || connections === null) return null;
    const counters: Record<string, number> = {
      opened: accepted,
      closed: accepted - connections,
      messages: messagesSent ?? 0,
      cpu: (cpuUserSeconds ?? 0) + (cpuSystemSeconds ?? 0),
    };
    for (const [at, count] of (status.delivery?.counts ?? []).entries()) counters[DELIVERY[at]] = count;
    return this.#rates.report(worker, pid, nowMs - reportAgeMs, counters);
  }

  #point(
    status: ManagerStatus,
    workerRates: readonly (Record<string, number> | null)[],
    managerRates: Record<string, number> | null,
  ): Point {
    const { connections, connectionsByTransport, workers, rssBytes } = status;
    const rates = workerRates.filter((rate) => rate !== null);
    const total = (name: string) => (rates.length === 0 ? null : sum(rates, (rate) => rate[name] ?? 0));
    const delivery = { counts: DELIVERY.map((name) => total(name) ?? 0), sumMs: 0 };
    return {
      connections,
      ...connectionsByTransport,
      opened: total('opened'),
      closed: total('closed'),
      messages: total('messages'),
      publications: managerRates?.['published'] ?? null,
      deliveryP50Ms: percentileMs(DELIVERY_BOUNDS_MS, delivery, 50),
      deliveryP99Ms: percentileMs(DELIVERY_BOUNDS_MS, delivery, 99),
      managerCpu: managerRates?.['cpu'] ?? null,
      workersCpu: total('cpu'),
      busiestWorkerCpu: rates.length === 0 ? null : Math.max(...rates.map((rate) => rate['cpu'])),
      residentBytes: sum(workers, (worker) => worker.rssBytes) + rssBytes,
      userBytes: connections < CONNECTIONS_MIN ? null : userBytesOf(status),
      kernelBytes: connections < CONNECTIONS_MIN ? null : this.#sources.kernelBytes(connections),
    };
  }
}

function toRow(status: WorkerStatus, rates: Record<string, number> | null): WorkerRow {
  const { worker, pid, linked, accepting, capacity, connections, slowConsumers, catchingUp, rssBytes } = status;
  const transports = TRANSPORTS.map((transport) => [transport, status.connectionsByTransport?.[transport] ?? null]);
  return {
    worker,
    pid,
    state: !linked ? 'lost' : accepting === false ? 'full' : 'serving',
    capacity,
    connections,
    transports: Object.fromEntries(transports) as WorkerRow['transports'],
    opened: rates?.['opened'] ?? null,
    closed: rates?.['closed'] ?? null,
    messages: rates?.['messages'] ?? null,
    cpu: rates?.['cpu'] ?? null,
    residentBytes: rssBytes,
    slowConsumers,
    catchingUp,
  };
}

function sum<T>(values: readonly T[], figure: (value: T) => number | null): number {
  return values.reduce((total, value) => total + (figure(value) ?? 0), 0);
}
