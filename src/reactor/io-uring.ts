/**
 * The reactor over io_uring(7): what is to be done in a turn is handed to the kernel in one system call, and connections
 * are direct descriptors, which RLIMIT_NOFILE does not count.
 *
 * It joins the rings, the listeners and the connections, and owns the turn: submit, wait, and give each completion to
 * whom it concerns. docs/adr/0006-io-uring.md says how io_uring is used, and why so.
 */

import assert from 'node:assert/strict';
import {
  AF_UNIX,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from '../linux/constants.js';
import { EMFILE, SystemError } from '../linux/errno.js';
import { IORING_CQE_F_SOCK_NONEMPTY } from '../linux/io-uring.js';
import * as libc from '../linux/libc.js';
import { addressFamily, addressPort, SOCKET_ADDRESS_BYTES_MAX } from '../linux/socket-address.js';
import { closeDescriptor, descriptorLimit, setSocketOption } from '../linux/sockets.js';
import { IoUringConnections } from './io-uring-connections.js';
import { IoUringListeners } from './io-uring-listeners.js';
import { ACCEPT, CLOSE, CONNECT, detailOf, kindOf, POLL, RECEIVE, SEND, SHUTDOWN, WAKE } from './io-uring-requests.js';
import type { Ring } from './io-uring-ring.js';
import { Rings } from './io-uring-rings.js';
import { slotsPerRing } from './io-uring-slots.js';
import type { ClientSource, Reactor, ReactorEvents } from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

/** How often one turn goes on reading what is there. */
const ROUNDS_MAX = 16;

export interface IoUringOptions {
  capacity: number;
  events: ReactorEvents;
  buffers: SendBuffers;
  /** Direct descriptors of one ring, a power of two: as many as RLIMIT_NOFILE allows beside listeners, at most 16,384. */
  slotsPerRing?: number;
  /** Requests handed over by one system call, a power of two. */
  submissions?: number;
  /** Completions that a ring holds, a power of two. */
  completions?: number;
  /** Connections of which bytes are received at the same time. */
  receives?: number;
}

export class IoUringReactor implements Reactor {
  readonly name = 'io-uring';
  readonly capacity: number;

  readonly #rings: Rings;
  readonly #connections: IoUringConnections;
  readonly #listeners: IoUringListeners;
  #inTurn = false;
  #destroyed = false;

  /** @throws SystemError when io_uring is not to be had; `probeIoUring` says why in words */
  constructor(options: IoUringOptions) {
    const { capacity, events, buffers, receives = 64 } = options;
    assert(buffers.native, 'the kernel is given addresses of send buffers');
    this.capacity = capacity;
    this.#rings = new Rings({
      capacity,
      slotsPerRing: options.slotsPerRing ?? slotsPerRing(descriptorLimit().soft),
      submissions: options.submissions ?? 256,
      completions: options.completions ?? 1024,
    });
    const slotFreed = (): void => this.#listeners.connectionEnded();
    this.#connections = new IoUringConnections({ capacity, events, buffers, rings: this.#rings, receives, slotFreed });
    this.#listeners = new IoUringListeners(this.#connections, events, this.#rings);
  }

  get open(): number {
    return this.#connections.open;
  }

  listen(listener: number | ClientSource): number {
    assert(typeof listener === 'number', 'a descriptor is what it accepts from');
    return this.#listeners.add(listener);
  }

  pauseAccepting(): void {
    this.#listeners.pause();
  }

  resumeAccepting(): void {
    this.#listeners.resume();
  }

  stopListening(): void {
    this.#listeners.stop();
  }

  get peerAddresses(): boolean {
    return this.#connections.peerAddresses;
  }

  set peerAddresses(wanted: boolean) {
    if (wanted === this.#connections.peerAddresses) return;
    this.#connections.peerAddresses = wanted;
    this.#listeners.renew();
  }

  get peer(): Uint8Array {
    return this.#connections.peer;
  }

  connect(target: Uint8Array, source: Uint8Array | null): number {
    assert(target.length <= SOCKET_ADDRESS_BYTES_MAX, 'not a socket address');
    const fd = libc.socket(addressFamily(target), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd === -1) return -libc.lastErrno();
    const errno = source === null ? 0 : this.#bind(fd, source);
    const connection = errno === 0 ? this.#install(fd) : -errno;
    closeDescriptor(fd);
    if (connection >= 0) this.#connections.connect(connection, target);
    return connection;
  }

  /** On failure the descriptor stays with the caller. */
  adopt(fd: number): number {
    const connection = this.#install(fd);
    if (connection < 0) return connection;
    closeDescriptor(fd);
    this.#connections.adopt(connection);
    return connection;
  }

  send(connection: number, buffer: number, last = false): number {
    return this.#connections.send(connection, buffer, last);
  }

  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number {
    return this.#connections.sendAll(connections, count, buffer, results);
  }

  pendingBytes(connection: number): number {
    return this.#connections.pendingBytes(connection);
  }

  shutdown(connection: number): void {
    this.#connections.shutdown(connection);
  }

  close(connection: number): void {
    this.#connections.close(connection);
  }

  abort(connection: number): void {
    this.#connections.abort(connection);
  }

  turn(timeoutMs: number): number {
    assert(!this.#inTurn && !this.#destroyed, 'turn inside a turn, or after destroy');
    const connections = this.#connections;
    this.#inTurn = true;
    let count = 0;
    try {
      this.#listeners.look();
      this.#listeners.submit(connections.waitForBuffers);
      this.#rings.wait(this.#listeners.waitMs(timeoutMs));
      count = this.#deliverAll();
      // What is readable is read in this turn, and an end of stream right behind it reported in this turn too. Who waits to
      // be accepted is accepted, some after others have been read.
      for (let round = 0; round < ROUNDS_MAX && this.unfinished && !this.#destroyed; round++) {
        this.#listeners.submit(connections.waitForBuffers);
        connections.newcomers = 0;
        this.#rings.wait(0);
        count += this.#deliverAll();
      }
      return count;
    } finally {
      this.#inTurn = false;
      if (this.#destroyed) connections.releaseMemory();
    }
  }

  get unfinished(): boolean {
    const { receiving, newcomers } = this.#connections;
    return receiving > 0 || newcomers > 1 || this.#listeners.more;
  }

  destroy(): void {
    assert(!this.#destroyed, 'destroyed twice');
    this.#destroyed = true;
    this.#listeners.destroy();
    this.#connections.destroy();
    this.#rings.destroy();
    // Called from inside an event, its caller still reads a borrowed view.
    if (!this.#inTurn) this.#connections.releaseMemory();
  }

  #deliverAll(): number {
    let count = 0;
    for (const ring of this.#rings.list) {
      if (ring.hasCompletions) count += this.#deliver(ring);
      if (this.#destroyed) return count;
    }
    this.#connections.receiveDeferred();
    return count;
  }

  /** Reads the completions of a ring. @returns how many there were */
  #deliver(ring: Ring): number {
    const connections = this.#connections;
    let count = 0;
    while (ring.next()) {
      const connection = ring.data;
      const detail = detailOf(ring.dataHigh);
      const { result } = ring;
      count++;
      switch (kindOf(ring.dataHigh)) {
        case POLL:
          connections.readable(connection);
          break;
        case RECEIVE:
          connections.received(connection, detail, result, (ring.flags & IORING_CQE_F_SOCK_NONEMPTY) !== 0);
          break;
        case SEND:
          connections.sent(connection, detail, result);
          break;
        case ACCEPT:
          this.#listeners.completed(connection, detail, result, (ring.flags & IORING_CQE_F_SOCK_NONEMPTY) !== 0);
          break;
        case CONNECT:
          connections.connected(connection, result);
          break;
        case SHUTDOWN:
          connections.shutDown(connection, result);
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

  /** Puts an ordinary descriptor into a free slot. @returns the slot or -errno */
  #install(fd: number): number {
    let connection = this.#rings.allocate();
    if (connection === -EMFILE) connection = this.#listeners.steal();
    if (connection < 0) return connection;
    const errno = this.#rings.install(connection, fd);
    if (errno === 0) return connection;
    this.#connections.notInstalled(connection);
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
