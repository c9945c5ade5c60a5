/**
 * UTF-8 validation (RFC 3629) that can stop anywhere: of a text that arrives in pieces, the first byte that cannot belong
 * to any valid text is found when it comes, in the middle of a character too.
 *
 * Between two pieces the whole state is one number: which bytes may follow.
 */

import { isUtf8 } from 'node:buffer';

/** Between two characters: a text may begin and end here. */
export const UTF8_COMPLETE = 0;
/** A byte was wrong; nothing leads out of this state. */
export const UTF8_INVALID = 8;

// Other states: so many continuation bytes (80 … BF) follow.
const ONE = 1;
const TWO = 2;
const THREE = 3;
// The second byte of these is narrower, which rules out over-long forms, surrogates, and what is above U+10FFFF.
const AFTER_E0 = 4;
const AFTER_ED = 5;
const AFTER_F0 = 6;
const AFTER_F4 = 7;

const STATES = 9;

/** The next state, by state << 8 | byte. RFC 3629 section 4, row by row. */
const NEXT = new Uint8Array(STATES * 256).fill(UTF8_INVALID);

function rule(state: number, first: number, last: number, next: number): void {
  NEXT.fill(next, (state << 8) | first, ((state << 8) | last) + 1);
}

rule(UTF8_COMPLETE, 0x00, 0x7f, UTF8_COMPLETE);
rule(UTF8_COMPLETE, 0xc2, 0xdf, ONE);
rule(UTF8_COMPLETE, 0xe0, 0xe0, AFTER_E0);
rule(UTF8_COMPLETE, 0xe1, 0xef, TWO);
rule(UTF8_COMPLETE, 0xed, 0xed, AFTER_ED);
rule(UTF8_COMPLETE, 0xf0, 0xf0, AFTER_F0);
rule(UTF8_COMPLETE, 0xf1, 0xf3, THREE);
rule(UTF8_COMPLETE, 0xf4, 0xf4, AFTER_F4);
rule(ONE, 0x80, 0xbf, UTF8_COMPLETE);
rule(TWO, 0x80, 0xbf, ONE);
rule(THREE, 0x80, 0xbf, TWO);
rule(AFTER_E0, 0xa0, 0xbf, ONE);
rule(AFTER_ED, 0x80, 0x9f, ONE);
rule(AFTER_F0, 0x90, 0xbf, TWO);
rule(AFTER_F4, 0x80, 0x8f, TWO);

/** From here on Node's validator, which looks at many bytes a step, is worth its call and its view. */
const LONG_BYTES = 128;

/** A character has at most so many bytes after its first. */
const CONTINUATION_BYTES_MAX = 3;

/**
 * Goes on validating with bytes[start..end).
 *
 * @param state UTF8_COMPLETE at the beginning of a text, then what the call about the piece before has returned
 * @returns UTF8_INVALID as soon as no continuation could make the text valid; UTF8_COMPLETE if it may end here
 */
export function validateUtf8(state: number, bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  if (end - start >= LONG_BYTES) {
    while (state !== UTF8_COMPLETE) {
      state = NEXT[(state << 8) | bytes[at++]!]!;
      if (state === UTF8_INVALID) return UTF8_INVALID;
    }
    // The last bytes may be the beginning of a character: they are left to the table.
    let tail = end;
    for (let back = end - 1; back >= end - CONTINUATION_BYTES_MAX; back--) if (bytes[back]! >= 0xc0) tail = back;
    if (!isUtf8(bytes.subarray(at, tail))) return UTF8_INVALID;
    at = tail;
  }
  while (at < end && state !== UTF8_INVALID) state = NEXT[(state << 8) | bytes[at++]!]!;
  return state;
}
