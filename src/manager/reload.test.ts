import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServeOptions } from './options.js';
import { reloadedOptions } from './reload.js';

const CURRENT: ServeOptions = {
  host: '127.0.0.1',
  apiHost: '0.0.0.0',
  clientPorts: [8000],
  classicPort: null,
  apiPort: 9001,
  apiKeysFile: '/etc/keys',
  workers: 2,
  maxConnections: 1000,
  runDirectory: '/run/megacomet',
  log: 'memory',
  dataDirectory: '/var/lib/megacomet',
  fsync: 'interval',
  retention: { seconds: 60, messages: 100, bytes: 1000, totalBytes: 10_000, rules: [] },
  clientPublish: ['chat/*'],
  logFormat: 'json',
  logLevel: 'info',
  testEcho: false,
  orphanSeconds: 60,
  access: {
    anonymous: ['*'],
    tokenSecretFile: null,
    tokenKeysFile: null,
    tokenJwksUrl: null,
    tokenIssuer: null,
    tokenAudience: null,
    tokenToleranceSeconds: 5,
    origins: null,
  },
  storms: {
    drainSeconds: 0,
    connectionsPerAddress: 0,
    acceptRate: 0,
    trustedProxies: [],
    webhook: null,
    presenceGraceSeconds: 10,
  },
  reactor: 'epoll',
};

test('what can be changed is, and the rest stays as it is', () => {
  const retention = { ...CURRENT.retention, rules: [{ pattern: 'a', messages: 1 }] };
  const storms = { ...CURRENT.storms, acceptRate: 100, webhook: { url: 'http://a', secretFile: '/b' } };
  const next = { ...CURRENT, workers: 3, retention, clientPublish: ['chat/*'], storms };
  const { options, report } = reloadedOptions(CURRENT, next);
  assert.deepEqual(report, { changed: ['retain-*', 'accept-rate'], fixed: ['workers', 'webhook-*'] });
  assert.deepEqual(options, { ...CURRENT, retention, storms: { ...CURRENT.storms, acceptRate: 100 } });
});

test('the same options again change nothing', () => {
  const { options, report } = reloadedOptions(CURRENT, structuredClone(CURRENT));
  assert.deepEqual(report, { changed: [], fixed: [] });
  assert.deepEqual(options, CURRENT);
});
