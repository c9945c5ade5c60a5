/**
 * The rings of one reactor, and the slots that their tables of direct descriptors make together.
 *
 * A ring's table may not be larger than RLIMIT_NOFILE, but a process may have as many rings as it likes: connection c is
 * direct descriptor `c & mask` of ring `c >> shift`. Rings are made when the slots of those before them are in use, so a
 * small server has one.
 *
 * The thread waits in the first ring. The others have their deferred work signal one eventfd for all of them, which the
 * first ring reads; which of them have work is then seen in their flags, without a system call. (Polling a ring's own
 * descriptor would not do: deferred work does not wake who polls it.)
 */

import { EMFILE, SystemError } from '../linux/errno.js';
import { EFD_CLOEXEC, eventfd } from '../linux/io-uring.js';
import { bindSocket, lastErrno } from '../linux/libc.js';
import { mapNative, unmapNative } from '../linux/native-memory.js';
import { closeDescriptor } from '../linux/sockets.js';
import { waitForEventfd } from './io-uring-requests.js';
import { Ring } from './io-uring-ring.js';

const NONE = -1;
/** More sends in one system call cost no less for each. */
const SENDS_AT_ONCE = 32;
/** In the page of native memory: the eventfd's count at 0, a socket address here. */
const ADDRESS = 64;

export interface RingsOptions {
  capacity: number;
  /** Direct descriptors of one ring, a power of two. */
  slotsPerRing: number;
  submissions: number;
  completions: number;
}

export class Rings {
  readonly list: Ring[] = [];
  readonly shift: number;
  readonly mask: number;
  /** Sends that one system call may be given: they fit the queue. */
  readonly sendsAtOnce: number;
  readonly #options: RingsOptions;

  /**
   * A word for each slot: of a free one the next free one (or NONE), of one in use whatever its user keeps there. Slots
   * from `#fresh` on have never been used and are on no list, so that the pages of this table stay untouched.
   */
  readonly words: Int32Array;
  /** First free slot of each ring. */
  readonly #free: number[] = [];
  /** First slot of each ring that has never been used. */
  readonly #fresh: number[] = [];
  /** No ring before this one has a free slot. */
  #lowest = 0;
  #used = 0;

  readonly #listeners: number[] = [];
  #eventfd = NONE;
  readonly #native = mapNative(4096);

  constructor(options: RingsOptions) {
    this.#options = options;
    this.shift = Math.log2(options.slotsPerRing);
    this.mask = options.slotsPerRing - 1;
    this.sendsAtOnce = Math.min(SENDS_AT_ONCE, options.submissions);
    this.words = new Int32Array(options.capacity);
    this.#addRing();
  }

  of(connection: number): Ring {
    return this.list[connection >> this.shift];
  }

  /** Descriptors of the listeners, by number. */
  get listeners(): readonly number[] {
    return this.#listeners;
  }

  /** Slots that nobody uses. */
  get free(): number {
    return this.#options.capacity - this.#used;
  }

  /** @returns a slot, or -EMFILE when all are in use, or the -errno with which the kernel refused another ring */
  allocate(): number {
    if (this.free === 0) return -EMFILE;
    for (; ; this.#lowest++) {
      const ring = this.#lowest;
      if (ring === this.list.length) {
        try {
          this.#addRing();
        } catch (error) {
          if (!(error instanceof SystemError)) throw error;
          return -error.errno;
        }
      }
      let slot = this.#free[ring];
      if (slot !== NONE) {
        this.#free[ring] = this.words[slot];
      } else {
        slot = this.#fresh[ring];
        if (slot === Math.min((ring + 1) << this.shift, this.#options.capacity)) continue;
        this.#fresh[ring]++;
      }
      this.#used++;
      return slot;
    }
  }

  release(slot: number): void {
    const ring = slot >> this.shift;
    this.words[slot] = this.#free[ring];
    this.#free[ring] = slot;
    if (ring < this.#lowest) this.#lowest = ring;
    this.#used--;
  }

  /** Puts an ordinary descriptor into a slot. @returns 0 or errno */
  install(slot: number, fd: number): number {
    const ring = this.of(slot);
    // A CLOSE of the slot's last connection that is still to be submitted would close the new one.
    if (ring.closing) ring.enter(0, 0);
    return -ring.installFile(slot & this.mask, fd);
  }

  /** Has the rings know the next listener, also those made later, as long as they have room for it. @returns its number */
  addListener(fd: number): number {
    const listener = this.#listeners.push(fd) - 1;
    for (const ring of this.list) ring.addListener(listener, fd);
    return listener;
  }

  /** They are still open. */
  removeListeners(): void {
    this.#listeners.length = 0;
    for (const ring of this.list) ring.removeListeners();
  }

  /** bind(2), here because it needs native memory. @returns 0 or errno */
  bind(fd: number, source: Uint8Array): number {
    this.#native.bytes.set(source, ADDRESS);
    return bindSocket(fd, this.#native.address + ADDRESS, source.length) === 0 ? 0 : lastErrno();
  }

  #addRing(): void {
    const index = this.list.length;
    const { capacity, slotsPerRing, submissions, completions } = this.#options;
    const first = index << this.shift;
    const files = Math.min(slotsPerRing, capacity - first);
    const ring = new Ring({ submissions, completions, waiting: files, files });
    if (index === 1) {
      this.#eventfd = eventfd(0, EFD_CLOEXEC);
      if (this.#eventfd === -1) throw new SystemError('eventfd', lastErrno());
      this.waitForOthers();
    }
    if (index > 0) ring.registerEventfd(this.#eventfd);
    for (const [listener, fd] of this.#listeners.entries()) ring.addListener(listener, fd);
    this.list.push(ring);
    this.#free.push(NONE);
    this.#fresh.push(first);
  }

  /** To be called when the wait of the first ring for the others is over (WAKE). */
  waitForOthers(): void {
    waitForEventfd(this.list[0], this.#eventfd, this.#native.address);
  }

  /** Submits what there is to submit and waits, at most `timeoutMs`, until one ring has completions. */
  wait(timeoutMs: number): void {
    const { list } = this;
    const progress = this.#enterOthers();
    if (!progress && timeoutMs > 0 && !list[0].hasCompletions) {
      list[0].enter(1, timeoutMs);
      this.#enterOthers();
    } else if (list[0].ready) list[0].enter(0, 0);
  }

  #enterOthers(): boolean {
    const { list } = this;
    let progress = false;
    for (let i = 1; i < list.length; i++) {
      const ring = list[i];
      if (!ring.ready) continue;
      ring.enter(0, 0);
      progress ||= ring.hasCompletions;
    }
    return progress;
  }

  destroy(): void {
    for (const ring of this.list) ring.destroy();
    if (this.#eventfd !== NONE) closeDescriptor(this.#eventfd);
    unmapNative(this.#native);
  }
}
