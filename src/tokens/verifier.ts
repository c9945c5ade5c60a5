/**
 * Verifies JSON Web Tokens (RFC 7519) by the keys of a policy (src/link/policy.ts), with jose.
 *
 * The algorithm is the key's, never the token's choice: a token that names another than that of the key which it names is
 * refused, `none` and HS256 by a public key among them (RFC 8725 sections 3.1 and 3.2). What a failure says goes to the client,
 * so it never repeats anything of the token.
 *
 * jose is loaded with the first verifier: a worker whose clients come without tokens is 1 to 2 MB smaller without it.
 */

import { webcrypto } from 'node:crypto';
import type { JWK, JWTPayload } from 'jose';
import { TOKEN_BYTES_MAX, TOKEN_KEYS_TRIED_MAX } from '../limits.js';
import type { TokenKey, TokenPolicy } from '../link/policy.js';
import { type Grant, grantOf } from './grant.js';

/** Why a token is refused. */
export interface TokenFailure {
  code: 'token_invalid' | 'token_expired';
  /** For people: a clause, without its end. */
  message: string;
  /** It would be refused again at any time, as long as the keys are these. */
  final: boolean;
  /** There may be a key for it by now, where keys come from. */
  keyUnknown: boolean;
  /** It counts against the address that it comes from: not where it may be a good one whose key or time is to come, or was. */
  counts: boolean;
}

export type Verdict = { readonly grant: Grant } | { readonly failure: TokenFailure };

type Jose = typeof import('jose');

interface ImportedKey {
  readonly kid: string | null;
  readonly alg: TokenKey['alg'];
  readonly key: webcrypto.CryptoKey;
}

/** What a token may call the algorithm of a key: Ed25519 has a new name (RFC 9864). */
const ALGORITHM_NAMES: Readonly<Record<TokenKey['alg'], readonly string[]>> = {
  HS256: ['HS256'],
  RS256: ['RS256'],
  ES256: ['ES256'],
  EdDSA: ['EdDSA', 'Ed25519'],
};

/**
 * RFC 7515 section 3.1 and appendix C: no padding, no white space. Libraries read past these, and whoever has one token would have
 * any number of others that verify, each at the price of a verification.
 */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/;

export class TokenVerifier {
  readonly #policy: TokenPolicy;
  readonly #jose: Promise<Jose> = import('jose');
  readonly #keys: Promise<ImportedKey[]>;
  readonly #nowMs: () => number;

  /** @param nowMs the time, in milliseconds since 1970 */
  constructor(policy: TokenPolicy, nowMs: () => number = Date.now) {
    this.#policy = policy;
    this.#nowMs = nowMs;
    this.#keys = this.#jose.then((jose) => Promise.all(policy.keys.map((key) => imported(key, jose))));
  }

  /** Never rejects for anything in the token. */
  async verify(token: string): Promise<Verdict> {
    if (token.length > TOKEN_BYTES_MAX) return failed(`it has more than ${TOKEN_BYTES_MAX} bytes`);
    if (!COMPACT.test(token)) return failed('it is no JSON Web Token');
    const jose = await this.#jose;
    let header: { alg?: string; kid?: unknown };
    try {
      header = jose.decodeProtectedHeader(token);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return failed('it is no JSON Web Token');
    }
    const { alg, kid } = header;
    const candidates = (await this.#keys).filter((key) => ALGORITHM_NAMES[key.alg].includes(alg ?? ''));
    // A key that has no name may be the one that is meant (RFC 7515 section 4.1.4: kid is a hint).
    const meant = candidates.filter((key) => kid === undefined || key.kid === null || key.kid === kid);
    const named = candidates.some((key) => key.kid !== null && key.kid === kid);
    const keyUnknown = this.#policy.rotates && !named;
    if (meant.length === 0) {
      const message =
        candidates.length === 0 ? 'no key of this server is for its algorithm' : 'this server does not know its key';
      return { failure: { code: 'token_invalid', message, final: true, keyUnknown, counts: !keyUnknown } };
    }
    if (meant.length > TOKEN_KEYS_TRIED_MAX) return failed('it must name its key by kid');
    for (const { key } of meant) {
      const verdict = await this.#tryKey(jose, token, key, alg!);
      if (verdict !== null) return verdict;
    }
    return {
      failure: { code: 'token_invalid', message: 'its signature is wrong', final: true, keyUnknown, counts: true },
    };
  }

  /** @returns null where the signature is not of this key */
  async #tryKey(jose: Jose, token: string, key: webcrypto.CryptoKey, alg: string): Promise<Verdict | null> {
    const { issuer, audience, toleranceSeconds } = this.#policy;
    let claims: JWTPayload;
    try {
      const verified = await jose.jwtVerify(token, key, {
        algorithms: [alg],
        clockTolerance: toleranceSeconds,
        currentDate: new Date(this.#nowMs()),
        ...(issuer !== null && { issuer }),
        ...(audience !== null && { audience }),
      });
      claims = verified.payload;
    } catch (error) {
      if (error instanceof jose.errors.JWSSignatureVerificationFailed) return null;
      return verdictOf(error, jose);
    }
    const grant = grantOf(claims);
    return typeof grant === 'string' ? failed(grant) : { grant };
  }
}

/** What jose found wrong with a token whose signature is right, or that has none. */
function verdictOf(error: unknown, { errors }: Jose): Verdict {
  if (error instanceof errors.JWTExpired) return { failure: EXPIRED };
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error;
    if (claim === 'nbf' && reason === 'check_failed') {
      const message = 'it is not valid yet';
      return { failure: { code: 'token_invalid', message, final: false, keyUnknown: false, counts: false } };
    }
    if (reason === 'missing') return failed(`${claim} is missing`);
    return failed(reason === 'check_failed' ? `${claim} is not what this server wants` : `${claim} is malformed`);
  }
  if (error instanceof errors.JOSEError) return failed('it is malformed');
  throw error;
}

/** The token was good, and its time is over. */
export const EXPIRED: TokenFailure = {
  code: 'token_expired',
  message: 'it has expired',
  final: true,
  keyUnknown: false,
  counts: false,
};

function failed(message: string): Verdict {
  return { failure: { code: 'token_invalid', message, final: true, keyUnknown: false, counts: true } };
}

/** The key as WebCrypto has it: once, not for each token. */
async function imported({ jwk, alg, kid }: TokenKey, { importJWK }: Jose): Promise<ImportedKey> {
  if (alg === 'HS256') {
    const secret = Buffer.from((jwk as JWK).k!, 'base64url');
    const hmac = { name: 'HMAC', hash: 'SHA-256' };
    return { kid, alg, key: await webcrypto.subtle.importKey('raw', secret, hmac, false, ['verify']) };
  }
  return { kid, alg, key: (await importJWK(jwk as JWK, alg)) as webcrypto.CryptoKey };
}
