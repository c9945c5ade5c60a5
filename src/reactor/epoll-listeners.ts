/**
 * The accepting half of the epoll reactor: its listeners, and when they are watched.
 *
 * Several workers watch the same listeners, with EPOLLEXCLUSIVE so that a client wakes one of them and not all. That has a
 * hazard: if the one that was woken does not accept (it is full, paused or has crashed), the client waits in the queue
 * and nobody is woken for it again. Therefore every reactor also looks into the queues by itself, once a second.
 *
 *     paused ──resume──► idle ──arm──► armed ──capacity or resources run out──► stopped
 *       ▲                                 │                                        │
 *       └────────── pause ────────────────┘ ◄── a connection ended, or time passed ┘
 *
 * While they are not armed the listeners are not in the epoll set at all: EPOLLEXCLUSIVE allows no EPOLL_CTL_MOD.
 */

import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLEXCLUSIVE,
  EPOLLIN,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from '../linux/constants.js';
import { EAGAIN, EINTR, isConnectionError, isOutOfResources, SystemError } from '../linux/errno.js';
import * as libc from '../linux/libc.js';
import { closeDescriptor } from '../linux/sockets.js';
import type { ReactorEvents } from './reactor.js';

/** Marks a listener in the kernel's user data; generations of connections have 16 bits. */
export const LISTENER_GENERATION = 0x10000;

/** Clients accepted in one turn, all listeners together: those who are connected must not wait long for a flood. */
const ACCEPTS_PER_TURN = 128;
const LOOK_INTERVAL_MS = 1000;

/** What the listeners need of their reactor. */
interface Owner {
  readonly capacity: number;
  readonly open: number;
  clearPeer(): void;
  takeAccepted(fd: number): number;
  control(operation: number, fd: number, interest: number, data: number, generation: number): number;
}

export class EpollListeners {
  readonly #owner: Owner;
  readonly #events: ReactorEvents;
  readonly #fds: number[] = [];
  /** Where accept4 puts the client's address and its length; 0: nobody asks. */
  peerAddress = 0;
  peerLengthAddress = 0;
  #paused = false;
  /** Stopped by itself, and reported. */
  #stopped = false;
  #armed = false;
  /** Something has changed that makes it worth trying to arm. */
  #retry = false;
  #nextLookMs = 0;
  #acceptsLeft = 0;
  /**
   * Connections that fit. Descriptors that are something else take slots; how many is learned when the kernel returns a
   * descriptor beyond the capacity, so that only one client is turned away for it.
   */
  #connectionsMax: number;

  constructor(owner: Owner, events: ReactorEvents) {
    this.#owner = owner;
    this.#events = events;
    this.#connectionsMax = owner.capacity;
  }

  /** The next turn begins to accept from it. */
  add(fd: number): number {
    this.#disarm();
    this.#retry = true;
    return this.#fds.push(fd) - 1;
  }

  pause(): void {
    this.#paused = true;
    this.#disarm();
  }

  resume(): void {
    this.#paused = false;
    this.#retry = true;
  }

  connectionEnded(): void {
    if (this.#stopped) this.#retry = true;
  }

  /** Begins a turn: tries what has to be tried. @returns how many clients were accepted */
  beforeWait(): number {
    this.#acceptsLeft = ACCEPTS_PER_TURN;
    if (this.#fds.length === 0 || this.#paused) return 0;
    const nowMs = performance.now();
    if (!this.#retry && nowMs < this.#nextLookMs) return 0;
    this.#retry = false;
    this.#nextLookMs = nowMs + LOOK_INTERVAL_MS;
    if (!this.#armed) this.#arm();
    for (let listener = 0; listener < this.#fds.length && this.#armed; listener++) this.#accept(listener);
    return ACCEPTS_PER_TURN - this.#acceptsLeft;
  }

  /** How long a turn may wait without missing the next look. */
  waitMs(timeoutMs: number): number {
    return this.#fds.length === 0 ? timeoutMs : Math.min(timeoutMs, LOOK_INTERVAL_MS);
  }

  /** The turn took as many clients as it may: there may be more. */
  get full(): boolean {
    return this.#acceptsLeft === 0;
  }

  /** The kernel says that a client waits. An event earlier in the batch may have disarmed the listeners since. */
  acceptable(listener: number): void {
    if (this.#armed) this.#accept(listener);
  }

  /** For good. */
  stop(): void {
    this.pause();
    this.destroy();
  }

  destroy(): void {
    this.#armed = false;
    for (const fd of this.#fds) closeDescriptor(fd);
    this.#fds.length = 0;
  }

  #accept(listener: number): void {
    const fd = this.#fds[listener];
    // An event may pause, or destroy the reactor: then the listeners are no longer armed.
    for (; this.#acceptsLeft > 0 && this.#armed; this.#acceptsLeft--) {
      if (this.#owner.open >= this.#connectionsMax) {
        this.#stop(0);
        return;
      }
      if (this.peerAddress !== 0) this.#owner.clearPeer();
      const client = libc.accept4(fd, this.peerAddress, this.peerLengthAddress, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client === -1) {
        const errno = libc.lastErrno();
        if (isOutOfResources(errno)) {
          this.#stop(errno);
          return;
        }
        this.#resumed();
        if (errno === EAGAIN) return;
        // The client was gone before it was accepted, accept(2): the next one.
        if (errno !== EINTR && !isConnectionError(errno)) throw new SystemError('accept4', errno);
        continue;
      }
      if (client >= this.#owner.capacity) {
        closeDescriptor(client);
        this.#connectionsMax = this.#owner.open;
        this.#stop(0);
        return;
      }
      const errno = this.#owner.takeAccepted(client);
      if (errno !== 0) {
        closeDescriptor(client);
        this.#stop(errno);
        return;
      }
      this.#resumed();
      this.#events.accepted(client, listener);
    }
  }

  #arm(): void {
    if (this.#owner.open >= this.#connectionsMax) {
      this.#stop(0);
      return;
    }
    this.#armed = true;
    for (let listener = 0; listener < this.#fds.length; listener++) {
      const fd = this.#fds[listener];
      const errno = this.#owner.control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLEXCLUSIVE, listener, LISTENER_GENERATION);
      if (errno === 0) continue;
      if (!isOutOfResources(errno)) throw new SystemError('epoll_ctl ADD', errno);
      this.#disarm(listener);
      this.#stop(errno);
      return;
    }
  }

  /** Takes the first `count` listeners out of the epoll set. */
  #disarm(count = this.#fds.length): void {
    if (!this.#armed) return;
    this.#armed = false;
    for (let listener = 0; listener < count; listener++) {
      const errno = this.#owner.control(EPOLL_CTL_DEL, this.#fds[listener], 0, 0, 0);
      if (errno !== 0) throw new SystemError('epoll_ctl DEL', errno);
    }
  }

  #stop(errno: number): void {
    this.#disarm();
    if (this.#stopped) return;
    this.#stopped = true;
    this.#events.acceptingStopped(errno);
  }

  #resumed(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#events.acceptingResumed();
  }
}
