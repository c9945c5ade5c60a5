/**
 * Messages compressed by permessage-deflate (RFC 7692 section 7.2), each for itself.
 *
 * Neither side takes its context over from one message to the next: the handshake always says so. So no zlib state lives
 * between two messages, which costs an idle connection nothing, and a message that is compressed once serves all its
 * receivers. Compression is synchronous: for messages of usual size, handing it to another thread costs more.
 *
 * A compressed message is a raw DEFLATE stream (RFC 1951) that ends with an empty stored block, 00 00 00 ff ff; of that
 * block's 5 bytes the last 4 are not sent (section 7.2.1).
 */

import assert from 'node:assert/strict';
import { constants, deflateRawSync, type InflateRaw, inflateRawSync } from 'node:zlib';
import { CLOSE_INVALID_DATA, CLOSE_TOO_LARGE } from './frame.js';

/** The window that a peer can always read; others have to be negotiated. Windows are powers of two, here as exponents. */
export const WINDOW_BITS_MAX = 15;
/** RFC 7692 allows 8 too, but zlib's raw deflate does not have it (zlib.h, deflateInit2: 8 becomes 9). */
export const WINDOW_BITS_MIN = 9;

/** zlib never uses the whole window (deflate.h, MIN_LOOKAHEAD). */
const WINDOW_UNUSED_BYTES = 262;

/**
 * Below this, a message should go uncompressed. Measured on JSON messages such as this server sends (objects with a
 * channel, a cursor, a time and some data): of 64 bytes nothing is saved, of 100 bytes 13, of 200 bytes 80, of 500 bytes
 * 330, for 15 to 20 µs of CPU. A message that fits one segment with its headers saves no packet in any case.
 */
export const COMPRESSION_BYTES_MIN = 256;

/** What `deflateMessage` leaves off. */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

/** The same, and an empty last block: with it every whole message is a whole stream, so zlib finds one that is cut off. */
const TAIL_AND_END = Buffer.from([0x00, 0x00, 0xff, 0xff, 0x03, 0x00]);

/** Streams in one message: each last block (BFINAL) ends one (section 7.2.3.4). Starting zlib for each of them costs. */
const STREAMS_MAX = 8;

/**
 * The smallest window in which a message of this size is compressed as well as in the given one. zlib clears memory in
 * proportion to it; and since a smaller window is always allowed, receivers with different windows can share a message
 * for which this is the same.
 */
export function deflateWindowBits(messageBytes: number, windowBitsMax: number): number {
  let bits = WINDOW_BITS_MIN;
  while (bits < windowBitsMax && 2 ** bits < messageBytes + WINDOW_UNUSED_BYTES) bits++;
  return bits;
}

/**
 * The payload of a compressed message, to be sent with RSV1.
 *
 * @param windowBits WINDOW_BITS_MIN to WINDOW_BITS_MAX, as negotiated (src/websocket/handshake.ts)
 */
export function deflateMessage(bytes: Uint8Array, windowBits: number = WINDOW_BITS_MAX): Buffer {
  const stream = deflateRawSync(bytes, {
    windowBits: deflateWindowBits(bytes.length, windowBits),
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  const end = stream.length - TAIL.length;
  assert(stream.subarray(end).equals(TAIL));
  return stream.subarray(0, end);
}

/**
 * The message of a compressed payload. A bomb is stopped while it inflates: never more than `bytesMax` come out.
 *
 * @returns the message, or a close code: CLOSE_TOO_LARGE; CLOSE_INVALID_DATA where the payload is not DEFLATE or cut off
 */
export function inflateMessage(bytes: Uint8Array, bytesMax: number): Buffer | number {
  const stream = Buffer.concat([bytes, TAIL_AND_END]);
  const parts: Buffer[] = [];
  let at = 0;
  let room = bytesMax;
  do {
    if (parts.length === STREAMS_MAX) return CLOSE_INVALID_DATA;
    const part = inflateStream(stream.subarray(at), room);
    if (typeof part === 'number') return part;
    parts.push(part.buffer);
    room -= part.buffer.length;
    at += part.engine.bytesWritten;
  } while (at < bytes.length);
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** One stream, which may end before the bytes do: `engine.bytesWritten` tells how many it has taken. */
function inflateStream(bytes: Uint8Array, bytesMax: number): { buffer: Buffer; engine: InflateRaw } | number {
  try {
    // zlib takes no maximum of 0, but one byte too many is found below.
    const options = { maxOutputLength: bytesMax + 1, info: true };
    const inflated = inflateRawSync(bytes, options) as unknown as { buffer: Buffer; engine: InflateRaw };
    return inflated.buffer.length > bytesMax ? CLOSE_TOO_LARGE : inflated;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') return CLOSE_TOO_LARGE;
    if (code === 'Z_DATA_ERROR' || code === 'Z_BUF_ERROR') return CLOSE_INVALID_DATA;
    throw error;
  }
}
