/**
 * The reactor over epoll(7): level-triggered, works on every Linux.
 *
 * A connection's slot is its file descriptor: the kernel already keeps those dense. All that this file knows about an
 * idle connection is a state byte and a generation; the connection in the kernel's user data is `slot, generation`, and
 * an event whose generation is not the slot's present one belongs to a connection that ended earlier in the same batch.
 * So `close` is immediate and the slot may be reused at once.
 *
 * System calls: a connection accepted costs accept4 and epoll_ctl, bytes that arrive one recv, a send one send, an end one
 * close. Hot paths allocate nothing.
 *
 * Invariants: state is FREE exactly while the slot belongs to nobody; PENDING exactly while `#pending` has the slot;
 * READ_ENDED only together with PENDING.
 */

import assert from 'node:assert/strict';
import {
  AF_UNIX,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_DATA_WORD,
  EPOLL_EVENT_WORDS,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_ERROR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../linux/constants.js';
import { EAGAIN, EINPROGRESS, EINTR, EMFILE, ENOTCONN, isConnectionError, SystemError } from '../linux/errno.js';
import * as libc from '../linux/libc.js';
import { mapNative, unmapNative } from '../linux/native-memory.js';
import { addressFamily, addressPort, SOCKET_ADDRESS_BYTES_MAX } from '../linux/socket-address.js';
import { closeDescriptor, setSocketOption } from '../linux/sockets.js';
import { EpollListeners, LISTENER_GENERATION } from './epoll-listeners.js';
import { PendingSends } from './pending-sends.js';
import {
  type ClientSource,
  PEER_BYTES,
  type Reactor,
  type ReactorEvents,
  SEND_DONE,
  SEND_PENDING,
  sendToEach,
} from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

// States of a slot: bits over OPEN.
const FREE = 0;
const OPEN = 1;
/** connect(2) has been called and its outcome is not known. */
const CONNECTING = 2;
/** Bytes wait for room in the socket's send buffer; EPOLLOUT is armed. */
const PENDING = 4;
/** The end of stream has been read while a send was pending; EPOLLIN is disarmed until that is over. */
const READ_ENDED = 8;
/** `shutdown` was called. */
const SHUT = 16;
/** The open file may have other descriptors, here or in other processes, so that close(2) alone leaves it in epoll. */
const ADOPTED = 32;

/** Events fetched by one epoll_wait: few enough that a batch is over in milliseconds. */
const EVENTS_MAX = 1024;
const RECEIVE_BYTES = 65536;
/** Bytes or an end of stream can be read. */
const READABLE = EPOLLIN | EPOLLRDHUP;

// One native mapping holds everything that system calls read and write.
const EVENTS = 0;
const CONTROL = EVENTS + EVENTS_MAX * 16;
const OPTION = CONTROL + 64;
const ADDRESS = OPTION + 64;
/** An address has up to 110 bytes. */
const ADDRESS_LENGTH = ADDRESS + 128;
const RECEIVE = CONTROL + 4096;
const NATIVE_BYTES = RECEIVE + RECEIVE_BYTES;

export interface EpollOptions {
  /** Descriptors below it can be connections; those that are something else (Node's own, listeners) are lost to it. */
  capacity: number;
  events: ReactorEvents;
  buffers: SendBuffers;
}

export class EpollReactor implements Reactor {
  readonly name = 'epoll';
  readonly capacity: number;

  readonly #events: ReactorEvents;
  readonly #buffers: SendBuffers;
  readonly #states: Uint8Array;
  readonly #generations: Uint16Array;
  readonly #pending: PendingSends;
  readonly #listeners: EpollListeners;
  #open = 0;

  readonly #epoll: number;
  readonly #native = mapNative(NATIVE_BYTES);
  readonly #words = new Int32Array(this.#native.bytes.buffer);
  readonly #receiveBytes = this.#native.bytes.subarray(RECEIVE);
  readonly peer = this.#native.bytes.subarray(ADDRESS, ADDRESS + PEER_BYTES);
  unfinished = false;
  #inTurn = false;
  #destroyed = false;

  constructor({ capacity, events, buffers }: EpollOptions) {
    assert(buffers.native, 'the kernel is given addresses of send buffers');
    this.capacity = capacity;
    this.#events = events;
    this.#buffers = buffers;
    this.#states = new Uint8Array(capacity);
    this.#generations = new Uint16Array(capacity);
    this.#pending = new PendingSends(buffers);
    this.#epoll = libc.epollCreate1(EPOLL_CLOEXEC);
    if (this.#epoll === -1) throw new SystemError('epoll_create1', libc.lastErrno());
    this.#listeners = new EpollListeners(this, events);
  }

  get open(): number {
    return this.#open;
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
    return this.#listeners.peerAddress !== 0;
  }

  set peerAddresses(wanted: boolean) {
    this.peer.fill(0);
    this.#listeners.peerAddress = wanted ? this.#native.address + ADDRESS : 0;
    this.#listeners.peerLengthAddress = wanted ? this.#native.address + ADDRESS_LENGTH : 0;
  }

  connect(target: Uint8Array, source: Uint8Array | null): number {
    const family = addressFamily(target);
    const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd === -1) return -libc.lastErrno();
    let errno = fd < this.capacity ? 0 : EMFILE;
    if (errno === 0 && source !== null) errno = this.#bind(fd, source);
    if (errno === 0 && libc.connect(fd, this.#putAddress(target), target.length) === -1) {
      errno = libc.lastErrno();
      // A signal does not stop the handshake either: connect(2), EINTR.
      if (errno === EINPROGRESS || errno === EINTR) errno = 0;
    }
    // Even a connection that is established by now is reported from inside a turn: it is writable there.
    if (errno === 0) errno = this.#take(fd, OPEN | CONNECTING, EPOLLOUT);
    if (errno === 0) return fd;
    closeDescriptor(fd);
    return -errno;
  }

  /** On failure the descriptor stays with the caller. */
  adopt(fd: number): number {
    if (fd >= this.capacity) return -EMFILE;
    assert(this.#states[fd] === FREE, `descriptor ${fd} is a connection already`);
    const errno = this.#take(fd, OPEN | ADOPTED, READABLE);
    return errno === 0 ? fd : -errno;
  }

  send(connection: number, buffer: number, last = false): number {
    const state = this.#states[connection];
    if ((state & (OPEN | CONNECTING | SHUT)) !== OPEN) throw misuse('send', connection, state);
    const length = this.#buffers.length(buffer);
    if ((state & PENDING) !== 0) {
      this.#pending.add(connection, buffer, 0);
      return SEND_PENDING;
    }
    const flags = last ? MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE : MSG_NOSIGNAL | MSG_DONTWAIT;
    let sent = libc.send(connection, this.#buffers.address(buffer), length, flags);
    if (sent === length) return SEND_DONE;
    if (sent === -1) {
      const errno = connectionErrno('send');
      if (errno !== 0) {
        this.#release(connection);
        return -errno;
      }
      sent = 0;
    }
    this.#pending.add(connection, buffer, sent);
    this.#states[connection] |= PENDING;
    this.#watch(connection, READABLE | EPOLLOUT);
    return SEND_PENDING;
  }

  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number {
    return sendToEach(this, connections, count, buffer, results);
  }

  pendingBytes(connection: number): number {
    return (this.#states[connection] & PENDING) === 0 ? 0 : this.#pending.bytes(connection);
  }

  shutdown(connection: number): void {
    const state = this.#states[connection];
    if ((state & (OPEN | CONNECTING)) !== OPEN) throw misuse('shutdown', connection, state);
    if ((state & SHUT) !== 0) return;
    this.#states[connection] |= SHUT;
    if ((state & PENDING) === 0) endStream(connection);
  }

  close(connection: number): void {
    if (this.#states[connection] === FREE) throw misuse('close', connection, FREE);
    this.#release(connection);
  }

  abort(connection: number): void {
    if (this.#states[connection] === FREE) throw misuse('abort', connection, FREE);
    // struct linger { int on; int seconds; }: closing with zero seconds sends RST, socket(7).
    this.#words[OPTION / 4] = 1;
    this.#words[OPTION / 4 + 1] = 0;
    if (libc.setsockopt(connection, SOL_SOCKET, SO_LINGER, this.#native.address + OPTION, 8) === -1) {
      throw new SystemError('setsockopt SO_LINGER', libc.lastErrno());
    }
    this.#release(connection);
  }

  turn(timeoutMs: number): number {
    assert(!this.#inTurn && !this.#destroyed, 'turn inside a turn, or after destroy');
    this.#inTurn = true;
    this.unfinished = false;
    try {
      const accepted = this.#listeners.beforeWait();
      if (this.#destroyed) return accepted;
      const waitMs = accepted > 0 ? 0 : this.#listeners.waitMs(timeoutMs);
      const count = libc.epollWait(this.#epoll, this.#native.address + EVENTS, EVENTS_MAX, waitMs);
      if (count === -1) {
        const errno = libc.lastErrno();
        if (errno !== EINTR) throw new SystemError('epoll_wait', errno);
        return accepted;
      }
      this.#deliver(count);
      this.unfinished = count === EVENTS_MAX || this.#listeners.full;
      return accepted + count;
    } finally {
      this.#inTurn = false;
      if (this.#destroyed) unmapNative(this.#native);
    }
  }

  destroy(): void {
    assert(!this.#destroyed, 'destroyed twice');
    this.#destroyed = true;
    for (let slot = 0; slot < this.capacity; slot++) {
      if (this.#states[slot] !== FREE) this.#release(slot);
    }
    this.#listeners.destroy();
    closeDescriptor(this.#epoll);
    // Called from inside an event, the turn still reads its batch, and its caller a borrowed view.
    if (!this.#inTurn) unmapNative(this.#native);
  }

  /** For the listeners: room for the address of the next client, accept(2). */
  clearPeer(): void {
    this.peer.fill(0);
    this.#words[ADDRESS_LENGTH / 4] = PEER_BYTES;
  }

  /** For the listeners: makes an accepted socket a connection. @returns 0 or errno; then the socket is not ours */
  takeAccepted(fd: number): number {
    return this.#take(fd, OPEN, READABLE);
  }

  /** For the listeners: epoll_ctl(2). @returns 0 or errno */
  control(operation: number, fd: number, interest: number, data: number, generation: number): number {
    const words = this.#words;
    words[CONTROL / 4] = interest;
    words[CONTROL / 4 + EPOLL_DATA_WORD] = data;
    words[CONTROL / 4 + EPOLL_DATA_WORD + 1] = generation;
    if (libc.epollCtl(this.#epoll, operation, fd, this.#native.address + CONTROL) === 0) return 0;
    return libc.lastErrno();
  }

  #deliver(count: number): void {
    const words = this.#words;
    const generations = this.#generations;
    for (let i = 0; i < count && !this.#destroyed; i++) {
      const at = EVENTS / 4 + i * EPOLL_EVENT_WORDS;
      const flags = words[at];
      const slot = words[at + EPOLL_DATA_WORD];
      const generation = words[at + EPOLL_DATA_WORD + 1];
      if (generation === LISTENER_GENERATION) {
        this.#listeners.acceptable(slot);
        continue;
      }
      if (generations[slot] !== generation) continue;
      if ((this.#states[slot] & CONNECTING) !== 0) {
        this.#finishConnect(slot, flags);
        continue;
      }
      // An error or a hang-up makes recv say what happened, after the bytes that came before it.
      if ((flags & ~EPOLLOUT) !== 0 && !this.#readEnded(slot)) this.#receive(slot);
      // The peer has ended its side: read all there is, so that nobody begins to send to one who left after asking.
      while ((flags & EPOLLRDHUP) !== 0 && generations[slot] === generation && !this.#readEnded(slot))
        this.#receive(slot);
      if ((flags & ~READABLE) !== 0 && generations[slot] === generation && (this.#states[slot] & PENDING) !== 0) {
        this.#flush(slot);
      }
    }
  }

  #readEnded(slot: number): boolean {
    return (this.#states[slot] & READ_ENDED) !== 0;
  }

  #finishConnect(slot: number, flags: number): void {
    if ((flags & (EPOLLERR | EPOLLHUP)) !== 0) {
      const errno = this.#socketError(slot);
      if (errno !== 0) {
        this.#release(slot);
        this.#events.closed(slot, errno);
        return;
      }
    }
    this.#states[slot] &= ~CONNECTING;
    this.#watch(slot, READABLE);
    this.#events.connected(slot);
  }

  /** One recv for each readable event: if there is more, the next turn says so again, after the others had theirs. */
  #receive(slot: number): void {
    const received = libc.recv(slot, this.#native.address + RECEIVE, RECEIVE_BYTES, MSG_DONTWAIT);
    if (received > 0) {
      this.#events.received(slot, this.#receiveBytes, 0, received);
      return;
    }
    let errno = 0;
    if (received === -1) {
      errno = connectionErrno('recv');
      if (errno === 0) return;
    } else if ((this.#states[slot] & PENDING) !== 0) {
      this.#states[slot] |= READ_ENDED;
      this.#watch(slot, EPOLLOUT);
      return;
    }
    this.#release(slot);
    this.#events.closed(slot, errno);
  }

  #flush(slot: number): void {
    if (!this.#pending.flush(slot)) return;
    const errno = this.#pending.errno;
    if (errno !== 0) {
      this.#release(slot);
      this.#events.closed(slot, errno);
      return;
    }
    this.#states[slot] &= ~(PENDING | READ_ENDED);
    this.#watch(slot, READABLE);
    if ((this.#states[slot] & SHUT) !== 0) endStream(slot);
    this.#events.sent(slot);
  }

  #take(fd: number, state: number, interest: number): number {
    const errno = this.control(EPOLL_CTL_ADD, fd, interest, fd, this.#generations[fd]);
    if (errno !== 0) return errno;
    this.#states[fd] = state;
    this.#open++;
    return 0;
  }

  #watch(slot: number, interest: number): void {
    const errno = this.control(EPOLL_CTL_MOD, slot, interest, slot, this.#generations[slot]);
    if (errno !== 0) throw new SystemError('epoll_ctl MOD', errno);
  }

  #release(slot: number): void {
    const state = this.#states[slot];
    if ((state & PENDING) !== 0) this.#pending.drop(slot);
    if ((state & ADOPTED) !== 0) {
      const errno = this.control(EPOLL_CTL_DEL, slot, 0, 0, 0);
      if (errno !== 0) throw new SystemError('epoll_ctl DEL', errno);
    }
    this.#states[slot] = FREE;
    this.#generations[slot]++;
    this.#open--;
    this.#listeners.connectionEnded();
    closeDescriptor(slot);
  }

  #bind(fd: number, source: Uint8Array): number {
    // Without this option bind takes a port that is free for every target: 28,000 for each source address, not each pair.
    if (addressFamily(source) !== AF_UNIX && addressPort(source) === 0) {
      setSocketOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    }
    return libc.bindSocket(fd, this.#putAddress(source), source.length) === 0 ? 0 : libc.lastErrno();
  }

  #putAddress(address: Uint8Array): number {
    assert(address.length <= SOCKET_ADDRESS_BYTES_MAX, 'not a socket address');
    this.#native.bytes.set(address, ADDRESS);
    return this.#native.address + ADDRESS;
  }

  #socketError(slot: number): number {
    const { address } = this.#native;
    this.#words[OPTION / 4 + 1] = 4;
    if (libc.getsockopt(slot, SOL_SOCKET, SO_ERROR, address + OPTION, address + OPTION + 4) === -1) {
      throw new SystemError('getsockopt SO_ERROR', libc.lastErrno());
    }
    return this.#words[OPTION / 4];
  }
}

/** Why the last call failed: an errno that ends the connection, or 0 for "not now". @throws SystemError for a bug */
function connectionErrno(syscall: string): number {
  const errno = libc.lastErrno();
  if (errno === EAGAIN || errno === EINTR) return 0;
  if (!isConnectionError(errno)) throw new SystemError(syscall, errno);
  return errno;
}

function endStream(fd: number): void {
  if (libc.shutdown(fd, SHUT_WR) === 0) return;
  const errno = libc.lastErrno();
  // The peer has reset the connection: the next turn finds it out and reports it.
  if (errno !== ENOTCONN) throw new SystemError('shutdown', errno);
}

function misuse(method: string, connection: number, state: number): Error {
  return new Error(`${method} on connection ${connection}, whose state is ${state}: a bug of the caller`);
}
