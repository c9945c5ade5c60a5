/**
 * The classic application protocol of the 2011 server, as a pure parser of bytes:
 *
 *     0x02 <client id> 0x00 <message> 0x00        repeated, split anywhere
 *
 * A client id is the name of a channel (channel-name.ts) without a dot (GET /<client id>.js could not name it); a message is any bytes
 * but 0x00. The first violation ends the stream; what was complete before it has been handed over.
 *
 * A parser holds at most one half-read message: `MESSAGE_BYTES_MAX` bytes, doubled while its buffer grows.
 */

import { validChannelName } from '../channel-name.js';
import { CHANNEL_NAME_BYTES_MAX, MESSAGE_BYTES_MAX } from '../limits.js';

const OPCODE_MESSAGE = 0x02;
const DOT = 0x2e;
const HELD_BYTES_FIRST = 256;
/** A larger buffer is given back after its message. */
const HELD_BYTES_KEPT = 4096;

/** Gets a message; both buffers are borrowed until the call returns. */
export type ClassicVisitor = (clientId: Buffer, message: Buffer) => void;

export const CLASSIC_OK = 0;
export const CLASSIC_OPCODE = 1;
export const CLASSIC_ID_LENGTH = 2;
export const CLASSIC_ID_INVALID = 3;
export const CLASSIC_MESSAGE_LENGTH = 4;

/** What each result of `read` means, for the log. */
export const CLASSIC_REASONS = [
  'no violation',
  'an opcode other than 0x02',
  `a client id that is empty or longer than ${CHANNEL_NAME_BYTES_MAX} bytes`,
  'a client id that is not UTF-8, has a control character or a dot',
  `a message longer than ${MESSAGE_BYTES_MAX} bytes`,
] as const;

const AT_OPCODE = 0;
const IN_ID = 1;
const IN_MESSAGE = 2;

export class ClassicFrames {
  #state = AT_OPCODE;
  #result = CLASSIC_OK;
  /** The field being read, as far as it came in earlier chunks. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;
  /** The client id, once it is whole. */
  readonly #id = Buffer.alloc(CHANNEL_NAME_BYTES_MAX);
  #idBytes = 0;

  /** Reads the next bytes and calls `visit` for each message that is now whole. Returns CLASSIC_OK or the violation. */
  read(chunk: Buffer, visit: ClassicVisitor): number {
    let at = 0;
    while (at < chunk.length && this.#result === CLASSIC_OK) {
      if (this.#state === AT_OPCODE) {
        if (chunk[at++] !== OPCODE_MESSAGE) this.#result = CLASSIC_OPCODE;
        this.#state = IN_ID;
        continue;
      }
      const end = chunk.indexOf(0, at);
      const fieldEnd = end === -1 ? chunk.length : end;
      const fieldBytes = this.#heldBytes + fieldEnd - at;
      if (this.#state === IN_ID && (fieldBytes > CHANNEL_NAME_BYTES_MAX || (fieldBytes === 0 && end !== -1))) {
        this.#result = CLASSIC_ID_LENGTH;
      } else if (fieldBytes > MESSAGE_BYTES_MAX) {
        this.#result = CLASSIC_MESSAGE_LENGTH;
      } else if (end === -1) {
        this.#hold(chunk, at, fieldEnd);
      } else {
        this.#complete(this.#field(chunk, at, fieldEnd), visit);
      }
      at = fieldEnd + 1;
    }
    return this.#result;
  }

  #complete(field: Buffer, visit: ClassicVisitor): void {
    if (this.#state === IN_ID) {
      if (!validChannelName(field, 0, field.length) || field.includes(DOT)) this.#result = CLASSIC_ID_INVALID;
      this.#idBytes = field.copy(this.#id);
      this.#state = IN_MESSAGE;
    } else {
      this.#state = AT_OPCODE;
      visit(this.#id.subarray(0, this.#idBytes), field);
    }
    this.#heldBytes = 0;
    if (this.#held.length > HELD_BYTES_KEPT) this.#held = Buffer.alloc(0);
  }

  /** The whole field: in place where it lies within the chunk. */
  #field(chunk: Buffer, start: number, end: number): Buffer {
    if (this.#heldBytes === 0) return chunk.subarray(start, end);
    this.#hold(chunk, start, end);
    return this.#held.subarray(0, this.#heldBytes);
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    const needed = this.#heldBytes + end - start;
    if (this.#held.length < needed) {
      let capacity = Math.max(HELD_BYTES_FIRST, this.#held.length * 2);
      while (capacity < needed) capacity *= 2;
      const larger = Buffer.allocUnsafeSlow(Math.min(capacity, MESSAGE_BYTES_MAX));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    this.#heldBytes += chunk.copy(this.#held, this.#heldBytes, start, end);
  }
}
