/**
 * Blocks: publications as they lie in the database, up to 16 KB of them in one value. A block is written once and never changed.
 *
 *     0              4         5         6           7     8              14         20             26
 *     ┌──────────────┬─────────┬─────────┬───────────┬─────┬──────────────┬──────────┬──────────────┬──────┬────┬────────┐
 *     │ length u32   │ kind u8 │ id u8   │ name u8   │ 0   │ sequence u48 │ time u48 │ previous u48 │ name │ id │ data … │
 *     └──────────────┴─────────┴─────────┴───────────┴─────┴──────────────┴──────────┴──────────────┴──────┴────┴────────┘
 *
 * One record, little-endian, filled up to a multiple of 8 bytes; id and name are lengths in bytes. `previous` is the sequence of
 * the channel's publication before this one, or what the channel had lost when there was none, 0 for nothing: the oldest record
 * of a channel that is left says what was lost, so no drop has to be written down.
 *
 * A place is block × 2048 + offset / 8. It is exact up to block 2⁴², 14 years at 10,000 blocks a second.
 */

const ALIGNMENT = 8;
const PLACES_PER_BLOCK = 2048;
/** Four pages of LMDB, but for the header of the first. */
export const BLOCK_BYTES = 16384 - 16;
const KIND_AT = 4;
const ID_LENGTH_AT = 5;
const NAME_LENGTH_AT = 6;
const SEQUENCE_AT = 8;
const TIME_AT = 14;
const PREVIOUS_AT = 20;
const HEADER_BYTES = 26;

export function placeOf(block: number, offset: number): number {
  return block * PLACES_PER_BLOCK + offset / ALIGNMENT;
}

export function blockOf(place: number): number {
  return Math.floor(place / PLACES_PER_BLOCK);
}

export function offsetOf(place: number): number {
  return (place % PLACES_PER_BLOCK) * ALIGNMENT;
}

export interface BlockRecord {
  sequence: number;
  previous: number;
  channel: string;
  kind: number;
  timeMs: number;
  data: Buffer;
  id?: string;
}

/** Fills blocks one after the other. */
export class BlockWriter {
  /** Sealed, by number. */
  readonly blocks: { number: number; bytes: Buffer }[] = [];
  /** The number of the block that is being filled. */
  #number: number;
  #bytes: Buffer | null = null;
  #used = 0;

  /** @param firstBlock a number that was never used */
  constructor(firstBlock: number) {
    this.#number = firstBlock;
  }

  /** Where the next writer begins. Call it after `seal`. */
  get nextBlock(): number {
    return this.#number;
  }

  /** Copies the record. Returns its place. */
  add({ sequence, previous, channel, kind, timeMs, data, id = '' }: BlockRecord): number {
    const nameLength = Buffer.byteLength(channel);
    const idLength = Buffer.byteLength(id);
    const size = HEADER_BYTES + nameLength + idLength + data.length;
    const at = this.#reserve(size);
    const bytes = this.#bytes!;
    bytes.writeUInt32LE(data.length, at);
    bytes[at + KIND_AT] = kind;
    bytes[at + ID_LENGTH_AT] = idLength;
    bytes[at + NAME_LENGTH_AT] = nameLength;
    bytes.writeUIntLE(sequence, at + SEQUENCE_AT, 6);
    bytes.writeUIntLE(timeMs, at + TIME_AT, 6);
    bytes.writeUIntLE(previous, at + PREVIOUS_AT, 6);
    let end = at + HEADER_BYTES;
    end += bytes.write(channel, end);
    if (idLength > 0) end += bytes.write(id, end);
    data.copy(bytes, end);
    return placeOf(this.#number, at);
  }

  /** Copies a record of another block, as it is. Returns its new place. */
  copy(block: Buffer, offset: number): number {
    const size = recordBytes(block, offset);
    const at = this.#reserve(size);
    block.copy(this.#bytes!, at, offset, offset + size);
    return placeOf(this.#number, at);
  }

  /** Ends the block that is being filled. */
  seal(): void {
    if (this.#bytes === null) return;
    this.blocks.push({ number: this.#number++, bytes: this.#bytes.subarray(0, this.#used) });
    this.#bytes = null;
    this.#used = 0;
  }

  #reserve(size: number): number {
    size = Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    if (this.#used > 0 && this.#used + size > BLOCK_BYTES) this.seal();
    this.#bytes ??= Buffer.alloc(Math.max(size, BLOCK_BYTES));
    const at = this.#used;
    this.#used += size;
    return at;
  }
}

/** The record at an offset. Its data is a view of the block. */
export function readRecord(block: Buffer, offset: number): BlockRecord {
  const nameAt = offset + HEADER_BYTES;
  const idAt = nameAt + block[offset + NAME_LENGTH_AT]!;
  const dataAt = idAt + block[offset + ID_LENGTH_AT]!;
  return {
    sequence: block.readUIntLE(offset + SEQUENCE_AT, 6),
    previous: block.readUIntLE(offset + PREVIOUS_AT, 6),
    channel: block.toString('utf8', nameAt, idAt),
    kind: block[offset + KIND_AT]!,
    timeMs: block.readUIntLE(offset + TIME_AT, 6),
    data: block.subarray(dataAt, dataAt + block.readUInt32LE(offset)),
    ...(dataAt > idAt && { id: block.toString('utf8', idAt, dataAt) }),
  };
}

/** Calls back for each record of a block; `length` is that of its data. False where the block is damaged. */
export function walkBlock(block: Buffer, found: (sequence: number, offset: number, length: number) => void): boolean {
  let offset = 0;
  while (offset < block.length) {
    if (offset + HEADER_BYTES > block.length) return false;
    const size = recordBytes(block, offset);
    if (offset + size > block.length || block[offset + NAME_LENGTH_AT] === 0) return false;
    found(block.readUIntLE(offset + SEQUENCE_AT, 6), offset, block.readUInt32LE(offset));
    offset += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
  }
  return true;
}

function recordBytes(block: Buffer, offset: number): number {
  return HEADER_BYTES + block[offset + NAME_LENGTH_AT]! + block[offset + ID_LENGTH_AT]! + block.readUInt32LE(offset);
}
