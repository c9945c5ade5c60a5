/** JSONP: an answer that a page of 2011 loads as a script, which calls a function of the page with the message. */

/** JSON text may hold U+2028 and U+2029 as they are; JavaScript before ES2019 takes them for ends of lines. */
const LINE_SEPARATORS = /[\u2028\u2029]/g;

/**
 * `callback(json);`
 *
 * @param callback a name that `validCallbackName` has accepted
 * @param json JSON text, in which line separators can only stand inside strings
 */
export function jsonpBody(callback: string, json: string): string {
  const script = json.replace(LINE_SEPARATORS, (character) => (character === '\u2028' ? '\\u2028' : '\\u2029'));
  return `${callback}(${script});`;
}
