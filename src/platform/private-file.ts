/** Whether a secret is one's own. */

import { statSync } from 'node:fs';

/** Whether others on this machine may read or change the file. On Windows, whose modes say nothing of it, nobody is suspected. */
export function isOpenToOthers(path: string): boolean {
  return process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0;
}
