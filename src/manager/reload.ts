/** Which options can be changed while the server serves, and what becomes of those of a reload. */

import type { AccessOptions, ServeOptions, StormOptions } from './options.js';

/** The option (or the group of options) behind a member, and whether a reload takes it. */
interface Member {
  option: string;
  reloads: boolean;
}

type Members<T> = { readonly [Name in keyof T]: Member };

const STORM_OPTIONS: Members<StormOptions> = {
  drainSeconds: { option: 'drain-seconds', reloads: true },
  connectionsPerAddress: { option: 'connections-per-address', reloads: true },
  acceptRate: { option: 'accept-rate', reloads: true },
  trustedProxies: { option: 'trusted-proxy', reloads: true },
  webhook: { option: 'webhook-*', reloads: false },
  presenceGraceSeconds: { option: 'presence-grace-seconds', reloads: true },
};

const ACCESS_OPTIONS: Members<AccessOptions> = {
  anonymous: { option: 'anonymous', reloads: true },
  tokenSecretFile: { option: 'token-secret-file', reloads: true },
  tokenKeysFile: { option: 'token-keys', reloads: true },
  tokenJwksUrl: { option: 'token-jwks-url', reloads: true },
  tokenIssuer: { option: 'token-issuer', reloads: true },
  tokenAudience: { option: 'token-audience', reloads: true },
  tokenToleranceSeconds: { option: 'token-tolerance-seconds', reloads: true },
  origins: { option: 'origin', reloads: true },
};

const OPTIONS: Members<Omit<ServeOptions, 'access' | 'storms'>> = {
  host: { option: 'host', reloads: false },
  apiHost: { option: 'api-host', reloads: false },
  clientPorts: { option: 'client-ports', reloads: false },
  classicPort: { option: 'classic-port', reloads: false },
  apiPort: { option: 'api-port', reloads: false },
  apiKeysFile: { option: 'api-keys', reloads: true },
  workers: { option: 'workers', reloads: false },
  maxConnections: { option: 'max-connections', reloads: false },
  runDirectory: { option: 'run-dir', reloads: false },
  log: { option: 'log', reloads: false },
  dataDirectory: { option: 'data-dir', reloads: false },
  fsync: { option: 'fsync', reloads: false },
  retention: { option: 'retain-*', reloads: true },
  clientPublish: { option: 'client-publish', reloads: true },
  logFormat: { option: 'log-format', reloads: false },
  logLevel: { option: 'log-level', reloads: false },
  testEcho: { option: 'test-echo', reloads: false },
  orphanSeconds: { option: 'orphan-seconds', reloads: false },
  reactor: { option: 'reactor', reloads: false },
};

/** What a reload came to. Key files were read again, whether the options that name them have changed or not. */
export interface ReloadReport {
  /** Options that are in effect now, by name. */
  changed: string[];
  /** Options that have other values than before, which count from the next start. */
  fixed: string[];
}

/** The options of the server after a reload, and its report. */
export function reloadedOptions(
  current: ServeOptions,
  next: ServeOptions,
): { options: ServeOptions; report: ReloadReport } {
  const report: ReloadReport = { changed: [], fixed: [] };
  const options = { ...current, ...taken(OPTIONS, current, next, report) };
  options.access = { ...current.access, ...taken(ACCESS_OPTIONS, current.access, next.access, report) };
  options.storms = { ...current.storms, ...taken(STORM_OPTIONS, current.storms, next.storms, report) };
  return { options, report };
}

/** The members of `next` that a reload takes. */
function taken<T>(members: Members<T>, current: T, next: T, report: ReloadReport): Partial<T> {
  const values: Partial<T> = {};
  for (const name of Object.keys(members) as (keyof T)[]) {
    const { option, reloads } = members[name];
    if (reloads) values[name] = next[name];
    if (JSON.stringify(current[name]) === JSON.stringify(next[name])) continue;
    (reloads ? report.changed : report.fixed).push(option);
  }
  return values;
}
