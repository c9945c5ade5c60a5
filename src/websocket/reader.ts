/**
 * Decodes what clients send over WebSockets (RFC 6455 section 5), as the bytes arrive.
 *
 * One reader serves all connections. What it has to remember of a connection is a `ReaderState`, which exists only while a
 * frame is cut off or a fragmented message is open: a connection that is idle, or whose frames come whole, has none. The
 * caller keeps the states, and whatever it keeps them in bounds them together (`ReaderState.bufferedBytes`).
 *
 * - A message that lies whole in the view is unmasked where it lies and reported from there: nothing is copied.
 * - Otherwise its bytes are unmasked and, where they are plain text, validated as they come, then collected in a buffer that
 *   doubles as it grows: time is linear in the bytes however they are cut, and a length that is only announced costs nothing.
 * - The result does not depend on where the stream was cut, but that text which is invalid fails at its first wrong byte
 *   (section 8.1), without waiting for the rest of the frame.
 *
 * A peer that breaks the protocol is reported once (`failed`), with the code to close the connection with.
 */

import { inflateMessage } from './deflate.js';
import {
  CLOSE_INVALID_DATA,
  CLOSE_NO_STATUS,
  CLOSE_PROTOCOL_ERROR,
  CLOSE_TOO_LARGE,
  CONTROL_BYTES_MAX,
  FIN,
  LENGTH_U16,
  LENGTH_U64,
  MASKED,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
  RSV1,
  validCloseCode,
} from './frame.js';
import { rotateMask, unmask } from './mask.js';
import { UTF8_COMPLETE, UTF8_INVALID, validateUtf8 } from './utf8.js';

/**
 * What a reader reports. Views are borrowed: they are valid until the call returns. Where an event returns a boolean, it says
 * whether to go on: false once the connection is closed or no longer reads, upon which the reader drops what follows.
 */
export interface WebSocketEvents {
  /** A whole message, inflated: OPCODE_TEXT (valid UTF-8) or OPCODE_BINARY. */
  message(connection: number, opcode: number, bytes: Uint8Array, start: number, end: number): boolean;

  /** Is owed a pong with the same payload (section 5.5.2), at most CONTROL_BYTES_MAX bytes. */
  ping(connection: number, bytes: Uint8Array, start: number, end: number): boolean;

  pong(connection: number, bytes: Uint8Array, start: number, end: number): boolean;

  /**
   * The peer closes. It is owed a close frame, unless it answers ours (section 5.5.1). What follows is dropped.
   *
   * @param code CLOSE_NO_STATUS where it named none
   */
  close(connection: number, code: number, reason: string): void;

  /** The peer broke the protocol or a limit. The connection is to be closed with this code; what follows is dropped. */
  failed(connection: number, code: number, why: string): void;
}

/** Of a masked frame: the two first bytes, a u64 length, the key. */
const HEAD_BYTES_MAX = 14;
const KEY_BYTES = 4;
/** A control frame, which has a length of 7 bits. */
const CONTROL_FRAME_BYTES_MAX = 2 + KEY_BYTES + CONTROL_BYTES_MAX;

const MESSAGE_BUFFER_BYTES_MIN = 512;
const NO_BYTES = new Uint8Array(0);

/** What a state takes beside its buffers, with its place in a Map: measured at 650. */
const STATE_BYTES = 640;

/** What is remembered of a connection between two views. */
export class ReaderState {
  /** The beginning of a frame that cannot be acted upon yet: of a head, or of a control frame, which is handled whole. */
  pending: Uint8Array = NO_BYTES;
  pendingBytes = 0;

  /** A data frame is being read, of which `frameBytes` of payload are to come. */
  inFrame = false;
  frameBytes = 0;
  /** Its key, rotated to the next byte. */
  mask = 0;
  /** It is the last one of its message. */
  final = false;

  /** Of the message that is open: OPCODE_TEXT or OPCODE_BINARY; 0 for none. */
  opcode = 0;
  compressed = false;
  /** How far a text that is not compressed was validated (utf8.ts). */
  utf8 = UTF8_COMPLETE;
  message: Uint8Array = NO_BYTES;
  messageBytes = 0;

  /** Memory that this connection takes here, the state itself included. */
  get bufferedBytes(): number {
    return STATE_BYTES + this.pending.length + this.message.length;
  }
}

export class WebSocketReader {
  readonly #events: WebSocketEvents;
  readonly #messageBytesMax: number;
  /** Compression may make a message larger: blocks that are stored, and small ones of a sender that flushes often. */
  readonly #compressedBytesMax: number;

  // Of the head that `#parseHead` has read last.
  #opcode = 0;
  #final = false;
  #compressed = false;
  #payloadBytes = 0;
  #mask = 0;

  /** @param messageBytesMax of a message, inflated; a larger one fails with CLOSE_TOO_LARGE */
  constructor(events: WebSocketEvents, messageBytesMax: number) {
    this.#events = events;
    this.#messageBytesMax = messageBytesMax;
    this.#compressedBytesMax = messageBytesMax + Math.ceil(messageBytesMax / 8) + 64;
  }

  /**
   * Reads the next bytes of a connection, `bytes[start..end)`, which may be unmasked in place.
   *
   * @param state what the last call for this connection has returned; undefined at first
   * @param deflate permessage-deflate was negotiated
   * @returns what to hand to the next call: undefined when there is nothing to remember, and after the last call, when
   *   `close` or `failed` was reported or an event has returned false
   */
  read(
    connection: number,
    state: ReaderState | undefined,
    deflate: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ReaderState | undefined {
    let at = start;
    for (;;) {
      if (state?.inFrame) {
        const payloadEnd = Math.min(end, at + state.frameBytes);
        if (!this.#collect(connection, state, bytes, at, payloadEnd)) return undefined;
        at = payloadEnd;
        if (state.frameBytes > 0) return state;
        state.inFrame = false;
        if (state.final && !this.#deliverCollected(connection, state)) return undefined;
      }

      // The next frame's head, or a whole control frame, lies in the view; or begins in what is pending.
      let source = bytes;
      let frameAt = at;
      let have = end - at;
      const isPending = state !== undefined && state.pendingBytes > 0;
      if (isPending) {
        at += completePending(state!, bytes, at, end);
        source = state!.pending;
        frameAt = 0;
        have = state!.pendingBytes;
      }
      if (have === 0) return state === undefined || state.opcode === 0 ? undefined : state;
      if (have >= 2) {
        const wrong = wrongStart(source[frameAt]!, source[frameAt + 1]!, state?.opcode ?? 0, deflate);
        if (wrong !== undefined) {
          this.#fail(connection, CLOSE_PROTOCOL_ERROR, wrong);
          return undefined;
        }
      }
      if (have < neededBytes(source, frameAt, have)) {
        state ??= new ReaderState();
        if (!isPending) keepPending(state, bytes, at, end);
        return state;
      }
      const headBytes = this.#parseHead(source, frameAt);
      if (!this.#judgeLength(connection, state)) return undefined;
      if (isPending) state!.pendingBytes = 0;
      else at += headBytes;

      const payloadEnd = at + this.#payloadBytes;
      if (this.#opcode >= OPCODE_CLOSE) {
        if (!isPending) at = payloadEnd;
        if (!this.#control(connection, source, frameAt + headBytes)) return undefined;
      } else if (this.#final && this.#opcode !== OPCODE_CONTINUATION && payloadEnd <= end) {
        unmask(bytes, at, payloadEnd, this.#mask);
        if (!this.#deliver(connection, this.#opcode, this.#compressed, bytes, at, payloadEnd)) return undefined;
        at = payloadEnd;
      } else {
        state ??= new ReaderState();
        this.#beginFrame(state);
      }
    }
  }

  /** Reads a head that is whole, and judged but for its length. @returns its length; #payloadBytes is -1 if that is wrong */
  #parseHead(bytes: Uint8Array, at: number): number {
    const first = bytes[at]!;
    this.#opcode = first & 0x0f;
    this.#final = (first & FIN) !== 0;
    this.#compressed = (first & RSV1) !== 0;
    const short = bytes[at + 1]! & ~MASKED;
    let keyAt = at + 2;
    if (short < LENGTH_U16) {
      this.#payloadBytes = short;
    } else if (short === LENGTH_U16) {
      const length = (bytes[keyAt]! << 8) | bytes[keyAt + 1]!;
      this.#payloadBytes = length < LENGTH_U16 ? -1 : length;
      keyAt += 2;
    } else {
      const high = uint32(bytes, keyAt);
      const length = high * 2 ** 32 + uint32(bytes, keyAt + 4);
      // Section 5.2: the most significant bit must be 0, and lengths take the fewest bytes.
      this.#payloadBytes = high >= 2 ** 31 || length <= 0xffff ? -1 : length;
      keyAt += 8;
    }
    this.#mask = bytes[keyAt]! | (bytes[keyAt + 1]! << 8) | (bytes[keyAt + 2]! << 16) | (bytes[keyAt + 3]! << 24);
    return keyAt + KEY_BYTES - at;
  }

  /** Of the head that was read last, after `wrongStart`. */
  #judgeLength(connection: number, state: ReaderState | undefined): boolean {
    if (this.#payloadBytes < 0) return this.#fail(connection, CLOSE_PROTOCOL_ERROR, 'length is not minimal');
    if (this.#opcode >= OPCODE_CLOSE) return true;
    const bytesMax = this.#compressed || state?.compressed ? this.#compressedBytesMax : this.#messageBytesMax;
    if (this.#payloadBytes <= bytesMax - (state?.messageBytes ?? 0)) return true;
    return this.#fail(connection, CLOSE_TOO_LARGE, 'message too large');
  }

  // ── Messages ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #beginFrame(state: ReaderState): void {
    if (this.#opcode !== OPCODE_CONTINUATION) {
      state.opcode = this.#opcode;
      state.compressed = this.#compressed;
      state.utf8 = UTF8_COMPLETE;
    }
    state.inFrame = true;
    state.frameBytes = this.#payloadBytes;
    state.mask = this.#mask;
    state.final = this.#final;
  }

  /** Adds the next bytes of a data frame to the message. False when they are not valid. */
  #collect(connection: number, state: ReaderState, bytes: Uint8Array, start: number, end: number): boolean {
    unmask(bytes, start, end, state.mask);
    state.mask = rotateMask(state.mask, end - start);
    state.frameBytes -= end - start;
    if (state.opcode === OPCODE_TEXT && !state.compressed) {
      state.utf8 = validateUtf8(state.utf8, bytes, start, end);
      if (state.utf8 === UTF8_INVALID) return this.#invalidText(connection);
    }
    const messageBytes = state.messageBytes + end - start;
    if (messageBytes > state.message.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(messageBytes, 2 * state.message.length, MESSAGE_BUFFER_BYTES_MIN));
      grown.set(state.message.subarray(0, state.messageBytes));
      state.message = grown;
    }
    state.message.set(bytes.subarray(start, end), state.messageBytes);
    state.messageBytes = messageBytes;
    return true;
  }

  #deliverCollected(connection: number, state: ReaderState): boolean {
    const { opcode, compressed, message, messageBytes } = state;
    if (state.utf8 !== UTF8_COMPLETE) return this.#invalidText(connection);
    state.opcode = 0;
    state.compressed = false;
    state.message = NO_BYTES;
    state.messageBytes = 0;
    if (compressed) return this.#deliver(connection, opcode, true, message, 0, messageBytes);
    return this.#events.message(connection, opcode, message, 0, messageBytes);
  }

  /** A message that was not validated yet. */
  #deliver(
    connection: number,
    opcode: number,
    compressed: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (compressed) {
      const inflated = inflateMessage(bytes.subarray(start, end), this.#messageBytesMax);
      if (inflated === CLOSE_TOO_LARGE) return this.#fail(connection, CLOSE_TOO_LARGE, 'message too large');
      if (typeof inflated === 'number') return this.#fail(connection, inflated, 'compressed data is corrupt');
      return this.#deliver(connection, opcode, false, inflated, 0, inflated.length);
    }
    if (opcode === OPCODE_TEXT && validateUtf8(UTF8_COMPLETE, bytes, start, end) !== UTF8_COMPLETE) {
      return this.#invalidText(connection);
    }
    return this.#events.message(connection, opcode, bytes, start, end);
  }

  // ── Control frames ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** A whole control frame whose payload begins at `start`. They may come between the frames of a message. */
  #control(connection: number, bytes: Uint8Array, start: number): boolean {
    const end = start + this.#payloadBytes;
    unmask(bytes, start, end, this.#mask);
    if (this.#opcode === OPCODE_PING) return this.#events.ping(connection, bytes, start, end);
    if (this.#opcode === OPCODE_PONG) return this.#events.pong(connection, bytes, start, end);
    if (start === end) {
      this.#events.close(connection, CLOSE_NO_STATUS, '');
      return false;
    }
    const code = end - start === 1 ? 0 : (bytes[start]! << 8) | bytes[start + 1]!;
    if (!validCloseCode(code)) return this.#fail(connection, CLOSE_PROTOCOL_ERROR, 'invalid close code');
    if (validateUtf8(UTF8_COMPLETE, bytes, start + 2, end) !== UTF8_COMPLETE) return this.#invalidText(connection);
    this.#events.close(connection, code, Buffer.from(bytes.subarray(start + 2, end)).toString());
    return false;
  }

  // ── Failures ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #invalidText(connection: number): false {
    return this.#fail(connection, CLOSE_INVALID_DATA, 'text is not valid UTF-8');
  }

  #fail(connection: number, code: number, why: string): false {
    this.#events.failed(connection, code, why);
    return false;
  }
}

/**
 * What is wrong with the first two bytes of a frame (section 5.2), if anything.
 *
 * @param openOpcode of the message that is open, or 0
 */
function wrongStart(first: number, second: number, openOpcode: number, deflate: boolean): string | undefined {
  const opcode = first & 0x0f;
  const rsv = first & ~FIN & 0xf0;
  if (opcode > OPCODE_PONG || (opcode > OPCODE_BINARY && opcode < OPCODE_CLOSE)) return 'reserved opcode';
  // RFC 7692 section 6: RSV1 marks a compressed message, in its first frame only.
  if (rsv !== 0 && !(rsv === RSV1 && deflate && (opcode === OPCODE_TEXT || opcode === OPCODE_BINARY))) {
    return 'reserved bits are set';
  }
  if ((second & MASKED) === 0) return 'frame is not masked';
  if (opcode >= OPCODE_CLOSE) {
    if ((first & FIN) === 0) return 'control frame is fragmented';
    return (second & ~MASKED) > CONTROL_BYTES_MAX ? 'control frame is too long' : undefined;
  }
  if (opcode === OPCODE_CONTINUATION) return openOpcode === 0 ? 'continuation of nothing' : undefined;
  return openOpcode === 0 ? undefined : 'a message begins within another';
}

/** How many bytes of a frame, of which `have` are at bytes[at], must be there before it can be acted upon. */
function neededBytes(bytes: Uint8Array, at: number, have: number): number {
  if (have < 2) return 2;
  const short = bytes[at + 1]! & ~MASKED;
  if (short === LENGTH_U64) return HEAD_BYTES_MAX;
  if (short === LENGTH_U16) return 2 + 2 + KEY_BYTES;
  return 2 + KEY_BYTES + ((bytes[at]! & 0x0f) >= OPCODE_CLOSE ? short : 0);
}

function keepPending(state: ReaderState, bytes: Uint8Array, start: number, end: number): void {
  if (state.pendingBytes === 0) {
    // V8 keeps arrays of up to 64 bytes in its heap: a head's costs no memory elsewhere.
    const isControl = (bytes[start]! & 0x0f) >= OPCODE_CLOSE;
    state.pending = new Uint8Array(isControl ? CONTROL_FRAME_BYTES_MAX : HEAD_BYTES_MAX);
  }
  state.pending.set(bytes.subarray(start, end), state.pendingBytes);
  state.pendingBytes += end - start;
}

/** Adds to what is pending the bytes that are still needed. @returns how many it has taken */
function completePending(state: ReaderState, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const missing = neededBytes(state.pending, 0, state.pendingBytes) - state.pendingBytes;
    if (missing === 0) break;
    const taken = Math.min(end, at + missing);
    keepPending(state, bytes, at, taken);
    at = taken;
  }
  return at - start;
}

function uint32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 2 ** 24 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}
