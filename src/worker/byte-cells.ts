/**
 * Short byte strings (channel names, JSONP callbacks) outside the JavaScript heap, in chained cells of 16 bytes.
 *
 *     first cell    ┌──────────┬────────┬───────────────┐      further cells  ┌──────────┬──────────────────┐
 *                   │ next i32 │ len u8 │ bytes 0 … 10  │                     │ next i32 │ 12 bytes         │
 *                   └──────────┴────────┴───────────────┘                     └──────────┴──────────────────┘
 *
 * Cells of one size cannot fragment: whatever lengths strangers choose, the memory touched is never more than the most
 * that was in use at one time. Freed cells are used again last in, first out, so the touched part stays dense. The
 * arrays are allocated once for the worst case; pages that were never used cost nothing.
 */

import assert from 'node:assert/strict';

const CELL_BYTES = 16;
const CELL_WORDS = CELL_BYTES / 4;
const FIRST_AT = 5;
const REST_AT = 4;
const FIRST_BYTES = CELL_BYTES - FIRST_AT;
const REST_BYTES = CELL_BYTES - REST_AT;
const STRING_BYTES_MAX = 255;

/** Cells that a string of `length` bytes takes. */
export function cellsFor(length: number): number {
  return 1 + Math.max(0, Math.ceil((length - FIRST_BYTES) / REST_BYTES));
}

export class ByteCells {
  readonly #bytes: Uint8Array;
  readonly #next: Int32Array;
  readonly #cells: number;
  /** Cells that were ever used are 1 … high; 0 means none. */
  #high = 0;
  #free = 0;

  /** Room for `cells` cells; see {@link cellsFor}. */
  constructor(cells: number) {
    const memory = new ArrayBuffer((cells + 1) * CELL_BYTES);
    this.#bytes = new Uint8Array(memory);
    this.#next = new Int32Array(memory);
    this.#cells = cells;
  }

  /** Copies `source[start..end)`, at most 255 bytes. Returns its reference, never 0. */
  store(source: Uint8Array, start: number, end: number): number {
    assert(end - start <= STRING_BYTES_MAX);
    const first = this.#take();
    const bytes = this.#bytes;
    bytes[first * CELL_BYTES + 4] = end - start;
    let at = first * CELL_BYTES + FIRST_AT;
    let room = FIRST_BYTES;
    let cell = first;
    for (let i = start; i < end; i++) {
      if (room === 0) {
        const more = this.#take();
        this.#next[cell * CELL_WORDS] = more;
        cell = more;
        at = more * CELL_BYTES + REST_AT;
        room = REST_BYTES;
      }
      bytes[at++] = source[i];
      room--;
    }
    return first;
  }

  /** Bytes of memory touched so far. */
  get usedBytes(): number {
    return this.#high * CELL_BYTES;
  }

  length(reference: number): number {
    return this.#bytes[reference * CELL_BYTES + 4];
  }

  equals(reference: number, other: Uint8Array, start: number, end: number): boolean {
    const bytes = this.#bytes;
    if (bytes[reference * CELL_BYTES + 4] !== end - start) return false;
    let cell = reference;
    let at = reference * CELL_BYTES + FIRST_AT;
    let room = FIRST_BYTES;
    for (let i = start; i < end; i++) {
      if (room === 0) {
        cell = this.#next[cell * CELL_WORDS];
        at = cell * CELL_BYTES + REST_AT;
        room = REST_BYTES;
      }
      if (bytes[at++] !== other[i]) return false;
      room--;
    }
    return true;
  }

  /** Copies the string to `target` from `at`. Returns its length. */
  copyTo(reference: number, target: Uint8Array, at: number): number {
    const bytes = this.#bytes;
    const length = bytes[reference * CELL_BYTES + 4];
    let cell = reference;
    let from = reference * CELL_BYTES + FIRST_AT;
    let room = FIRST_BYTES;
    for (let i = 0; i < length; i++) {
      if (room === 0) {
        cell = this.#next[cell * CELL_WORDS];
        from = cell * CELL_BYTES + REST_AT;
        room = REST_BYTES;
      }
      target[at + i] = bytes[from++];
      room--;
    }
    return length;
  }

  release(reference: number): void {
    const next = this.#next;
    let last = reference;
    while (next[last * CELL_WORDS] !== 0) last = next[last * CELL_WORDS];
    next[last * CELL_WORDS] = this.#free;
    this.#free = reference;
  }

  #take(): number {
    const cell = this.#free;
    if (cell !== 0) {
      this.#free = this.#next[cell * CELL_WORDS];
      this.#next[cell * CELL_WORDS] = 0;
      return cell;
    }
    assert(this.#high < this.#cells, 'more strings than the capacity was derived for');
    return ++this.#high;
  }
}
