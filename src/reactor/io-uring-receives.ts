/**
 * Receive buffers of the io_uring reactor: a few for all connections.
 *
 * There are two kinds, numbered through. Large ones are for connections that are known to have something to read, so no
 * receive waits with one; where there are more connections than buffers, those wait here in their order. Small ones go
 * with the accepts, for a first receive that does wait. Clients that say nothing may hold them all: then accepts go without,
 * which costs some time and nothing else.
 *
 *     0 … large             16 KiB each
 *     large … large + FIRST   2 KiB and a little each
 */

import { mapNative, type NativeMemory, unmapNative } from '../linux/native-memory.js';

const LARGE_BYTES = 16384;
/** An odd number of cache lines, so that the beginnings of the buffers do not share one set of the cache. */
const FIRST_BYTES = 2048 + 64;
const FIRST_COUNT = 256;
const NONE = -1;

export class ReceiveBuffers {
  readonly bytes: Uint8Array;
  readonly #memory: NativeMemory;
  readonly #large: number;
  // Stacks, so that those on top, whose pages are touched, are used again and again.
  readonly #freeLarge: number[] = [];
  readonly #freeFirst: number[] = [];
  /** Whose first receive each small buffer is with. */
  readonly #firstOwners = new Int32Array(FIRST_COUNT).fill(NONE);
  /** Connections that wait for a large buffer, from `#head` on. */
  #deferred: number[] = [];
  #head = 0;

  constructor(large: number) {
    this.#large = large;
    this.#memory = mapNative(large * LARGE_BYTES + FIRST_COUNT * FIRST_BYTES);
    this.bytes = this.#memory.bytes;
    for (let i = large - 1; i >= 0; i--) this.#freeLarge.push(i);
    for (let i = large + FIRST_COUNT - 1; i >= large; i--) this.#freeFirst.push(i);
  }

  /** @returns a large buffer, or -1 when all are in use */
  take(): number {
    return this.#freeLarge.pop() ?? NONE;
  }

  /** @returns a small buffer for the first receive of a connection, or -1 when all are in use */
  takeFirst(connection: number): number {
    const buffer = this.#freeFirst.pop() ?? NONE;
    if (buffer !== NONE) this.#firstOwners[buffer - this.#large] = connection;
    return buffer;
  }

  /** @returns the small buffer with which a connection's first receive waits, or -1 */
  firstOf(connection: number): number {
    const at = this.#firstOwners.indexOf(connection);
    return at === NONE ? NONE : this.#large + at;
  }

  release(buffer: number): void {
    if (buffer < this.#large) this.#freeLarge.push(buffer);
    else {
      this.#freeFirst.push(buffer);
      this.#firstOwners[buffer - this.#large] = NONE;
    }
  }

  isLarge(buffer: number): boolean {
    return buffer < this.#large;
  }

  length(buffer: number): number {
    return buffer < this.#large ? LARGE_BYTES : FIRST_BYTES;
  }

  /** Where the buffer begins in `bytes`. */
  offset(buffer: number): number {
    if (buffer < this.#large) return buffer * LARGE_BYTES;
    return this.#large * LARGE_BYTES + (buffer - this.#large) * FIRST_BYTES;
  }

  address(buffer: number): number {
    return this.#memory.address + this.offset(buffer);
  }

  get hasDeferred(): boolean {
    return this.#head < this.#deferred.length;
  }

  /** The connection waits until a large buffer is free. */
  defer(connection: number): void {
    this.#deferred.push(connection);
  }

  /** The connection that has waited longest; there is one. */
  nextDeferred(): number {
    const connection = this.#deferred[this.#head++];
    if (this.#head === this.#deferred.length) {
      this.#deferred = [];
      this.#head = 0;
    }
    return connection;
  }

  destroy(): void {
    unmapNative(this.#memory);
  }
}
