/**
 * Cross-origin answers for pages of some origins only (Fetch standard, section 3.2). The encoded answers of this server let every origin
 * read them (template.ts); here that field is exchanged, so that an answer names the one origin that asked.
 */

import { ALLOW_ORIGIN } from './template.js';

const FIELD = Buffer.from(`${ALLOW_ORIGIN}\r\n`);
const HEAD_END = Buffer.from('\r\n\r\n');

/**
 * The answer for a page of this origin.
 *
 * @param answer a response head, with or without a body
 * @param origin serialised, as of the field Origin; '' where no page may read it
 * @returns a new array; or the answer itself where it does not speak of origins
 */
export function answerForOrigin(answer: Uint8Array, origin: string): Uint8Array {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.length);
  const at = bytes.indexOf(FIELD);
  if (at < 0 || at > bytes.indexOf(HEAD_END)) return answer;
  const allow = origin === '' ? '' : `Access-Control-Allow-Origin: ${origin}\r\n`;
  // Whether an origin is named or not, another one gets another answer.
  return Buffer.concat([
    bytes.subarray(0, at),
    Buffer.from(`${allow}Vary: Origin\r\n`),
    bytes.subarray(at + FIELD.length),
  ]);
}
