import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, test } from 'node:test';
import { TOKEN_KEYS_MAX } from '../limits.js';
import { keysOfFile, keysOfSet, secretKey } from './keys.js';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');

const pem = (key: KeyObject) =>
  key.export({ format: 'pem', type: key.type === 'private' ? 'pkcs8' : 'spki' }).toString();
const jwk = (key: KeyObject, members = {}) => ({ ...key.export({ format: 'jwk' }), ...members });

describe('a secret', () => {
  test('is what its file has, without the white space at its end', () => {
    const bytes = 'x y'.repeat(11);
    const { jwk, alg, kid } = secretKey(Buffer.from(`${bytes}\r\n`));
    assert.deepEqual([jwk['k'], alg, kid], [Buffer.from(bytes).toString('base64url'), 'HS256', null]);
    assert.deepEqual(secretKey(Buffer.from(bytes)), { jwk, alg, kid });
  });

  test('keeps a byte at its end that is white space only in Latin-1', () => {
    const bytes = Buffer.from(`${'x'.repeat(30)}à`);
    assert.equal(secretKey(bytes).jwk['k'], bytes.toString('base64url'));
  });

  test('that is short is refused', () => {
    assert.throws(() => secretKey(Buffer.from(`${'x'.repeat(31)}\n`)), /at least 32 bytes, this one has 31/);
    assert.throws(() => secretKey(Buffer.from(' \n')), /this one has 0/);
  });
});

describe('a file of keys', () => {
  test('has PEM blocks, each with the algorithm of its kind', () => {
    const keys = keysOfFile(`# ours\n${pem(rsa.publicKey)}${pem(ec.publicKey)}\n${pem(ed.publicKey)}`);
    assert.deepEqual(
      keys.map(({ alg, kid }) => [alg, kid]),
      [
        ['RS256', null],
        ['ES256', null],
        ['EdDSA', null],
      ],
    );
    assert.deepEqual(keys[1].jwk, jwk(ec.publicKey));
  });

  test('or a JSON Web Key Set, in which keys have names', () => {
    const set = {
      keys: [jwk(rsa.publicKey, { kid: 'r', alg: 'RS256', use: 'sig', x5c: ['long'] }), jwk(ed.publicKey)],
    };
    const keys = keysOfFile(` ${JSON.stringify(set)}`);
    assert.deepEqual(
      keys.map(({ alg, kid }) => [alg, kid]),
      [
        ['RS256', 'r'],
        ['EdDSA', null],
      ],
    );
    assert.deepEqual(keys[0].jwk, jwk(rsa.publicKey), 'nothing but the key');
  });

  const set = (...keys: object[]) => JSON.stringify({ keys });
  const wrong: [string, string, RegExp][] = [
    ['nothing', ' \n', /empty/],
    ['a private key', pem(ec.privateKey), /has a private key; give the server the public one/],
    ['a private key beside a public one', pem(ec.publicKey) + pem(rsa.privateKey), /has a private key/],
    ['something else', 'hello', /neither PEM blocks nor a JSON Web Key Set/],
    ['a damaged block', pem(ec.publicKey).replace(/\n.{20}/, '\n'), /cannot be read as a public key/],
    ['broken JSON', '{"keys":[', /no JSON/],
    ['one key that is no set', JSON.stringify(jwk(ec.publicKey)), /an object with an array 'keys'/],
    ['an empty set', set(), /no key that verifies/],
    ['a private JWK', set(jwk(ec.privateKey)), /key 1: it is a private key/],
    ['a secret JWK', set(jwk(ec.publicKey), { kty: 'oct', k: 'AAAA' }), /key 2: it is a secret.*--token-secret-file/],
    ['a key for encryption', set(jwk(rsa.publicKey, { use: 'enc' })), /its use is not 'sig'/],
    ['a key for signing', set(jwk(rsa.publicKey, { key_ops: ['sign'] })), /key_ops do not have 'verify'/],
    ['a key of another algorithm', set(jwk(rsa.publicKey, { alg: 'PS256' })), /its alg is not RS256/],
    ['a name that is none', set(jwk(rsa.publicKey, { kid: 7 })), /kid is no string/],
    ['a point that is not on its curve', set(jwk(ec.publicKey, { y: jwk(ec.publicKey).x })), /cannot be used/],
    ['no key', set([]), /cannot be used/],
    [
      'another curve',
      pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey),
      /none of RSA, EC P-256 and Ed25519/,
    ],
    [
      'a small RSA key',
      pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
      /at least 2048 bits, this one has 1024/,
    ],
    ['too many', set(...Array.from({ length: TOKEN_KEYS_MAX + 1 }, () => jwk(ed.publicKey))), /65 keys, of 64 at most/],
  ];
  for (const [name, text, message] of wrong) {
    test(`with ${name} is refused`, () => {
      assert.throws(() => keysOfFile(text), message);
    });
  }
});

test('of a set that somebody publishes, keys for something else are left out', () => {
  const keys = [
    jwk(rsa.publicKey, { use: 'enc' }),
    jwk(rsa.publicKey, { alg: 'RS512' }),
    { kty: 'oct', k: 'AAAA' },
    null,
    jwk(ec.publicKey, { kid: 'e' }),
  ];
  assert.deepEqual(
    keysOfSet({ keys }, 'usable').map(({ alg, kid }) => [alg, kid]),
    [['ES256', 'e']],
  );
  assert.throws(() => keysOfSet({ keys: keys.slice(0, 4) }, 'usable'), /no key that verifies/);
  assert.throws(() => keysOfSet(null, 'usable'), /an object with an array 'keys'/);
});
