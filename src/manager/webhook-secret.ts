/** The file with the secret that signs webhooks: read at the start and at each reload. */

import { readFileSync } from 'node:fs';
import { isOpenToOthers } from '../platform/private-file.js';

/** What HMAC-SHA256 is as strong as (RFC 2104 section 3). */
const SECRET_BYTES_MIN = 32;

export interface WebhookSecret {
  /** The file's bytes, without white space at its end. */
  secret: Buffer;
  /** That others may read it; null: they may not. */
  warning: string | null;
}

/**
 * Reads the secret.
 *
 * @throws Error with code EWEBHOOK that says what is wrong, and never what is in the file
 */
export function readWebhookSecret(path: string): WebhookSecret {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const why =
      { ENOENT: 'there is no such file', EACCES: 'it may not be read', EISDIR: 'it is a directory' }[code] ?? code;
    throw failure(path, why);
  }
  let end = bytes.length;
  while (end > 0 && bytes[end - 1]! <= 0x20) end--;
  if (end === 0) throw failure(path, 'it is empty');
  if (end < SECRET_BYTES_MIN) {
    const cure = 'openssl rand -hex 32 makes one';
    throw failure(path, `the secret has ${end} bytes, and needs ${SECRET_BYTES_MIN} at least: ${cure}`);
  }
  const warning = `others may read --webhook-secret-file ${path}, and sign webhooks: chmod 600`;
  return { secret: bytes.subarray(0, end), warning: isOpenToOthers(path) ? warning : null };
}

function failure(path: string, why: string): Error {
  return Object.assign(new Error(`--webhook-secret-file ${path}: ${why}`), { code: 'EWEBHOOK' });
}
