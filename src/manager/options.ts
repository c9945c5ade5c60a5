/** What `serve` was asked for, validated (src/cli/) and complete: the manager adds no defaults of its own. */

import type { Retention } from '../log/log.js';
import type { LogFormat, LogLevel } from '../log-line.js';
import type { ReactorName } from '../reactor/reactor.js';

/** For very many clients that come or go at once. */
export interface StormOptions {
  /** Over how long SIGTERM ends the clients; 0: at once. */
  drainSeconds: number;
  /** Connections that one address may have; 0: any number. */
  connectionsPerAddress: number;
  /** New connections a second, all workers together; 0: any number. */
  acceptRate: number;
  /** Addresses and networks of proxies. */
  trustedProxies: string[];
  /** Where connected and disconnected clients are reported; absolute path of the file with the secret. */
  webhook: { url: string; secretFile: string } | null;
  presenceGraceSeconds: number;
}

/** Whom clients are let in as. */
export interface AccessOptions {
  /** Channels that may be subscribed to without a token: names, or prefixes followed by `*`. */
  anonymous: string[];
  /** Absolute paths of the files with the secret for HS256, and with public keys. */
  tokenSecretFile: string | null;
  tokenKeysFile: string | null;
  /** Where an issuer publishes its keys. */
  tokenJwksUrl: string | null;
  /** What `iss` and `aud` of tokens must be; null: anything. */
  tokenIssuer: string | null;
  tokenAudience: string | null;
  /** How far clocks may be apart. */
  tokenToleranceSeconds: number;
  /** Origins of pages that may come; null: all. */
  origins: string[] | null;
}

export interface ServeOptions {
  /** Address for clients; others for the API and the classic application port. */
  host: string;
  apiHost: string;
  clientPorts: number[];
  /** 0 lets the kernel choose; null: no classic application port. */
  classicPort: number | null;
  apiPort: number;
  /** Absolute path of the file of the API's keys; null: it has none, and everybody who reaches it may do everything. */
  apiKeysFile: string | null;
  workers: number;
  /** All workers together. */
  maxConnections: number;
  /** Absolute path; holds manager.sock, listeners.sock, manager.json, lock, workers/. */
  runDirectory: string;
  /** Where publications are kept: lost with the manager, or on disk in `dataDirectory`. */
  log: 'memory' | 'lmdb';
  /** Absolute path; used by 'lmdb' alone. */
  dataDirectory: string;
  /** When 'lmdb' has the disk confirm what it wrote: src/log/lmdb.ts says what each survives. */
  fsync: 'always' | 'interval' | 'never';
  retention: Retention;
  /** Channels to which clients may publish: names, or prefixes followed by `*`. */
  clientPublish: string[];
  /** How manager and workers log, to stderr. */
  logFormat: LogFormat;
  logLevel: LogLevel;
  /** Serve /echo on the client ports, for conformance suites. */
  testEcho: boolean;
  /** Workers end themselves after so long without a manager. */
  orphanSeconds: number;
  access: AccessOptions;
  storms: StormOptions;
  /** What the workers use; 'auto' has been decided. */
  reactor: ReactorName;
}
