/** JSONP: an answer that a page of 2011 loads as a script, which calls a function of the page with the message. */

/** JSON text may hold U+2028 and U+2029 as they are; JavaScript before ES2019 takes them for ends of lines. */
const LINE_SEPARATORS = /[\u2028\u2029]/g;

/**
 * The same value as JSON that every script can hold.
 *
 * @param json JSON text, in which line separators can only stand inside strings
 */
export function scriptJson(json: string): string {
  return json.replace(LINE_SEPARATORS, (character) => (character === '\u2028' ? '\\u2028' : '\\u2029'));
}

const OPENING = 0x28;
const CLOSING = Buffer.from(');');

/** How many bytes `writeJsonp` writes. */
export function jsonpLength(callbackBytes: number, jsonBytes: number): number {
  return callbackBytes + 1 + jsonBytes + CLOSING.length;
}

/**
 * Writes `callback(json);` to `target` from `at` on.
 *
 * @param callback a name that `validCallbackName` has accepted
 * @param json what `scriptJson` has returned, in UTF-8
 */
export function writeJsonp(target: Uint8Array, at: number, callback: Uint8Array, json: Uint8Array): void {
  target.set(callback, at);
  at += callback.length;
  target[at++] = OPENING;
  target.set(json, at);
  target.set(CLOSING, at + json.length);
}
