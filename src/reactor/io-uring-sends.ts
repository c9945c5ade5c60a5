/**
 * Sends that are not a single buffer on its way: the rare connection with a buffer that the kernel has taken in part, or
 * with buffers that wait behind the first.
 *
 * The buffer in front is the one that the kernel has; its reference is the reactor's affair, those behind it are counted
 * here.
 */

import type { SendBuffers } from './send-buffers.js';

interface Queue {
  /** Bytes of the buffer in front that have been sent. */
  offset: number;
  /** Handles behind it, the first `head` of them gone. */
  readonly handles: number[];
  head: number;
  /** Bytes behind it. */
  bytes: number;
}

export class IoUringSends {
  readonly #buffers: SendBuffers;
  readonly #queues = new Map<number, Queue>();

  constructor(buffers: SendBuffers) {
    this.#buffers = buffers;
  }

  /** Puts a buffer behind the one in front, and retains it. */
  add(connection: number, handle: number): void {
    const queue = this.#queueOf(connection);
    this.#buffers.retain(handle);
    queue.handles.push(handle);
    queue.bytes += this.#buffers.length(handle);
  }

  /** Bytes of the buffer in front that have been sent. */
  offset(connection: number): number {
    return this.#queues.get(connection)?.offset ?? 0;
  }

  /** Some more of the buffer in front has been sent, but not all. */
  advance(connection: number, bytes: number): void {
    this.#queueOf(connection).offset += bytes;
  }

  /** The buffer in front has been sent. @returns the next one, which is now in front, or -1 */
  shift(connection: number): number {
    const queue = this.#queues.get(connection);
    if (queue === undefined) return -1;
    if (queue.head === queue.handles.length) {
      this.#queues.delete(connection);
      return -1;
    }
    const handle = queue.handles[queue.head++];
    queue.offset = 0;
    queue.bytes -= this.#buffers.length(handle);
    return handle;
  }

  /** Bytes not sent, when the buffer in front has `length`. */
  pendingBytes(connection: number, length: number): number {
    const queue = this.#queues.get(connection);
    return queue === undefined ? length : length - queue.offset + queue.bytes;
  }

  /** Forgets and releases what waits behind the buffer in front. */
  drop(connection: number): void {
    const queue = this.#queues.get(connection);
    if (queue === undefined) return;
    for (let i = queue.head; i < queue.handles.length; i++) this.#buffers.release(queue.handles[i]);
    this.#queues.delete(connection);
  }

  #queueOf(connection: number): Queue {
    let queue = this.#queues.get(connection);
    if (queue === undefined) {
      queue = { offset: 0, handles: [], head: 0, bytes: 0 };
      this.#queues.set(connection, queue);
    }
    return queue;
  }
}
