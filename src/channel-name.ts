/**
 * What may be the name of a channel, for the whole project: as bytes where clients and the classic port name one, as a
 * string where the HTTP API, the command line and JSON messages do. Both say the same of the same name.
 *
 * Control characters (Unicode category Cc: C0, DEL and C1) have no place in a name, and least of all in a log line.
 */

import { validUtf8 } from './http/query.js';
import { CHANNEL_NAME_BYTES_MAX } from './limits.js';

/** The rule, for messages. */
export const CHANNEL_NAME_RULE = `1 to ${CHANNEL_NAME_BYTES_MAX} bytes of UTF-8 without control characters`;

const SPACE = 0x20;
const DEL = 0x7f;
/** U+0080 to U+009F are C2 80 to C2 9F. */
const C1_LEAD = 0xc2;
const C1_LAST = 0x9f;

/** Whether bytes[start..end) is the name of a channel. */
export function validChannelName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end === start || end - start > CHANNEL_NAME_BYTES_MAX) return false;
  let ascii = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte < SPACE || byte === DEL) return false;
    if (byte === C1_LEAD && at + 1 < end && bytes[at + 1]! <= C1_LAST) return false;
    if (byte > DEL) ascii = false;
  }
  return ascii || validUtf8(bytes, start, end);
}

/** The same of a string. A lone surrogate has no UTF-8 and would become another name. */
export function isChannelName(name: string): boolean {
  return (
    name.length > 0 &&
    name.length <= CHANNEL_NAME_BYTES_MAX &&
    Buffer.byteLength(name) <= CHANNEL_NAME_BYTES_MAX &&
    !/\p{Surrogate}|\p{Control}/u.test(name)
  );
}
