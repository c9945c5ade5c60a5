/**
 * The requests that the reactor makes, as functions that fill in one submission each.
 *
 * user_data says what a completion is about: the low word is the connection (or 0), the high word the kind of request in
 * its lowest 4 bits and over them a number that the kind needs (a listener, a buffer).
 *
 * The kernel begins requests in the order of the queue, and all those below that concern one connection are finished or
 * waiting when the next one begins, with one exception: SHUTDOWN always goes to a kernel thread, which looks the direct
 * descriptor up only then. So a slot may be used again by requests that stand behind its CLOSE in the queue, but CLOSE
 * has to wait for SHUTDOWN.
 */

import { MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_WAITALL, SHUT_WR } from '../linux/constants.js';
import {
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SHUTDOWN,
  IOSQE_CQE_SKIP_SUCCESS,
  IOSQE_FIXED_FILE,
  POLLIN,
  POLLRDHUP,
} from '../linux/io-uring.js';
import type { Ring } from './io-uring-ring.js';
import { PEER_BYTES, SEND_DONE, SEND_PENDING } from './reactor.js';

// Kinds of requests.
export const ACCEPT = 1;
export const CONNECT = 2;
export const POLL = 3;
export const RECEIVE = 4;
export const SEND = 5;
export const SHUTDOWN = 6;
export const WAKE = 7;
/** Its completion comes only when it failed, and nothing follows from that: a cancel that came too late. */
export const SILENT = 8;
/** As SILENT, but a failure is a bug. */
export const CLOSE = 9;

const KIND_BITS = 4;
const KIND_MASK = (1 << KIND_BITS) - 1;

const FIXED = IOSQE_FIXED_FILE << 8;
const QUIET = IOSQE_CQE_SKIP_SUCCESS << 8;

/** The high word of user_data. */
export function tag(kind: number, detail: number): number {
  return kind | (detail << KIND_BITS);
}

export function kindOf(dataHigh: number): number {
  return dataHigh & KIND_MASK;
}

/** The number that the kind needs. */
export function detailOf(dataHigh: number): number {
  return dataHigh >>> KIND_BITS;
}

/**
 * Accepts a client into a direct descriptor. It has no descriptor in the process.
 *
 * @param fd the listener's, which is used where its number is not in the ring's table
 * @param how IORING_ACCEPT_…; 0 tries, and waits if nobody is there
 * @param peer where the client's address goes, which its length follows (peer-cells.ts); 0: nowhere
 */
export function accept(
  ring: Ring,
  fd: number,
  index: number,
  connection: number,
  listener: number,
  how: number,
  peer = 0,
): void {
  const at = ring.submission();
  const { sqes } = ring;
  const inTable = listener < ring.listeners;
  sqes[at] = inTable ? IORING_OP_ACCEPT | FIXED | (how << 16) : IORING_OP_ACCEPT | (how << 16);
  sqes[at + 1] = inTable ? ring.files + listener : fd;
  if (peer !== 0) {
    putAddress(sqes, at + 2, peer + PEER_BYTES);
    putAddress(sqes, at + 4, peer);
  }
  sqes[at + 8] = connection;
  sqes[at + 9] = tag(ACCEPT, listener);
  sqes[at + 11] = index + 1;
}

/** The address is copied. */
export function connect(ring: Ring, index: number, connection: number, target: Uint8Array): void {
  const at = ring.submission();
  fillConnect(ring, at, index, target);
  ring.sqes[at + 8] = connection;
  ring.sqes[at + 9] = CONNECT;
}

const UNSPECIFIED = new Uint8Array(16);

/**
 * Resets a TCP connection: connect(2) to the address family AF_UNSPEC dissolves the association at once, with a RST. Other
 * sockets refuse, which does no harm.
 */
export function reset(ring: Ring, index: number): void {
  const at = ring.submission();
  fillConnect(ring, at, index, UNSPECIFIED);
  ring.sqes[at] |= QUIET;
  ring.sqes[at + 9] = SILENT;
}

function fillConnect(ring: Ring, at: number, index: number, target: Uint8Array): void {
  const { sqes } = ring;
  sqes[at] = IORING_OP_CONNECT | FIXED;
  sqes[at + 1] = index;
  sqes[at + 2] = target.length;
  putAddress(sqes, at + 4, ring.putSocketAddress(at, target));
}

/** Completes once when there is something to read, or the peer has ended or broken the connection. */
export function poll(ring: Ring, index: number, connection: number): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_POLL_ADD | FIXED;
  sqes[at + 1] = index;
  sqes[at + 7] = POLLIN | POLLRDHUP;
  sqes[at + 8] = connection;
  sqes[at + 9] = POLL;
}

/** Receives what there is. If there is nothing it waits, or fails with EAGAIN if `flags` has MSG_DONTWAIT. */
export function receive(
  ring: Ring,
  index: number,
  connection: number,
  buffer: number,
  address: number,
  bytes: number,
  flags: number,
): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_RECV | FIXED;
  sqes[at + 1] = index;
  putAddress(sqes, at + 4, address);
  sqes[at + 6] = bytes;
  sqes[at + 7] = flags;
  sqes[at + 8] = connection;
  sqes[at + 9] = tag(RECEIVE, buffer);
}

/** Sends as much as fits, or waits until something fits. */
export function send(
  ring: Ring,
  index: number,
  connection: number,
  buffer: number,
  address: number,
  bytes: number,
): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_SEND | FIXED;
  sqes[at + 1] = index;
  putAddress(sqes, at + 4, address);
  sqes[at + 6] = bytes;
  sqes[at + 7] = MSG_NOSIGNAL;
  sqes[at + 8] = connection;
  sqes[at + 9] = tag(SEND, buffer);
}

/**
 * Sends a buffer to connections[from..to) of one ring in one system call, without waiting; `last` as in reactor.ts. Only those
 * take part whose result is SEND_DONE. A send of which not all fits, or that fails, becomes an ordinary one, whose completion
 * says how much was sent, and its result SEND_PENDING.
 *
 * @param to at most `Rings.sendsAtOnce` after `from`
 * @returns how many stayed SEND_DONE
 */
export function sendAllNow(
  ring: Ring,
  connections: Int32Array,
  from: number,
  to: number,
  mask: number,
  buffer: number,
  address: number,
  bytes: number,
  last: boolean,
  results: Int32Array,
): number {
  const watched = ring.prepareNow(to - from);
  // With MSG_WAITALL a send that is short has failed, and a quiet one completes only then.
  const flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL | (last ? MSG_MORE : 0);
  const { sqes } = ring;
  let done = 0;
  for (let i = from; i < to; i++) {
    if (results[i] !== SEND_DONE) continue;
    send(ring, connections[i] & mask, connections[i], buffer, address, bytes);
    if (watched) {
      const at = ring.lastSubmission();
      sqes[at] |= QUIET;
      sqes[at + 7] = flags;
      done++;
    } else results[i] = SEND_PENDING;
  }
  if (done === 0) return 0;
  const completions = ring.submitNow();
  if (completions === 0 && ring.pending === 0) return done;

  // What the kernel had no memory for is at the end of the queue, and stays there.
  let behind = 0;
  for (let i = to - 1; i >= from; i--) {
    if (results[i] !== SEND_DONE) continue;
    if (behind < ring.pending) {
      const at = ring.lastSubmission(behind++);
      sqes[at] &= ~QUIET;
      sqes[at + 7] = MSG_NOSIGNAL;
    } else if (!ring.completed(completions, connections[i], tag(SEND, buffer))) continue;
    results[i] = SEND_PENDING;
    done--;
  }
  return done;
}

export function shutdown(ring: Ring, index: number, connection: number): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_SHUTDOWN | FIXED;
  sqes[at + 1] = index;
  sqes[at + 6] = SHUT_WR;
  sqes[at + 8] = connection;
  sqes[at + 9] = SHUTDOWN;
}

/** A request that waits holds the file open, so it has to end before or after its descriptor is closed. */
export function cancel(ring: Ring, connection: number, dataHigh: number): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_ASYNC_CANCEL | QUIET;
  sqes[at + 4] = connection;
  sqes[at + 5] = dataHigh;
  sqes[at + 9] = SILENT;
}

export function close(ring: Ring, index: number): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_CLOSE | QUIET;
  sqes[at + 9] = CLOSE;
  sqes[at + 11] = index + 1;
  ring.closing = true;
}

/** Waits until an eventfd is signalled, and sets it back. */
export function waitForEventfd(ring: Ring, fd: number, address: number): void {
  const at = ring.submission();
  const { sqes } = ring;
  sqes[at] = IORING_OP_READ;
  sqes[at + 1] = fd;
  putAddress(sqes, at + 4, address);
  sqes[at + 6] = 8;
  sqes[at + 9] = WAKE;
}

function putAddress(sqes: Int32Array, at: number, address: number): void {
  sqes[at] = address; // modulo 2^32
  sqes[at + 1] = address / 0x1_0000_0000;
}
