/**
 * Sends of the io_uring reactor. They are tried at once, many in one system call. What does not fit is with the kernel: the slot
 * is SENDING, its word is the handle of the buffer, which has a reference for it. Other buffers wait behind that one.
 *
 * Most connections that are SENDING have that single buffer. Only for one that was taken in part, or has others behind it, there
 * is an object.
 */

import * as requests from './io-uring-requests.js';
import { SEND, tag } from './io-uring-requests.js';
import type { Ring } from './io-uring-ring.js';
import type { Rings } from './io-uring-rings.js';
import { CONNECTING, misuse, OPEN, SENDING, SHUT } from './io-uring-states.js';
import { SEND_DONE, SEND_PENDING } from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

const NONE = -1;
/** How often `drain` looks whether cancelled sends have let go of their buffers, and how long it waits each time. */
const DRAIN_ROUNDS = 100;
const DRAIN_WAIT_MS = 10;

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
  readonly #states: Uint8Array;
  readonly #rings: Rings;
  readonly #buffers: SendBuffers;
  /** The words of the slots. */
  readonly #handles: Int32Array;
  readonly #queues = new Map<number, Queue>();
  /** Slots that are SENDING. */
  #sending = 0;
  /** A batch of one. */
  readonly #single = new Int32Array(1);
  readonly #singleResult = new Int32Array(1);

  constructor(states: Uint8Array, rings: Rings, buffers: SendBuffers) {
    this.#states = states;
    this.#rings = rings;
    this.#buffers = buffers;
    this.#handles = rings.words;
  }

  /** As Reactor.send. */
  send(connection: number, buffer: number, last: boolean): number {
    this.#single[0] = connection;
    this.#sendBatch(this.#single, 0, 1, buffer, last, this.#singleResult);
    return this.#singleResult[0];
  }

  /** As Reactor.sendAll. */
  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number {
    const { shift, sendsAtOnce } = this.#rings;
    let done = 0;
    for (let from = 0, to = 0; from < count; from = to) {
      const ring = connections[from] >> shift;
      do to++;
      while (to < count && to - from < sendsAtOnce && connections[to] >> shift === ring);
      done += this.#sendBatch(connections, from, to, buffer, false, results);
    }
    return done;
  }

  /** Sends to connections[from..to), which are of one ring. @returns how many are SEND_DONE */
  #sendBatch(
    connections: Int32Array,
    from: number,
    to: number,
    buffer: number,
    last: boolean,
    results: Int32Array,
  ): number {
    const states = this.#states;
    let ready = 0;
    for (let i = from; i < to; i++) {
      const connection = connections[i];
      const state = states[connection];
      if ((state & (OPEN | CONNECTING | SHUT)) !== OPEN) throw misuse('send', connection, state);
      if ((state & SENDING) !== 0) {
        this.#queue(connection, buffer);
        results[i] = SEND_PENDING;
      } else {
        results[i] = SEND_DONE;
        ready++;
      }
    }
    const ring = this.#rings.of(connections[from]);
    const address = this.#buffers.address(buffer);
    const length = this.#buffers.length(buffer);
    const { mask } = this.#rings;
    const done = requests.sendAllNow(ring, connections, from, to, mask, buffer, address, length, last, results);
    if (done === ready) return done;
    for (let i = from; i < to; i++) {
      const connection = connections[i];
      if (results[i] === SEND_DONE || (states[connection] & SENDING) !== 0) continue;
      this.#buffers.retain(buffer);
      states[connection] |= SENDING;
      this.#sending++;
      this.#handles[connection] = buffer;
    }
    return done;
  }

  /** Bytes that the kernel has not taken yet. */
  pendingBytes(connection: number): number {
    if ((this.#states[connection] & SENDING) === 0) return 0;
    const length = this.#buffers.length(this.#handles[connection]);
    const queue = this.#queues.get(connection);
    return queue === undefined ? length : length - queue.offset + queue.bytes;
  }

  /**
   * The kernel has taken so many bytes of the buffer in front. What is left, or the next buffer, goes to it.
   *
   * @returns whether nothing is left
   */
  advance(connection: number, buffer: number, bytes: number): boolean {
    const offset = (this.#queues.get(connection)?.offset ?? 0) + bytes;
    if (offset < this.#buffers.length(buffer)) {
      this.#queueOf(connection).offset = offset;
      this.#submit(connection, buffer, offset);
      return false;
    }
    this.#buffers.release(buffer);
    const next = this.#shift(connection);
    if (next === NONE) {
      this.#states[connection] &= ~SENDING;
      this.#sending--;
      return true;
    }
    this.#handles[connection] = next;
    this.#submit(connection, next, 0);
    return false;
  }

  /** Nothing more is sent, and the kernel has let go of the buffer in front. */
  ended(connection: number, buffer: number): void {
    this.#states[connection] &= ~SENDING;
    this.#sending--;
    this.#buffers.release(buffer);
    this.#drop(connection);
  }

  /** Nothing more is to be sent; `ended` follows when the kernel has let go. */
  cancel(connection: number): void {
    requests.cancel(this.#rings.of(connection), connection, tag(SEND, this.#handles[connection]));
    this.#drop(connection);
  }

  /** Of a reactor that has been destroyed: waits until the kernel has let go of the buffers, and forgets all else. */
  drain(): void {
    for (let round = 0; round < DRAIN_ROUNDS && this.#sending > 0; round++) {
      for (const ring of this.#rings.list) this.#releaseSends(ring);
      if (this.#sending > 0) this.#rings.wait(DRAIN_WAIT_MS);
    }
  }

  #releaseSends(ring: Ring): void {
    while (ring.next()) {
      if (requests.kindOf(ring.dataHigh) !== SEND) continue;
      this.#buffers.release(requests.detailOf(ring.dataHigh));
      this.#sending--;
    }
  }

  #submit(connection: number, buffer: number, offset: number): void {
    const address = this.#buffers.address(buffer) + offset;
    const length = this.#buffers.length(buffer) - offset;
    requests.send(this.#rings.of(connection), connection & this.#rings.mask, connection, buffer, address, length);
  }

  /** Puts a buffer behind the one in front, and retains it. */
  #queue(connection: number, handle: number): void {
    const queue = this.#queueOf(connection);
    this.#buffers.retain(handle);
    queue.handles.push(handle);
    queue.bytes += this.#buffers.length(handle);
  }

  /** The buffer in front has been sent. @returns the next one, which is now in front, or NONE */
  #shift(connection: number): number {
    const queue = this.#queues.get(connection);
    if (queue === undefined) return NONE;
    if (queue.head === queue.handles.length) {
      this.#queues.delete(connection);
      return NONE;
    }
    const handle = queue.handles[queue.head++];
    queue.offset = 0;
    queue.bytes -= this.#buffers.length(handle);
    return handle;
  }

  /** Forgets and releases what waits behind the buffer in front. */
  #drop(connection: number): void {
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
