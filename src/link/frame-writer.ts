/**
 * Collects frames (frames.ts) into one batch, to be written with one system call.
 *
 * The batch is one buffer that grows by doubling. `take` gives it away and keeps nothing, so whoever writes it may hold
 * on to it for as long as the socket needs, and a writer with nothing to say holds no memory.
 */

import { KEPT_BYTES } from './frame-reader.js';
import {
  DELIVER,
  DELIVERED,
  FAN_OUT,
  FRAME_HEADER_BYTES,
  GAP,
  HISTORY,
  LENGTH_BYTES,
  POSITION,
  PUBLISH,
  PUBLISHED,
  READ,
  RECEIVED,
  WELCOME,
} from './frames.js';

const BATCH_BYTES_FIRST = 1024;
/** A frame of names ends when another, of 256 bytes with its length, could make it too large for the reader's buffer to be kept. */
const NAMES_BYTES_MAX = KEPT_BYTES - 256;
/** A u48: a sequence or a time. */
const SEQUENCE_BYTES = 6;
/** HISTORY: request, upTo, gap, rest. */
export const HISTORY_HEADER_BYTES = FRAME_HEADER_BYTES + 4 + 2 * SEQUENCE_BYTES + 1;
/** Each publication in HISTORY, before its data: sequence, time, kind, length. */
export const HISTORY_ENTRY_BYTES = 2 * SEQUENCE_BYTES + 1 + 4;

/** What the frames that carry publications take of one. */
export interface FramePublication {
  readonly sequence: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly kind: number;
  readonly data: Uint8Array;
}

export class FrameWriter {
  #batch: Buffer | null = null;
  #length = 0;
  /** Bytes of the batch before this one: the next is likely to be as large, and need not grow until then. */
  #lastBytes = BATCH_BYTES_FIRST;
  /** The latest frame is one of names, and begins there; 0: it is not. */
  #namesType = 0;
  #namesAt = 0;

  /** Bytes collected and not taken yet. */
  get length(): number {
    return this.#length;
  }

  /** A frame without a payload. */
  frame(type: number): void {
    this.#begin(type, 0);
  }

  /** A frame whose payload is JSON (HELLO, STATS, POLICY). */
  json(type: number, value: unknown): void {
    const text = JSON.stringify(value);
    const payloadBytes = Buffer.byteLength(text);
    const at = this.#begin(type, payloadBytes);
    this.#batch!.write(text, at, payloadBytes, 'utf8');
  }

  /** A frame whose payload is a request's number and JSON (ASK, ANSWER). */
  numberedJson(type: number, request: number, value: unknown): void {
    const text = JSON.stringify(value);
    const textBytes = Buffer.byteLength(text);
    const at = this.#begin(type, 4 + textBytes);
    this.#batch!.writeUInt32LE(request, at);
    this.#batch!.write(text, at + 4, textBytes, 'utf8');
  }

  /**
   * Adds the channel name bytes[start..end), of 1 to 255 bytes, to a frame of names (WAITING, NOT_WAITING, SUBSCRIBED, UNSUBSCRIBED):
   * to the latest frame if it is one of that type, else to a new one.
   */
  name(type: number, bytes: Uint8Array, start: number, end: number): void {
    let at = this.#length;
    if (type === this.#namesType && at - this.#namesAt < NAMES_BYTES_MAX) {
      this.#batch = this.#reserve(1 + end - start);
      this.#length = at + 1 + end - start;
      putLength(this.#batch, this.#namesAt, this.#length - this.#namesAt - LENGTH_BYTES);
    } else {
      at = this.#begin(type, 1 + end - start);
      this.#namesType = type;
      this.#namesAt = at - FRAME_HEADER_BYTES;
    }
    const batch = this.#batch!;
    batch[at++] = end - start;
    for (let i = start; i < end; i++) batch[at++] = bytes[i]!;
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
    this.#verdict(DELIVERED, sequence, receivers);
  }

  /** RECEIVED: how many got one FAN_OUT whose publisher waits. */
  received(sequence: number, receivers: number): void {
    this.#verdict(RECEIVED, sequence, receivers);
  }

  /** WELCOME: where the log ends, and its epoch. */
  welcome(last: number, epoch: string): void {
    const at = this.#begin(WELCOME, SEQUENCE_BYTES + epoch.length);
    this.#batch!.writeUIntLE(last, at, SEQUENCE_BYTES);
    this.#batch!.write(epoch, at + SEQUENCE_BYTES, 'latin1');
  }

  /** FAN_OUT of a publication. The name has at most 255 bytes. */
  fanOut(publication: FramePublication, flags: number, name: Uint8Array): void {
    const { data } = publication;
    let at = this.#begin(FAN_OUT, 2 * SEQUENCE_BYTES + 3 + name.length + data.length);
    const batch = this.#batch!;
    at = batch.writeUIntLE(publication.sequence, at, SEQUENCE_BYTES);
    at = batch.writeUIntLE(publication.timeMs, at, SEQUENCE_BYTES);
    batch[at++] = publication.kind;
    batch[at++] = flags;
    batch[at++] = name.length;
    batch.set(name, at);
    batch.set(data, at + name.length);
  }

  /** GAP: publications of the channel up to this sequence were dropped. */
  gap(sequence: number, name: Uint8Array): void {
    const at = this.#begin(GAP, SEQUENCE_BYTES + name.length);
    this.#batch!.writeUIntLE(sequence, at, SEQUENCE_BYTES);
    this.#batch!.set(name, at + SEQUENCE_BYTES);
  }

  /** POSITION: everything up to here has been sent. */
  position(sequence: number): void {
    const at = this.#begin(POSITION, SEQUENCE_BYTES);
    this.#batch!.writeUIntLE(sequence, at, SEQUENCE_BYTES);
  }

  /** READ of the channel bytes[start..end): what the log has of it after a sequence, or READ_NOW. */
  read(request: number, after: number, bytes: Uint8Array, start: number, end: number): void {
    let at = this.#begin(READ, 4 + SEQUENCE_BYTES + end - start);
    const batch = this.#batch!;
    at = batch.writeUInt32LE(request, at);
    at = batch.writeUIntLE(after, at, SEQUENCE_BYTES);
    for (let i = start; i < end; i++) batch[at++] = bytes[i]!;
  }

  /** HISTORY: a page of a channel; rest is one of HISTORY_…. */
  history(request: number, upTo: number, gap: number, rest: number, publications: readonly FramePublication[]): void {
    let bytes = HISTORY_HEADER_BYTES - FRAME_HEADER_BYTES;
    for (const { data } of publications) bytes += HISTORY_ENTRY_BYTES + data.length;
    let at = this.#begin(HISTORY, bytes);
    const batch = this.#batch!;
    at = batch.writeUInt32LE(request, at);
    at = batch.writeUIntLE(upTo, at, SEQUENCE_BYTES);
    at = batch.writeUIntLE(gap, at, SEQUENCE_BYTES);
    batch[at++] = rest;
    for (const { sequence, timeMs, kind, data } of publications) {
      at = batch.writeUIntLE(sequence, at, SEQUENCE_BYTES);
      at = batch.writeUIntLE(timeMs, at, SEQUENCE_BYTES);
      batch[at++] = kind;
      at = batch.writeUInt32LE(data.length, at);
      batch.set(data, at);
      at += data.length;
    }
  }

  /** PUBLISH of a client's publication. Id (empty: none) and name have at most 255 bytes. */
  publish(request: number, kind: number, id: Uint8Array, name: Uint8Array, data: Uint8Array): void {
    let at = this.#begin(PUBLISH, 4 + 3 + id.length + name.length + data.length);
    const batch = this.#batch!;
    at = batch.writeUInt32LE(request, at);
    batch[at++] = kind;
    batch[at++] = id.length;
    batch.set(id, at);
    at += id.length;
    batch[at++] = name.length;
    batch.set(name, at);
    batch.set(data, at + name.length);
  }

  /** PUBLISHED: one of the results PUBLISHED_…, and where the publication lies. */
  published(request: number, result: number, sequence: number): void {
    let at = this.#begin(PUBLISHED, 4 + 1 + SEQUENCE_BYTES);
    const batch = this.#batch!;
    at = batch.writeUInt32LE(request, at);
    batch[at++] = result;
    batch.writeUIntLE(sequence, at, SEQUENCE_BYTES);
  }

  /** Frames that another writer has made, to be sent as they are. */
  append(frames: Uint8Array): void {
    this.#namesType = 0;
    this.#batch = this.#reserve(frames.length);
    this.#batch.set(frames, this.#length);
    this.#length += frames.length;
  }

  /** What was collected since `length` was `start`; borrowed until the next frame. */
  since(start: number): Uint8Array {
    return this.#batch!.subarray(start, this.#length);
  }

  /** Gives away all that was collected. The caller owns the buffer from now on; the writer begins a new one. */
  take(): Buffer {
    const batch = this.#batch === null ? Buffer.alloc(0) : this.#batch.subarray(0, this.#length);
    this.#lastBytes = Math.max(BATCH_BYTES_FIRST, this.#length);
    this.#batch = null;
    this.#length = 0;
    this.#namesType = 0;
    return batch;
  }

  #verdict(type: number, sequence: number, receivers: number): void {
    const at = this.#begin(type, SEQUENCE_BYTES + 4);
    const batch = this.#batch!;
    batch.writeUIntLE(sequence, at, SEQUENCE_BYTES);
    batch.writeUInt32LE(receivers, at + SEQUENCE_BYTES);
  }

  /** Writes a frame's header and makes room for its payload. Returns where the payload goes. */
  #begin(type: number, payloadBytes: number): number {
    const at = this.#length;
    const batch = this.#reserve(FRAME_HEADER_BYTES + payloadBytes);
    this.#batch = batch;
    this.#length = at + FRAME_HEADER_BYTES + payloadBytes;
    this.#namesType = 0;
    putLength(batch, at, 1 + payloadBytes);
    batch[at + LENGTH_BYTES] = type;
    return at + FRAME_HEADER_BYTES;
  }

  /** The batch, with room for so many bytes more. */
  #reserve(bytes: number): Buffer {
    const batch = this.#batch;
    const needed = this.#length + bytes;
    if (batch !== null && batch.length >= needed) return batch;
    const capacity = Math.max(needed, batch === null ? this.#lastBytes : batch.length * 2);
    // Not from Node's shared pool, which the whole batch would pin for as long as the socket holds it.
    const larger = Buffer.allocUnsafeSlow(capacity);
    if (batch !== null) batch.copy(larger, 0, 0, this.#length);
    return larger;
  }
}

function putLength(batch: Buffer, at: number, length: number): void {
  batch[at] = length;
  batch[at + 1] = length >> 8;
  batch[at + 2] = length >> 16;
  batch[at + 3] = length >> 24;
}
