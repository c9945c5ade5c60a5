/**
 * Frames that the server sends (RFC 6455 section 5.2), and the numbers that both directions share.
 *
 *      0               1               2 …
 *     ┌─┬─┬─┬─┬───────┬─┬─────────────┬──────────────────────────────┬─────────────────────┬───────────┐
 *     │F│R│R│R│opcode │M│ length 0…125│ u16 length, if that is 126   │ mask, 4 bytes, if M │ payload … │
 *     │I│S│S│S│ 4 bits│ │   7 bits    │ u64 length, if that is 127   │                     │           │
 *     │N│1│2│3│       │ │             │ (big-endian)                 │                     │           │
 *     └─┴─┴─┴─┴───────┴─┴─────────────┴──────────────────────────────┴─────────────────────┴───────────┘
 *
 * A server never masks (section 5.1), so one encoded frame serves all receivers of a publication. Every message is sent
 * as one frame.
 */

export const OPCODE_CONTINUATION = 0x0;
export const OPCODE_TEXT = 0x1;
export const OPCODE_BINARY = 0x2;
export const OPCODE_CLOSE = 0x8;
export const OPCODE_PING = 0x9;
export const OPCODE_PONG = 0xa;

export const FIN = 0x80;
/** In a message's first frame: it is compressed (RFC 7692 section 6). */
export const RSV1 = 0x40;
export const MASKED = 0x80;

/** In the 7 bits of the length: a u16 or a u64 follows. */
export const LENGTH_U16 = 126;
export const LENGTH_U64 = 127;

/** Section 5.5: the payload of a control frame. */
export const CONTROL_BYTES_MAX = 125;
/** Two bytes of the payload are the code. */
export const CLOSE_REASON_BYTES_MAX = CONTROL_BYTES_MAX - 2;

// Status codes of RFC 6455 section 7.4.1 that this server sends or gives a meaning.
export const CLOSE_NORMAL = 1000;
export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_PROTOCOL_ERROR = 1002;
export const CLOSE_UNSUPPORTED_DATA = 1003;
/** Never on the wire: the peer's close frame named no code. */
export const CLOSE_NO_STATUS = 1005;
export const CLOSE_INVALID_DATA = 1007;
export const CLOSE_TOO_LARGE = 1009;
export const CLOSE_INTERNAL_ERROR = 1011;
export const CLOSE_TRY_AGAIN_LATER = 1013;

/**
 * Whether a code may stand in a close frame (sections 7.4.1 and 7.4.2, and IANA's registry for 1012 to 1014). 1004, 1005,
 * 1006 and 1015 must not; 1016 to 2999 are for revisions of the protocol, 3000 to 4999 for libraries and applications.
 */
export function validCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/** Bytes of the head of an unmasked frame. */
export function frameHeadLength(payloadBytes: number): number {
  if (payloadBytes < LENGTH_U16) return 2;
  return payloadBytes <= 0xffff ? 4 : 10;
}

/**
 * Writes the head of a whole message or control frame to `target` from `at` on.
 *
 * @param rsv1 the payload is compressed
 * @returns the offset after it, where the payload goes: at + frameHeadLength(payloadBytes)
 */
export function writeFrameHead(
  target: Uint8Array,
  at: number,
  opcode: number,
  rsv1: boolean,
  payloadBytes: number,
): number {
  target[at] = FIN | (rsv1 ? RSV1 : 0) | opcode;
  if (payloadBytes < LENGTH_U16) {
    target[at + 1] = payloadBytes;
    return at + 2;
  }
  if (payloadBytes <= 0xffff) {
    target[at + 1] = LENGTH_U16;
    target[at + 2] = payloadBytes >>> 8;
    target[at + 3] = payloadBytes;
    return at + 4;
  }
  target[at + 1] = LENGTH_U64;
  let rest = payloadBytes;
  for (let digit = at + 9; digit > at + 1; digit--) {
    target[digit] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return at + 10;
}

/** A whole frame with the payload bytes[start..end). */
export function frame(opcode: number, bytes: Uint8Array, start = 0, end = bytes.length, rsv1 = false): Buffer {
  const length = end - start;
  const encoded = Buffer.allocUnsafe(frameHeadLength(length) + length);
  encoded.set(bytes.subarray(start, end), writeFrameHead(encoded, 0, opcode, rsv1, length));
  return encoded;
}

/** A whole text message. */
export function textFrame(text: string): Buffer {
  return frame(OPCODE_TEXT, Buffer.from(text));
}

/**
 * A close frame (section 5.5.1).
 *
 * @param code CLOSE_NO_STATUS for a frame without code and reason
 * @param reason at most CLOSE_REASON_BYTES_MAX bytes of UTF-8; a longer one is a bug and throws
 */
export function closeFrame(code: number, reason = ''): Buffer {
  if (code === CLOSE_NO_STATUS) return frame(OPCODE_CLOSE, Buffer.alloc(0));
  if (!validCloseCode(code)) throw new RangeError(`${code} is no code for a close frame`);
  const payload = Buffer.allocUnsafe(2 + Buffer.byteLength(reason));
  if (payload.length > CONTROL_BYTES_MAX) throw new RangeError('the reason is too long for a close frame');
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return frame(OPCODE_CLOSE, payload);
}
