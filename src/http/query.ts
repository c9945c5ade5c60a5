/**
 * Percent-encoding, parameters of a query, UTF-8: over bytes, into a scratch array of the caller.
 */

import { ascii } from './characters.js';

/** The query has no such parameter. */
export const PARAMETER_ABSENT = -1;
/** A `%` without two hexadecimal digits, or more bytes than the target holds. */
export const DECODING_FAILED = -2;

const PERCENT = 0x25;
const AMPERSAND = 0x26;
const PLUS = 0x2b;
const EQUALS = 0x3d;
const SPACE = 0x20;
const NOT_HEX = 255;

/** Value of a hexadecimal digit by its byte. */
const HEX = new Uint8Array(256).fill(NOT_HEX);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  HEX[digit.charCodeAt(0)] = value;
  HEX[digit.toUpperCase().charCodeAt(0)] = value;
}

/**
 * Decodes bytes[start..end) into `target` from 0 on (RFC 3986 section 2.1). Decoding is done once and any byte may come
 * out of it, NUL, slash and invalid UTF-8 too: who needs less has to check.
 *
 * @returns how many bytes were written, or DECODING_FAILED
 */
export function percentDecode(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  return decode(bytes, start, end, target, 0, PLUS);
}

/**
 * Finds the first parameter of this name in the query bytes[start..end) and decodes its value into `target`, `+` to a
 * space as forms have it. The name is compared as it stands: one that a client percent-encoded is not found. A
 * parameter without `=` is empty.
 *
 * @param name ASCII, best made once by `parameterName`
 * @returns how many bytes were written, PARAMETER_ABSENT or DECODING_FAILED
 */
export function queryParameter(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: Uint8Array,
  target: Uint8Array,
): number {
  let from = start;
  while (from < end) {
    let to = from;
    while (to < end && bytes[to] !== AMPERSAND) to++;
    const value = valueStart(bytes, from, to, name);
    if (value >= 0) return decodeValue(bytes, value, to, target, 0);
    from = to + 1;
  }
  return PARAMETER_ABSENT;
}

/** The name of a parameter for `queryParameter`. */
export function parameterName(name: string): Uint8Array {
  return ascii(name);
}

/**
 * Decodes the value of a parameter, bytes[start..end), into `target` from `at` on, `+` to a space as forms have it.
 *
 * @returns how many bytes were written, or DECODING_FAILED
 */
export function decodeValue(bytes: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  return decode(bytes, start, end, target, at, SPACE);
}

/** Where the value of the parameter at bytes[from..to) begins if it has this name, else -1. */
export function valueStart(bytes: Uint8Array, from: number, to: number, name: Uint8Array): number {
  const nameEnd = from + name.length;
  if (nameEnd > to) return -1;
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return -1;
  if (nameEnd === to) return to;
  return bytes[nameEnd] === EQUALS ? nameEnd + 1 : -1;
}

function decode(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetAt: number,
  plus: number,
): number {
  let length = targetAt;
  for (let at = start; at < end; at++) {
    if (length === target.length) return DECODING_FAILED;
    const byte = bytes[at]!;
    if (byte === PERCENT) {
      if (end - at < 3) return DECODING_FAILED;
      const high = HEX[bytes[at + 1]!]!;
      const low = HEX[bytes[at + 2]!]!;
      if (high === NOT_HEX || low === NOT_HEX) return DECODING_FAILED;
      target[length++] = (high << 4) | low;
      at += 2;
    } else {
      target[length++] = byte === PLUS ? plus : byte;
    }
  }
  return length - targetAt;
}

/**
 * Whether bytes[start..end) is well-formed UTF-8 (Unicode, table 3-7): no over-long forms, no surrogates, nothing
 * above U+10FFFF, nothing cut short.
 */
export function validUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const lead = bytes[at++]!;
    if (lead < 0x80) continue;
    let following: number;
    // The byte after the lead is what tells over-long forms, surrogates and too large numbers.
    let low = 0x80;
    let high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      following = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      following = 2;
      if (lead === 0xe0) low = 0xa0;
      else if (lead === 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      following = 3;
      if (lead === 0xf0) low = 0x90;
      else if (lead === 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (end - at < following) return false;
    for (let i = 0; i < following; i++) {
      const byte = bytes[at++]!;
      if (byte < low || byte > high) return false;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}
