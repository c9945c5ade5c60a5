/**
 * One io_uring: the submission queue, the completion queue and a table of direct descriptors, as Int32Array views of the
 * memory that is shared with the kernel.
 *
 * The ring is made with SINGLE_ISSUER and DEFER_TASKRUN: the kernel touches the queues only while this thread is inside
 * `enter`, so plain loads and stores do; nothing here needs Atomics. (The flag that says that work waits is the exception,
 * and only a hint.) Without DEFER_TASKRUN a flood of connects interrupts the thread for each one, and it hardly runs.
 *
 * Invariants:
 * - No completion is lost. The kernel's queue may overflow into a list that it allocates, and fails to allocate under
 *   memory pressure. So whoever fills the submission queue many times over without reading completions (a fan-out) has
 *   them moved into `#backlog` before the completion queue can be full.
 * - Every submission is either in the kernel or between `#submitted` and `#tail`; a failed enter leaves it there.
 */

import koffi from 'koffi';
import { PROT_READ, PROT_WRITE } from '../linux/constants.js';
import { EAGAIN, EINTR, ENOMEM, SystemError } from '../linux/errno.js';
import {
  EBUSY,
  ETIME,
  IORING_ENTER_EXT_ARG,
  IORING_ENTER_GETEVENTS,
  IORING_ENTER_NO_IOWAIT,
  IORING_FEAT_NO_IOWAIT,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_FILES_UPDATE,
  IORING_REGISTER_FILES2,
  IORING_REGISTER_RESIZE_RINGS,
  IORING_REGISTER_SYNC_CANCEL,
  IORING_RSRC_REGISTER_SPARSE,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_TASKRUN_FLAG,
  IORING_SQ_CQ_OVERFLOW,
  IORING_SQ_TASKRUN,
  ioUringEnter,
  ioUringRegister,
  ioUringSetup,
  MAP_POPULATE,
  MAP_SHARED,
  PARAMS,
} from '../linux/io-uring.js';
import { close, lastErrno, mmap, munmap } from '../linux/libc.js';
import { mapNative, type NativeMemory, unmapNative } from '../linux/native-memory.js';
import { LISTENER_FILES } from './io-uring-slots.js';

export interface RingOptions {
  /** Submissions for one enter, a power of two. */
  submissions: number;
  /** Completions that the queue holds, a power of two, at least twice `submissions`. */
  completions: number;
  /** Requests that may wait in the ring at the same time, about: see HASH_COMPLETIONS. */
  waiting: number;
  /** Direct descriptors: with {@link LISTENER_FILES} at most RLIMIT_NOFILE (io_uring_register(2)). */
  files: number;
}

const SQE_WORDS = 16;
/** struct sockaddr_un has 110. */
const SOCKET_ADDRESS_BYTES = 112;
const CQE_WORDS = 4;
const CQE_BYTES = 16;
/**
 * The kernel looks up a request that is to be cancelled in a hash table, which it makes as large as the completion queue
 * asks for: a bucket for 32 entries, at most 256 buckets. With 32 buckets a cancel among 15,000 waiting requests takes
 * 6 us, with 256 less than 1. So a ring is made with a queue of this many, and the queue then made smaller.
 */
const HASH_COMPLETIONS = 8192;
/** Fewer waiting requests need no larger table. */
const WAITING_FEW = 1024;
/** Connections closed one by one before deferred work is let run. */
const WORK_INTERVAL = 16;
const SETUP_FLAGS =
  IORING_SETUP_CQSIZE |
  IORING_SETUP_SUBMIT_ALL |
  IORING_SETUP_TASKRUN_FLAG |
  IORING_SETUP_SINGLE_ISSUER |
  IORING_SETUP_DEFER_TASKRUN |
  IORING_SETUP_NO_SQARRAY;

/** Arguments of system calls, one call at a time: parameters at 0, the wait's argument at 256, its time at 320. */
const scratch = mapNative(4096);
const scratchWords = new Int32Array(scratch.bytes.buffer);
const scratchLongs = new BigInt64Array(scratch.bytes.buffer);
const WAIT_ARGUMENT = 256;
const WAIT_ARGUMENT_BYTES = 24;
const WAIT_TIME = 320;
scratchLongs[(WAIT_ARGUMENT + 16) / 8] = BigInt(scratch.address + WAIT_TIME);

export class Ring {
  readonly fd: number;
  /** The submissions, 16 words each (linux/io-uring.ts has the layout). */
  readonly sqes: Int32Array;
  /** The same, two words each: of use for zeros alone. */
  readonly #sqePairs: Float64Array;
  readonly #queue: Int32Array;
  readonly #queueMemory: NativeMemory;
  readonly #sqesMemory: NativeMemory;
  readonly #waitFlags: number;

  readonly #sqMask: number;
  readonly #sqTailWord: number;
  readonly #sqFlagsWord: number;
  #tail = 0;
  #submitted = 0;

  readonly #cqMask: number;
  readonly #cqHeadWord: number;
  readonly #cqTailWord: number;
  readonly #cqesWord: number;
  readonly #overflowWord: number;
  #head = 0;
  /** Calls of `prepareNow` with a close before them since deferred work was let run. */
  #sinceWork = 0;

  /** Direct descriptors that are not of listeners. */
  readonly files: number;
  /** Listeners 0 … are in the table, behind `files`: an accept from there takes no reference that all workers share. */
  listeners = 0;
  /** True while a CLOSE of a direct descriptor has not been given to the kernel. */
  closing = false;
  /** A socket address for each submission, made when the first one is needed. */
  #addresses: NativeMemory | undefined;

  /** Completions that were moved out of the way, four words each. */
  #backlog = new Int32Array(0);
  #backlogHead = 0;
  #backlogTail = 0;

  // The completion that `next` moved to.
  /** Low half of user_data. */
  data = 0;
  /** High half of user_data. */
  dataHigh = 0;
  result = 0;
  flags = 0;

  /** @throws SystemError of io_uring_setup: ENOSYS, EPERM, ENOMEM, EMFILE, EINVAL (an old kernel); ENOMEM of the mappings and the table */
  constructor({ submissions, completions, waiting, files }: RingOptions) {
    this.files = files;
    const larger = waiting > WAITING_FEW && completions < HASH_COMPLETIONS;
    putParameters(SETUP_FLAGS, submissions, larger ? HASH_COMPLETIONS : completions);
    this.fd = ioUringSetup(submissions, scratch.address);
    if (this.fd === -1) throw new SystemError('io_uring_setup', lastErrno());
    const features = scratchWords[PARAMS.features / 4];
    const noIowait = (features & IORING_FEAT_NO_IOWAIT) !== 0;
    if (larger) this.#resize(submissions, completions);
    const parameter = (offset: number): number => scratchWords[offset / 4];
    const sqEntries = parameter(PARAMS.sqEntries);
    const cqEntries = parameter(PARAMS.cqEntries);
    this.#sqMask = sqEntries - 1;
    this.#cqMask = cqEntries - 1;
    this.#sqTailWord = parameter(PARAMS.sqTail) / 4;
    this.#sqFlagsWord = parameter(PARAMS.sqFlags) / 4;
    this.#cqHeadWord = parameter(PARAMS.cqHead) / 4;
    this.#cqTailWord = parameter(PARAMS.cqTail) / 4;
    this.#cqesWord = parameter(PARAMS.cqEntriesOffset) / 4;
    this.#overflowWord = parameter(PARAMS.cqOverflow) / 4;
    this.#waitFlags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | (noIowait ? IORING_ENTER_NO_IOWAIT : 0);

    this.#queueMemory = this.#map(this.#cqesWord * 4 + cqEntries * CQE_BYTES, IORING_OFF_SQ_RING);
    this.#sqesMemory = this.#map(sqEntries * SQE_WORDS * 4, IORING_OFF_SQES);
    this.#queue = new Int32Array(this.#queueMemory.bytes.buffer);
    this.sqes = new Int32Array(this.#sqesMemory.bytes.buffer);
    this.#sqePairs = new Float64Array(this.#sqesMemory.bytes.buffer);
    // Making the queue smaller sets the flag that says that work waits, until the first work has run: there is none yet.
    this.#queue[this.#sqFlagsWord] = 0;
    this.#registerFiles(files + LISTENER_FILES);
  }

  /** Makes the queue smaller; the parameters then describe the new one. */
  #resize(submissions: number, completions: number): void {
    putParameters(IORING_SETUP_CQSIZE, submissions, completions);
    if (ioUringRegister(this.fd, IORING_REGISTER_RESIZE_RINGS, scratch.address, 1) === 0) return;
    const error = new SystemError('io_uring_register', lastErrno(), 'a completion queue could not be made smaller');
    this.destroy();
    throw error;
  }

  #map(byteLength: number, offset: number): NativeMemory {
    const address = mmap(0, byteLength, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, this.fd, offset);
    if (address === -1) {
      const error = new SystemError('mmap', lastErrno(), 'the queues of an io_uring could not be mapped');
      this.destroy();
      throw error;
    }
    return { bytes: new Uint8Array(koffi.view(address, byteLength)), address };
  }

  /** struct io_uring_rsrc_register { u32 nr; u32 flags; u64 resv2; u64 data; u64 tags; } */
  #registerFiles(files: number): void {
    scratch.bytes.fill(0, 0, 32);
    scratchWords[0] = files;
    scratchWords[1] = IORING_RSRC_REGISTER_SPARSE;
    if (ioUringRegister(this.fd, IORING_REGISTER_FILES2, scratch.address, 32) === -1) {
      const error = new SystemError('io_uring_register', lastErrno(), `a table of ${files} direct descriptors`);
      this.destroy();
      throw error;
    }
  }

  /** Puts an ordinary descriptor into the table, from where both are independent; -1 empties the place. @returns 0 or -errno */
  installFile(index: number, fd: number): number {
    scratchWords[8] = fd;
    // struct io_uring_rsrc_update { u32 offset; u32 resv; u64 data; }
    scratchWords[0] = index;
    scratchWords[1] = 0;
    scratchLongs[1] = BigInt(scratch.address + 32);
    return ioUringRegister(this.fd, IORING_REGISTER_FILES_UPDATE, scratch.address, 1) === -1 ? -lastErrno() : 0;
  }

  /** Puts a listener into the table, if there is room and those before it are there. Its descriptor stays with the caller. */
  addListener(listener: number, fd: number): void {
    if (listener !== this.listeners || listener === LISTENER_FILES) return;
    if (this.installFile(this.files + listener, fd) === 0) this.listeners++;
  }

  /** Takes all listeners out of the table. Accepts that wait hold theirs until they have been cancelled. */
  removeListeners(): void {
    while (this.listeners > 0) this.installFile(this.files + --this.listeners, -1);
  }

  /** Cancels the request with this user_data. @returns whether it will end with ECANCELED, and nothing else */
  cancelNow(data: number, dataHigh: number): boolean {
    // struct io_uring_sync_cancel_reg { u64 addr; s32 fd; u32 flags; struct timespec timeout; … }, 64 bytes
    scratch.bytes.fill(0, 0, 64);
    scratchWords[0] = data;
    scratchWords[1] = dataHigh;
    scratchLongs[2] = -1n;
    scratchLongs[3] = -1n;
    return ioUringRegister(this.fd, IORING_REGISTER_SYNC_CANCEL, scratch.address, 1) === 0;
  }

  /** Makes deferred work signal an eventfd(2). */
  registerEventfd(fd: number): void {
    scratchWords[0] = fd;
    if (ioUringRegister(this.fd, IORING_REGISTER_EVENTFD, scratch.address, 1) === -1) {
      throw new SystemError('io_uring_register', lastErrno());
    }
  }

  /** True when an enter has something to do: submissions, deferred work, or an overflown queue. */
  get ready(): boolean {
    return (
      this.#tail !== this.#submitted ||
      (this.#queue[this.#sqFlagsWord] & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !== 0
    );
  }

  get pending(): number {
    return (this.#tail - this.#submitted) | 0;
  }

  get hasCompletions(): boolean {
    return this.#backlogHead !== this.#backlogTail || this.#head !== this.#queue[this.#cqTailWord];
  }

  /** Completions that the kernel could not even put into its overflow list: to be 0 for ever. */
  get lost(): number {
    return this.#queue[this.#overflowWord];
  }

  /** A zeroed submission: the index of its first word in `sqes`. Gives the full queue to the kernel first. */
  submission(): number {
    if (((this.#tail - this.#submitted) | 0) > this.#sqMask) this.#makeRoom();
    const word = (this.#tail & this.#sqMask) * SQE_WORDS;
    this.#tail = (this.#tail + 1) | 0;
    // Written out and two words at once, because each client has three of these. The last four words nobody ever sets.
    const pairs = this.#sqePairs;
    const pair = word >> 1;
    pairs[pair] = 0;
    pairs[pair + 1] = 0;
    pairs[pair + 2] = 0;
    pairs[pair + 3] = 0;
    pairs[pair + 4] = 0;
    pairs[pair + 5] = 0;
    return word;
  }

  /** The first word of the latest submission, or of the one so many before it. */
  lastSubmission(before = 0): number {
    return ((this.#tail - 1 - before) & this.#sqMask) * SQE_WORDS;
  }

  /** Keeps a socket address until its submission has been taken. @returns where it lies */
  putSocketAddress(word: number, address: Uint8Array): number {
    this.#addresses ??= mapNative((this.#sqMask + 1) * SOCKET_ADDRESS_BYTES);
    const offset = (word / SQE_WORDS) * SOCKET_ADDRESS_BYTES;
    this.#addresses.bytes.set(address, offset);
    return this.#addresses.address + offset;
  }

  #makeRoom(): void {
    for (let attempt = 0; ; attempt++) {
      if (this.enter(0, 0) > 0) break;
      // Completions in the way, or no memory for requests at this moment: it is there once others have completed.
      this.#stash();
      if (attempt === 1000) throw new SystemError('io_uring_enter', ENOMEM, 'the kernel takes no more requests');
    }
    // Room for the completions of the next full queue.
    if (((this.#queue[this.#cqTailWord] - this.#head) | 0) > this.#cqMask >> 1) this.#stash();
  }

  /** Moves all completions into the backlog. */
  #stash(): void {
    const count = (this.#queue[this.#cqTailWord] - this.#head) | 0;
    const needed = this.#backlogTail + count * CQE_WORDS;
    if (needed > this.#backlog.length) {
      const larger = new Int32Array(Math.max(needed, this.#backlog.length * 2));
      larger.set(this.#backlog);
      this.#backlog = larger;
    }
    for (let i = 0; i < count; i++) {
      const from = this.#cqesWord + (this.#head & this.#cqMask) * CQE_WORDS;
      for (let k = 0; k < CQE_WORDS; k++) this.#backlog[this.#backlogTail++] = this.#queue[from + k];
      this.#head = (this.#head + 1) | 0;
    }
    this.#queue[this.#cqHeadWord] = this.#head;
  }

  /**
   * Submits everything, lets deferred work run and waits for `wait` completions, at most `timeoutMs`.
   *
   * @returns submissions taken; 0 after a time-out or a signal, or when the kernel has no memory or no room now
   */
  enter(wait: number, timeoutMs: number): number {
    if (wait === 0) return this.#submit(IORING_ENTER_GETEVENTS);
    // struct timespec: the upper halves of both stay 0
    const seconds = Math.floor(timeoutMs / 1000);
    scratchWords[WAIT_TIME / 4] = seconds;
    scratchWords[WAIT_TIME / 4 + 2] = Math.round((timeoutMs - seconds * 1000) * 1e6);
    return this.#submit(this.#waitFlags, wait, scratch.address + WAIT_ARGUMENT, WAIT_ARGUMENT_BYTES);
  }

  #submit(flags: number, wait = 0, argument = 0, argumentBytes = 0): number {
    this.#queue[this.#sqTailWord] = this.#tail;
    const count = (this.#tail - this.#submitted) | 0;
    const taken = ioUringEnter(this.fd, count, wait, flags, argument, argumentBytes);
    if (taken === -1) {
      const errno = lastErrno();
      if (errno === EINTR || errno === ETIME || errno === EAGAIN || errno === EBUSY || errno === ENOMEM) return 0;
      throw new SystemError('io_uring_enter', errno);
    }
    this.#submitted = (this.#submitted + taken) | 0;
    if (this.#submitted === this.#tail) this.closing = false;
    return taken;
  }

  /**
   * Prepares for so many submissions and `submitNow`. Now and then, where connections are closed between, it lets deferred
   * work run, so that what was closed is let go of while it is still in the processor's cache.
   *
   * @returns false when completions are in the way, and the next submissions cannot be watched
   */
  prepareNow(count: number): boolean {
    if (this.closing && ++this.#sinceWork > WORK_INTERVAL) {
      this.#sinceWork = 0;
      this.enter(0, 0);
    }
    while (this.pending + count > this.#sqMask + 1) this.#makeRoom();
    const used = (this.#queue[this.#cqTailWord] - this.#head) | 0;
    if (used + this.#sqMask >= this.#cqMask) this.#stash();
    return (this.#queue[this.#sqFlagsWord] & IORING_SQ_CQ_OVERFLOW) === 0;
  }

  /**
   * Submits everything. Deferred work does not run, so the completions that this adds are those of submissions that ended at
   * once: `completed` finds them. What the kernel has no memory for stays in the queue (`pending`).
   *
   * @returns how many completions were added
   */
  submitNow(): number {
    const before = this.#queue[this.#cqTailWord];
    this.#submit(0);
    return (this.#queue[this.#cqTailWord] - before) | 0;
  }

  /** Whether one of the last `count` completions, which stay where they are, is of this user_data. */
  completed(count: number, data: number, dataHigh: number): boolean {
    const queue = this.#queue;
    const tail = queue[this.#cqTailWord];
    for (let i = 1; i <= count; i++) {
      const word = this.#cqesWord + ((tail - i) & this.#cqMask) * CQE_WORDS;
      if (queue[word] === data && queue[word + 1] === dataHigh) return true;
    }
    return false;
  }

  /** Moves to the next completion: `data`, `dataHigh`, `result` and `flags` are its. @returns false when there is none */
  next(): boolean {
    if (this.#backlogHead !== this.#backlogTail) return this.#nextOfBacklog();
    const head = this.#head;
    const queue = this.#queue;
    if (head === queue[this.#cqTailWord]) return false;
    const word = this.#cqesWord + (head & this.#cqMask) * CQE_WORDS;
    this.data = queue[word];
    this.dataHigh = queue[word + 1];
    this.result = queue[word + 2];
    this.flags = queue[word + 3];
    this.#head = (head + 1) | 0;
    queue[this.#cqHeadWord] = this.#head;
    return true;
  }

  #nextOfBacklog(): boolean {
    const backlog = this.#backlog;
    const word = this.#backlogHead;
    this.data = backlog[word];
    this.dataHigh = backlog[word + 1];
    this.result = backlog[word + 2];
    this.flags = backlog[word + 3];
    this.#backlogHead = word + CQE_WORDS;
    if (this.#backlogHead === this.#backlogTail) {
      this.#backlogHead = 0;
      this.#backlogTail = 0;
      this.#backlog = new Int32Array(0);
    }
    return true;
  }

  /** Ends the ring: its requests are cancelled and its direct descriptors closed by the kernel, a little later. */
  destroy(): void {
    if (this.#queueMemory !== undefined) munmap(this.#queueMemory.address, this.#queueMemory.bytes.length);
    if (this.#sqesMemory !== undefined) munmap(this.#sqesMemory.address, this.#sqesMemory.bytes.length);
    if (this.#addresses !== undefined) unmapNative(this.#addresses);
    if (close(this.fd) === -1) throw new SystemError('close', lastErrno());
  }
}

function putParameters(flags: number, submissions: number, completions: number): void {
  scratch.bytes.fill(0, 0, PARAMS.bytes);
  scratchWords[PARAMS.flags / 4] = flags;
  scratchWords[PARAMS.sqEntries / 4] = submissions;
  scratchWords[PARAMS.cqEntries / 4] = completions;
}
