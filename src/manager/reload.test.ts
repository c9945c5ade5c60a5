import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reloadedOptions } from './reload.js';
import { serveOptions } from './testing/options.js';

const CURRENT = serveOptions('/run/megacomet', {
  apiHost: '0.0.0.0',
  clientPorts: [8000],
  apiKeysFile: '/etc/keys',
  retention: { seconds: 60, messages: 100, bytes: 1000, totalBytes: 10_000, rules: [] },
});

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
