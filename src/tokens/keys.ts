/**
 * Keys that verify tokens, as operators give them: a secret, PEM blocks, a JSON Web Key Set (RFC 7517). Each is checked and gets the
 * one algorithm that it is for.
 *
 * What a person has put together is read strictly, and an error says what is wrong with it. A set that an issuer publishes may also
 * have keys that are for something else: those are left out.
 */

import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { TOKEN_KEYS_MAX, TOKEN_RSA_BITS_MIN, TOKEN_SECRET_BYTES_MIN } from '../limits.js';
import type { TokenKey } from '../link/policy.js';
import { withoutSpaceAtEnd } from '../named-file.js';

type Jwk = Readonly<Record<string, unknown>>;

/** Members that only a private key has (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

/**
 * The key that a secret is.
 *
 * @param file what the secret's file has; white space at its end belongs to the file
 * @throws Error where it is too short
 */
export function secretKey(file: Buffer): TokenKey {
  const secret = withoutSpaceAtEnd(file);
  if (secret.length < TOKEN_SECRET_BYTES_MIN) {
    throw new Error(
      `a secret for HS256 needs at least ${TOKEN_SECRET_BYTES_MIN} bytes, this one has ${secret.length}: ` +
        '`openssl rand -base64 48` makes one',
    );
  }
  return { jwk: { kty: 'oct', k: secret.toString('base64url') }, alg: 'HS256', kid: null };
}

/**
 * The keys of a file: PEM blocks or a JSON Web Key Set.
 *
 * @throws Error saying what is wrong
 */
export function keysOfFile(text: string): TokenKey[] {
  if (text.trim() === '') throw new Error('it is empty');
  return /^\s*[{[]/.test(text) ? keysOfSet(parsed(text), 'all') : keysOfPem(text);
}

/**
 * The keys of a set.
 *
 * @param which `all`: one that cannot be used is an error; `usable`: it is left out
 * @throws Error saying what is wrong
 */
export function keysOfSet(set: unknown, which: 'all' | 'usable'): TokenKey[] {
  const jwks = (set as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(jwks)) throw new Error("a JSON Web Key Set is an object with an array 'keys'");
  const keys: TokenKey[] = [];
  for (const [i, jwk] of jwks.entries()) {
    const key = keyOf(jwk as Jwk);
    if (typeof key !== 'string') keys.push(key);
    else if (which === 'all') throw new Error(`key ${i + 1}: ${key}`);
  }
  if (keys.length === 0) throw new Error('it has no key that verifies RS256, ES256 or EdDSA');
  if (keys.length > TOKEN_KEYS_MAX) throw new Error(`it has ${keys.length} keys, of ${TOKEN_KEYS_MAX} at most`);
  return keys;
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

function keysOfPem(text: string): TokenKey[] {
  const keys: TokenKey[] = [];
  for (const [block, label] of text.matchAll(PEM_BLOCK)) {
    if (label.endsWith('PRIVATE KEY')) {
      throw new Error(
        'it has a private key; give the server the public one (`openssl pkey -in private.pem -pubout`) and nobody else the other',
      );
    }
    const key = keyOf(publicKey(block, label).export({ format: 'jwk' }) as Jwk);
    if (typeof key === 'string') throw new Error(`key ${keys.length + 1}: ${key}`);
    keys.push(key);
  }
  if (keys.length === 0) throw new Error('it has neither PEM blocks nor a JSON Web Key Set');
  if (keys.length > TOKEN_KEYS_MAX) throw new Error(`it has ${keys.length} keys, of ${TOKEN_KEYS_MAX} at most`);
  return keys;
}

function publicKey(block: string, label: string): KeyObject {
  try {
    return label === 'CERTIFICATE' ? new X509Certificate(block).publicKey : createPublicKey(block);
  } catch (error) {
    throw new Error(`a PEM block '${label}' cannot be read as a public key: ${(error as Error).message}`);
  }
}

/** The key of a JWK, or what is wrong with it. */
function keyOf(jwk: Jwk): TokenKey | string {
  if (typeof jwk !== 'object' || jwk === null) return 'it is no JSON Web Key';
  if (jwk['kty'] === 'oct') return 'it is a secret, which belongs into the file of --token-secret-file';
  if (PRIVATE_MEMBERS.some((member) => member in jwk)) return 'it is a private key: only its public half belongs here';
  const { use, kid } = jwk;
  if (use !== undefined && use !== 'sig') return `its use is not 'sig'`;
  const operations = jwk['key_ops'];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return `its key_ops do not have 'verify'`;
  }
  if (kid !== undefined && typeof kid !== 'string') return 'its kid is no string';
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' } as Parameters<typeof createPublicKey>[0]);
  } catch (error) {
    return `it cannot be used: ${(error as Error).message}`;
  }
  const alg = algorithmOf(key);
  if (alg === null) return 'it is none of RSA, EC P-256 and Ed25519';
  if (alg === 'RS256' && key.asymmetricKeyDetails!.modulusLength! < TOKEN_RSA_BITS_MIN) {
    return `an RSA key needs at least ${TOKEN_RSA_BITS_MIN} bits, this one has ${key.asymmetricKeyDetails!.modulusLength}`;
  }
  const named = jwk['alg'];
  if (named !== undefined && named !== alg && !(alg === 'EdDSA' && named === 'Ed25519')) {
    return `its alg is not ${alg}, which is what this server verifies by such keys`;
  }
  // What else may be in it, certificates for instance, the workers need not have.
  return { jwk: key.export({ format: 'jwk' }) as Jwk, alg, kid: kid ?? null };
}

function algorithmOf(key: KeyObject): 'RS256' | 'ES256' | 'EdDSA' | null {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return 'RS256';
    case 'ec':
      return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? 'ES256' : null;
    case 'ed25519':
      return 'EdDSA';
    default:
      return null;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`it is no JSON: ${(error as SyntaxError).message}`);
  }
}
