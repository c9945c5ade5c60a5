/**
 * Cursors, `<epoch>-<sequence>`: where a client stands in the log, over bytes. Also what clients may write instead of one:
 * `now` and `start`.
 *
 *     cursor    = epoch "-" sequence
 *     epoch     = 1*32( ALPHA / DIGIT / "_" / "." / "~" )
 *     sequence  = "0" / %x31-39 *DIGIT                      at most 2^48 - 2
 *
 * A sequence has one spelling only, so equal cursors are equal bytes.
 */

import { equals } from './http/characters.js';
import { EPOCH_BYTES_MAX } from './limits.js';

/** `position` of a cursor: from the end of the log. */
export const CURSOR_NOW = -1;
/** `position` of a cursor: from the oldest that is retained. */
export const CURSOR_START = -2;

/** A sequence is a u48 on the link; the highest value means something else there (READ_NOW). */
export const SEQUENCE_MAX = 2 ** 48 - 2;

/** The longest cursor: epoch, hyphen, fifteen digits. */
export const CURSOR_BYTES_MAX = EPOCH_BYTES_MAX + 1 + 15;

const HYPHEN = 0x2d;
const DIGIT_0 = 0x30;
const DIGITS_MAX = 15;
const NOW = Buffer.from('now');
const START = Buffer.from('start');

const EPOCH_BYTE = new Uint8Array(256);
for (const character of 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.~') {
  EPOCH_BYTE[character.charCodeAt(0)] = 1;
}

/** What was parsed last; one object serves all requests. */
export class Cursor {
  /** A sequence of the epoch `epoch[0..epochLength)`, or CURSOR_NOW or CURSOR_START, which have no epoch. */
  position = CURSOR_NOW;
  readonly epoch = new Uint8Array(EPOCH_BYTES_MAX);
  epochLength = 0;

  /** Back to `now`. */
  reset(): void {
    this.position = CURSOR_NOW;
    this.epochLength = 0;
  }

  /**
   * Parses bytes[start..end), which must be nothing but a cursor, `now` or `start`.
   *
   * @returns false where it is none of them; the cursor is `now` then
   */
  parse(bytes: Uint8Array, start: number, end: number): boolean {
    this.reset();
    if (equals(bytes, start, end, NOW)) return true;
    if (equals(bytes, start, end, START)) {
      this.position = CURSOR_START;
      return true;
    }
    let hyphen = start;
    while (hyphen < end && hyphen - start <= EPOCH_BYTES_MAX && EPOCH_BYTE[bytes[hyphen]!] === 1) hyphen++;
    const epochLength = hyphen - start;
    if (epochLength === 0 || epochLength > EPOCH_BYTES_MAX || hyphen === end || bytes[hyphen] !== HYPHEN) return false;
    const sequence = parseSequence(bytes, hyphen + 1, end);
    if (sequence < 0) return false;
    for (let i = 0; i < epochLength; i++) this.epoch[i] = bytes[start + i]!;
    this.epochLength = epochLength;
    this.position = sequence;
    return true;
  }

  /** The epoch as text; empty where there is none. */
  epochText(): string {
    return Buffer.from(this.epoch.subarray(0, this.epochLength)).toString();
  }

  /** Whether the position is a sequence of this epoch. */
  isOf(epoch: Uint8Array): boolean {
    return this.position >= 0 && equals(this.epoch, 0, this.epochLength, epoch);
  }
}

/** The cursor as text. */
export function formatCursor(epoch: string, sequence: number): string {
  return `${epoch}-${sequence}`;
}

function parseSequence(bytes: Uint8Array, start: number, end: number): number {
  const digits = end - start;
  if (digits === 0 || digits > DIGITS_MAX || (digits > 1 && bytes[start] === DIGIT_0)) return -1;
  let sequence = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - DIGIT_0;
    if (digit < 0 || digit > 9) return -1;
    sequence = sequence * 10 + digit;
  }
  return sequence <= SEQUENCE_MAX ? sequence : -1;
}
