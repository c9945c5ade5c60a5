/**
 * Cuts a byte stream into the frames of frames.ts, wherever the chunks were split.
 *
 * A frame that lies whole within a chunk is shown in place; only one that spans chunks is copied, into a buffer of
 * the reader. Nothing is allocated for a frame, so that a manager reads a million WAITING frames at the speed of the
 * loop below. At most one frame is held, so a reader holds at most `frameBytesMax` bytes.
 */

import { LINK_FRAME_BYTES_MAX } from '../limits.js';
import { FRAME_HEADER_BYTES, LENGTH_BYTES } from './frames.js';

/** A buffer for frames that span chunks is kept for the next one when it is no larger than this. */
export const KEPT_BYTES = 4096;

/** Gets a frame: its type, and its payload as bytes[start..end), borrowed until the call returns. */
export type FrameVisitor = (type: number, bytes: Uint8Array, start: number, end: number) => void;

export class FrameReader {
  readonly #lengthMax: number;
  /** The beginning of a frame whose rest has not come, in #partial[0..#held). */
  #partial = new Uint8Array(64);
  #held = 0;
  #failed = false;

  constructor(frameBytesMax = LINK_FRAME_BYTES_MAX) {
    this.#lengthMax = frameBytesMax - LENGTH_BYTES;
  }

  /**
   * Reads the next bytes of the stream and calls `visit` for each frame that is now whole, in order.
   *
   * @returns false where the stream is not one of frames (a length of 0 or above the maximum): the connection has to
   *   be closed, and all further bytes are ignored
   */
  read(chunk: Uint8Array, visit: FrameVisitor): boolean {
    if (this.#failed) return false;
    let at = 0;
    if (this.#held > 0) {
      at = this.#completePartial(chunk, visit);
      if (at < 0) return this.#fail();
    }

    const end = chunk.length;
    const lengthMax = this.#lengthMax;
    while (end - at >= FRAME_HEADER_BYTES) {
      const length = readLength(chunk, at);
      if (length === 0 || length > lengthMax) return this.#fail();
      const next = at + LENGTH_BYTES + length;
      if (next > end) break;
      visit(chunk[at + LENGTH_BYTES]!, chunk, at + FRAME_HEADER_BYTES, next);
      at = next;
    }
    if (at < end) this.#hold(chunk, at, end);
    return true;
  }

  /** Adds the chunk's first bytes to the frame held. Returns where the chunk goes on, or -1 for a bad length. */
  #completePartial(chunk: Uint8Array, visit: FrameVisitor): number {
    let at = 0;
    if (this.#held < LENGTH_BYTES) {
      at = Math.min(LENGTH_BYTES - this.#held, chunk.length);
      this.#hold(chunk, 0, at);
      if (this.#held < LENGTH_BYTES) return at;
    }
    const length = readLength(this.#partial, 0);
    if (length === 0 || length > this.#lengthMax) return -1;
    const frameEnd = LENGTH_BYTES + length;
    const taken = Math.min(frameEnd - this.#held, chunk.length - at);
    this.#reserve(frameEnd);
    this.#hold(chunk, at, at + taken);
    if (this.#held < frameEnd) return chunk.length;

    const frame = this.#partial;
    this.#held = 0;
    if (frame.length > KEPT_BYTES) this.#partial = new Uint8Array(64);
    visit(frame[LENGTH_BYTES]!, frame, FRAME_HEADER_BYTES, frameEnd);
    return at + taken;
  }

  #hold(chunk: Uint8Array, start: number, end: number): void {
    this.#reserve(this.#held + end - start);
    this.#partial.set(chunk.subarray(start, end), this.#held);
    this.#held += end - start;
  }

  #reserve(length: number): void {
    if (this.#partial.length >= length) return;
    const larger = new Uint8Array(length);
    larger.set(this.#partial.subarray(0, this.#held));
    this.#partial = larger;
  }

  #fail(): false {
    this.#failed = true;
    this.#held = 0;
    return false;
  }
}

function readLength(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Reads a u48, a sequence or a time. Numbers of 48 bits are exact in a JavaScript number. */
export function readSequence(bytes: Uint8Array, at: number): number {
  return readLength(bytes, at) + (bytes[at + 4]! | (bytes[at + 5]! << 8)) * 0x1_0000_0000;
}

/** Reads a u32. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return readLength(bytes, at);
}

/** The JSON of a frame that has some. Throws a SyntaxError where it is none. */
export function readJson(bytes: Uint8Array, start: number, end: number): unknown {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString());
}
