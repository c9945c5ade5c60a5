/**
 * Open descriptors handed from process to process: SCM_RIGHTS over a Unix datagram socket, unix(7), cmsg(3).
 *
 * One datagram carries a short text and its descriptors, all or nothing. Layout of the scratch page on both machines
 * (64-bit, little-endian; glibc and musl agree on it):
 *
 *        0  struct msghdr  | name 8 | name length 4+4 | iov 8 | iov count 8 | control 8 | control length 8 | flags 4+4 |
 *       64  struct iovec   | base 8 | length 8 |
 *      128  struct sockaddr_un
 *      256  struct cmsghdr | length 8 | level 4 | type 4 | descriptors 4 each |
 *     2048  the text
 */

import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
} from './constants.js';
import { EAGAIN, EINTR, SystemError } from './errno.js';
import * as libc from './libc.js';
import { mapNative } from './native-memory.js';
import { encodeUnixAddress } from './socket-address.js';
import { closeDescriptor } from './sockets.js';

/** The kernel takes 253 (SCM_MAX_FD), musl's sendmsg has room for 252: 1,024 bytes with the header. */
export const DESCRIPTORS_PER_MESSAGE_MAX = 252;
export const DESCRIPTOR_TEXT_BYTES_MAX = 2048;

const IOVEC = 64;
const ADDRESS = 128;
const CONTROL = 256;
const CONTROL_HEADER_BYTES = 16;
const TEXT = 2048;
const POLL_MS = 10;

const scratch = mapNative(4096);
const view = new DataView(scratch.bytes.buffer);

/** Fills msghdr and iovec; addressBytes 0 leaves the name out. */
function prepare(addressBytes: number, textBytes: number, controlBytes: number): void {
  scratch.bytes.fill(0, 0, ADDRESS);
  setPointer(0, addressBytes === 0 ? 0 : scratch.address + ADDRESS);
  view.setUint32(8, addressBytes, true);
  setPointer(16, scratch.address + IOVEC);
  view.setUint32(24, 1, true);
  setPointer(32, scratch.address + CONTROL);
  view.setUint32(40, controlBytes, true);
  setPointer(IOVEC, scratch.address + TEXT);
  view.setUint32(IOVEC + 8, textBytes, true);
}

function setPointer(offset: number, address: number): void {
  view.setBigUint64(offset, BigInt(address), true);
}

/**
 * Sends copies of descriptors to the receiver at a path; one's own stay open. The text (at least one byte) says what
 * they are.
 *
 * @throws SystemError ENOENT or ECONNREFUSED when nobody receives there, EAGAIN when the receiver's queue is full
 */
export function sendDescriptors(path: string, descriptors: readonly number[], text = '.'): void {
  const encoded = Buffer.from(text);
  if (descriptors.length === 0 || descriptors.length > DESCRIPTORS_PER_MESSAGE_MAX) {
    throw new RangeError(`${descriptors.length} descriptors: 1 to ${DESCRIPTORS_PER_MESSAGE_MAX} go into one message`);
  }
  if (encoded.length === 0 || encoded.length > DESCRIPTOR_TEXT_BYTES_MAX) {
    throw new RangeError(`${encoded.length} bytes of text: 1 to ${DESCRIPTOR_TEXT_BYTES_MAX} go into one message`);
  }
  const address = encodeUnixAddress(path);
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd === -1) throw new SystemError('socket', libc.lastErrno());
  try {
    const controlBytes = CONTROL_HEADER_BYTES + descriptors.length * 4;
    prepare(address.length, encoded.length, controlBytes);
    scratch.bytes.set(address, ADDRESS);
    scratch.bytes.set(encoded, TEXT);
    view.setBigUint64(CONTROL, BigInt(controlBytes), true);
    view.setInt32(CONTROL + 8, SOL_SOCKET, true);
    view.setInt32(CONTROL + 12, SCM_RIGHTS, true);
    for (const [i, descriptor] of descriptors.entries()) {
      view.setInt32(CONTROL + CONTROL_HEADER_BYTES + i * 4, descriptor, true);
    }
    if (libc.sendmsg(fd, scratch.address, MSG_NOSIGNAL | MSG_DONTWAIT) === -1) {
      throw new SystemError('sendmsg', libc.lastErrno(), `descriptors could not be handed over at ${path}`);
    }
  } finally {
    closeDescriptor(fd);
  }
}

export interface ReceivedDescriptors {
  /** The receiver's own now, closed on exec. */
  descriptors: number[];
  text: string;
}

/** A Unix datagram socket at a path where `sendDescriptors` of other processes arrives. */
export class DescriptorReceiver {
  readonly path: string;
  readonly #fd: number;

  /** Replaces a socket that an ended process left at the path. @throws SystemError */
  constructor(path: string) {
    const address = encodeUnixAddress(path);
    rmSync(path, { force: true });
    const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd === -1) throw new SystemError('socket', libc.lastErrno());
    scratch.bytes.set(address, ADDRESS);
    if (libc.bindSocket(fd, scratch.address + ADDRESS, address.length) === -1) {
      const error = new SystemError('bind', libc.lastErrno(), `on ${path}`);
      closeDescriptor(fd);
      throw error;
    }
    this.path = path;
    this.#fd = fd;
  }

  /** The next message, or null when none has arrived. */
  receive(): ReceivedDescriptors | null {
    const controlBytesMax = CONTROL_HEADER_BYTES + DESCRIPTORS_PER_MESSAGE_MAX * 4;
    prepare(0, DESCRIPTOR_TEXT_BYTES_MAX, controlBytesMax);
    const received = libc.recvmsg(this.#fd, scratch.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (received === -1) {
      const errno = libc.lastErrno();
      if (errno === EAGAIN || errno === EINTR) return null;
      throw new SystemError('recvmsg', errno);
    }
    const descriptors: number[] = [];
    const controlBytes = view.getUint32(40, true) === 0 ? 0 : view.getUint32(CONTROL, true);
    for (let at = CONTROL_HEADER_BYTES; at + 4 <= controlBytes; at += 4) {
      descriptors.push(view.getInt32(CONTROL + at, true));
    }
    if ((view.getInt32(48, true) & MSG_CTRUNC) !== 0) {
      descriptors.forEach(closeDescriptor);
      throw new SystemError('recvmsg', 0, 'not all descriptors fitted into this process; raise RLIMIT_NOFILE');
    }
    return { descriptors, text: Buffer.from(scratch.bytes.subarray(TEXT, TEXT + received)).toString() };
  }

  /** Waits for a message; null when none came in time. Looks every 10 ms: this happens once in a process's life. */
  async receiveWithin(timeoutMs: number): Promise<ReceivedDescriptors | null> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const message = this.receive();
      if (message !== null || performance.now() >= deadline) return message;
      await delay(POLL_MS);
    }
  }

  close(): void {
    closeDescriptor(this.#fd);
    rmSync(this.path, { force: true });
  }
}
