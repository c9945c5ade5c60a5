/**
 * The accepting half of the io_uring reactor.
 *
 * For each listener one accept waits. When it has a client and the kernel says that more are queued, a batch of accepts
 * that do not wait fetches them, as many as the queue has, and when that has run dry, one accept waits again. Each accept
 * has a slot of its own that its client will have. So a client is never accepted without a place: where no slot is free,
 * there is no accept, and clients wait in the kernel's queue. And clients are accepted no faster than their requests are
 * read, because the next batch follows only after that.
 *
 * An accept that finds nobody has made a socket in vain, which costs as much as one that succeeds: so the batch is no larger
 * than the queue, and the accept that waits begins with waiting.
 *
 * Accepts that wait are exclusive waiters of the listener: a client wakes one of them, in whatever process. If that process
 * is stopped, pausing or crashing, the client stays in the queue and nobody is woken for it again. Therefore every reactor
 * also looks at the length of the queues by itself, once a second.
 *
 *     paused ──resume──► accepting ──no free slot, or resources run out──► stopped
 *       ▲                    │                                              │
 *       └────── pause ───────┘ ◄──────── a connection ended, or time passed ┘
 */

import { EAGAIN, EINTR, EMFILE, isConnectionError, isOutOfResources, SystemError } from '../linux/errno.js';
import { ECANCELED, IORING_ACCEPT_DONTWAIT, IORING_ACCEPT_POLL_FIRST } from '../linux/io-uring.js';
import { acceptQueueLength, closeDescriptor } from '../linux/sockets.js';
import { ACCEPT, cancel, tag } from './io-uring-requests.js';
import type { Rings } from './io-uring-rings.js';
import type { ReactorEvents } from './reactor.js';

/** Accepts of one batch. */
const BATCH_MAX = 64;
const LOOK_INTERVAL_MS = 1000;
const NONE = -1;

/** What the listeners need of their reactor. */
interface Owner {
  /** Submits an accept into a free slot. */
  submitAccept(connection: number, fd: number, listener: number, how: number): void;
  /** The accept is over and no client has the slot. */
  returnSlot(connection: number): void;
  /** The slot has a client. */
  acceptedInto(connection: number, listener: number): void;
}

export class IoUringListeners {
  readonly #owner: Owner;
  readonly #events: ReactorEvents;
  readonly #rings: Rings;
  /** Their descriptors, which the rings keep. */
  readonly #fds: readonly number[];
  /** For each listener the slot whose accept waits, or NONE. */
  readonly #waiting: number[] = [];
  /** Listeners that have more clients queued. */
  readonly #queued: boolean[] = [];
  /** How many they have at least, as was seen last; others who share them may take as many as we do. */
  readonly #sure: number[] = [];
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
    this.#fds = rings.listeners;
  }

  /** Clients are queued, and can be accepted now. */
  get more(): boolean {
    return this.#retry && this.#queued.includes(true) && !this.#paused && !this.#outOfResources;
  }

  add(fd: number): number {
    this.#waiting.push(NONE);
    this.#queued.push(false);
    this.#sure.push(0);
    this.#retry = true;
    return this.#rings.addListener(fd);
  }

  pause(): void {
    this.#paused = true;
    this.#sure.fill(0);
    this.renew();
  }

  /** Accepts that wait are cancelled, and made anew where accepting goes on. */
  renew(): void {
    for (let listener = 0; listener < this.#fds.length; listener++) {
      const slot = this.#waiting[listener];
      if (slot !== NONE) cancel(this.#rings.of(slot), slot, tag(ACCEPT, listener));
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

  /** Begins a turn. */
  look(): void {
    if (this.#fds.length === 0 || this.#paused) return;
    const nowMs = performance.now();
    if (nowMs < this.#nextLookMs) return;
    this.#nextLookMs = nowMs + LOOK_INTERVAL_MS;
    this.#retry = true;
    this.#outOfResources = false;
    for (let listener = 0; listener < this.#fds.length; listener++) {
      if (acceptQueueLength(this.#fds[listener]) > 0) this.#queued[listener] = true;
    }
  }

  /** Submits what accepts are to be submitted now: none while requests wait to be read (`unread`). */
  submit(unread: boolean): void {
    if (this.#fds.length === 0 || !this.#retry || unread || this.#outOfResources || this.#paused) return;
    this.#retry = false;
    this.#submitAll();
  }

  /** How long a turn may wait without missing the next look. */
  waitMs(timeoutMs: number): number {
    return this.#fds.length === 0 ? timeoutMs : Math.min(timeoutMs, LOOK_INTERVAL_MS);
  }

  /** An accept is over: with a client (and perhaps `more` behind it), with nobody, a failure, or cancelled. */
  completed(connection: number, listener: number, result: number, more: boolean): void {
    if (this.#waiting[listener] === connection) this.#waiting[listener] = NONE;
    this.#retry = true;
    if (result >= 0) {
      this.#setQueued(listener, more);
      this.#resumed();
      this.#owner.acceptedInto(connection, listener);
      return;
    }
    this.#owner.returnSlot(connection);
    if (isOutOfResources(-result)) {
      this.#outOfResources = true;
      this.#stop(-result);
    } else if (result === -EAGAIN) {
      this.#setQueued(listener, false);
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
      const slot = this.#waiting[listener];
      if (slot === NONE) continue;
      const ring = this.#rings.of(slot);
      if (ring.pending > 0) ring.enter(0, 0);
      if (!ring.cancelNow(slot, tag(ACCEPT, listener))) continue;
      this.#waiting[listener] = NONE;
      return slot;
    }
    return -EMFILE;
  }

  /** For good. Accepts that wait hold the listener open until the next turn has cancelled them. */
  stop(): void {
    this.pause();
    this.destroy();
  }

  destroy(): void {
    for (const fd of this.#fds) closeDescriptor(fd);
    this.#rings.removeListeners();
  }

  #submitAll(): void {
    let submitted = 0;
    for (let listener = 0; listener < this.#fds.length; listener++) {
      const length = this.#queued[listener] ? this.#queueLength(listener) : 0;
      for (let i = 0; i < length && this.#submitOne(listener, IORING_ACCEPT_DONTWAIT) >= 0; i++) submitted++;
      if (length === 0 && this.#waiting[listener] === NONE) {
        const slot = this.#submitOne(listener, IORING_ACCEPT_POLL_FIRST);
        if (slot >= 0) this.#waiting[listener] = slot;
      }
      if (this.#waiting[listener] !== NONE) submitted++;
    }
    if (submitted === 0) this.#stop(0);
    else if (this.#stoppedErrno === 0) this.#resumed();
  }

  #setQueued(listener: number, queued: boolean): void {
    this.#queued[listener] = queued;
    if (!queued) this.#sure[listener] = 0;
  }

  /** How many are to be fetched. Others who share the listener may have been quicker. */
  #queueLength(listener: number): number {
    if (this.#sure[listener] < BATCH_MAX) {
      const length = acceptQueueLength(this.#fds[listener]);
      if (length === 0) this.#setQueued(listener, false);
      if (length <= BATCH_MAX) return length;
      this.#sure[listener] = length >> 1;
    }
    this.#sure[listener] -= BATCH_MAX;
    return BATCH_MAX;
  }

  /** @returns the slot, or -errno when there is none */
  #submitOne(listener: number, how: number): number {
    const slot = this.#rings.allocate();
    if (slot >= 0) this.#owner.submitAccept(slot, this.#fds[listener], listener, how);
    else if (slot !== -EMFILE || this.#rings.free > 0) this.#stop(-slot);
    return slot;
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
