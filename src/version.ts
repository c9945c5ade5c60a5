/** The version of the package. */

import { readFileSync } from 'node:fs';

/** From package.json: two directories above the built file. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
