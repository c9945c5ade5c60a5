/**
 * Values of those header fields that a request's framing hangs on, judged by themselves: pure functions over
 * bytes[start..end), a value without the white space around it and, since its line was walked first, without controls.
 */

import { ascii, CLASS, DIGIT, equalsFolded, HOST, HTAB, IP_LITERAL, SP } from './characters.js';

const COMMA = 0x2c;
const DIGIT_0 = 0x30;
const COLON = 0x3a;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;

const WORD_CHUNKED = ascii('chunked');
/** An empty element of a list. */
const WORD_NONE = ascii('');

/** OWS is made of these (RFC 9110 section 5.6.3). */
export function isWhite(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

/** RFC 9110 section 7.2: uri-host [ ":" port ]. The value may be empty; brackets and port have to be in their places. */
export function validHost(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (at < end && bytes[at] === BRACKET_OPEN) {
    at++;
    while (at < end && (CLASS[bytes[at]!]! & IP_LITERAL) !== 0) at++;
    if (at === end || at === start + 1 || bytes[at] !== BRACKET_CLOSE) return false;
    at++;
  } else {
    while (at < end && (CLASS[bytes[at]!]! & HOST) !== 0) at++;
  }
  if (at === end) return true;
  if (at === start || bytes[at] !== COLON) return false;
  at++;
  while (at < end && (CLASS[bytes[at]!]! & DIGIT) !== 0) at++;
  return at === end;
}

/** Whether a comma-separated list (RFC 9110 section 5.6.1) has the word as an element, ignoring case. */
export function listHas(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  let from = start;
  while (from < end) {
    let comma = from;
    while (comma < end && bytes[comma] !== COMMA) comma++;
    let to = comma;
    while (from < to && isWhite(bytes[from]!)) from++;
    while (to > from && isWhite(bytes[to - 1]!)) to--;
    if (equalsFolded(bytes, from, to, word)) return true;
    from = comma + 1;
  }
  return false;
}

/** RFC 9110 section 8.6: digits only, no sign and no list. At most 15 of them, to stay an exact number; else -1. */
export function parseContentLength(bytes: Uint8Array, start: number, end: number): number {
  if (start === end || end - start > 15) return -1;
  let length = 0;
  for (let at = start; at < end; at++) {
    if ((CLASS[bytes[at]!]! & DIGIT) === 0) return -1;
    length = length * 10 + (bytes[at]! - DIGIT_0);
  }
  return length;
}

/**
 * `chunked` is the one coding that we know. RFC 9112 section 6.1: others before a final chunked are not implemented
 * (501); section 6.3: without a final chunked nobody knows where the body ends (400), and it must not be applied twice.
 * Empty elements, which section 5.6.1.2 of RFC 9110 would have ignored, are refused too (400): there are proxies that
 * pass `, chunked` on and do not take it for chunked.
 *
 * @returns 0 or -status
 */
export function judgeTransferEncoding(bytes: Uint8Array, start: number, end: number): number {
  if (equalsFolded(bytes, start, end, WORD_CHUNKED)) return 0;
  let last = end;
  while (last > start && bytes[last - 1] !== COMMA) last--;
  if (last === start || !listHas(bytes, last, end, WORD_CHUNKED)) return -400;
  return listHas(bytes, start, last, WORD_CHUNKED) || listHas(bytes, start, last, WORD_NONE) ? -400 : -501;
}
