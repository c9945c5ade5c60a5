/** What a worker is told by its manager at its start: one JSON argument of src/worker/main.ts. */

import type { LogFormat, LogLevel } from '../log-line.js';
import type { ReactorName } from '../reactor/reactor.js';

export interface WorkerConfig {
  /** The worker's number, from 0. */
  worker: number;
  runDirectory: string;
  /** Inherited listening sockets, or null where the manager hands clients over, and the `host:port` of each. */
  listeners: { descriptor: number | null; address: string }[];
  /** Client connections that this worker may hold. */
  maxConnections: number;
  orphanSeconds: number;
  /** How it logs, to stderr. */
  logFormat: LogFormat;
  logLevel: LogLevel;
  reactor: ReactorName;
  /** Serve /echo, for conformance suites. */
  testEcho: boolean;
}
