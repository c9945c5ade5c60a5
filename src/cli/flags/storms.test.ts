import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Command } from 'commander';
import { addStormFlags, parseNetworks, parseWebhookUrl, type StormFlags, stormOptions } from './storms.js';

function parsed(...args: string[]): StormFlags {
  const command = addStormFlags(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  return command.parse(args, { from: 'user' }).opts<StormFlags>();
}

describe('options for storms', () => {
  it('are off unless they are asked for, but for the grace time', () => {
    assert.deepEqual(stormOptions(parsed()), {
      drainSeconds: 0,
      connectionsPerAddress: 0,
      acceptRate: 0,
      trustedProxies: [],
      webhook: null,
      presenceGraceSeconds: 10,
    });
  });

  it('are taken from the command line', () => {
    const flags = parsed(
      ...['--drain-seconds', '20', '--connections-per-address', '50', '--accept-rate', '1000'],
      ...['--trusted-proxy', '10.0.0.0/8, ::1', '--trusted-proxy', '192.0.2.7', '--presence-grace-seconds', '0'],
      ...['--webhook-url', 'https://app.example/hook', '--webhook-secret-file', '/etc/hook.secret'],
    );
    assert.deepEqual(stormOptions(flags), {
      drainSeconds: 20,
      connectionsPerAddress: 50,
      acceptRate: 1000,
      trustedProxies: ['10.0.0.0/8', '::1', '192.0.2.7'],
      webhook: { url: 'https://app.example/hook', secretFile: '/etc/hook.secret' },
      presenceGraceSeconds: 0,
    });
  });

  it('say that an address of a webhook needs a secret, and the other way round', () => {
    assert.throws(() => stormOptions(parsed('--webhook-url', 'http://a/')), /needs --webhook-secret-file/);
    assert.throws(() => stormOptions(parsed('--webhook-secret-file', 'a')), /needs --webhook-url/);
  });

  it('refuse what is no network', () => {
    for (const text of ['', 'proxy.example', '10.0.0.0/33', '10.0.0.0/', '::1/129', 'fe80::1%eth0', '10.0.0.0/8/8']) {
      assert.throws(() => parseNetworks(text), /Allowed: an IP address or a network/, text);
    }
  });

  it('refuse what is no address for a webhook', () => {
    for (const text of ['', 'app.example/hook', 'ftp://app.example/', 'https://user:pass@app.example/']) {
      assert.throws(() => parseWebhookUrl(text), /Allowed: an http or https address/, text);
    }
  });
});
