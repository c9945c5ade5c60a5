import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { TOKEN_KEYS_BYTES_MAX } from '../limits.js';
import { Issuer } from '../tokens/testing/issuer.js';
import type { AccessOptions } from './options.js';
import { readTokenFiles, TokenKeyError } from './token-files.js';

const OPTIONS: AccessOptions = {
  anonymous: [],
  tokenSecretFile: null,
  tokenKeysFile: null,
  tokenJwksUrl: null,
  tokenIssuer: null,
  tokenAudience: null,
  tokenToleranceSeconds: 0,
  origins: null,
};

describe('files of tokens', () => {
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'megacomet-keys-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const file = (name: string, content: string, mode = 0o600): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };

  test('give the secret and the keys', () => {
    const hs = new Issuer('HS256');
    const es = new Issuer('ES256', 'e');
    const tokenSecretFile = file('secret', `${hs.file}\n`);
    const tokenKeysFile = file('keys.json', es.file, 0o644);
    const { keys, warnings } = readTokenFiles({ ...OPTIONS, tokenSecretFile, tokenKeysFile });
    assert.deepEqual(keys, [...hs.keys, ...es.keys]);
    assert.deepEqual(warnings, []);
    assert.deepEqual(readTokenFiles(OPTIONS), { keys: [], warnings: [] });
  });

  test('are told of where others may read the secret', () => {
    const tokenSecretFile = file('open', new Issuer('HS256').file, 0o640);
    assert.match(readTokenFiles({ ...OPTIONS, tokenSecretFile }).warnings[0], /others may read .*chmod 600/);
  });

  test('that cannot be used are refused with their option, their path and why', () => {
    const refused = (options: Partial<AccessOptions>, message: RegExp) =>
      assert.throws(
        () => readTokenFiles({ ...OPTIONS, ...options }),
        (error: Error) => error instanceof TokenKeyError && message.test(error.message),
        String(message),
      );
    refused({ tokenSecretFile: join(directory, 'none') }, /^--token-secret-file .*\/none: there is no such file/);
    refused({ tokenSecretFile: file('short', 'x'.repeat(20)) }, /\/short: a secret for HS256 needs at least 32 bytes/);
    refused({ tokenKeysFile: file('empty', '') }, /^--token-keys .*\/empty: it is empty/);
    refused({ tokenKeysFile: file('large', 'x'.repeat(TOKEN_KEYS_BYTES_MAX + 1)) }, /\/large: it has 262145 bytes/);
    mkdirSync(join(directory, 'directory'));
    refused({ tokenKeysFile: join(directory, 'directory') }, /\/directory: it is a directory/);
  });
});
