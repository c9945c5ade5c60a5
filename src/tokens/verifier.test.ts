import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { TOKEN_BYTES_MAX } from '../limits.js';
import type { TokenKey, TokenPolicy } from '../link/policy.js';
import { type Algorithm, Issuer } from './testing/issuer.js';
import { type TokenFailure, TokenVerifier, type Verdict } from './verifier.js';

const ALGORITHMS: readonly Algorithm[] = ['HS256', 'RS256', 'ES256', 'EdDSA'];
const issuers = new Map(ALGORITHMS.map((alg) => [alg, new Issuer(alg)]));
const NOW_MS = 1_769_947_200_000;
const NOW_S = NOW_MS / 1000;

const verify = (policy: TokenPolicy, token: string): Promise<Verdict> =>
  new TokenVerifier(policy, () => NOW_MS).verify(token);

async function failure(policy: TokenPolicy, token: string): Promise<TokenFailure> {
  const verdict = await verify(policy, token);
  assert('failure' in verdict, 'it was taken');
  assert(!verdict.failure.message.includes(token.slice(0, 10)), 'the message repeats the token');
  return verdict.failure;
}

async function refused(policy: TokenPolicy, token: string, message: RegExp, code = 'token_invalid'): Promise<void> {
  const found = await failure(policy, token);
  assert.equal(found.code, code);
  assert.match(found.message, message);
}

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a token', () => {
  for (const alg of ALGORITHMS) {
    const issuer = issuers.get(alg)!;
    test(`signed with ${alg} has the rights that it says`, async () => {
      const claims = { sub: 'alice', exp: NOW_S + 10, megacomet: { subscribe: ['news/*'], publish: ['chat'] } };
      assert.deepEqual(await verify(issuer.policy(), await issuer.sign(claims)), {
        grant: { subject: 'alice', expiresAtMs: NOW_MS + 10_000, subscribe: ['news/*'], publish: ['chat'] },
      });
    });

    test(`of ${alg} that was changed in any part, or signed by somebody else, is refused`, async () => {
      const token = await issuer.sign({ sub: 'alice', exp: NOW_S + 10 });
      const [head, body, signature] = token.split('.');
      const other = base64({ sub: 'bob', exp: NOW_S + 10 });
      await refused(issuer.policy(), [head, other, signature].join('.'), /signature/);
      const flipped = Buffer.from(signature, 'base64url');
      flipped[3] ^= 1;
      await refused(issuer.policy(), [head, body, flipped.toString('base64url')].join('.'), /signature/);
      await refused(issuer.policy(), [head, body, ''].join('.'), /signature/);
      await refused(issuer.policy(), await new Issuer(alg).sign({ sub: 'alice' }), /signature/);
    });
  }

  test('EdDSA may be called Ed25519', async () => {
    const issuer = issuers.get('EdDSA')!;
    assert('grant' in (await verify(issuer.policy(), await issuer.sign({ sub: 'a' }, { alg: 'Ed25519' }))));
  });

  test('with alg none is refused, signed or not', async () => {
    for (const alg of ['none', 'None', 'NONE', '', undefined, 7]) {
      for (const signature of ['', 'AA']) {
        const token = `${base64({ alg, typ: 'JWT' })}.${base64({ sub: 'alice', megacomet: { subscribe: ['*'] } })}.${signature}`;
        for (const issuer of issuers.values()) await refused(issuer.policy(), token, /algorithm/);
      }
    }
  });

  test('signed with HS256 by the public key of a pair is refused', async () => {
    for (const alg of ['RS256', 'ES256', 'EdDSA'] as const) {
      const issuer = issuers.get(alg)!;
      const input = `${base64({ alg: 'HS256' })}.${base64({ sub: 'alice' })}`;
      for (const secret of [JSON.stringify(issuer.keys[0].jwk), issuer.file]) {
        const token = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
        await refused(issuer.policy(), token, /no key of this server is for its algorithm/);
      }
    }
  });

  test('that brings its own key, or the address of one, is refused', async () => {
    const issuer = new Issuer('ES256', 'k1');
    const other = new Issuer('ES256', 'k1');
    const header = { jwk: other.keys[0].jwk, jku: 'http://127.0.0.1:1/', x5u: 'http://127.0.0.1:1/' };
    await refused(issuer.policy(), await other.sign({ sub: 'alice' }, header), /signature/);
  });

  test('with a critical extension is refused', async () => {
    const issuer = issuers.get('HS256')!;
    const input = `${base64({ alg: 'HS256', crit: ['exp'], exp: 1 })}.${base64({ sub: 'alice' })}`;
    const token = `${input}.${createHmac('sha256', issuer.key as Buffer)
      .update(input)
      .digest('base64url')}`;
    await refused(issuer.policy(), token, /malformed/);
  });

  test('that is none is refused', async () => {
    const nonsense = [
      '',
      '.',
      '..',
      'a.b.c',
      'a.b',
      'a.b.c.d.e',
      `${base64('x')}.a.b`,
      `${base64({ alg: 'HS256' })}..`,
    ];
    for (const token of nonsense) {
      const found = await verify(issuers.get('HS256')!.policy(), token);
      assert('failure' in found, token);
    }
    const issuer = issuers.get('HS256')!;
    for (const claims of ['[]', '"a"', 'null', '7', '{', '{"exp":"1"}', '{"exp":null}', '{"nbf":"x"}']) {
      const input = `${base64({ alg: 'HS256' })}.${Buffer.from(claims).toString('base64url')}`;
      const token = `${input}.${createHmac('sha256', issuer.key as Buffer)
        .update(input)
        .digest('base64url')}`;
      await refused(issuer.policy(), token, /malformed/);
    }
  });

  test('with padding or white space is refused: it would be one of very many that are as good', async () => {
    const issuer = issuers.get('HS256')!;
    const token = await issuer.sign({ sub: 'a' });
    for (const other of [`${token}=`, `${token}\n`, ` ${token}`, token.replace('.', '. '), token.replace('.', '=.')]) {
      await refused(issuer.policy(), other, /no JSON Web Token/);
    }
  });

  test('that is too long is not looked at', async () => {
    const issuer = issuers.get('HS256')!;
    const token = await issuer.sign({ sub: 'a', pad: 'x'.repeat(TOKEN_BYTES_MAX) });
    await refused(issuer.policy(), token, /more than 4096 bytes/);
  });
});

describe('the time of a token', () => {
  const issuer = issuers.get('HS256')!;

  test('that is over makes it expired, one that has not come is no final reason', async () => {
    await refused(issuer.policy(), await issuer.sign({ exp: NOW_S }), /has expired/, 'token_expired');
    const early = await failure(issuer.policy(), await issuer.sign({ nbf: NOW_S + 1 }));
    assert.equal(early.final, false);
    assert.match(early.message, /not valid yet/);
    assert('grant' in (await verify(issuer.policy(), await issuer.sign({ exp: NOW_S + 1, nbf: NOW_S }))));
  });

  test('has the tolerance of the policy at both ends', async () => {
    const policy = issuer.policy({ toleranceSeconds: 5 });
    assert('grant' in (await verify(policy, await issuer.sign({ exp: NOW_S - 4, nbf: NOW_S + 5 }))));
    await refused(policy, await issuer.sign({ exp: NOW_S - 5 }), /has expired/, 'token_expired');
    await refused(policy, await issuer.sign({ nbf: NOW_S + 6 }), /not valid yet/);
  });

  test('may be unlimited', async () => {
    const verdict = await verify(issuer.policy(), await issuer.sign({ sub: 'device' }));
    assert.equal('grant' in verdict && verdict.grant.expiresAtMs, Number.POSITIVE_INFINITY);
  });
});

describe('issuer and audience', () => {
  const issuer = issuers.get('HS256')!;
  const policy = issuer.policy({ issuer: 'https://id.example', audience: 'push' });

  test('must be those of the policy, where it has any', async () => {
    const good = { iss: 'https://id.example', aud: ['web', 'push'] };
    assert('grant' in (await verify(policy, await issuer.sign(good))));
    assert('grant' in (await verify(policy, await issuer.sign({ ...good, aud: 'push' }))));
    await refused(
      policy,
      await issuer.sign({ ...good, iss: 'https://evil.example' }),
      /iss is not what this server wants/,
    );
    await refused(policy, await issuer.sign({ ...good, aud: 'pus' }), /aud is not what this server wants/);
    await refused(policy, await issuer.sign({ aud: 'push' }), /iss is missing/);
    await refused(policy, await issuer.sign({ iss: good.iss }), /aud is missing/);
  });
});

describe('of several keys', () => {
  const first = new Issuer('ES256', 'first');
  const second = new Issuer('ES256', 'second');
  const nameless = new Issuer('ES256');
  const policy = (keys: TokenKey[], rotates = false) => first.policy({ keys, rotates });

  test('the one that the token names counts, and no other', async () => {
    const keys = [...first.keys, ...second.keys];
    assert('grant' in (await verify(policy(keys), await second.sign({ sub: 'a' }))));
    await refused(policy(keys), await second.sign({ sub: 'a' }, { kid: 'first' }), /signature/);
    await refused(policy(keys), await second.sign({ sub: 'a' }, { kid: 'third' }), /does not know its key/);
  });

  test('all are tried by a token that names none, and those without a name by any', async () => {
    const keys = [...first.keys, ...second.keys, ...nameless.keys];
    assert('grant' in (await verify(policy(keys), await second.sign({ sub: 'a' }, { kid: undefined }))));
    assert('grant' in (await verify(policy(keys), await nameless.sign({ sub: 'a' }, { kid: 'whatever' }))));
  });

  test('not many are tried', async () => {
    const keys = Array.from({ length: 5 }, () => first.keys[0]);
    await refused(policy(keys), await second.sign({ sub: 'a' }, { kid: undefined }), /name its key by kid/);
  });

  test('a name that is unknown is a reason to look for new ones, where these come from an address', async () => {
    const token = await second.sign({ sub: 'a' });
    const { keyUnknown, counts } = await failure(policy(first.keys, true), token);
    assert.deepEqual([keyUnknown, counts], [true, false]);
    assert.equal((await failure(policy(first.keys, false), token)).keyUnknown, false);
    const forged = await second.sign({ sub: 'a' }, { kid: 'first' });
    assert.equal((await failure(policy(first.keys, true), forged)).keyUnknown, false);
  });
});
