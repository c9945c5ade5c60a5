/** Fields whose value is a list, which may come in several lines. */

import { equalsFolded } from './characters.js';
import type { RequestHead } from './request-head.js';

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

/**
 * The list that all fields of a name make together (RFC 9110 section 5.3); '' where there is none.
 *
 * @param bytes the bytes that `head` was parsed from
 * @param header HEADER_… of that name
 * @param name in lower case
 */
export function listField(bytes: Uint8Array, head: RequestHead, header: number, name: Uint8Array): string {
  if (head.valueStart[header] === 0) return '';
  let list = latin1(bytes, head.valueStart[header]!, head.valueEnd[header]!);
  if ((head.repeated & (1 << header)) === 0) return list;
  // The head has kept the first one only. Its lines are known to be well-formed, up to the empty one.
  let line = lineAfter(bytes, head.valueEnd[header]!);
  while (bytes[line] !== CR) {
    const next = lineAfter(bytes, line);
    const value = line + name.length + 1;
    if (value < next && bytes[value - 1] === COLON && equalsFolded(bytes, line, value - 1, name)) {
      list += `,${latin1(bytes, value, next - 2)}`;
    }
    line = next;
  }
  return list;
}

function lineAfter(bytes: Uint8Array, at: number): number {
  return bytes.indexOf(LF, at) + 1;
}

/** bytes[start..end) as the characters of a field. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
