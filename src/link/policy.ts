/**
 * What clients may do, as the manager knows it now. It goes to each worker right behind WELCOME, and again whenever it has
 * changed (POLICY, frames.ts): a worker keeps no rule of its own, so that all can be changed while it serves.
 *
 * It is never on a command line: with HS256 it has the secret.
 */

/** One key that verifies tokens, and the algorithm that it is for: no token chooses another. */
export interface TokenKey {
  /** A secret (`oct`) for HS256, else the public half of a pair. */
  jwk: Readonly<Record<string, unknown>>;
  alg: 'HS256' | 'RS256' | 'ES256' | 'EdDSA';
  /** The name by which tokens refer to it; null: it may verify tokens that name no key, or one that no key has. */
  kid: string | null;
}

/** How the tokens of clients are verified. */
export interface TokenPolicy {
  keys: readonly TokenKey[];
  /** What `iss` must be; null: anything. */
  issuer: string | null;
  /** What `aud` must be, or have among its elements; null: anything. */
  audience: string | null;
  /** How far clocks may be apart, for `exp` and `nbf`. */
  toleranceSeconds: number;
  /** Keys come from an address, which may have others by now: a token whose `kid` is unknown is a reason to ask (KEY_UNKNOWN). */
  rotates: boolean;
  /** Whether all keys that were asked for are there. Without, nobody can say that a token is wrong. */
  complete: boolean;
}

export interface ClientPolicy {
  /** Channels that may be subscribed to without a token: names, or prefixes followed by `*`. */
  anonymous: readonly string[];
  /** Channels that may be published to without a token. */
  publish: readonly string[];
  /** Null: tokens are not looked at. */
  tokens: TokenPolicy | null;
  /** Origins of the pages that may come; null: all, and programs that are no pages always may. */
  origins: readonly string[] | null;
  /** Connections that one address may have on the whole server; 0: any number. */
  connectionsPerAddress: number;
  /** New connections a second of the whole server; 0: any number. */
  acceptRate: number;
  /** Workers that the server has. */
  workers: number;
  /** Addresses and networks (CIDR) of proxies, whose X-Forwarded-For says which address a connection is of. */
  trustedProxies: readonly string[];
  /** Connected and disconnected clients are reported (EVENTS). */
  events: boolean;
  /** A client that is back within this time was never gone. */
  presenceGraceMs: number;
}

/** Everybody may listen to everything, and nobody publish: what a server does that was asked for nothing else. */
export const OPEN_POLICY: ClientPolicy = {
  anonymous: ['*'],
  publish: [],
  tokens: null,
  origins: null,
  connectionsPerAddress: 0,
  acceptRate: 0,
  workers: 1,
  trustedProxies: [],
  events: false,
  presenceGraceMs: 0,
};
