/** Data of publications as JSON, nested no deeper than those who receive it can be expected to read. */

import { DATA_NESTING_MAX } from './limits.js';

const QUOTE = 34;
const BACKSLASH = 92;

/**
 * Which depth JSON.stringify can do depends on the version of Node and on the stack, so it is not what decides.
 *
 * @returns undefined where JSON cannot say it (a toJSON that returns nothing), null where it is nested deeper than DATA_NESTING_MAX
 */
export function jsonText(data: unknown): string | undefined | null {
  let text: string | undefined;
  try {
    text = JSON.stringify(data) as string | undefined;
  } catch (error) {
    // No room on the stack.
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
  return text !== undefined && isNestedTooDeeply(text) ? null : text;
}

/** @param json valid JSON */
function isNestedTooDeeply(json: string): boolean {
  // Each level has two brackets.
  if (json.length <= 2 * DATA_NESTING_MAX) return false;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (inString) {
      if (code === BACKSLASH) i++;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) {
      inString = true;
    } else if (code === 91 || code === 123) {
      // [ {
      if (++depth > DATA_NESTING_MAX) return true;
    } else if (code === 93 || code === 125) {
      depth--;
    }
  }
  return false;
}
