/** An issuer of tokens for tests: its keys, what servers are given of them, and tokens signed as one likes. */

import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { type JWTPayload, SignJWT } from 'jose';
import type { TokenKey, TokenPolicy } from '../../link/policy.js';
import { keysOfSet, secretKey } from '../keys.js';

export interface Rights {
  subscribe?: string[];
  publish?: string[];
}

export type Algorithm = TokenKey['alg'];

/** Every one has keys of its own. */
export class Issuer {
  readonly alg: Algorithm;
  readonly kid: string | undefined;
  /** Signs. */
  readonly key: KeyObject | Buffer;
  /** What the file of a secret has, or a JSON Web Key Set. */
  readonly file: string;
  /** What a server makes of that. */
  readonly keys: TokenKey[];

  constructor(alg: Algorithm = 'ES256', kid?: string) {
    this.alg = alg;
    this.kid = kid;
    if (alg === 'HS256') {
      this.file = randomBytes(36).toString('base64');
      this.key = Buffer.from(this.file);
      this.keys = [{ ...secretKey(this.key), kid: kid ?? null }];
      return;
    }
    const pair =
      alg === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : alg === 'ES256'
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : generateKeyPairSync('ed25519');
    this.key = pair.privateKey;
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), ...(kid !== undefined && { kid }) };
    this.file = JSON.stringify({ keys: [jwk] });
    this.keys = keysOfSet({ keys: [jwk] }, 'all');
  }

  /** A policy that takes its tokens. */
  policy(members: Partial<TokenPolicy> = {}): TokenPolicy {
    return {
      keys: this.keys,
      issuer: null,
      audience: null,
      toleranceSeconds: 0,
      rotates: false,
      complete: true,
      ...members,
    };
  }

  /** A token of any claims. @param header more members of its header, or others */
  sign(claims: JWTPayload & { megacomet?: unknown }, header: Record<string, unknown> = {}): Promise<string> {
    const kid = this.kid !== undefined && { kid: this.kid };
    return new SignJWT(claims).setProtectedHeader({ alg: this.alg, ...kid, ...header }).sign(this.key);
  }

  /** A token of `sub` with rights, valid for an hour unless `claims` say otherwise. */
  token(sub: string, rights: Rights = {}, claims: JWTPayload = {}): Promise<string> {
    return this.sign({ sub, exp: Math.floor(Date.now() / 1000) + 3600, megacomet: rights, ...claims });
  }
}
