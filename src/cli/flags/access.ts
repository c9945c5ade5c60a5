/** The options of `serve` about its clients: who may listen without a token, the keys of tokens, the origins of pages. */

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { AccessOptions } from '../../manager/options.js';
import { UsageError } from '../errors.js';
import { flag, listFlag } from '../flag.js';
import { integer, parseChannelPatterns, parsePath } from '../options.js';

/** As commander parses them. */
export interface AccessFlags {
  anonymous: string[];
  tokenSecretFile?: string;
  tokenKeys?: string;
  tokenJwksUrl?: string;
  tokenIssuer?: string;
  tokenAudience?: string;
  tokenToleranceSeconds: number;
  origin: string[];
}

const TOLERANCE_SECONDS = 5;
const TOLERANCE_SECONDS_MAX = 300;
const ORIGINS_MAX = 64;
const CLAIM_BYTES_MAX = 512;

const file = (text: string): string => resolve(parsePath(text));

export function addAccessFlags(command: Command): Command {
  return command
    .addOption(
      listFlag(
        '--anonymous <pattern>',
        "channel that may be listened to without a token, or prefix with '*'; may be repeated",
        parseChannelPatterns,
      ).default([], 'all, or none where tokens have keys'),
    )
    .addOption(flag('--token-secret-file <path>', 'file with the secret of tokens that are signed by HS256', file))
    .addOption(flag('--token-keys <path>', 'file with public keys of tokens: PEM or a JSON Web Key Set', file))
    .addOption(flag('--token-jwks-url <url>', "address of a JSON Web Key Set with an issuer's keys", parseJwksUrl))
    .addOption(flag('--token-issuer <name>', 'what iss of tokens must be', parseClaim))
    .addOption(flag('--token-audience <name>', 'what aud of tokens must be or have', parseClaim))
    .addOption(
      flag(
        '--token-tolerance-seconds <s>',
        'how far the clocks of server and issuer may be apart',
        integer(0, TOLERANCE_SECONDS_MAX, 'seconds'),
        TOLERANCE_SECONDS,
      ),
    )
    .addOption(
      listFlag('--origin <origin>', 'origin of pages that may use the server; may be repeated', parseOrigins).default(
        [],
        'all',
      ),
    );
}

/** @throws UsageError where one of them makes no sense without another */
export function accessOptions(flags: AccessFlags): AccessOptions {
  const { tokenSecretFile = null, tokenKeys: tokenKeysFile = null, tokenJwksUrl = null } = flags;
  const { tokenIssuer = null, tokenAudience = null, tokenToleranceSeconds, anonymous } = flags;
  const takesTokens = tokenSecretFile !== null || tokenKeysFile !== null || tokenJwksUrl !== null;
  for (const [option, value] of Object.entries({ '--token-issuer': tokenIssuer, '--token-audience': tokenAudience })) {
    if (value !== null && !takesTokens) {
      throw new UsageError(`${option} needs keys of tokens: --token-secret-file, --token-keys or --token-jwks-url`);
    }
  }
  const origins = [...new Set(flags.origin)];
  if (origins.length > ORIGINS_MAX)
    throw new UsageError(`--origin was given ${origins.length} times: ${ORIGINS_MAX} at most`);
  return {
    anonymous: anonymous.length === 0 && !takesTokens ? ['*'] : anonymous,
    tokenSecretFile,
    tokenKeysFile,
    tokenJwksUrl,
    tokenIssuer,
    tokenAudience,
    tokenToleranceSeconds,
    origins: origins.length === 0 ? null : origins,
  };
}

/** An address of keys. */
export function parseJwksUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const fits =
    url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && !url.hash;
  if (!fits) throw new InvalidArgumentError('Allowed: an http or https address, without user and password.');
  return url.href;
}

/** Origins (RFC 6454 section 6.2), separated by commas, as browsers send them. */
export function parseOrigins(text: string): string[] {
  return text.split(',').map((part) => {
    const origin = part.trim();
    const url = URL.canParse(origin) ? new URL(origin) : null;
    // `null` is what every sandboxed page and every file has, whoever made it.
    if (url !== null && url.origin !== 'null' && url.href === `${url.origin}/` && /^https?:$/.test(url.protocol)) {
      return url.origin;
    }
    throw new InvalidArgumentError(
      "Allowed: an origin such as https://app.example.org, without a path; not 'null' and no '*'.",
    );
  });
}

function parseClaim(text: string): string {
  if (text === '' || Buffer.byteLength(text) > CLAIM_BYTES_MAX) {
    throw new InvalidArgumentError(`Allowed: 1 to ${CLAIM_BYTES_MAX} bytes.`);
  }
  return text;
}
