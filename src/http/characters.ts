/**
 * Character classes of HTTP as one table of 256 bytes: a byte is looked up once and tested with a bit.
 *
 *     (CLASS[byte] & TOKEN) !== 0
 */

/** RFC 9110 section 5.6.2: tchar, what methods and field names are made of. */
export const TOKEN = 1;
/** What a line of a head may hold at all: HTAB, SP, visible ASCII, obs-text (RFC 9110 section 5.5). */
export const TEXT = 2;
/** What we take in a query: visible ASCII but `#` (a fragment is never sent). Laxer than RFC 3986 on purpose: `|`. */
export const QUERY = 4;
/** The same for a path, which `?` ends. */
export const PATH = 8;
/** RFC 3986 section 3.2.2: reg-name: unreserved, sub-delims and `%`. */
export const HOST = 16;
/** Inside the brackets of an IP literal. */
export const IP_LITERAL = 32;
/** 0-9. */
export const DIGIT = 64;
/** ASCII letters, `_` and `$`: what an identifier of JavaScript may begin with. */
export const IDENTIFIER_START = 128;

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;

export const CLASS = new Uint8Array(256);

function mark(bit: number, characters: string): void {
  for (let i = 0; i < characters.length; i++) CLASS[characters.charCodeAt(i)]! |= bit;
}

function range(first: number, last: number): string {
  return String.fromCharCode(...Array.from({ length: last - first + 1 }, (_, i) => first + i));
}

const DIGITS = '0123456789';
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const VISIBLE = range(0x21, 0x7e);
const SUB_DELIMITERS = "!$&'()*+,;=";

mark(TOKEN, `${DIGITS}${LETTERS}!#$%&'*+-.^_\`|~`);
mark(TEXT, `\t ${VISIBLE}${range(0x80, 0xff)}`);
mark(QUERY, VISIBLE.replace('#', ''));
mark(PATH, VISIBLE.replace(/[#?]/g, ''));
mark(HOST, `${DIGITS}${LETTERS}-._~%${SUB_DELIMITERS}`);
mark(IP_LITERAL, `${DIGITS}${LETTERS}-._~:${SUB_DELIMITERS}`);
mark(DIGIT, DIGITS);
mark(IDENTIFIER_START, `${LETTERS}_$`);

/** Bytes of an ASCII literal. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Whether bytes[start..end) is the word. */
export function equals(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  const length = word.length;
  if (end - start !== length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== word[i]) return false;
  return true;
}

/**
 * Whether bytes[start..end) is the word, ignoring case. The word is made of characters in which bit 5 is set: lower case
 * letters, digits and `-:/`. Setting that bit folds the case of letters; what else it would turn into one of these are
 * controls, which no line of a head may hold.
 */
export function equalsFolded(bytes: Uint8Array, start: number, end: number, word: Uint8Array): boolean {
  const length = word.length;
  if (end - start !== length) return false;
  for (let i = 0; i < length; i++) if ((bytes[start + i]! | 0x20) !== word[i]) return false;
  return true;
}
