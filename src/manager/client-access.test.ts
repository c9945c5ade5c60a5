import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { TOKEN_KEYS_BYTES_MAX } from '../limits.js';
import { OPEN_POLICY } from '../link/policy.js';
import { Issuer } from '../tokens/testing/issuer.js';
import { ClientAccess } from './client-access.js';
import { createLogger } from './logger.js';
import type { AccessOptions } from './options.js';
import { Policies } from './policies.js';

const first = new Issuer('ES256', 'first');
const second = new Issuer('EdDSA', 'second');
const NO_FILES = { keys: [], warnings: [] };

describe('keys that an issuer publishes', () => {
  let server: Server;
  let url: string;
  let answer: { status?: number; headers?: Record<string, string>; body: string };
  let asked: number;
  let nowMs: number;
  let lines: string[];
  let policies: Policies;
  let access: ClientAccess;

  beforeEach(async () => {
    asked = 0;
    nowMs = 0;
    answer = { body: first.file };
    server = createServer((_request, response) => {
      asked++;
      response.writeHead(answer.status ?? 200, answer.headers).end(answer.body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    lines = [];
    policies = new Policies(OPEN_POLICY);
  });

  afterEach(() => {
    access.stop();
    server.close();
    server.closeAllConnections();
  });

  const options = (tokenJwksUrl: string | null): AccessOptions => ({
    anonymous: ['public/*'],
    tokenSecretFile: null,
    tokenKeysFile: null,
    tokenJwksUrl,
    tokenIssuer: 'https://id.example',
    tokenAudience: null,
    tokenToleranceSeconds: 7,
    origins: ['https://a.example'],
  });

  function start(): void {
    const logger = createLogger((line) => lines.push(line));
    access = new ClientAccess(policies, logger, options(url), NO_FILES, () => nowMs);
  }

  test('are in the policy as soon as they are there', async () => {
    start();
    assert.deepEqual(policies.current, {
      ...OPEN_POLICY,
      anonymous: ['public/*'],
      origins: ['https://a.example'],
      tokens: {
        keys: [],
        issuer: 'https://id.example',
        audience: null,
        toleranceSeconds: 7,
        rotates: true,
        complete: false,
      },
    });
    await access.refresh();
    assert.deepEqual(policies.current.tokens?.keys, first.keys);
    assert.equal(policies.current.tokens?.complete, true);
  });

  test('are fetched once for all who ask at one time, and not again at once', async () => {
    start();
    await Promise.all([access.refresh(), access.refresh()]);
    await access.refresh();
    assert.equal(asked, 1);
  });

  for (const [name, wrong, reason] of [
    ['fails', { status: 500, body: 'oops' }, /it answers 500/],
    ['is no JSON', { body: '<html>' }, /its answer is no JSON/],
    ['has no key for us', { body: '{"keys":[]}' }, /no key that verifies/],
    ['leads elsewhere', { status: 302, headers: { location: '/other' }, body: '' }, /redirect/],
    [
      'is too large',
      { body: JSON.stringify({ keys: [], pad: 'x'.repeat(TOKEN_KEYS_BYTES_MAX) }) },
      /more than 262144 bytes/,
    ],
  ] as const) {
    test(`stay when their address ${name}`, async () => {
      start();
      await access.refresh();
      answer = wrong;
      nowMs = 6000;
      await access.refresh();
      assert.match(lines.at(-1)!, reason);
      assert.match(lines.at(-1)!, /the last ones stay/);
      assert.deepEqual(policies.current.tokens?.keys, first.keys);
      assert.equal(policies.current.tokens?.complete, true);
    });
  }

  test('are not there, and known not to be, where the first fetch fails', async () => {
    answer = { status: 503, body: '' };
    start();
    await access.refresh();
    assert.match(lines.at(-1)!, /there are none, and tokens cannot be verified/);
    assert.equal(policies.current.tokens?.complete, false);
  });

  test('are exchanged when the issuer has others', async () => {
    start();
    await access.refresh();
    answer = { body: second.file };
    nowMs = 6000;
    await access.refresh();
    assert.deepEqual(policies.current.tokens?.keys, second.keys);
    assert.match(lines.at(-1)!, /keys of tokens fetched .*second \(EdDSA\)/);
  });

  test('of an address that stays the same stay with other options', async () => {
    start();
    await access.refresh();
    access.change({ ...options(url), tokenIssuer: null }, { keys: second.keys, warnings: ['mend this'] });
    assert.deepEqual(policies.current.tokens?.keys, [...second.keys, ...first.keys]);
    assert.equal(policies.current.tokens?.issuer, null);
    assert(lines.some((line) => line.includes('mend this')));
  });

  test('are no more when nobody names their address', async () => {
    start();
    await access.refresh();
    access.change(options(null), NO_FILES);
    assert.equal(policies.current.tokens, null);
  });
});
