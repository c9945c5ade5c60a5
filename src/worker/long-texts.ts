/**
 * Byte strings of up to some thousand bytes outside the JavaScript heap: chains of the short ones of byte-cells.ts. Each piece
 * but the last ends with the reference of the next one.
 *
 *     piece  ┌───────────────────┬──────────┐    last piece  ┌──────────────┐
 *            │ bytes 0 … 250     │ next u32 │                │ bytes …      │
 *            └───────────────────┴──────────┘                └──────────────┘
 *
 * Unlike those it may be full: the pool is made for an average length, since the longest of all rows together would be more
 * address space than there is.
 */

import { ByteCells, cellsFor } from './byte-cells.js';

const PIECE_BYTES_MAX = 255;
const NEXT_BYTES = 4;
const FULL_PIECE_BYTES = PIECE_BYTES_MAX - NEXT_BYTES;

export class LongTexts {
  readonly #cells: ByteCells;
  readonly #piece = Buffer.alloc(PIECE_BYTES_MAX);
  #free: number;

  /** Room for `cells` cells of 16 bytes. */
  constructor(cells: number) {
    this.#cells = new ByteCells(cells);
    this.#free = cells;
  }

  /** Bytes of memory touched so far. */
  get usedBytes(): number {
    return this.#cells.usedBytes;
  }

  /** Copies the text. @returns its reference, or 0 where there is no room for it */
  store(text: Uint8Array): number {
    // The last piece has 1 to 255 bytes (or 0 of an empty text), those before it are full.
    const full = Math.max(0, Math.ceil((text.length - PIECE_BYTES_MAX) / FULL_PIECE_BYTES));
    const lastBytes = text.length - full * FULL_PIECE_BYTES;
    const cells = full * cellsFor(PIECE_BYTES_MAX) + cellsFor(lastBytes);
    if (cells > this.#free) return 0;
    this.#free -= cells;
    let reference = this.#cells.store(text, text.length - lastBytes, text.length);
    for (let piece = full - 1; piece >= 0; piece--) {
      this.#piece.set(text.subarray(piece * FULL_PIECE_BYTES, (piece + 1) * FULL_PIECE_BYTES));
      this.#piece.writeUInt32LE(reference, FULL_PIECE_BYTES);
      reference = this.#cells.store(this.#piece, 0, PIECE_BYTES_MAX);
    }
    return reference;
  }

  // A last piece may have 255 bytes too: the length of the whole says which it is.

  /** A copy of the text. @param length as it was stored */
  read(reference: number, length: number): Buffer {
    const text = Buffer.alloc(length);
    let at = 0;
    while (length - at > PIECE_BYTES_MAX) {
      this.#cells.copyTo(reference, this.#piece, 0);
      this.#piece.copy(text, at, 0, FULL_PIECE_BYTES);
      at += FULL_PIECE_BYTES;
      reference = this.#piece.readUInt32LE(FULL_PIECE_BYTES);
    }
    this.#cells.copyTo(reference, text, at);
    return text;
  }

  /** @param length as it was stored */
  release(reference: number, length: number): void {
    for (let left = length; ; left -= FULL_PIECE_BYTES) {
      const bytes = this.#cells.length(reference);
      const next = left > PIECE_BYTES_MAX ? this.#next(reference) : 0;
      this.#cells.release(reference);
      this.#free += cellsFor(bytes);
      if (left <= PIECE_BYTES_MAX) return;
      reference = next;
    }
  }

  #next(reference: number): number {
    this.#cells.copyTo(reference, this.#piece, 0);
    return this.#piece.readUInt32LE(FULL_PIECE_BYTES);
  }
}
