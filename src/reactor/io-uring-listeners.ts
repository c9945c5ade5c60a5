/**
 * The accepting half of the io_uring reactor.
 *
 * For each listener a number of accepts wait, each with a slot of its own that its client will have. So a client is never
 * accepted without a place: where no slot is free, no accept is armed, and clients wait in the kernel's queue. And clients
 * are accepted no faster than their requests are read, because an accept is armed again only after that.
 *
 * Accepts that wait are exclusive waiters of the listener: a client wakes one of them, in whatever process. If that process
 * is stopped, pausing or crashing, the client stays in the queue and nobody is woken for it again. Therefore every reactor
 * also looks into the queues by itself, twice a second, with accept4(2).
 *
 *     paused ──resume──► accepting ──no free slot, or resources run out──► stopped
 *       ▲                    │                                              │
 *       └────── pause ───────┘ ◄──────── a connection ended, or time passed ┘
 */

import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '../linux/constants.js';
import { EAGAIN, EINTR, EMFILE, isConnectionError, isOutOfResources, SystemError } from '../linux/errno.js';
import { ECANCELED } from '../linux/io-uring.js';
import * as libc from '../linux/libc.js';
import { closeDescriptor } from '../linux/sockets.js';
import { ACCEPT, cancel, tag } from './io-uring-requests.js';
import type { Rings } from './io-uring-rings.js';
import type { ReactorEvents } from './reactor.js';

/** Accepts that wait for each listener. */
const ACCEPTS_MAX = 64;
/** Near its capacity the reactor keeps three slots free for each one that waits for a client of one of the listeners. */
const FREE_SHARE = 4;
const LOOK_INTERVAL_MS = 500;
/** Clients that are accepted by one look. */
const LOOK_ACCEPTS = 64;

/** What the listeners need of their reactor. */
interface Owner {
  /** Submits an accept into a free slot. */
  submitAccept(connection: number, fd: number, listener: number): void;
  /** The accept is over and no client has the slot. */
  returnSlot(connection: number): void;
  /** The slot has a client. */
  acceptedInto(connection: number, listener: number): void;
}

export class IoUringListeners {
  readonly #owner: Owner;
  readonly #events: ReactorEvents;
  readonly #rings: Rings;
  readonly #fds: number[] = [];
  /** For each listener the slots whose accepts wait. */
  readonly #armed: number[][] = [];
  #paused = false;
  /** Stopped by itself, and reported. */
  #stopped = false;
  #stoppedErrno = 0;
  /** An accept failed for lack of resources: nothing is armed before the next look or the end of a connection. */
  #outOfResources = false;
  #nextLookMs = 0;
  /** There may be something to arm. */
  #retry = false;

  constructor(owner: Owner, events: ReactorEvents, rings: Rings) {
    this.#owner = owner;
    this.#events = events;
    this.#rings = rings;
  }

  add(fd: number): number {
    this.#armed.push([]);
    this.#retry = true;
    return this.#fds.push(fd) - 1;
  }

  pause(): void {
    this.#paused = true;
    for (let listener = 0; listener < this.#fds.length; listener++) {
      for (const slot of this.#armed[listener]) cancel(this.#rings.of(slot), slot, tag(ACCEPT, listener));
    }
  }

  resume(): void {
    this.#paused = false;
    this.#retry = true;
  }

  connectionEnded(): void {
    this.#retry = true;
    this.#outOfResources = false;
  }

  /** Begins a turn. `unread` says that requests wait to be read: then no accept is armed. */
  beforeWait(unread: boolean): void {
    if (this.#fds.length === 0 || this.#paused) return;
    const nowMs = performance.now();
    if (nowMs >= this.#nextLookMs) {
      this.#nextLookMs = nowMs + LOOK_INTERVAL_MS;
      this.#retry = true;
      this.#outOfResources = false;
      for (let listener = 0; listener < this.#fds.length && !this.#paused; listener++) this.#look(listener);
    }
    if (!this.#retry || unread || this.#outOfResources || this.#paused) return;
    this.#retry = false;
    this.#armAll();
  }

  /** How long a turn may wait without missing the next look. */
  waitMs(timeoutMs: number): number {
    return this.#fds.length === 0 ? timeoutMs : Math.min(timeoutMs, LOOK_INTERVAL_MS);
  }

  /** An accept is over: with a client, a failure, or cancelled. */
  completed(connection: number, listener: number, result: number): void {
    const armed = this.#armed[listener];
    const at = armed.indexOf(connection);
    if (at >= 0) {
      armed[at] = armed[armed.length - 1];
      armed.pop();
    }
    this.#retry = true;
    if (result >= 0) {
      this.#resumed();
      this.#owner.acceptedInto(connection, listener);
      return;
    }
    this.#owner.returnSlot(connection);
    if (isOutOfResources(-result)) {
      this.#outOfResources = true;
      this.#stop(-result);
    } else if (result !== -ECANCELED && result !== -EINTR && !isConnectionError(-result)) {
      throw new SystemError('accept', -result);
    }
  }

  /**
   * Takes a slot from an accept that waits, for a connection that is begun by ourselves when no other is free.
   *
   * @returns the slot, whose cancelled accept is still to complete, or -EMFILE
   */
  steal(): number {
    for (let listener = 0; listener < this.#fds.length; listener++) {
      const armed = this.#armed[listener];
      for (let i = armed.length - 1; i >= 0; i--) {
        const slot = armed[i];
        const ring = this.#rings.of(slot);
        if (ring.pending > 0) ring.enter(0, 0);
        if (!ring.cancelNow(slot, tag(ACCEPT, listener))) continue;
        armed.splice(i, 1);
        return slot;
      }
    }
    return -EMFILE;
  }

  destroy(): void {
    for (const fd of this.#fds) closeDescriptor(fd);
    this.#fds.length = 0;
  }

  #armAll(): void {
    const count = this.#fds.length;
    const share = Math.floor(this.#rings.free / (FREE_SHARE * count));
    const wanted = Math.min(ACCEPTS_MAX, Math.max(1, share));
    let waiting = 0;
    for (let listener = 0; listener < count; listener++) {
      const armed = this.#armed[listener];
      while (armed.length < wanted) {
        const slot = this.#rings.allocate();
        if (slot < 0) {
          if (slot !== -EMFILE || this.#rings.free > 0) this.#stop(-slot);
          break;
        }
        armed.push(slot);
        this.#owner.submitAccept(slot, this.#fds[listener], listener);
      }
      waiting += armed.length;
    }
    if (waiting === 0) this.#stop(0);
    else if (this.#stoppedErrno === 0) this.#resumed();
  }

  /** Accepts clients for whom nobody was woken. */
  #look(listener: number): void {
    for (let i = 0; i < LOOK_ACCEPTS && this.#rings.free > 0; i++) {
      const fd = libc.accept4(this.#fds[listener], 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd === -1) {
        const errno = libc.lastErrno();
        if (errno === EAGAIN) return;
        if (isOutOfResources(errno)) return; // a look is an extra: the accepts that are armed report it
        if (errno !== EINTR && !isConnectionError(errno)) throw new SystemError('accept4', errno);
        continue;
      }
      const slot = this.#rings.allocate();
      const errno = slot < 0 ? -slot : this.#rings.install(slot, fd);
      closeDescriptor(fd);
      if (errno !== 0) {
        if (slot >= 0) this.#rings.release(slot);
        this.#stop(errno);
        return;
      }
      this.#resumed();
      this.#owner.acceptedInto(slot, listener);
      if (this.#paused || this.#fds.length === 0) return;
    }
  }

  #stop(errno: number): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stoppedErrno = errno;
    this.#events.acceptingStopped(errno);
  }

  #resumed(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#events.acceptingResumed();
  }
}
