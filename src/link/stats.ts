/**
 * What a worker tells its manager about once a second, and every five where nothing but its CPU and memory has changed: the payload of
 * STATS (frames.ts). Counters count from the worker's start.
 */

import { DELIVERY_BOUNDS_MS, type LatencyCounts, LatencyHistogram } from '../latency-histogram.js';

/** What a connection is used for now. */
export interface ConnectionsByTransport {
  /** Waits for a message of the classic queue. */
  classic: number;
  /** Long-polls with a cursor that wait. */
  poll: number;
  sse: number;
  /** HTTP streams. */
  stream: number;
  websocket: number;
  /** The rest: new, half-read, between two requests, ending. */
  other: number;
}

export const TRANSPORTS = ['classic', 'poll', 'sse', 'stream', 'websocket', 'other'] as const;

export interface WorkerStats {
  connections: number;
  /** Its parts; their sum is `connections`. */
  connectionsByTransport: ConnectionsByTransport;
  /** Connections that wait for a message of the classic queue. */
  waiting: number;
  /** Subscriptions of all other transports: pairs of a connection and a channel. */
  subscriptions: number;
  /** Channels that have somebody waiting or subscribed. */
  channels: number;
  messagesSent: number;
  /** WebSocket messages of clients. */
  messagesReceived: number;
  /** Connections ended because they did not read. */
  slowConsumers: number;
  /** Connections that are being caught up with now. */
  catchingUp: number;
  accepted: number;
  requests: number;
  /** Refused or malformed requests by status code. */
  rejected: Record<string, number>;
  /** Connections that the server ended before they were done, by reason (src/worker/connection-control.ts). */
  ended: Record<string, number>;
  /** Messages of streams and polls: from the log's time of a publication until the kernel had it. Not of those caught up with. */
  delivery: LatencyCounts;
  accepting: boolean;
  /** Whether its clients are being ended (src/worker/drain.ts). */
  drain: 'none' | 'draining' | 'finished';
  /** CPU of the process. */
  cpuUserSeconds: number;
  cpuSystemSeconds: number;
  /** Memory of the process alone: resident, not of files. And what it was before the first connection. */
  memoryBytes: number;
  startMemoryBytes: number;
}

/** A worker that has done nothing yet; and what each figure must be like (src/manager/worker-frames.ts). */
export const EMPTY_STATS: Readonly<WorkerStats> = {
  connections: 0,
  connectionsByTransport: { classic: 0, poll: 0, sse: 0, stream: 0, websocket: 0, other: 0 },
  waiting: 0,
  subscriptions: 0,
  channels: 0,
  messagesSent: 0,
  messagesReceived: 0,
  slowConsumers: 0,
  catchingUp: 0,
  accepted: 0,
  requests: 0,
  rejected: {},
  ended: {},
  delivery: new LatencyHistogram(DELIVERY_BOUNDS_MS).counted,
  accepting: false,
  drain: 'none',
  cpuUserSeconds: 0,
  cpuSystemSeconds: 0,
  memoryBytes: 0,
  startMemoryBytes: 0,
};
