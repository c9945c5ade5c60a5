/**
 * What is to be held, and the sums of what that takes. Every constant that was measured says how; docs/tuning.md repeats
 * them with the command.
 */

import { workerCapacity } from '../cli/options.js';
import { CONNECTION_BYTES, RESERVED_DESCRIPTORS, WORKERS_MAX } from '../limits.js';
import { PORTABLE_CONNECTION_BYTES } from '../reactor/choose.js';
import { LISTENER_FILES, SLOTS_PER_RING_MAX, slotsPerRing } from '../reactor/io-uring-slots.js';
import type { Reading } from './reading.js';

/**
 * Slab memory of one end of an idle TCP connection, bytes with each object's share of its page: objects counted in
 * /proc/slabinfo over 4,000 loopback connections, Linux 6.18 x64. Not charged to tcp_mem, which is for queued data.
 */
export const KERNEL_CONNECTION_BYTES = {
  /** TCP: 2,368. */
  socket: 2521,
  /** sock_inode_cache: 832. */
  inode: 862,
  /** filp: 192, and the dentry that every file has: 192. */
  file: 390,
  /** lsm_inode_cache and lsm_file_cache, where a security module is active. */
  labels: 56,
};

/** What waiting for a connection's data takes on top. */
export const KERNEL_WATCH_BYTES = {
  /** eventpoll_epi 128, eventpoll_pwq 64, ep_head 16. */
  epoll: 208,
  /** io_kiocb 256, the direct descriptor's node 32 and its place in the table 16. */
  'io-uring': 304,
};

/** Queues and hash table of one ring at most: while it is made, before its queue is made smaller (src/reactor/io-uring-ring.ts). */
export const RING_BYTES = 160 << 10;

/** Private memory of an idle manager and of an idle worker (`megacomet status`), and the text that all of them share. */
export const MANAGER_BYTES = 30 << 20;
export const WORKER_BYTES = 13 << 20;
export const SHARED_TEXT_BYTES = 45 << 20;
/** The manager's index of who waits where: five bytes a place, at its emptiest (src/manager/channel-index.ts). */
export const INDEX_ENTRY_BYTES = 13;
/** megatest's columns, and its processes, as many as workers. */
export const TESTER_CONNECTION_BYTES = 32;

/** Threads of a manager: itself, V8's and libuv's pools (counted in /proc/<pid>/task). A worker's pools are smaller (supervisor.ts). */
export const MANAGER_THREADS = 11;
export const WORKER_THREADS = 5;

/** How fast clients may come back after a failure: all of them in so many seconds. */
export const RETURN_SECONDS = 10;
/** The longest time that no worker accepts: a burst of messages, or a collection of garbage. */
export const ACCEPT_PAUSE_SECONDS = 0.1;
/** What `serve` asks of listen(2) (src/linux/sockets.ts): a longer queue than that is never used. */
export const BACKLOG_MAX = 65_535;
/** Round trip of a slow mobile network. */
export const ROUND_TRIP_SECONDS = 0.25;
/** Messages that one worker hands to the kernel in a second: 8 to 12 µs each. */
export const MESSAGES_PER_WORKER_SECOND = 100_000;

export type Backend = 'epoll' | 'io-uring';

export interface Request {
  connections: number;
  /** Worker processes; without it, one a core and more where descriptors make it necessary. */
  workers?: number;
  /** As `serve --reactor`. */
  reactor: Backend | 'portable' | 'auto';
  /** The clients are on this machine too. */
  loopback: boolean;
}

/** The request with everything that follows from the machine. */
export interface Plan {
  connections: number;
  workers: number;
  /** Connections of the fullest worker. */
  perWorker: number;
  reactor: Request['reactor'];
  /** What the reactor comes down to here. */
  backend: Backend;
  /** Ends of connections on this machine: as many, or twice as many. */
  ends: number;
  loopback: boolean;
}

export function makePlan(request: Request, reading: Reading): Plan {
  const { connections, reactor, loopback } = request;
  // Node's own sockets are descriptors that epoll watches.
  const backend: Backend =
    reactor === 'auto' || reactor === 'io-uring' ? (reading.ioUring === null ? 'io-uring' : 'epoll') : 'epoll';
  const { cores, descriptors } = reading;
  const capacity = workerCapacity({ cores, reactor: backend, descriptorLimit: descriptors.hard });
  const needed = Math.max(reading.cores, Math.ceil(connections / capacity));
  const workers = request.workers ?? Math.min(WORKERS_MAX, needed);
  const perWorker = Math.ceil(connections / workers);
  return {
    connections,
    workers,
    perWorker,
    reactor,
    backend,
    ends: loopback ? 2 * connections : connections,
    loopback,
  };
}

/**
 * RLIMIT_NOFILE that the fullest worker cannot do without. With io_uring the limit bounds the table of each ring, and each
 * ring takes one descriptor: the least limit is where as many rings as it allows have just enough places.
 */
export function descriptorsNeeded({ backend, perWorker }: Plan): number {
  if (backend === 'epoll') return perWorker + RESERVED_DESCRIPTORS;
  const needed = (limit: number) => ringsNeeded(perWorker, limit) + RESERVED_DESCRIPTORS;
  let limit = 2 * RESERVED_DESCRIPTORS + LISTENER_FILES;
  while (needed(limit) > limit && slotsPerRing(limit) < SLOTS_PER_RING_MAX)
    limit = 2 * slotsPerRing(limit) + LISTENER_FILES;
  return Math.max(limit, needed(limit));
}

/** @param descriptors RLIMIT_NOFILE */
export function ringsNeeded(perWorker: number, descriptors: number): number {
  return Math.ceil(perWorker / slotsPerRing(descriptors));
}

/** Connections whose message is under way at the same time when all get one: each holds at least one page of tcp_mem. */
export function messagesUnderWay({ connections, workers }: Plan): number {
  return Math.min(connections, Math.ceil(workers * MESSAGES_PER_WORKER_SECOND * ROUND_TRIP_SECONDS));
}

export interface MemoryNeeds {
  userBytes: number;
  kernelBytes: number;
  /** A page for each message under way, at both ends where they are here. */
  queueBytes: number;
  totalBytes: number;
  /** The part of the total that grows with each connection. */
  connectionBytes: number;
}

const PAGE_BYTES = 4096;

export function memoryNeeds(plan: Plan, descriptors: number): MemoryNeeds {
  const { connections, workers, ends, backend, loopback } = plan;
  const rings = backend === 'io-uring' ? workers * ringsNeeded(plan.perWorker, descriptors) : 0;
  const userPerConnection =
    sum(CONNECTION_BYTES) +
    INDEX_ENTRY_BYTES +
    (plan.reactor === 'portable' ? PORTABLE_CONNECTION_BYTES : 0) +
    (loopback ? TESTER_CONNECTION_BYTES : 0);
  const processes = MANAGER_BYTES + workers * WORKER_BYTES * (loopback ? 2 : 1) + SHARED_TEXT_BYTES;
  const kernelPerEnd = sum(KERNEL_CONNECTION_BYTES) + KERNEL_WATCH_BYTES[backend];
  const userBytes = processes + connections * userPerConnection;
  const kernelBytes = ends * kernelPerEnd + rings * RING_BYTES;
  const queueBytes = messagesUnderWay(plan) * PAGE_BYTES * (loopback ? 2 : 1);
  return {
    userBytes,
    kernelBytes,
    queueBytes,
    totalBytes: userBytes + kernelBytes + queueBytes,
    connectionBytes: userPerConnection + (ends / connections) * kernelPerEnd,
  };
}

function sum(bytes: Record<string, number>): number {
  return Object.values(bytes).reduce((total, each) => total + each, 0);
}
