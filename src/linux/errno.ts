/**
 * Error numbers of Linux, errno(3). They are the same on x64 and arm64 (asm-generic/errno.h).
 *
 * An expected errno is named where it is handled; the rest becomes a `SystemError` that ends the process, because going on
 * after a failure that nobody thought of is worse.
 */

import { constants } from 'node:os';

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOSPC = 28;
export const EPIPE = 32;
export const ENONET = 64;
export const EPROTO = 71;
export const EOPNOTSUPP = 95;
export const ENOPROTOOPT = 92;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENETRESET = 102;
export const ECONNABORTED = 103;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTDOWN = 112;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;

/** Descriptors or kernel memory have run out; ENOSPC is fs.epoll.max_user_watches, epoll_ctl(2). */
export function isOutOfResources(errno: number): boolean {
  return errno === EMFILE || errno === ENFILE || errno === ENOMEM || errno === ENOBUFS || errno === ENOSPC;
}

/**
 * What can befall one connection through its peer, the network or a firewall on the way: tcp(7), accept(2), send(2).
 * It ends that connection and nothing else. Whatever is not listed is a bug of ours.
 */
const connectionErrors = new Set([
  ...[EPIPE, ECONNRESET, ECONNABORTED, ECONNREFUSED, ETIMEDOUT, ENOTCONN, EPROTO, ENOPROTOOPT, EOPNOTSUPP],
  ...[ENETDOWN, ENETUNREACH, ENETRESET, EHOSTDOWN, EHOSTUNREACH, ENONET, EPERM, EACCES, EADDRNOTAVAIL],
  ...[ENOMEM, ENOBUFS],
]);

export function isConnectionError(errno: number): boolean {
  return connectionErrors.has(errno);
}

/** By name: what Node reports carries the names of Linux on every system, and numbers of its own on some. */
const numbers: Readonly<Record<string, number>> = {
  ...{
    EPERM,
    ENOENT,
    EINTR,
    EIO,
    EBADF,
    EAGAIN,
    ENOMEM,
    EACCES,
    ENFILE,
    EMFILE,
    ENOSPC,
    EPIPE,
    ENONET,
    EPROTO,
    EOPNOTSUPP,
  },
  ...{ ENOPROTOOPT, EADDRINUSE, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH, ENETRESET, ECONNABORTED, ECONNRESET, ENOBUFS },
  ...{ ENOTCONN, ETIMEDOUT, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EINPROGRESS },
};

const names = new Map(Object.entries(numbers).map(([name, number]) => [number, name]));
if (process.platform === 'linux') {
  // Where a number has two names the first one is used.
  for (const [name, number] of Object.entries(constants.errno)) if (!names.has(number)) names.set(number, name);
}

/**
 * The number here of an error that Node reports of a socket. One whose name Linux does not have is EIO: it concerns that socket
 * and nothing else.
 */
export function errnoOf(error: NodeJS.ErrnoException): number {
  return numbers[error.code ?? ''] ?? EIO;
}

/** `errnoName(104)` is `'ECONNRESET'`; a number without a name gives `'errno 999'`. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** A failed system call, with the name of its errno as `code`, as Node's own system errors have it. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  /** @param cure what the operator can do about it, as a clause; left out where there is nothing to say. */
  constructor(syscall: string, errno: number, cure?: string) {
    const code = errnoName(errno);
    super(cure === undefined ? `${syscall} failed: ${code}` : `${syscall} failed: ${code}: ${cure}`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}
