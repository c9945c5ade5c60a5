/**
 * Collects frames (frames.ts) into one batch, to be written with one system call.
 *
 * The batch is one buffer that grows by doubling. `take` gives it away and keeps nothing, so whoever writes it may hold
 * on to it for as long as the socket needs, and a writer with nothing to say holds no memory.
 */

import { DELIVER, DELIVERED, FRAME_HEADER_BYTES } from './frames.js';

const BATCH_BYTES_FIRST = 1024;
const SEQUENCE_BYTES = 6;

export class FrameWriter {
  #batch: Buffer | null = null;
  #length = 0;
  /** Bytes of the batch before this one: the next is likely to be as large, and need not grow until then. */
  #lastBytes = BATCH_BYTES_FIRST;

  /** Bytes collected and not taken yet. */
  get length(): number {
    return this.#length;
  }

  /** A frame without a payload. */
  frame(type: number): void {
    this.#begin(type, 0);
  }

  /** A frame whose payload is JSON (HELLO, STATS). */
  json(type: number, value: unknown): void {
    const text = JSON.stringify(value);
    const payloadBytes = Buffer.byteLength(text);
    const at = this.#begin(type, payloadBytes);
    this.#batch!.write(text, at, payloadBytes, 'utf8');
  }

  /** A frame whose payload is the channel name bytes[start..end) (SUBSCRIBED, UNSUBSCRIBED). */
  name(type: number, bytes: Uint8Array, start: number, end: number): void {
    const at = this.#begin(type, end - start);
    const batch = this.#batch!;
    for (let i = start; i < end; i++) batch[at + i - start] = bytes[i]!;
  }

  /** DELIVER of a publication. The name has at most 255 bytes. */
  deliver(sequence: number, kind: number, name: Uint8Array, data: Uint8Array): void {
    let at = this.#begin(DELIVER, SEQUENCE_BYTES + 2 + name.length + data.length);
    const batch = this.#batch!;
    at = batch.writeUIntLE(sequence, at, SEQUENCE_BYTES);
    batch[at++] = kind;
    batch[at++] = name.length;
    batch.set(name, at);
    batch.set(data, at + name.length);
  }

  /** DELIVERED: the verdict on one DELIVER. */
  delivered(sequence: number, receivers: number): void {
    const at = this.#begin(DELIVERED, SEQUENCE_BYTES + 4);
    const batch = this.#batch!;
    batch.writeUIntLE(sequence, at, SEQUENCE_BYTES);
    batch.writeUInt32LE(receivers, at + SEQUENCE_BYTES);
  }

  /** Gives away all that was collected. The caller owns the buffer from now on; the writer begins a new one. */
  take(): Buffer {
    const batch = this.#batch === null ? Buffer.alloc(0) : this.#batch.subarray(0, this.#length);
    this.#lastBytes = Math.max(BATCH_BYTES_FIRST, this.#length);
    this.#batch = null;
    this.#length = 0;
    return batch;
  }

  /** Writes a frame's header and makes room for its payload. Returns where the payload goes. */
  #begin(type: number, payloadBytes: number): number {
    const at = this.#length;
    const needed = at + FRAME_HEADER_BYTES + payloadBytes;
    let batch = this.#batch;
    if (batch === null || batch.length < needed) {
      const capacity = Math.max(needed, batch === null ? this.#lastBytes : batch.length * 2);
      // Not from Node's shared pool, which the whole batch would pin for as long as the socket holds it.
      const larger = Buffer.allocUnsafeSlow(capacity);
      if (batch !== null) batch.copy(larger, 0, 0, at);
      this.#batch = batch = larger;
    }
    const length = 1 + payloadBytes;
    batch[at] = length;
    batch[at + 1] = length >> 8;
    batch[at + 2] = length >> 16;
    batch[at + 3] = length >> 24;
    batch[at + 4] = type;
    this.#length = needed;
    return at + FRAME_HEADER_BYTES;
  }
}
