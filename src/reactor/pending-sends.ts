/**
 * Sends that the kernel has not taken whole: the rare connection whose socket buffer is full.
 *
 * For each of them a queue of buffer handles, each with a reference of its own, and how much of the first is gone. Only
 * readiness backends need it.
 */

import { MSG_DONTWAIT, MSG_NOSIGNAL } from '../linux/constants.js';
import { EAGAIN, EINTR, isConnectionError, SystemError } from '../linux/errno.js';
import * as libc from '../linux/libc.js';
import type { SendBuffers } from './send-buffers.js';

interface Queue {
  /** Handles, the first `head` of them sent and released. */
  readonly handles: number[];
  head: number;
  /** Bytes of the handle at `head` that are sent. */
  offset: number;
  /** Bytes not sent of all of them. */
  bytes: number;
}

export class PendingSends {
  readonly #buffers: SendBuffers;
  readonly #queues = new Map<number, Queue>();
  /** After `flush` returned true: 0, or what ended the connection. */
  errno = 0;

  constructor(buffers: SendBuffers) {
    this.#buffers = buffers;
  }

  /** Queues a buffer of which `offset` bytes are sent, and retains it. */
  add(connection: number, handle: number, offset: number): void {
    let queue = this.#queues.get(connection);
    if (queue === undefined) {
      queue = { handles: [], head: 0, offset, bytes: 0 };
      this.#queues.set(connection, queue);
    }
    this.#buffers.retain(handle);
    queue.handles.push(handle);
    queue.bytes += this.#buffers.length(handle) - offset;
  }

  bytes(connection: number): number {
    return this.#queues.get(connection)!.bytes;
  }

  /**
   * Sends until the socket buffer is full.
   *
   * @returns whether it is over: all was sent, and the queue is gone, or the connection broke (`errno`)
   */
  flush(connection: number): boolean {
    const queue = this.#queues.get(connection)!;
    const buffers = this.#buffers;
    this.errno = 0;
    while (queue.head < queue.handles.length) {
      const handle = queue.handles[queue.head];
      const length = buffers.length(handle) - queue.offset;
      const sent = libc.send(connection, buffers.address(handle) + queue.offset, length, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent === -1) {
        const errno = libc.lastErrno();
        if (errno === EAGAIN || errno === EINTR) return false;
        if (!isConnectionError(errno)) throw new SystemError('send', errno);
        this.errno = errno;
        return true;
      }
      queue.bytes -= sent;
      queue.offset += sent;
      if (sent < length) return false;
      buffers.release(handle);
      queue.head++;
      queue.offset = 0;
    }
    this.#queues.delete(connection);
    return true;
  }

  /** Forgets and releases what a connection has left. */
  drop(connection: number): void {
    const queue = this.#queues.get(connection)!;
    for (let i = queue.head; i < queue.handles.length; i++) this.#buffers.release(queue.handles[i]);
    this.#queues.delete(connection);
  }
}
