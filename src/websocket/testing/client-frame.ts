/** Frames as a client sends them, right and wrong, for tests. */

import { FIN, MASKED, OPCODE_CONTINUATION, writeFrameHead } from '../frame.js';
import { unmask } from '../mask.js';

export interface ClientFrame {
  opcode: number;
  data?: Uint8Array | string;
  /** True if not said otherwise. */
  final?: boolean;
  /** RSV bits, in their place in the first byte. */
  rsv?: number;
  /** The masking key, read little-endian. */
  key?: number;
}

/** A whole frame, masked. */
export function clientFrame({ opcode, data = '', final = true, rsv = 0, key = 0x3d21fa37 }: ClientFrame): Buffer {
  const payload = Buffer.from(data as Uint8Array);
  const head = Buffer.alloc(10);
  const headBytes = writeFrameHead(head, 0, OPCODE_CONTINUATION, false, payload.length);
  head[0] = (final ? FIN : 0) | rsv | opcode;
  head[1]! |= MASKED;
  const keyBytes = Buffer.alloc(4);
  keyBytes.writeInt32LE(key | 0);
  unmask(payload, 0, payload.length, key);
  return Buffer.concat([head.subarray(0, headBytes), keyBytes, payload]);
}

export function clientFrames(frames: ClientFrame[]): Buffer {
  return Buffer.concat(frames.map(clientFrame));
}
