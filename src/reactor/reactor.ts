/**
 * The reactor contract: what the kernel's event interfaces have in common, as numbers.
 *
 * A *connection* is a slot number, 0 <= connection < capacity. Slots are dense, so every table about connections is
 * a typed array indexed by it. A slot is reused after its connection ended; the reactor tells stale kernel events from
 * fresh ones by a generation that it keeps with the slot and in the kernel's user data, so its user never sees one.
 *
 * The contract fits readiness (epoll: the reactor makes the system call and knows the result at once) and completion
 * (io_uring: the result comes in a later turn). What is told by a returned number on one may come as an event on the
 * other; a user has to handle both.
 *
 * Life of a connection:
 *
 *     accepted ─┐                     ┌─ closed(errno)    the peer ended it, or it broke: the slot is already released
 *               ├─ received / sent … ─┤
 *     connected ┘                     └─ close() abort()  the user ended it: no event follows
 *
 * Events are delivered only from inside `turn`, one after another, never from inside `send` or `close`. Any reactor
 * method may be called from inside an event.
 */

import type { Socket } from 'node:net';
import type { SendBuffers } from './send-buffers.js';

/** All of them; `auto` is none: it has been decided (choose.ts). */
export type ReactorName = 'io-uring' | 'epoll' | 'portable';

export interface ReactorOptions {
  capacity: number;
  events: ReactorEvents;
  /** Of the kind that the reactor can send: `sendBuffersFor` (choose.ts). */
  buffers: SendBuffers;
}

/** What the reactor reports. Methods, not closures, so that each call site stays monomorphic. */
export interface ReactorEvents {
  /** A client was accepted on the listener that `listen` returned as `listener`. */
  accepted(connection: number, listener: number): void;

  /** A connection begun by `connect` is established. One that fails is reported by `closed` instead. */
  connected(connection: number): void;

  /**
   * Bytes arrived: `bytes[start..end)`, at least one. The view is borrowed: it is valid until this call returns.
   */
  received(connection: number, bytes: Uint8Array, start: number, end: number): void;

  /** All that was handed to `send` with the result `SEND_PENDING` has now been taken by the kernel, whole. */
  sent(connection: number): void;

  /**
   * The connection ended without our doing: errno 0 is an orderly end of stream (FIN), others are the kernel's
   * (ECONNRESET, ETIMEDOUT, EPIPE …). What was pending is dropped and the slot is released before this call.
   * An end of stream that arrives while a send is pending is reported after that send has finished or failed. One that
   * has arrived together with the bytes before it is reported in the same turn as these.
   */
  closed(connection: number, errno: number): void;

  /**
   * The process or the machine is out of descriptors or memory (EMFILE, ENFILE, ENOMEM, ENOBUFS), or the capacity is
   * reached (errno 0): accepting has stopped. Reported once; the reactor tries again by itself when a connection ends
   * and now and then.
   */
  acceptingStopped(errno: number): void;

  /** Accepting goes on after `acceptingStopped`. */
  acceptingResumed(): void;
}

/** `send`: the kernel has all of the bytes. */
export const SEND_DONE = 1;
/** `send`: the reactor holds on to the buffer; `sent` or `closed` follows. */
export const SEND_PENDING = 0;
// `send`: a negative result is -errno: the connection is broken and its slot is already released; no event follows.

/** Of `Reactor.peer`: struct sockaddr_in6, the largest that a TCP client has. */
export const PEER_BYTES = 28;

/** Hands over clients that were accepted elsewhere (src/worker/handed-clients.ts). */
export interface ClientSource {
  /**
   * From now on clients are handed to `take`, as long as accepting goes on. It answers for each of them once, then or later: whether the
   * reactor has it (before anything is read from it), or cannot, and somebody else may.
   */
  open(take: (socket: Socket, settle: (taken: boolean) => void) => void): void;
  /** Whether clients should be handed over from now on. */
  setAccepting(accepting: boolean): void;
  close(): void;
}

export interface Reactor {
  /** A {@link ReactorName}. */
  readonly name: string;

  /** Connections are 0 <= c < capacity. Fixed for the life of the reactor. */
  readonly capacity: number;

  /** Slots in use: accepted, connected, connecting and adopted. */
  readonly open: number;

  /**
   * Whether clients that are accepted from now on have an address in `peer`. False at first: the kernel takes some time to tell one.
   */
  peerAddresses: boolean;

  /**
   * During `accepted`, and no longer: the client's address, a struct sockaddr (src/linux/socket-address.ts). Of family 0 where it is
   * not known, since `peerAddresses` was false when the accept began.
   */
  readonly peer: Uint8Array;

  /**
   * Takes over a listening, non-blocking socket and begins to accept. Returns the listener's number, from 0.
   *
   * The portable reactor also takes a source of clients that another process has accepted, and no other does.
   */
  listen(listener: number | ClientSource): number;

  /** Stops accepting on all listeners (they stay open, so that others who share them go on). */
  pauseAccepting(): void;

  /** Accepts again after `pauseAccepting`. */
  resumeAccepting(): void;

  /**
   * Stops accepting for good, and closes all listeners. Where nobody else shares them, clients that the kernel has queued are reset, and
   * others are refused from the next turn on. Nothing may be listened to afterwards.
   */
  stopListening(): void;

  /**
   * Begins to connect a TCP or Unix stream socket. Addresses are struct sockaddr as bytes (src/linux/socket-address.ts).
   * `source` null lets the kernel choose. Returns the connection, or -errno.
   */
  connect(target: Uint8Array, source: Uint8Array | null): number;

  /** Takes over a connected stream socket, whatever its family. Returns the connection, or -errno. */
  adopt(fd: number): number;

  /**
   * Sends the whole of a buffer from `SendBuffers` (a handle). The reactor retains the buffer while it is pending, the
   * caller keeps (and releases) its own reference. Sends on one connection keep their order.
   *
   * @param last `close` or `shutdown` follows, at once after SEND_DONE or in `sent`, and nothing else: the kernel may hold the
   *   bytes back until then, so that they and the end of stream travel in one segment instead of two (MSG_MORE, send(2))
   * @returns SEND_DONE, SEND_PENDING or -errno
   */
  send(connection: number, buffer: number, last?: boolean): number;

  /**
   * Sends one buffer to many: connections[0..count), none of them twice. As so many calls of `send`, and cheaper where the
   * kernel takes requests in batches.
   *
   * @param results where results[0..count) are put: for each connection SEND_DONE, SEND_PENDING or -errno
   * @returns how many are SEND_DONE: where that is `count`, the results need no look
   */
  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number;

  /** Bytes handed to `send` that the kernel has not taken yet. */
  pendingBytes(connection: number): number;

  /**
   * Sends end of stream (FIN) once what is pending has been sent. Bytes from the peer go on being reported, and
   * `closed` follows when the peer ends its side too; who does not want to wait for ever closes by a timer.
   */
  shutdown(connection: number): void;

  /** Ends a connection at once, orderly as far as the kernel is concerned; pending sends are dropped. */
  close(connection: number): void;

  /** Ends a connection with a reset (RST), leaving no TIME_WAIT. */
  abort(connection: number): void;

  /**
   * One turn: waits until something happened, but at most `timeoutMs`, and delivers the events. A signal ends the
   * wait. Returns how many kernel events there were; 0 after a time-out or a signal.
   *
   * A reactor with `wait` does not wait in it: it delivers what `wait` was resolved for.
   */
  turn(timeoutMs: number): number;

  /** After a turn: it came to its end while there was more to be had without waiting, as far as the reactor knows. */
  readonly unfinished: boolean;

  /**
   * Only of a reactor whose events come out of Node's own event loop, which nobody may block: resolves when there is something
   * for `turn` to deliver, or after `timeoutMs`.
   */
  wait?(timeoutMs: number): Promise<void>;

  /** Closes everything that the reactor owns, listeners and adopted descriptors too. */
  destroy(): void;
}

/** `sendAll` of a reactor to which each send is a system call of its own. */
export function sendToEach(
  reactor: Reactor,
  connections: Int32Array,
  count: number,
  buffer: number,
  results: Int32Array,
): number {
  let done = 0;
  for (let i = 0; i < count; i++) {
    const result = reactor.send(connections[i], buffer);
    results[i] = result;
    if (result === SEND_DONE) done++;
  }
  return done;
}
