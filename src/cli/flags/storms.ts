/** The options of `serve` for very many clients that come or go at once: drains, limits, webhooks. Rules and defaults are here. */

import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { DRAIN_SECONDS_MAX, PRESENCE_GRACE_SECONDS } from '../../limits.js';
import type { StormOptions } from '../../manager/options.js';
import { UsageError } from '../errors.js';
import { flag, listFlag } from '../flag.js';
import { integer } from '../options.js';

/** As commander parses them. */
export interface StormFlags {
  drainSeconds: number;
  connectionsPerAddress: number;
  acceptRate: number;
  trustedProxy: string[];
  webhookUrl?: string;
  webhookSecretFile?: string;
  presenceGraceSeconds: number;
}

const HOUR_SECONDS = 3600;

export function addStormFlags(command: Command): Command {
  return command
    .addOption(
      flag(
        '--drain-seconds <s>',
        'on SIGTERM, end clients evenly over so long, with advice when to come back; 0: at once',
        integer(0, DRAIN_SECONDS_MAX, 'seconds'),
        0,
      ),
    )
    .addOption(
      flag(
        '--connections-per-address <count>',
        'connections of one address (IPv6: of one /64 network), 0: any number',
        integer(0, 1_000_000),
        0,
      ),
    )
    .addOption(
      flag(
        '--accept-rate <count>',
        'new connections a second, all workers together, 0: any number',
        integer(0, 10_000_000),
        0,
      ),
    )
    .addOption(
      listFlag(
        '--trusted-proxy <address>',
        'proxy whose X-Forwarded-For is believed: an IP address or network (10.0.0.0/8); may be repeated',
        parseNetworks,
      ),
    )
    .addOption(
      flag('--webhook-url <url>', 'where connected and disconnected clients are reported (POST)', parseWebhookUrl),
    )
    .addOption(
      flag('--webhook-secret-file <path>', 'file with the secret that signs webhooks', (text) => resolve(text)),
    )
    .addOption(
      flag(
        '--presence-grace-seconds <s>',
        'a client that is back within so long was never gone, for webhooks and presence',
        integer(0, HOUR_SECONDS, 'seconds'),
        PRESENCE_GRACE_SECONDS,
      ),
    );
}

/** @throws UsageError where one of them lacks another */
export function stormOptions(flags: StormFlags): StormOptions {
  const { webhookUrl: url, webhookSecretFile: secretFile } = flags;
  if (url !== undefined && secretFile === undefined) {
    throw new UsageError('--webhook-url needs --webhook-secret-file: webhooks are signed');
  }
  if (url === undefined && secretFile !== undefined) throw new UsageError('--webhook-secret-file needs --webhook-url');
  return {
    drainSeconds: flags.drainSeconds,
    connectionsPerAddress: flags.connectionsPerAddress,
    acceptRate: flags.acceptRate,
    trustedProxies: flags.trustedProxy,
    webhook: url === undefined || secretFile === undefined ? null : { url, secretFile },
    presenceGraceSeconds: flags.presenceGraceSeconds,
  };
}

/** Addresses and networks, separated by commas. */
export function parseNetworks(text: string): string[] {
  return text.split(',').map((part) => {
    const network = part.trim();
    const [address, bits, ...rest] = network.split('/');
    const family = address.includes('%') ? 0 : isIP(address);
    const bitsMax = family === 4 ? 32 : 128;
    const valid =
      family !== 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax));
    if (!valid) {
      throw new InvalidArgumentError('Allowed: an IP address or a network, such as 192.0.2.7, 10.0.0.0/8 or fd00::/8.');
    }
    return network;
  });
}

/** @returns the address as it was given */
export function parseWebhookUrl(text: string): string {
  const rule = 'Allowed: an http or https address, without user and password.';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidArgumentError(rule);
  }
  if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new InvalidArgumentError(rule);
  }
  return text;
}
