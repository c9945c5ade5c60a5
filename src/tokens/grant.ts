/**
 * What a token lets its bearer do: the claims of a JWT whose signature was verified, read strictly.
 *
 *     {"sub": "alice", "exp": 1769947200, "megacomet": {"subscribe": ["news/*", "alice"], "publish": ["chat/*"]}}
 */

import { isChannelName } from '../channel-name.js';
import { CHANNEL_PATTERN_RULE, isChannelPattern } from '../channel-pattern.js';
import { CHANNEL_NAME_BYTES_MAX } from '../limits.js';

export interface Grant {
  /** The claim `sub`; null: it has none, and the client is nobody in particular. */
  readonly subject: string | null;
  /** The claim `exp`, in milliseconds since 1970; Infinity: it has none, and the token does not expire. */
  readonly expiresAtMs: number;
  /** Patterns of channels (src/channel-pattern.ts). */
  readonly subscribe: readonly string[];
  readonly publish: readonly string[];
}

/** The claim that has the rights. */
const CLAIM = 'megacomet';

/**
 * The grant in the claims of a token.
 *
 * @param claims of which `exp` is a number, if it is there (RFC 7519 section 4.1.4)
 * @returns what is wrong with them, as a string, where they are not as this server wants them
 */
export function grantOf(claims: Readonly<Record<string, unknown>>): Grant | string {
  const { sub, exp } = claims;
  if (sub !== undefined && !isSubject(sub)) {
    return `sub must be a string of 1 to ${CHANNEL_NAME_BYTES_MAX} bytes without control characters`;
  }
  const { [CLAIM]: rights = {} } = claims;
  if (typeof rights !== 'object' || rights === null || Array.isArray(rights)) return `${CLAIM} must be an object`;
  const { subscribe = [], publish = [] } = rights as Record<string, unknown>;
  for (const [name, patterns] of Object.entries({ subscribe, publish })) {
    if (!Array.isArray(patterns)) return `${CLAIM}.${name} must be an array of patterns`;
    const wrong = patterns.findIndex((pattern) => typeof pattern !== 'string' || !isChannelPattern(pattern));
    if (wrong >= 0) return `${CLAIM}.${name}[${wrong}] must be ${CHANNEL_PATTERN_RULE}`;
  }
  return {
    subject: sub ?? null,
    expiresAtMs: exp === undefined ? Number.POSITIVE_INFINITY : (exp as number) * 1000,
    subscribe: subscribe as string[],
    publish: publish as string[],
  };
}

/** The rule of channel names, so that a subject can be a channel of its own. */
function isSubject(sub: unknown): sub is string {
  return typeof sub === 'string' && isChannelName(sub);
}
