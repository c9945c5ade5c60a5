/** The file with the secret that signs webhooks: read at the start and at each reload. */

import { readNamedFile, withoutSpaceAtEnd } from '../named-file.js';
import { isOpenToOthers } from '../platform/private-file.js';

/** A larger file is another one. */
const FILE_BYTES_MAX = 1 << 16;
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
  const secret = withoutSpaceAtEnd(readNamedFile(path, FILE_BYTES_MAX, (reason) => failure(path, reason)));
  if (secret.length === 0) throw failure(path, 'it is empty');
  if (secret.length < SECRET_BYTES_MIN) {
    const cure = 'openssl rand -hex 32 makes one';
    throw failure(path, `the secret has ${secret.length} bytes, and needs ${SECRET_BYTES_MIN} at least: ${cure}`);
  }
  const warning = `others may read --webhook-secret-file ${path}, and sign webhooks: chmod 600`;
  return { secret, warning: isOpenToOthers(path) ? warning : null };
}

function failure(path: string, why: string): Error {
  return Object.assign(new Error(`--webhook-secret-file ${path}: ${why}`), { code: 'EWEBHOOK' });
}
