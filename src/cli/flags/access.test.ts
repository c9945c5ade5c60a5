import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Command } from 'commander';
import { type AccessFlags, accessOptions, addAccessFlags, parseJwksUrl, parseOrigins } from './access.js';

function parsed(...args: string[]): AccessFlags {
  const command = addAccessFlags(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  return command.parse(args, { from: 'user' }).opts<AccessFlags>();
}

const NOTHING = {
  anonymous: ['*'],
  tokenSecretFile: null,
  tokenKeysFile: null,
  tokenJwksUrl: null,
  tokenIssuer: null,
  tokenAudience: null,
  tokenToleranceSeconds: 5,
  origins: null,
};

describe('options of access', () => {
  it('let everybody in unless they say otherwise', () => {
    assert.deepEqual(accessOptions(parsed()), NOTHING);
  });

  it('let nobody in without a token as soon as there are keys of tokens, but where they say so', () => {
    for (const [option, value] of [
      ['--token-secret-file', '/etc/secret'],
      ['--token-keys', '/etc/keys.pem'],
      ['--token-jwks-url', 'https://id.example/jwks.json'],
    ]) {
      assert.deepEqual(accessOptions(parsed(option, value)).anonymous, []);
      assert.deepEqual(accessOptions(parsed(option, value, '--anonymous', 'public/*,lobby')).anonymous, [
        'public/*',
        'lobby',
      ]);
    }
  });

  it('are taken from the command line', () => {
    const args = ['--token-secret-file', '/s', '--token-keys', '/k', '--token-jwks-url', 'https://id.example/jwks'];
    args.push('--token-issuer', 'https://id.example', '--token-audience', 'push', '--token-tolerance-seconds', '0');
    args.push('--origin', 'https://a.example', '--origin', 'https://b.example:8443, https://a.example/');
    assert.deepEqual(accessOptions(parsed(...args)), {
      anonymous: [],
      tokenSecretFile: '/s',
      tokenKeysFile: '/k',
      tokenJwksUrl: 'https://id.example/jwks',
      tokenIssuer: 'https://id.example',
      tokenAudience: 'push',
      tokenToleranceSeconds: 0,
      origins: ['https://a.example', 'https://b.example:8443'],
    });
  });

  it('about the claims of tokens need keys', () => {
    assert.throws(() => accessOptions(parsed('--token-issuer', 'a')), /--token-issuer needs keys of tokens/);
    assert.throws(() => accessOptions(parsed('--token-audience', 'a')), /--token-audience needs keys of tokens/);
  });

  it('refuse what is no origin, and origins that anybody can have', () => {
    for (const text of [
      '',
      'null',
      '*',
      'a.example',
      'https://a.example/path',
      'https://*.a.example/x',
      'file:///a',
      'ftp://a',
      'https://u@a.example',
    ]) {
      assert.throws(() => parseOrigins(text), /Allowed: an origin/, text);
    }
    assert.deepEqual(parseOrigins('HTTPS://A.Example:443'), ['https://a.example']);
  });

  it('refuse what is no address of keys', () => {
    for (const text of ['', 'id.example/jwks', 'file:///jwks', 'https://user:pass@id.example/']) {
      assert.throws(() => parseJwksUrl(text), /Allowed: an http or https address/, text);
    }
  });
});
