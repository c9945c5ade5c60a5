/**
 * The name in `?callback=name`, which is written into a script that runs in somebody's page: whatever is not plainly
 * the name of a function is refused.
 *
 *     name  = identifier *( "." identifier / "[" 1*DIGIT "]" )
 */

import { CALLBACK_BYTES_MAX } from '../limits.js';
import { CLASS, DIGIT, IDENTIFIER_START } from './characters.js';

const DOT = 0x2e;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;

/**
 * Whether bytes[start..end), already percent-decoded, is a callback's name: identifiers of ASCII letters, digits, `_`
 * and `$`, joined by dots, with indexes of digits, CALLBACK_BYTES_MAX bytes at most. A reserved word passes: a script
 * that calls it is a syntax error and does nothing.
 */
export function validCallbackName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > CALLBACK_BYTES_MAX) return false;
  let at = identifierEnd(bytes, start, end);
  while (at > 0 && at < end) {
    if (bytes[at] === DOT) at = identifierEnd(bytes, at + 1, end);
    else if (bytes[at] === BRACKET_OPEN) at = indexEnd(bytes, at + 1, end);
    else return false;
  }
  return at === end && at > start;
}

/** The offset after the identifier at `start`, or -1 if there is none. */
function identifierEnd(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end || (CLASS[bytes[start]!]! & IDENTIFIER_START) === 0) return -1;
  let at = start + 1;
  while (at < end && (CLASS[bytes[at]!]! & (IDENTIFIER_START | DIGIT)) !== 0) at++;
  return at;
}

/** The offset after the digits at `start` and their closing bracket, or -1. */
function indexEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && (CLASS[bytes[at]!]! & DIGIT) !== 0) at++;
  return at > start && at < end && bytes[at] === BRACKET_CLOSE ? at + 1 : -1;
}
