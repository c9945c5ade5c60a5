/**
 * The connections of the io_uring reactor: what is with the kernel for each of them, and what follows when it completes.
 *
 * An idle connection is one request in the kernel, a poll for something to read. When it completes, the bytes are fetched
 * by a receive that does not wait, into one of a few buffers that all connections share, and the poll is made again. (A
 * receive that waits needs a buffer, and costs the kernel 500 bytes more than a poll; only the first one waits.)
 *
 * A slot has a byte of state (io-uring-states.ts) and a word. A request that is with the kernel has a bit in the state until its completion has
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

import { MSG_DONTWAIT } from '../linux/constants.js';
import { EAGAIN, EINTR, ENOTCONN, isConnectionError, SystemError } from '../linux/errno.js';
import { ReceiveBuffers } from './io-uring-receives.js';
import * as requests from './io-uring-requests.js';
import { CONNECT, POLL, RECEIVE, tag } from './io-uring-requests.js';
import type { Rings } from './io-uring-rings.js';
import { IoUringSends } from './io-uring-sends.js';
import {
  ACCEPTING,
  CONNECTING,
  misuse,
  OPEN,
  POLLING,
  READ_ENDED,
  RECEIVING,
  REQUESTS,
  SENDING,
  SHUT,
} from './io-uring-states.js';
import { PeerCells } from './peer-cells.js';
import { PEER_BYTES, type ReactorEvents } from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

const NONE = -1;
export interface ConnectionsOptions {
  capacity: number;
  events: ReactorEvents;
  buffers: SendBuffers;
  rings: Rings;
  /** Connections of which bytes are received at the same time. */
  receives: number;
  /** Called when a slot can be used again. */
  slotFreed: () => void;
}

export class IoUringConnections {
  /** How many the user has. */
  open = 0;
  /** Receives that do not wait and have not completed. */
  receiving = 0;
  /** Clients that were accepted since the reactor set it to 0, and whose first receives are to be submitted. */
  newcomers = 0;
  /** Set by `destroy`, perhaps in the middle of an event. */
  destroyed = false;
  /** Accepts that begin from now on are to tell the client's address. */
  peerAddresses = false;
  /** During `accepted`: the client's address. */
  readonly peer = new Uint8Array(PEER_BYTES);

  readonly #events: ReactorEvents;
  readonly #rings: Rings;
  readonly #slotFreed: () => void;
  readonly #states: Uint8Array;
  readonly #sends: IoUringSends;
  readonly #receives: ReceiveBuffers;
  #pinned = NONE;
  /** Null until an accept has asked for an address. */
  #peers: PeerCells | null = null;

  /** SHUTDOWN is with the kernel; true when the connection has ended since and is to be closed after it. */
  readonly #shuttingDown = new Map<number, boolean>();

  constructor({ capacity, events, buffers, rings, receives, slotFreed }: ConnectionsOptions) {
    this.#events = events;
    this.#rings = rings;
    this.#slotFreed = slotFreed;
    this.#states = new Uint8Array(capacity);
    this.#sends = new IoUringSends(this.#states, rings, buffers);
    this.#receives = new ReceiveBuffers(receives);
  }

  /** Some connections wait for a buffer to receive into. */
  get waitForBuffers(): boolean {
    return this.#receives.hasDeferred;
  }

  /** A descriptor was installed in the slot, a socket that is still to be connected. */
  connect(connection: number, target: Uint8Array): void {
    this.open++;
    this.#states[connection] |= OPEN | CONNECTING;
    requests.connect(this.#rings.of(connection), connection & this.#rings.mask, connection, target);
  }

  /** A connected descriptor was installed in the slot. */
  adopt(connection: number): void {
    this.open++;
    this.#states[connection] |= OPEN;
    this.#poll(connection);
  }

  /** Nothing was installed in a slot that had been allocated. */
  notInstalled(connection: number): void {
    this.#freeIfUnused(connection);
  }

  send(connection: number, buffer: number, last: boolean): number {
    return this.#sends.send(connection, buffer, last);
  }

  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number {
    return this.#sends.sendAll(connections, count, buffer, results);
  }

  pendingBytes(connection: number): number {
    return this.#sends.pendingBytes(connection);
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

  /** Ends all of them. The memory of a send is not given back before the kernel has let go of it. */
  destroy(): void {
    this.destroyed = true;
    for (let slot = 0; slot < this.#states.length; slot++) {
      if ((this.#states[slot] & OPEN) !== 0) this.#end(slot);
    }
    this.#rings.wait(0);
    this.#sends.drain();
  }

  /** After `destroy`, once no event reads a borrowed view any more. */
  releaseMemory(): void {
    this.#receives.destroy();
    this.#peers?.destroy();
  }

  /** For the listeners: submits an accept. */
  submitAccept(connection: number, fd: number, listener: number, how: number): void {
    this.#states[connection] = ACCEPTING;
    let peer = 0;
    if (this.peerAddresses) {
      this.#peers ??= new PeerCells();
      peer = this.#peers.take(connection);
    }
    requests.accept(this.#rings.of(connection), fd, connection & this.#rings.mask, connection, listener, how, peer);
  }

  /** For the listeners: the accept has ended without a client. */
  returnSlot(connection: number): void {
    this.#peers?.give(connection, this.peer);
    this.#states[connection] &= ~ACCEPTING;
    this.#freeIfUnused(connection);
  }

  /** For the listeners: the slot has a client. */
  acceptedInto(connection: number, listener: number): void {
    this.#peers?.give(connection, this.peer);
    this.open++;
    this.newcomers++;
    this.#states[connection] = OPEN;
    this.#pinned = connection;
    this.#events.accepted(connection, listener);
    if (this.destroyed) return;
    this.#unpin(connection);
    if ((this.#states[connection] & OPEN) !== 0) this.#receiveFirst(connection);
  }

  readable(connection: number): void {
    const state = this.#states[connection] & ~POLLING;
    this.#states[connection] = state;
    if ((state & OPEN) === 0) this.#freeIfUnused(connection);
    else this.#receive(connection);
  }

  received(connection: number, buffer: number, result: number, more: boolean): void {
    const receives = this.#receives;
    this.#states[connection] &= ~RECEIVING;
    if (receives.isLarge(buffer)) this.receiving--;
    const open = (this.#states[connection] & OPEN) !== 0;
    if (open && result > 0) {
      const start = receives.offset(buffer);
      this.#pinned = connection;
      this.#events.received(connection, receives.bytes, start, start + result);
      if (this.destroyed) return;
      this.#unpin(connection);
    }
    receives.release(buffer);
    if (!open) this.#freeIfUnused(connection);
    else if ((this.#states[connection] & OPEN) === 0) return;
    else if (result > 0 && (more || result === receives.length(buffer))) this.#receive(connection);
    else if (result > 0 || result === -EAGAIN || result === -EINTR) this.#poll(connection);
    else if (result === 0 && (this.#states[connection] & SENDING) !== 0) this.#states[connection] |= READ_ENDED;
    else if (result === 0 || isConnectionError(-result)) this.#broken(connection, 0 - result);
    else throw new SystemError('recv', -result);
  }

  sent(connection: number, buffer: number, result: number): void {
    if ((this.#states[connection] & OPEN) === 0) {
      this.#sends.ended(connection, buffer);
      this.#freeIfUnused(connection);
      return;
    }
    if (result < 0 && result !== -EAGAIN && result !== -EINTR) {
      this.#sends.ended(connection, buffer);
      if (!isConnectionError(-result)) throw new SystemError('send', -result);
      this.#broken(connection, 0 - result);
      return;
    }
    if (!this.#sends.advance(connection, buffer, Math.max(result, 0))) return;
    if ((this.#states[connection] & SHUT) !== 0) this.#submitShutdown(connection);
    this.#pinned = connection;
    this.#events.sent(connection);
    if (this.destroyed) return;
    this.#unpin(connection);
    if ((this.#states[connection] & (OPEN | READ_ENDED | SENDING)) !== (OPEN | READ_ENDED)) return;
    this.#states[connection] &= ~READ_ENDED;
    this.#receive(connection);
  }

  connected(connection: number, result: number): void {
    this.#states[connection] &= ~CONNECTING;
    if ((this.#states[connection] & OPEN) === 0) {
      this.#freeIfUnused(connection);
    } else if (result < 0) {
      this.#broken(connection, 0 - result);
    } else {
      this.#pinned = connection;
      this.#events.connected(connection);
      if (this.destroyed) return;
      this.#unpin(connection);
      if ((this.#states[connection] & OPEN) !== 0) this.#poll(connection);
    }
  }

  shutDown(connection: number, result: number): void {
    // ENOTCONN: the peer has reset the connection, which is reported by its poll.
    if (result < 0 && result !== -ENOTCONN) throw new SystemError('shutdown', -result);
    const ended = this.#shuttingDown.get(connection);
    this.#shuttingDown.delete(connection);
    if (ended !== true) return;
    requests.close(this.#rings.of(connection), connection & this.#rings.mask);
    this.#freeIfUnused(connection);
  }

  receiveDeferred(): void {
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

  #broken(connection: number, errno: number): void {
    this.#end(connection);
    this.#events.closed(connection, errno);
  }

  /** The connection is nobody's any more. What is with the kernel is cancelled, because it holds the file open. */
  #end(connection: number): void {
    const state = this.#states[connection];
    const ring = this.#rings.of(connection);
    if ((state & POLLING) !== 0) requests.cancel(ring, connection, POLL);
    if ((state & SENDING) !== 0) this.#sends.cancel(connection);
    if ((state & CONNECTING) !== 0) requests.cancel(ring, connection, CONNECT);
    if ((state & RECEIVING) !== 0) {
      const buffer = this.#receives.firstOf(connection);
      if (buffer !== NONE) requests.cancel(ring, connection, tag(RECEIVE, buffer));
    }
    if ((state & SHUT) !== 0 && this.#shuttingDown.has(connection)) this.#shuttingDown.set(connection, true);
    else requests.close(ring, connection & this.#rings.mask);
    this.open--;
    this.#states[connection] = state & REQUESTS;
    this.#freeIfUnused(connection);
  }

  #freeIfUnused(connection: number): void {
    if (this.#states[connection] !== 0 || connection === this.#pinned || this.destroyed) return;
    if (this.#shuttingDown.size > 0 && this.#shuttingDown.has(connection)) return;
    this.#rings.release(connection);
    this.#slotFreed();
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

  /** The request has often arrived by now, or is about to: this receive waits for it. */
  #receiveFirst(connection: number): void {
    const buffer = this.#receives.takeFirst(connection);
    if (buffer === NONE) {
      this.#receive(connection);
      return;
    }
    this.#states[connection] |= RECEIVING;
    this.#submitReceive(connection, buffer, 0);
  }

  #receive(connection: number): void {
    this.#states[connection] |= RECEIVING;
    const buffer = this.#receives.take();
    if (buffer === NONE) this.#receives.defer(connection);
    else this.#submitReceive(connection, buffer, MSG_DONTWAIT);
  }

  #submitReceive(connection: number, buffer: number, flags: number): void {
    const ring = this.#rings.of(connection);
    if (flags === MSG_DONTWAIT) this.receiving++;
    const address = this.#receives.address(buffer);
    const length = this.#receives.length(buffer);
    requests.receive(ring, connection & this.#rings.mask, connection, buffer, address, length, flags);
  }

  #submitShutdown(connection: number): void {
    this.#shuttingDown.set(connection, false);
    requests.shutdown(this.#rings.of(connection), connection & this.#rings.mask, connection);
  }
}
