/**
 * The reactor over io_uring(7): what is to be done in a turn is handed to the kernel in one system call, and connections
 * are direct descriptors, which RLIMIT_NOFILE does not count.
 *
 * An idle connection is one request in the kernel, a poll for something to read. When it completes, the bytes are fetched
 * by a receive that does not wait, into one of a few buffers that all connections share, and the poll is made again. (A
 * receive that waits needs a buffer, and costs the kernel 500 bytes more than a poll; only the first one waits.)
 *
 * A slot has a byte of state and a word. A request that is with the kernel has a bit in the state until its completion has
 * been read, and only a slot without any bit is used again. Every request completes exactly once, so no completion can be
 * taken for another connection's, and no generation is needed. `#pinned` keeps the slot from being used again while an
 * event about it is being delivered.
 *
 *     accept ─► receive ─► poll ─► receive ─► poll …     one of them is with the kernel all the time while it is open
 *                 send, at most one with the kernel, the rest in order behind it
 *     cancel what waits, and close, when it ends
 *
 * Invariants: OPEN exactly while the user has the connection; the slot's word is the handle of the buffer in front
 * exactly while SENDING.
 */

import assert from 'node:assert/strict';
import {
  AF_UNIX,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from '../linux/constants.js';
import { EAGAIN, EINTR, EMFILE, ENOTCONN, isConnectionError, SystemError } from '../linux/errno.js';
import { ECANCELED, IORING_CQE_F_SOCK_NONEMPTY } from '../linux/io-uring.js';
import * as libc from '../linux/libc.js';
import { addressFamily, addressPort, SOCKET_ADDRESS_BYTES_MAX } from '../linux/socket-address.js';
import { closeDescriptor, descriptorLimit, setSocketOption } from '../linux/sockets.js';
import { IoUringListeners } from './io-uring-listeners.js';
import { ReceiveBuffers } from './io-uring-receives.js';
import * as requests from './io-uring-requests.js';
import {
  ACCEPT,
  CLOSE,
  CONNECT,
  KIND_BITS,
  KIND_MASK,
  POLL,
  RECEIVE,
  SEND,
  SHUTDOWN,
  tag,
  WAKE,
} from './io-uring-requests.js';
import type { Ring } from './io-uring-ring.js';
import { Rings } from './io-uring-rings.js';
import { IoUringSends } from './io-uring-sends.js';
import { type Reactor, type ReactorEvents, SEND_PENDING } from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

// The state of a slot. The user's side of it:
const OPEN = 1;
/** `shutdown` was called. */
const SHUT = 2;
/** The end of stream was read while a send was pending, and is to be reported after it. */
const READ_ENDED = 4;
/** Requests that are with the kernel, or wait for a buffer (RECEIVING): a slot that has one is not used again. */
const ACCEPTING = 8;
const CONNECTING = 16;
const POLLING = 32;
const RECEIVING = 64;
const SENDING = 128;
const REQUESTS = ACCEPTING | CONNECTING | POLLING | RECEIVING | SENDING;

const NONE = -1;
/** How often one turn goes on reading what is there. */
const ROUNDS_MAX = 16;
/** How often `destroy` looks whether cancelled sends have let go of their buffers, and how long it waits each time. */
const DRAIN_ROUNDS = 100;
const DRAIN_WAIT_MS = 10;

export interface IoUringOptions {
  capacity: number;
  events: ReactorEvents;
  buffers: SendBuffers;
  /** Direct descriptors of one ring, a power of two: as many as RLIMIT_NOFILE allows, at most 16,384. */
  slotsPerRing?: number;
  /** Requests handed over by one system call, a power of two. */
  submissions?: number;
  /** Completions that a ring holds, a power of two. */
  completions?: number;
  /** Connections of which bytes are received at the same time. */
  receives?: number;
}

const SLOTS_PER_RING_MAX = 1 << 14;

export class IoUringReactor implements Reactor {
  readonly name = 'io-uring';
  readonly capacity: number;

  readonly #events: ReactorEvents;
  readonly #buffers: SendBuffers;
  readonly #rings: Rings;
  readonly #states: Uint8Array;
  /** The words of the slots. */
  readonly #handles: Int32Array;
  readonly #sends: IoUringSends;
  readonly #listeners: IoUringListeners;
  readonly #receives: ReceiveBuffers;
  #open = 0;
  #sending = 0;
  /** Receives that do not wait and have not completed. */
  #receiving = 0;
  #pinned = NONE;

  /** SHUTDOWN is with the kernel; true when the connection has ended since and is to be closed after it. */
  readonly #shuttingDown = new Map<number, boolean>();
  #inTurn = false;
  #destroyed = false;

  /** @throws SystemError when io_uring is not to be had; `probeIoUring` says why in words */
  constructor(options: IoUringOptions) {
    const { capacity, events, buffers, receives = 64 } = options;
    const slotsMax = Math.min(SLOTS_PER_RING_MAX, 2 ** Math.floor(Math.log2(descriptorLimit().soft)));
    this.capacity = capacity;
    this.#events = events;
    this.#buffers = buffers;
    this.#rings = new Rings({
      capacity,
      slotsPerRing: options.slotsPerRing ?? slotsMax,
      submissions: options.submissions ?? 256,
      completions: options.completions ?? 1024,
    });
    this.#states = new Uint8Array(capacity);
    this.#handles = this.#rings.words;
    this.#sends = new IoUringSends(buffers);
    this.#receives = new ReceiveBuffers(receives);
    this.#listeners = new IoUringListeners(this, events, this.#rings);
  }

  get open(): number {
    return this.#open;
  }

  listen(fd: number): number {
    return this.#listeners.add(fd);
  }

  pauseAccepting(): void {
    this.#listeners.pause();
  }

  resumeAccepting(): void {
    this.#listeners.resume();
  }

  connect(target: Uint8Array, source: Uint8Array | null): number {
    assert(target.length <= SOCKET_ADDRESS_BYTES_MAX, 'not a socket address');
    const fd = libc.socket(addressFamily(target), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd === -1) return -libc.lastErrno();
    const errno = source === null ? 0 : this.#bind(fd, source);
    const connection = errno === 0 ? this.#install(fd) : -errno;
    closeDescriptor(fd);
    if (connection < 0) return connection;
    this.#states[connection] |= OPEN | CONNECTING;
    requests.connect(this.#rings.of(connection), connection & this.#rings.mask, connection, target);
    return connection;
  }

  /** On failure the descriptor stays with the caller. */
  adopt(fd: number): number {
    const connection = this.#install(fd);
    if (connection < 0) return connection;
    closeDescriptor(fd);
    this.#states[connection] |= OPEN;
    this.#poll(connection);
    return connection;
  }

  send(connection: number, buffer: number): number {
    const state = this.#states[connection];
    if ((state & (OPEN | CONNECTING | SHUT)) !== OPEN) throw misuse('send', connection, state);
    if ((state & SENDING) !== 0) {
      this.#sends.add(connection, buffer);
      return SEND_PENDING;
    }
    this.#buffers.retain(buffer);
    this.#states[connection] = state | SENDING;
    this.#sending++;
    this.#handles[connection] = buffer;
    this.#submitSend(connection, buffer, 0);
    return SEND_PENDING;
  }

  pendingBytes(connection: number): number {
    if ((this.#states[connection] & SENDING) === 0) return 0;
    return this.#sends.pendingBytes(connection, this.#buffers.length(this.#handles[connection]));
  }

  shutdown(connection: number): void {
    const state = this.#states[connection];
    if ((state & (OPEN | CONNECTING)) !== OPEN) throw misuse('shutdown', connection, state);
    if ((state & SHUT) !== 0) return;
    this.#states[connection] |= SHUT;
    if ((state & SENDING) === 0) this.#submitShutdown(connection);
  }

  close(connection: number): void {
    const state = this.#states[connection];
    if ((state & OPEN) === 0) throw misuse('close', connection, state);
    this.#end(connection);
  }

  abort(connection: number): void {
    const state = this.#states[connection];
    if ((state & OPEN) === 0) throw misuse('abort', connection, state);
    requests.reset(this.#rings.of(connection), connection & this.#rings.mask);
    this.#end(connection);
  }

  turn(timeoutMs: number): number {
    assert(!this.#inTurn && !this.#destroyed, 'turn inside a turn, or after destroy');
    this.#inTurn = true;
    let count = 0;
    try {
      const openBefore = this.#open;
      this.#listeners.beforeWait(this.#receives.hasDeferred);
      if (this.#destroyed) return 0;
      const waitMs = this.#open > openBefore ? 0 : this.#listeners.waitMs(timeoutMs);
      this.#rings.wait(waitMs);
      count = this.#deliverAll();
      // What is readable is read in this turn, and an end of stream right behind it reported in this turn too.
      for (let round = 0; round < ROUNDS_MAX && this.#receiving > 0 && !this.#destroyed; round++) {
        this.#rings.wait(0);
        count += this.#deliverAll();
      }
      return count;
    } finally {
      this.#inTurn = false;
      if (this.#destroyed) this.#receives.destroy();
    }
  }

  destroy(): void {
    assert(!this.#destroyed, 'destroyed twice');
    this.#destroyed = true;
    for (let slot = 0; slot < this.capacity; slot++) {
      if ((this.#states[slot] & OPEN) !== 0) this.#end(slot);
    }
    this.#listeners.destroy();
    // The memory of a send is not given back before the kernel has let go of it.
    this.#rings.wait(0);
    for (let round = 0; round < DRAIN_ROUNDS && this.#sending > 0; round++) {
      for (const ring of this.#rings.list) this.#releaseSends(ring);
      if (this.#sending > 0) this.#rings.wait(DRAIN_WAIT_MS);
    }
    this.#rings.destroy();
    // Called from inside an event, its caller still reads a borrowed view.
    if (!this.#inTurn) this.#receives.destroy();
  }

  /**
   * For the listeners: submits an accept, and linked to it a first receive, since the request has often arrived by then
   * or is about to.
   */
  submitAccept(connection: number, fd: number, listener: number): void {
    const ring = this.#rings.of(connection);
    const index = connection & this.#rings.mask;
    const buffer = this.#receives.takeFirst(connection);
    this.#states[connection] = buffer === NONE ? ACCEPTING : ACCEPTING | RECEIVING;
    if (buffer !== NONE) ring.keepTogether(2);
    requests.accept(ring, fd, index, connection, listener, buffer !== NONE);
    if (buffer !== NONE) this.#submitReceive(connection, buffer, 0);
  }

  /** For the listeners: the accept has ended without a client. */
  returnSlot(connection: number): void {
    this.#states[connection] &= ~ACCEPTING;
    this.#freeIfUnused(connection);
  }

  /** For the listeners: the slot has a client. */
  acceptedInto(connection: number, listener: number): void {
    this.#open++;
    this.#states[connection] = (this.#states[connection] & RECEIVING) | OPEN;
    this.#pinned = connection;
    this.#events.accepted(connection, listener);
    if (this.#destroyed) return;
    this.#unpin(connection);
    if ((this.#states[connection] & (OPEN | RECEIVING)) === OPEN) this.#receive(connection);
  }

  #deliverAll(): number {
    let count = 0;
    for (const ring of this.#rings.list) {
      if (ring.hasCompletions) count += this.#deliver(ring);
      if (this.#destroyed) return count;
    }
    this.#receiveDeferred();
    return count;
  }

  /** Reads the completions of a ring. @returns how many there were */
  #deliver(ring: Ring): number {
    let count = 0;
    while (ring.next()) {
      const connection = ring.data;
      const detail = ring.dataHigh >>> KIND_BITS;
      const { result } = ring;
      count++;
      switch (ring.dataHigh & KIND_MASK) {
        case POLL:
          this.#readable(connection);
          break;
        case RECEIVE:
          this.#received(connection, detail, result, (ring.flags & IORING_CQE_F_SOCK_NONEMPTY) !== 0);
          break;
        case SEND:
          this.#sent(connection, detail, result);
          break;
        case ACCEPT:
          this.#listeners.completed(connection, detail, result);
          break;
        case CONNECT:
          this.#connected(connection, result);
          break;
        case SHUTDOWN:
          this.#shutDown(connection, result);
          break;
        case WAKE:
          this.#rings.waitForOthers();
          count--;
          break;
        case CLOSE:
          throw new SystemError('close of a direct descriptor', -result);
        default: // SILENT
      }
      if (this.#destroyed) break;
    }
    return count;
  }

  /** Of a reactor that has been destroyed: lets go of the buffers, and forgets all else. */
  #releaseSends(ring: Ring): void {
    while (ring.next()) {
      if ((ring.dataHigh & KIND_MASK) !== SEND) continue;
      this.#buffers.release(ring.dataHigh >>> KIND_BITS);
      this.#sending--;
    }
  }

  #readable(connection: number): void {
    const state = this.#states[connection] & ~POLLING;
    this.#states[connection] = state;
    if ((state & OPEN) === 0) this.#freeIfUnused(connection);
    else this.#receive(connection);
  }

  #received(connection: number, buffer: number, result: number, more: boolean): void {
    const receives = this.#receives;
    this.#states[connection] &= ~RECEIVING;
    if (receives.isLarge(buffer)) this.#receiving--;
    const open = (this.#states[connection] & OPEN) !== 0;
    if (open && result > 0) {
      const start = receives.offset(buffer);
      this.#pinned = connection;
      this.#events.received(connection, receives.bytes, start, start + result);
      if (this.#destroyed) return;
      this.#unpin(connection);
    }
    receives.release(buffer);
    if (!open) this.#freeIfUnused(connection);
    // ECANCELED: the accept that it was linked to is over without a client, whatever the slot has become since.
    else if ((this.#states[connection] & OPEN) === 0 || result === -ECANCELED) return;
    else if (result > 0 && (more || result === receives.length(buffer))) this.#receive(connection);
    else if (result > 0 || result === -EAGAIN || result === -EINTR) this.#poll(connection);
    else if (result === 0 && (this.#states[connection] & SENDING) !== 0) this.#states[connection] |= READ_ENDED;
    else if (result === 0 || isConnectionError(-result)) this.#broken(connection, 0 - result);
    else throw new SystemError('recv', -result);
  }

  #sent(connection: number, buffer: number, result: number): void {
    if ((this.#states[connection] & OPEN) === 0 || (result < 0 && result !== -EAGAIN && result !== -EINTR)) {
      this.#states[connection] &= ~SENDING;
      this.#sending--;
      this.#buffers.release(buffer);
      if ((this.#states[connection] & OPEN) === 0) {
        this.#freeIfUnused(connection);
        return;
      }
      this.#sends.drop(connection);
      if (!isConnectionError(-result)) throw new SystemError('send', -result);
      this.#broken(connection, 0 - result);
      return;
    }
    if (result < 0) result = 0;
    const offset = this.#sends.offset(connection);
    if (offset + result < this.#buffers.length(buffer)) {
      this.#sends.advance(connection, result);
      this.#submitSend(connection, buffer, offset + result);
      return;
    }
    this.#buffers.release(buffer);
    const next = this.#sends.shift(connection);
    if (next !== NONE) {
      this.#handles[connection] = next;
      this.#submitSend(connection, next, 0);
      return;
    }
    this.#states[connection] &= ~SENDING;
    this.#sending--;
    if ((this.#states[connection] & SHUT) !== 0) this.#submitShutdown(connection);
    this.#pinned = connection;
    this.#events.sent(connection);
    if (this.#destroyed) return;
    this.#unpin(connection);
    if ((this.#states[connection] & (OPEN | READ_ENDED | SENDING)) !== (OPEN | READ_ENDED)) return;
    this.#states[connection] &= ~READ_ENDED;
    this.#receive(connection);
  }

  #connected(connection: number, result: number): void {
    this.#states[connection] &= ~CONNECTING;
    if ((this.#states[connection] & OPEN) === 0) {
      this.#freeIfUnused(connection);
    } else if (result < 0) {
      this.#broken(connection, 0 - result);
    } else {
      this.#pinned = connection;
      this.#events.connected(connection);
      if (this.#destroyed) return;
      this.#unpin(connection);
      if ((this.#states[connection] & OPEN) !== 0) this.#poll(connection);
    }
  }

  #shutDown(connection: number, result: number): void {
    // ENOTCONN: the peer has reset the connection, which is reported by its poll.
    if (result < 0 && result !== -ENOTCONN) throw new SystemError('shutdown', -result);
    const ended = this.#shuttingDown.get(connection);
    this.#shuttingDown.delete(connection);
    if (ended !== true) return;
    requests.close(this.#rings.of(connection), connection & this.#rings.mask);
    this.#freeIfUnused(connection);
  }

  #broken(connection: number, errno: number): void {
    this.#end(connection);
    this.#events.closed(connection, errno);
  }

  /** The connection is nobody's any more. What is with the kernel is cancelled, because it holds the file open. */
  #end(connection: number): void {
    const state = this.#states[connection];
    const ring = this.#rings.of(connection);
    if ((state & POLLING) !== 0) requests.cancel(ring, connection, POLL);
    if ((state & SENDING) !== 0) {
      requests.cancel(ring, connection, tag(SEND, this.#handles[connection]));
      this.#sends.drop(connection);
    }
    if ((state & CONNECTING) !== 0) requests.cancel(ring, connection, CONNECT);
    if ((state & RECEIVING) !== 0) {
      const buffer = this.#receives.firstOf(connection);
      if (buffer !== NONE) requests.cancel(ring, connection, tag(RECEIVE, buffer));
    }
    if ((state & SHUT) !== 0 && this.#shuttingDown.has(connection)) this.#shuttingDown.set(connection, true);
    else requests.close(ring, connection & this.#rings.mask);
    this.#open--;
    this.#states[connection] = state & REQUESTS;
    this.#freeIfUnused(connection);
  }

  #freeIfUnused(connection: number): void {
    if (this.#states[connection] !== 0 || connection === this.#pinned || this.#destroyed) return;
    if (this.#shuttingDown.size > 0 && this.#shuttingDown.has(connection)) return;
    this.#rings.release(connection);
    this.#listeners.connectionEnded();
  }

  /** After an event. A connection that was ended in it, and has nothing with the kernel, gives its slot back now. */
  #unpin(connection: number): void {
    this.#pinned = NONE;
    if (this.#states[connection] === 0) this.#freeIfUnused(connection);
  }

  #poll(connection: number): void {
    this.#states[connection] |= POLLING;
    requests.poll(this.#rings.of(connection), connection & this.#rings.mask, connection);
  }

  #receive(connection: number): void {
    this.#states[connection] |= RECEIVING;
    const buffer = this.#receives.take();
    if (buffer === NONE) this.#receives.defer(connection);
    else this.#submitReceive(connection, buffer, MSG_DONTWAIT);
  }

  #receiveDeferred(): void {
    const receives = this.#receives;
    while (receives.hasDeferred) {
      const buffer = receives.take();
      if (buffer === NONE) return;
      const connection = receives.nextDeferred();
      if ((this.#states[connection] & OPEN) !== 0) {
        this.#submitReceive(connection, buffer, MSG_DONTWAIT);
      } else {
        receives.release(buffer);
        this.#states[connection] &= ~RECEIVING;
        this.#freeIfUnused(connection);
      }
    }
  }

  #submitReceive(connection: number, buffer: number, flags: number): void {
    const ring = this.#rings.of(connection);
    if (flags === MSG_DONTWAIT) this.#receiving++;
    const address = this.#receives.address(buffer);
    const length = this.#receives.length(buffer);
    requests.receive(ring, connection & this.#rings.mask, connection, buffer, address, length, flags);
  }

  #submitSend(connection: number, buffer: number, offset: number): void {
    const address = this.#buffers.address(buffer) + offset;
    const length = this.#buffers.length(buffer) - offset;
    requests.send(this.#rings.of(connection), connection & this.#rings.mask, connection, buffer, address, length);
  }

  #submitShutdown(connection: number): void {
    this.#shuttingDown.set(connection, false);
    requests.shutdown(this.#rings.of(connection), connection & this.#rings.mask, connection);
  }

  /** Puts an ordinary descriptor into a free slot. @returns the slot or -errno */
  #install(fd: number): number {
    let connection = this.#rings.allocate();
    if (connection === -EMFILE) connection = this.#listeners.steal();
    if (connection < 0) return connection;
    const errno = this.#rings.install(connection, fd);
    if (errno === 0) {
      this.#open++;
      return connection;
    }
    this.#freeIfUnused(connection);
    return -errno;
  }

  #bind(fd: number, source: Uint8Array): number {
    assert(source.length <= SOCKET_ADDRESS_BYTES_MAX, 'not a socket address');
    // Without this option bind takes a port that is free for every target: 28,000 for each source address, not each pair.
    if (addressFamily(source) !== AF_UNIX && addressPort(source) === 0) {
      setSocketOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    }
    return this.#rings.bind(fd, source);
  }
}

function misuse(method: string, connection: number, state: number): Error {
  return new Error(`${method} on connection ${connection}, whose state is ${state}: a bug of the caller`);
}
