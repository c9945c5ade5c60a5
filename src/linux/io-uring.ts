/**
 * io_uring as the kernel offers it: its three system calls, the constants of linux/io_uring.h and the layouts of its
 * structures. What is done with them is in src/reactor/. io_uring(7), io_uring_setup(2), io_uring_enter(2),
 * io_uring_register(2).
 *
 *     struct io_uring_sqe, 64 bytes, in 32-bit words as the reactor uses them
 *       0  operation u8 | flags u8 | ioprio u16 (accept: how it begins)
 *       1  descriptor, or index of a direct one
 *       2  offset u64 (connect: length of the address)
 *       4  address u64 (cancel: user_data to look for)
 *       6  length u32
 *       7  flags of the operation (send, receive, events to poll for)
 *       8  user_data u64
 *      10  buffer group u16 | personality u16
 *      11  direct descriptor to make or to close, plus 1
 *      12  unused by these operations
 *
 *     struct io_uring_cqe, 16 bytes:  user_data u64 | res i32 | flags u32
 */

import { bind } from './libc.js';

/** The numbers are the same on all architectures since 5.1 (asm-generic/unistd.h). */
const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const SYS_IO_URING_REGISTER = 427;

const setup = bind<[number: number, entries: number, parameters: number]>(
  'int64_t syscall(int64_t, uint32_t, uint64_t)',
);
const enter = bind<
  [number: number, fd: number, submit: number, wait: number, flags: number, argument: number, argumentBytes: number]
>('int64_t syscall(int64_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t, uint64_t)');
const register = bind<[number: number, fd: number, operation: number, argument: number, count: number]>(
  'int64_t syscall(int64_t, uint32_t, uint32_t, uint64_t, uint32_t)',
);

/** @returns a descriptor, or -1 */
export function ioUringSetup(entries: number, parameters: number): number {
  return setup(SYS_IO_URING_SETUP, entries, parameters);
}

/** @returns how many submissions were taken, or -1 */
export function ioUringEnter(
  fd: number,
  submit: number,
  wait: number,
  flags: number,
  argument: number,
  argumentBytes: number,
): number {
  return enter(SYS_IO_URING_ENTER, fd, submit, wait, flags, argument, argumentBytes);
}

/** @returns 0 or more, or -1 */
export function ioUringRegister(fd: number, operation: number, argument: number, count: number): number {
  return register(SYS_IO_URING_REGISTER, fd, operation, argument, count);
}

/** eventfd(2) */
export const eventfd = bind<[count: number, flags: number]>('int eventfd(unsigned int, int)');
export const EFD_CLOEXEC = 0o2000000;

// io_uring_setup(2). The numbers after the names are the kernels that brought them.
export const IORING_SETUP_CQSIZE = 1 << 3;
export const IORING_SETUP_SUBMIT_ALL = 1 << 7; // 5.18
export const IORING_SETUP_TASKRUN_FLAG = 1 << 9; // 5.19
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12; // 6.0
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13; // 6.1
export const IORING_SETUP_NO_SQARRAY = 1 << 16; // 6.6
export const IORING_FEAT_NO_IOWAIT = 1 << 17; // 6.15
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;

/** struct io_uring_params, in bytes: where it says how large the rings are and where their fields lie. */
export const PARAMS = {
  bytes: 120,
  sqEntries: 0,
  cqEntries: 4,
  flags: 8,
  features: 20,
  sqHead: 40,
  sqTail: 44,
  sqFlags: 56,
  cqHead: 80,
  cqTail: 84,
  cqOverflow: 96,
  cqEntriesOffset: 100,
} as const;

// Flags of the submission ring that the kernel sets
export const IORING_SQ_CQ_OVERFLOW = 1 << 1;
export const IORING_SQ_TASKRUN = 1 << 2;

// io_uring_enter(2)
export const IORING_ENTER_GETEVENTS = 1 << 0;
export const IORING_ENTER_EXT_ARG = 1 << 3;
export const IORING_ENTER_NO_IOWAIT = 1 << 7;

// io_uring_register(2)
export const IORING_REGISTER_EVENTFD = 4;
export const IORING_REGISTER_FILES_UPDATE = 6;
export const IORING_REGISTER_PROBE = 8;
export const IORING_REGISTER_FILES2 = 13;
export const IORING_REGISTER_SYNC_CANCEL = 24;
export const IORING_REGISTER_RESIZE_RINGS = 33; // 6.13
export const IORING_RSRC_REGISTER_SPARSE = 1 << 0;
export const IO_URING_OP_SUPPORTED = 1 << 0;

// Flags of a submission
export const IOSQE_FIXED_FILE = 1 << 0;
export const IOSQE_CQE_SKIP_SUCCESS = 1 << 6; // 5.17

// How an accept begins (in ioprio): fail with EAGAIN when nobody waits; wait for a client before the first attempt
export const IORING_ACCEPT_DONTWAIT = 1 << 1; // 6.10
export const IORING_ACCEPT_POLL_FIRST = 1 << 2; // 6.10

/** Flag of a completed receive: more bytes are there already, or the end of stream. Of an accept (6.10): more clients. */
export const IORING_CQE_F_SOCK_NONEMPTY = 1 << 2; // 5.19

// Operations
export const IORING_OP_POLL_ADD = 6;
export const IORING_OP_ACCEPT = 13;
export const IORING_OP_ASYNC_CANCEL = 14;
export const IORING_OP_CONNECT = 16;
export const IORING_OP_CLOSE = 19;
export const IORING_OP_READ = 22;
export const IORING_OP_SEND = 26;
export const IORING_OP_RECV = 27;
export const IORING_OP_SHUTDOWN = 34;

// poll(2): asm-generic/poll.h
export const POLLIN = 0x001;
export const POLLRDHUP = 0x2000;

// Used with io_uring only: errno(3), mmap(2)
export const EBUSY = 16;
export const ETIME = 62;
export const MAP_SHARED = 0x01;
export const MAP_POPULATE = 0x8000;
export const ECANCELED = 125;
export const EINVAL = 22;
export const ENOSYS = 38;
