/** The files that `--token-secret-file` and `--token-keys` name: read whole, checked, and told of where others may read the secret. */

import { TOKEN_KEYS_BYTES_MAX } from '../limits.js';
import type { TokenKey } from '../link/policy.js';
import { readNamedFile } from '../named-file.js';
import { isOpenToOthers } from '../platform/private-file.js';
import { keysOfFile, secretKey } from '../tokens/keys.js';
import type { AccessOptions } from './options.js';

/** A file cannot be used. The message says which, where and why. */
export class TokenKeyError extends Error {
  readonly code = 'ETOKENKEYS';
}

/** What the files have. */
export interface TokenFiles {
  keys: TokenKey[];
  /** A line for each thing that an operator should mend. */
  warnings: string[];
}

/** @throws TokenKeyError where a file cannot be read, or is not as it should be */
export function readTokenFiles({ tokenSecretFile, tokenKeysFile }: AccessOptions): TokenFiles {
  const keys: TokenKey[] = [];
  const warnings: string[] = [];
  if (tokenSecretFile !== null) {
    keys.push(read('--token-secret-file', tokenSecretFile, (bytes) => secretKey(bytes)));
    if (isOpenToOthers(tokenSecretFile)) {
      warnings.push(`others may read --token-secret-file ${tokenSecretFile}, and make tokens: chmod 600`);
    }
  }
  if (tokenKeysFile !== null) {
    keys.push(...read('--token-keys', tokenKeysFile, (bytes) => keysOfFile(bytes.toString())));
  }
  return { keys, warnings };
}

function read<T>(option: string, path: string, parse: (bytes: Buffer) => T): T {
  const refused = (reason: string) => new TokenKeyError(`${option} ${path}: ${reason}`);
  const bytes = readNamedFile(path, TOKEN_KEYS_BYTES_MAX, refused);
  try {
    return parse(bytes);
  } catch (error) {
    throw refused((error as Error).message);
  }
}
