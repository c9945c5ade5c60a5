/**
 * What /metrics tells: a family for each metric, with its name, its help, and where its values come from. Names are by the
 * conventions of Prometheus (base units, `_total` for counters). deploy/grafana and deploy/prometheus use them: a name that
 * changes here breaks somebody's dashboard.
 *
 * Counters of workers count from the worker's start, as Prometheus expects of a process that is replaced.
 */

import type { MetricType } from 'prom-client';
import type { RequestCount } from '../api/request-counts.js';
import { DELIVERY_BOUNDS_MS, FAN_OUT_BOUNDS_MS, type LatencyCounts } from '../latency-histogram.js';
import { TRANSPORTS } from '../link/stats.js';
import type { ManagerStatus, WorkerStatus } from '../manager/status.js';

/** All that is asked of the server for one scrape. */
export interface Sample {
  version: string;
  reactor: string;
  startedSeconds: number;
  status: ManagerStatus;
  /** From when the log was given a publication until it was written to all links. */
  fanOut: LatencyCounts;
  /** Messages of streams and polls, of all workers that there have been. */
  delivery: LatencyCounts;
  /** Of one connection; null where that cannot be told. */
  userBytes: number | null;
  kernelBytes: number | null;
  cpu: { userSeconds: number; systemSeconds: number };
  doctorWarnings: number;
  workersEnded: number;
  apiRequests: RequestCount[];
}

export interface Value {
  value: number;
  labels: Record<string, string | number>;
  /** Where it is not the family's. */
  metricName?: string;
}

export interface Family {
  name: string;
  help: string;
  type: `${MetricType}`;
  values(sample: Sample): Value[];
}

export const FAMILIES: readonly Family[] = [
  gauge('build_info', 'Always 1; the labels say what runs', ({ version, reactor, status }) => [
    { value: 1, labels: { version, reactor, log: status.log.kind, node: process.versions.node } },
  ]),
  gauge(
    'start_time_seconds',
    'When the manager started, in seconds since 1970',
    one(({ startedSeconds }) => startedSeconds),
  ),

  // Connections
  gauge('connections', 'Open client connections by what they are used for', ({ status }) =>
    status.workers.flatMap(({ worker, connectionsByTransport }) =>
      connectionsByTransport === null
        ? []
        : TRANSPORTS.map((transport) => ({ value: connectionsByTransport[transport], labels: { transport, worker } })),
    ),
  ),
  gauge('connections_limit', 'Client connections that a worker may hold', ofWorkers('capacity')),
  gauge(
    'accepting',
    '1 while the worker accepts clients, 0 while it is full or out of descriptors',
    ofWorkers('accepting'),
  ),
  counter('connections_accepted_total', 'Client connections accepted', ofWorkers('accepted')),
  counter('connections_closed_total', 'Client connections that have ended, in whatever way', ({ status }) =>
    perWorker(status, ({ accepted, connections }) => (accepted === null ? null : accepted - (connections ?? 0))),
  ),
  counter(
    'connections_ended_total',
    'Client connections that the server ended before they were done, by reason',
    recordOf('ended', 'reason'),
  ),
  gauge(
    'connection_user_bytes',
    'User-space memory of one connection: what the workers have grown by since they began, shared out; absent below 1000 connections',
    optional(({ userBytes }) => userBytes),
  ),
  gauge(
    'connection_kernel_bytes',
    'Kernel memory of one connection: what that of the machine has grown by since the start, shared out; absent below 1000 connections',
    optional(({ kernelBytes }) => kernelBytes),
  ),
  gauge(
    'draining_connections',
    'Client connections left of those that a drain ends; 0 without one',
    one(({ status }) => status.drain?.remaining ?? 0),
  ),

  // Webhooks; nothing where there are none
  counter('webhook_events_total', 'Events of webhooks, by what became of them', ({ status: { webhooks } }) =>
    webhooks === null
      ? []
      : (['sent', 'coalesced', 'dropped'] as const).map((result) => ({ value: webhooks[result], labels: { result } })),
  ),
  counter(
    'webhook_failures_total',
    'Requests of webhooks that were not answered with 2xx',
    optional(({ status }) => status.webhooks?.failures ?? null),
  ),
  gauge(
    'webhook_events_pending',
    'Events of webhooks that wait, or are on their way',
    optional(({ status }) => status.webhooks?.pending ?? null),
  ),

  // Requests and messages
  counter('requests_total', 'Request heads that were read', ofWorkers('requests')),
  counter('requests_rejected_total', 'Requests that were refused, by status code', recordOf('rejected', 'status')),
  counter('messages_sent_total', 'Messages handed to the kernel for clients', ofWorkers('messagesSent')),
  counter('messages_received_total', 'WebSocket messages of clients', ofWorkers('messagesReceived')),
  histogram(
    'delivery_seconds',
    'From the place of a publication in the log until the kernel had it for a client; streams and polls, not those that were caught up with',
    DELIVERY_BOUNDS_MS,
    ({ delivery }) => delivery,
  ),
  gauge('subscriptions', 'Pairs of a connection and a channel', ofWorkers('subscriptions')),
  gauge('channels', 'Channels that have somebody waiting or subscribed', ofWorkers('channels')),
  gauge('catching_up_connections', 'Connections that are being given what they missed', ofWorkers('catchingUp')),

  // Publishing
  counter(
    'publications_total',
    'Publications accepted, without duplicates',
    one(({ status }) => status.publisher.published),
  ),
  counter(
    'publications_duplicate_total',
    'Publications whose id was known',
    one(({ status }) => status.publisher.duplicates),
  ),
  counter(
    'publications_failed_total',
    'Publications that the log could not keep',
    one(({ status }) => status.publisher.failed),
  ),
  gauge(
    'publications_pending',
    'Publications on their way into the log',
    one(({ status }) => status.publisher.pending),
  ),
  gauge(
    'publications_pending_bytes',
    'Their data',
    one(({ status }) => status.publisher.pendingBytes),
  ),
  gauge(
    'publishers_waiting',
    'Publications whose publishers wait for a receipt',
    one(({ status }) => status.publisher.publishersWaiting),
  ),
  histogram(
    'fan_out_seconds',
    'From when the log was given a publication until it was written to the links of all workers that listen',
    FAN_OUT_BOUNDS_MS,
    ({ fanOut }) => fanOut,
  ),

  counter(
    'api_requests_total',
    'Requests to the HTTP API that were answered, by route and status code',
    ({ apiRequests }) =>
      apiRequests.map(({ route, status, requests }) => ({
        value: requests,
        labels: { route: route || 'none', status },
      })),
  ),

  // The log and the queue
  gauge(
    'log_publications',
    'Publications that the log retains',
    one(({ status }) => status.log.publications),
  ),
  gauge(
    'log_bytes',
    'Their data',
    one(({ status }) => status.log.bytes),
  ),
  gauge(
    'log_channels',
    'Channels that have any of them',
    one(({ status }) => status.log.channels),
  ),
  gauge(
    'log_last_sequence',
    'The highest sequence of the log',
    one(({ status }) => status.log.last),
  ),
  counter('log_dropped_total', 'Publications that retention has dropped, by reason', ({ status }) => [
    { value: status.log.expired, labels: { reason: 'expired' } },
    { value: status.log.evicted, labels: { reason: 'evicted' } },
  ]),
  gauge(
    'queue_publications',
    'Publications that the classic queue still owes',
    one(({ status }) => status.log.queued),
  ),
  gauge(
    'queue_in_flight',
    'Publications of the classic queue that workers are handing out',
    one(({ status }) => status.queue.inFlight),
  ),
  counter(
    'queue_delivered_total',
    'Publications of the classic queue that somebody got',
    one(({ status }) => status.queue.delivered),
  ),
  counter(
    'queue_missed_total',
    'Publications of the classic queue that nobody got, and which stay',
    one(({ status }) => status.queue.missed),
  ),

  // Processes
  gauge(
    'workers',
    'Worker processes that live',
    one(({ status }) => status.workers.length),
  ),
  gauge('worker_linked', '1 while the manager has a link to the worker', ofWorkers('linked')),
  counter(
    'workers_ended_total',
    'Worker processes that ended without being told to',
    one(({ workersEnded }) => workersEnded),
  ),
  gauge('link_backlog_bytes', 'What the manager has for a worker that it has not read', ofWorkers('backlogBytes')),
  gauge(
    'links_behind',
    'Links that are sent what they missed from the log',
    one(({ status }) => status.streams.linksBehind),
  ),
  counter('process_cpu_seconds_total', 'CPU time of a process', ({ cpu, status }) => [
    ...modes('manager', cpu.userSeconds, cpu.systemSeconds),
    ...status.workers.flatMap(({ worker, cpuUserSeconds, cpuSystemSeconds }) =>
      cpuUserSeconds === null || cpuSystemSeconds === null
        ? []
        : modes(`worker-${worker}`, cpuUserSeconds, cpuSystemSeconds),
    ),
  ]),
  gauge('process_resident_memory_bytes', 'Resident memory of a process, shared pages counted whole', ({ status }) => [
    { value: status.rssBytes, labels: { process: 'manager' } },
    ...ofProcesses(status, ({ rssBytes }) => rssBytes),
  ]),
  gauge('process_private_memory_bytes', 'Resident memory of a worker that no file is behind', ({ status }) =>
    ofProcesses(status, ({ memoryBytes }) => memoryBytes),
  ),
  gauge(
    'doctor_warnings',
    'What the doctor found in this machine at the start',
    one(({ doctorWarnings }) => doctorWarnings),
  ),
];

function gauge(name: string, help: string, values: Family['values']): Family {
  return { name: `megacomet_${name}`, help, type: 'gauge', values };
}

function counter(name: string, help: string, values: Family['values']): Family {
  return { name: `megacomet_${name}`, help, type: 'counter', values };
}

function histogram(
  name: string,
  help: string,
  boundsMs: readonly number[],
  of: (sample: Sample) => LatencyCounts,
): Family {
  const metricName = `megacomet_${name}`;
  return {
    ...{ name: metricName, help, type: 'histogram' },
    values: (sample) => {
      const { counts, sumMs } = of(sample);
      let total = 0;
      const buckets = counts.map((count, i) => {
        total += count;
        const le = boundsMs[i] === undefined ? '+Inf' : String(boundsMs[i] / 1000);
        return { value: total, labels: { le }, metricName: `${metricName}_bucket` };
      });
      return [
        ...buckets,
        { value: sumMs / 1000, labels: {}, metricName: `${metricName}_sum` },
        { value: total, labels: {}, metricName: `${metricName}_count` },
      ];
    },
  };
}

function one(figure: (sample: Sample) => number): Family['values'] {
  return (sample) => [{ value: figure(sample), labels: {} }];
}

function optional(figure: (sample: Sample) => number | null): Family['values'] {
  return (sample) => {
    const value = figure(sample);
    return value === null ? [] : [{ value, labels: {} }];
  };
}

/** A figure of each worker that has reported it. */
function ofWorkers(figure: keyof WorkerStatus): Family['values'] {
  return ({ status }) => perWorker(status, (worker) => worker[figure] as number | boolean | null);
}

function perWorker({ workers }: ManagerStatus, figure: (worker: WorkerStatus) => number | boolean | null): Value[] {
  return workers.flatMap((status) => {
    const value = figure(status);
    return value === null ? [] : [{ value: Number(value), labels: { worker: status.worker } }];
  });
}

/** Counts of each worker by some word. */
function recordOf(figure: 'ended' | 'rejected', label: string): Family['values'] {
  return ({ status }) =>
    status.workers.flatMap(({ worker, [figure]: counts }) =>
      Object.entries(counts ?? {}).map(([word, value]) => ({ value, labels: { [label]: word, worker } })),
    );
}

function ofProcesses({ workers }: ManagerStatus, figure: (worker: WorkerStatus) => number | null): Value[] {
  return workers.flatMap((status) => {
    const value = figure(status);
    return value === null ? [] : [{ value, labels: { process: `worker-${status.worker}` } }];
  });
}

function modes(process: string, userSeconds: number, systemSeconds: number): Value[] {
  return [
    { value: userSeconds, labels: { process, mode: 'user' } },
    { value: systemSeconds, labels: { process, mode: 'system' } },
  ];
}
