/**
 * Data of publications outside the JavaScript heap, in chunks that are filled from the front and never rewritten.
 *
 *     ┌──────────────┬────────────┬─────────┬──────────┬────────┐
 *     │ sequence u48 │ length u32 │ kind u8 │ time u48 │ data … │   one record; a place is chunk number × 2²⁰ + offset
 *     └──────────────┴────────────┴─────────┴──────────┴────────┘
 *
 * A chunk goes when its last record has been released. As nothing is overwritten, a view that was handed out stays right for as
 * long as someone holds it. Where long-lived records keep sparse chunks alive, `compact` moves them together: what is allocated
 * stays within twice what is live, and four chunks.
 */

const CHUNK_BYTES = 256 << 10;
/** Larger records have a chunk to themselves. */
const SHARED_RECORD_BYTES_MAX = 32 << 10;
const PLACES_PER_CHUNK = 1 << 20;
const SPARE_CHUNKS = 4;
/** Chunks emptied by one call of `compact`: 2 MiB are copied at most. */
const COMPACTED_CHUNKS_MAX = 16;

const LENGTH_AT = 6;
const KIND_AT = 10;
const TIME_AT = 11;
export const RECORD_HEADER_BYTES = 17;

interface Chunk {
  readonly bytes: Buffer;
  used: number;
  live: number;
}

export class Arena {
  readonly #chunks: (Chunk | undefined)[] = [];
  readonly #free: number[] = [];
  /** The number of the chunk that is being filled, -1 for none. */
  #filling = -1;
  #allocatedBytes = 0;
  #liveBytes = 0;

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Copies the data. Returns its place. */
  store(sequence: number, kind: number, timeMs: number, data: Buffer): number {
    const place = this.#reserve(RECORD_HEADER_BYTES + data.length);
    const { bytes } = this.#chunks[Math.floor(place / PLACES_PER_CHUNK)]!;
    const at = place % PLACES_PER_CHUNK;
    bytes.writeUIntLE(sequence, at, 6);
    bytes.writeUInt32LE(data.length, at + LENGTH_AT);
    bytes[at + KIND_AT] = kind;
    bytes.writeUIntLE(timeMs, at + TIME_AT, 6);
    data.copy(bytes, at + RECORD_HEADER_BYTES);
    return place;
  }

  read(place: number): { kind: number; timeMs: number; data: Buffer } {
    const { bytes } = this.#chunks[Math.floor(place / PLACES_PER_CHUNK)]!;
    const at = place % PLACES_PER_CHUNK;
    const start = at + RECORD_HEADER_BYTES;
    return {
      kind: bytes[at + KIND_AT]!,
      timeMs: bytes.readUIntLE(at + TIME_AT, 6),
      data: bytes.subarray(start, start + bytes.readUInt32LE(at + LENGTH_AT)),
    };
  }

  /** The record is not needed any more. */
  release(place: number, length: number): void {
    const number = Math.floor(place / PLACES_PER_CHUNK);
    const chunk = this.#chunks[number]!;
    chunk.live -= RECORD_HEADER_BYTES + length;
    this.#liveBytes -= RECORD_HEADER_BYTES + length;
    if (chunk.live === 0) this.#discard(number);
  }

  /**
   * Empties sparse chunks where more is wasted than allowed.
   *
   * @param relocate is told the sequence and the place of each record of such a chunk. For one that is live at that place it
   *   calls `copy`, which moves the record and returns its new place
   */
  compact(relocate: (sequence: number, place: number, copy: () => number) => void): void {
    let emptied = 0;
    for (let number = 0; number < this.#chunks.length && emptied < COMPACTED_CHUNKS_MAX; number++) {
      if (this.#allocatedBytes <= 2 * this.#liveBytes + SPARE_CHUNKS * CHUNK_BYTES) return;
      const chunk = this.#chunks[number];
      if (chunk === undefined || number === this.#filling || chunk.live > chunk.bytes.length / 2) continue;
      emptied++;
      const { bytes, used } = chunk;
      for (let at = 0; at < used; ) {
        const length = bytes.readUInt32LE(at + LENGTH_AT);
        const record = bytes.subarray(at, at + RECORD_HEADER_BYTES + length);
        const place = number * PLACES_PER_CHUNK + at;
        relocate(record.readUIntLE(0, 6), place, () => {
          const copy = this.#reserve(record.length);
          record.copy(this.#chunks[Math.floor(copy / PLACES_PER_CHUNK)]!.bytes, copy % PLACES_PER_CHUNK);
          this.release(place, length);
          return copy;
        });
        at += record.length;
      }
    }
  }

  #reserve(size: number): number {
    if (size > SHARED_RECORD_BYTES_MAX) {
      const number = this.#newChunk(size);
      this.#take(number, size);
      return number * PLACES_PER_CHUNK;
    }
    let chunk = this.#chunks[this.#filling];
    if (chunk === undefined || chunk.used + size > CHUNK_BYTES) {
      this.#filling = this.#newChunk(CHUNK_BYTES);
      chunk = this.#chunks[this.#filling]!;
    }
    const place = this.#filling * PLACES_PER_CHUNK + chunk.used;
    this.#take(this.#filling, size);
    return place;
  }

  #take(number: number, size: number): void {
    const chunk = this.#chunks[number]!;
    chunk.used += size;
    chunk.live += size;
    this.#liveBytes += size;
  }

  #newChunk(size: number): number {
    const number = this.#free.pop() ?? this.#chunks.length;
    this.#chunks[number] = { bytes: Buffer.allocUnsafeSlow(size), used: 0, live: 0 };
    this.#allocatedBytes += size;
    return number;
  }

  #discard(number: number): void {
    if (number === this.#filling) this.#filling = -1;
    this.#allocatedBytes -= this.#chunks[number]!.bytes.length;
    this.#chunks[number] = undefined;
    this.#free.push(number);
  }
}
