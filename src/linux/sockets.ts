/**
 * Sockets and limits as the rest of the program asks for them, off the hot path: a listener with all its options, the
 * limit of descriptors, a lock file. Failures that an operator can cure are Errors with a code and the cure.
 */

import { closeSync, openSync } from 'node:fs';
import {
  AF_INET6,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  LOCK_EX,
  LOCK_NB,
  RLIMIT_NOFILE,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_INFO,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from './constants.js';
import { EACCES, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EMFILE, EPERM, SystemError } from './errno.js';
import * as libc from './libc.js';
import { mapNative } from './native-memory.js';
import { addressFamily, addressPort, encodeSocketAddress } from './socket-address.js';

/** Arguments and results of the calls below, one call at a time: a page is plenty. */
const scratch = mapNative(4096);
const scratchWords = new Int32Array(scratch.bytes.buffer, 0, 64);
const scratchView = new DataView(scratch.bytes.buffer);

/** struct tcp_info (linux/tcp.h): eight bytes, then words: rto, ato, snd_mss, rcv_mss, unacked … */
const TCP_INFO_UNACKED = 24;
const TCP_INFO_BYTES = TCP_INFO_UNACKED + 4;

export interface ListenerOptions {
  /** An IP address or `localhost`. `::` takes IPv6 only, so that it can stand beside 0.0.0.0. */
  host: string;
  /** 0 lets the kernel choose. */
  port: number;
  /** Connections that wait to be accepted; the kernel caps it at net.core.somaxconn. */
  backlog?: number;
  /** TCP keep-alive of the accepted connections (tcp(7)); without it a vanished peer is never noticed. */
  keepAlive?: { idleSeconds: number; intervalSeconds: number; probes: number };
}

/**
 * Opens a TCP listener: non-blocking, closed on exec, and with the options that accepted sockets inherit from it on
 * Linux (TCP_NODELAY, keep-alive), which then cost no system call for each connection.
 *
 * @throws SystemError whose code an operator may meet: EADDRINUSE, EACCES, EADDRNOTAVAIL, EMFILE
 */
export function openListener(options: ListenerOptions): { fd: number; port: number } {
  const address = encodeSocketAddress(options.host, options.port);
  const family = addressFamily(address);
  const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd === -1) throw listenError('socket', options);
  try {
    // A port in TIME_WAIT from the last run can be taken again at once (RFC 9293 section 3.6.1 does not forbid it).
    setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family === AF_INET6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    setSocketOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (options.keepAlive !== undefined) {
      setSocketOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
      setSocketOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepAlive.idleSeconds);
      setSocketOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, options.keepAlive.intervalSeconds);
      setSocketOption(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepAlive.probes);
    }
    scratch.bytes.set(address);
    if (libc.bindSocket(fd, scratch.address, address.length) === -1) throw listenError('bind', options);
    if (libc.listen(fd, options.backlog ?? 65535) === -1) throw listenError('listen', options);
    return { fd, port: localPort(fd) };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function listenError(syscall: string, { host, port }: ListenerOptions): SystemError {
  const errno = libc.lastErrno();
  const cures = new Map([
    [EADDRINUSE, `port ${port} on ${host} is taken; stop the program that has it or choose another port`],
    [EACCES, `port ${port} is for privileged programs; choose one from 1024 up`],
    [EADDRNOTAVAIL, `no interface of this machine has the address ${host}`],
    [EMFILE, 'this process has no descriptors left; raise RLIMIT_NOFILE (ulimit -n)'],
  ]);
  return new SystemError(syscall, errno, cures.get(errno) ?? `while opening ${host}:${port}`);
}

/** The port that a TCP socket is bound to. */
export function localPort(fd: number): number {
  scratchWords[32] = 28;
  if (libc.getsockname(fd, scratch.address, scratch.address + 128) === -1) {
    throw new SystemError('getsockname', libc.lastErrno());
  }
  return addressPort(scratch.bytes);
}

/** Sets an option whose value is an int. */
export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  scratchWords[0] = value;
  if (libc.setsockopt(fd, level, option, scratch.address, 4) === -1)
    throw new SystemError('setsockopt', libc.lastErrno());
}

/**
 * Clients that wait to be accepted: of a listening socket, `tcpi_unacked` of struct tcp_info (tcp(7)) is that.
 *
 * @returns 1 for a listener that is not TCP, since nobody knows
 */
export function acceptQueueLength(fd: number): number {
  scratchWords[0] = TCP_INFO_BYTES;
  if (libc.getsockopt(fd, IPPROTO_TCP, TCP_INFO, scratch.address + 4, scratch.address) === -1) return 1;
  return scratchWords[1 + TCP_INFO_UNACKED / 4];
}

/** Two connected stream sockets, closed on exec. */
export function openSocketPair(family: number): [number, number] {
  if (libc.socketpair(family, SOCK_STREAM | SOCK_CLOEXEC, 0, scratch.address) === -1) {
    throw new SystemError('socketpair', libc.lastErrno());
  }
  return [scratchWords[0], scratchWords[1]];
}

/** Closes a descriptor that is surely open: EBADF here would mean that somebody else's may be closed next. */
export function closeDescriptor(fd: number): void {
  if (libc.close(fd) === -1) throw new SystemError('close', libc.lastErrno());
}

export interface DescriptorLimit {
  /** How many descriptors this process may have: numbers below it are given out. */
  soft: number;
  /** How far the process may raise it by itself; Infinity where there is no limit. */
  hard: number;
}

/** RLIMIT_NOFILE of this process, getrlimit(2). */
export function descriptorLimit(): DescriptorLimit {
  if (libc.getrlimit(RLIMIT_NOFILE, scratch.address) === -1) throw new SystemError('getrlimit', libc.lastErrno());
  return { soft: limitNumber(scratchView.getBigUint64(0, true)), hard: limitNumber(scratchView.getBigUint64(8, true)) };
}

/** Sets the soft limit; the hard one stays. @throws SystemError EINVAL above the hard limit */
export function setDescriptorLimit(soft: number): void {
  if (libc.getrlimit(RLIMIT_NOFILE, scratch.address) === -1) throw new SystemError('getrlimit', libc.lastErrno());
  scratchView.setBigUint64(0, BigInt(soft), true);
  if (libc.setrlimit(RLIMIT_NOFILE, scratch.address) === -1) throw new SystemError('setrlimit', libc.lastErrno());
}

/** Raises the soft limit to the hard one. @returns how many descriptors the process may now have */
export function raiseDescriptorLimit(): number {
  const { soft, hard } = descriptorLimit();
  if (hard === soft || hard === Number.POSITIVE_INFINITY) return soft;
  setDescriptorLimit(hard);
  return hard;
}

const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

function limitNumber(limit: bigint): number {
  return limit === RLIM_INFINITY ? Number.POSITIVE_INFINITY : Number(limit);
}

/**
 * Takes the lock that a file stands for, creating the file. It is held until the descriptor is closed or the process
 * ends in whatever way, flock(2).
 *
 * @returns the descriptor, or null when another process holds the lock
 * @throws Error of openSync, for instance ENOENT or EACCES
 */
export function lockFile(path: string): number | null {
  const fd = openSync(path, 'a', 0o600);
  if (libc.flock(fd, LOCK_EX | LOCK_NB) === 0) return fd;
  const errno = libc.lastErrno();
  closeSync(fd);
  if (errno === EAGAIN) return null;
  const cure = errno === EPERM ? 'the file system does not allow locks; choose another run directory' : `on ${path}`;
  throw new SystemError('flock', errno, cure);
}
