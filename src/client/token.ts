/** The token that the client shows, and when it needs another one. */

import { TOKEN_RETRY_MS } from './limits.js';
import type { Platform } from './platform.js';
import { MegaCometError, type TokenSource } from './types.js';

export interface Token {
  /**
   * The token, fetched where there is none yet; null for none.
   *
   * @throws MegaCometError `token_failed` where the callback fails
   */
  get(): Promise<string | null>;
  /** The next `get` fetches another one. @returns whether there is another one to be had */
  drop(): boolean;
  /** When to fetch another one, by the wall clock; Infinity where nobody knows. */
  renewAtMs: number;
}

export function makeToken(source: TokenSource | undefined, { now, random }: Platform): Token {
  let current: Promise<string | null> | undefined;
  const isCallback = typeof source === 'function';
  const token: Token = {
    // Not at once: a callback that throws at once would be dropped before it is kept.
    get: () => (current ??= Promise.resolve().then(fetchToken)),
    drop() {
      current = undefined;
      token.renewAtMs = Infinity;
      return isCallback;
    },
    renewAtMs: Infinity,
  };

  async function fetchToken(): Promise<string | null> {
    if (!isCallback) return source ?? null;
    try {
      const text = await source();
      // At 80 to 95 % of the time that is left, so that not all who logged in together come together. By a clock that is wrong
      // every token may have expired: the server's counts, and it will say so.
      const leftMs = expiryMs(text) - now();
      if (leftMs > 0) token.renewAtMs = now() + leftMs * (0.8 + 0.15 * random());
      return text;
    } catch (cause) {
      token.drop();
      token.renewAtMs = now() + TOKEN_RETRY_MS;
      throw new MegaCometError('token_failed', `token: ${cause}`, { cause });
    }
  }

  return token;
}

/** `exp` of a JWT (RFC 7519 section 4.1.4) in milliseconds; NaN where there is none: a token may be of any other kind. */
function expiryMs(token: string | null): number {
  try {
    return JSON.parse(atob(token!.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))).exp * 1000;
  } catch {
    return NaN;
  }
}
