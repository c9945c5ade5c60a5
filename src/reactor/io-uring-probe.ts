/**
 * Whether this kernel lets this process use io_uring as the reactor needs it. It tries: kernels, distributions and containers
 * forbid it in too many ways to ask.
 *
 *     ENOSYS      built without io_uring, or older than 5.1
 *     EPERM       sysctl kernel.io_uring_disabled, or a seccomp filter (the default one of Docker since 2023)
 *     EINVAL      older than 6.13: a flag or an operation is not known
 *     ENOMEM      older kernels count rings against RLIMIT_MEMLOCK
 *
 * Before Linux 6.13 the places of a ring's table were let go of in the order in which they were given up, and a request that waits on
 * one of them held up all that came later: with one idle client no other was ever closed.
 */

import { readFileSync } from 'node:fs';
import { AF_UNIX, MSG_DONTWAIT } from '../linux/constants.js';
import { EMFILE, ENOMEM, EPERM, errnoName, SystemError } from '../linux/errno.js';
import {
  EINVAL,
  ENOSYS,
  IO_URING_OP_SUPPORTED,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_READ,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SHUTDOWN,
  IORING_REGISTER_PROBE,
  ioUringRegister,
} from '../linux/io-uring.js';
import { recv } from '../linux/libc.js';
import { mapNative, unmapNative } from '../linux/native-memory.js';
import { closeDescriptor, openSocketPair } from '../linux/sockets.js';
import { close, poll } from './io-uring-requests.js';
import { Ring } from './io-uring-ring.js';

const OLD = 'older than Linux 6.13';
const OPERATIONS = new Map([
  [IORING_OP_ACCEPT, 'ACCEPT'],
  [IORING_OP_ASYNC_CANCEL, 'ASYNC_CANCEL'],
  [IORING_OP_CLOSE, 'CLOSE'],
  [IORING_OP_CONNECT, 'CONNECT'],
  [IORING_OP_POLL_ADD, 'POLL_ADD'],
  [IORING_OP_READ, 'READ'],
  [IORING_OP_RECV, 'RECV'],
  [IORING_OP_SEND, 'SEND'],
  [IORING_OP_SHUTDOWN, 'SHUTDOWN'],
]);

/** As the reactor makes them, with few places. */
const makeRing = (): Ring => new Ring({ submissions: 8, completions: 16, waiting: 16_384, files: 2 });

/** @returns null when io_uring is usable, else one line that says why not */
export function probeIoUring(make = makeRing): string | null {
  let ring: Ring | null = null;
  try {
    ring = make();
    const missing = missingOperations(ring.fd);
    if (missing.length > 0) return `the kernel's io_uring lacks ${missing.join(', ')}`;
    if (closesBesideOneThatWaits(ring)) return null;
    return `the kernel is ${OLD}: its io_uring does not close a client while another one waits`;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return reason(error);
  } finally {
    ring?.destroy();
  }
}

/** Whether a socket of the table is closed while a request waits on another. */
function closesBesideOneThatWaits(ring: Ring): boolean {
  const pairs = [openSocketPair(AF_UNIX), openSocketPair(AF_UNIX)];
  const byte = mapNative(1);
  try {
    for (const [index, [ours]] of pairs.entries()) {
      const errno = -ring.installFile(index, ours);
      if (errno !== 0) throw new SystemError('io_uring_register', errno);
      closeDescriptor(ours);
    }
    poll(ring, 0, 0);
    ring.enter(0, 0);
    close(ring, 1);
    // The socket is let go of on the way out of the kernel, at the second call at the latest.
    ring.enter(0, 0);
    ring.enter(0, 0);
    return recv(pairs[1]![1], byte.address, 1, MSG_DONTWAIT) === 0;
  } finally {
    for (const [, theirs] of pairs) closeDescriptor(theirs);
    unmapNative(byte);
  }
}

function reason({ syscall, errno }: SystemError): string {
  if (errno === ENOSYS) return 'the kernel has no io_uring';
  if (errno === EINVAL) return `the kernel is ${OLD}: its io_uring lacks what is needed`;
  if (errno === ENOMEM) return 'io_uring got no memory; RLIMIT_MEMLOCK (ulimit -l) may be too low';
  if (errno === EMFILE) return 'no descriptors are left for io_uring; raise RLIMIT_NOFILE (ulimit -n)';
  if (errno !== EPERM) return `${syscall} failed: ${errnoName(errno)}`;
  const disabled = ioUringDisabled();
  if (disabled !== 0) return `io_uring is forbidden by the sysctl kernel.io_uring_disabled = ${disabled}`;
  return 'io_uring is forbidden by a seccomp filter, as in default containers';
}

/** The sysctl of Linux 6.6: 0 allowed, 1 for privileged processes and a group, 2 for nobody. 0 where there is none. */
function ioUringDisabled(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/io_uring_disabled', 'latin1'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/** struct io_uring_probe { u8 last_op; u8 ops_len; u16; u32[3]; struct { u8 op; u8; u16 flags; u32; } ops[]; } */
function missingOperations(fd: number): string[] {
  const count = 256;
  const memory = mapNative(16 + count * 8);
  const names: string[] = [];
  if (ioUringRegister(fd, IORING_REGISTER_PROBE, memory.address, count) === -1) names.push('REGISTER_PROBE');
  else {
    for (const [operation, name] of OPERATIONS) {
      if ((memory.bytes[16 + operation * 8 + 2] & IO_URING_OP_SUPPORTED) === 0) names.push(name);
    }
  }
  unmapNative(memory);
  return names;
}
