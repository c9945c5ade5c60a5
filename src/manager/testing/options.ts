/** Options of a small server on loopback, with its log in memory, that lets everybody listen. */

import { join } from 'node:path';
import type { ServeOptions } from '../options.js';

/** @param changes other values for some of them */
export function serveOptions(runDirectory: string, changes: Partial<ServeOptions> = {}): ServeOptions {
  return {
    host: '127.0.0.1',
    apiHost: '127.0.0.1',
    apiKeysFile: null,
    clientPorts: [0],
    classicPort: 0,
    apiPort: 0,
    workers: 2,
    maxConnections: 100,
    runDirectory,
    retention: { seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 1 << 26 },
    log: 'memory',
    dataDirectory: join(runDirectory, 'data'),
    fsync: 'interval',
    clientPublish: ['chat/*'],
    logFormat: 'text',
    logLevel: 'info',
    testEcho: false,
    orphanSeconds: 10,
    reactor: 'epoll',
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
    ...changes,
  };
}
