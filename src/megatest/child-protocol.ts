/**
 * What parent and child processes of a megatest tell each other (child_process IPC, structured clone).
 *
 *     parent                      child
 *       ── ChildConfig ──────────▶         first message: prepare
 *       ◀─────────────── Ready ──
 *       ── 'go' ─────────────────▶         begin to connect
 *       ◀────────── ChildReport ──         four times a second
 *       ── 'reopen' ─────────────▶         from now on: connect again where a connection is lost, or do not
 *       ── 'stop' ───────────────▶         end all connections
 *       ◀────────── ChildReport ──         the last one; then the child exits
 *
 * A child that loses its parent (disconnect) exits at once; the kernel ends its connections.
 */

import type { Endpoint } from './addresses.js';
import type { Backend } from './backend.js';

export interface ClientsConfig {
  targets: Endpoint[];
  sources: string[];
  prefix: string;
  /** This process has the clients numbered from here … */
  firstClient: number;
  /** … so many. */
  clientCount: number;
  /** Connections begun in a second, by this process. */
  rate: number;
  /** Connections being established at a time. */
  connectingMax: number;
  timeoutMs: number;
  reopen: boolean;
  reactor: Backend;
  run: string;
  messageBytes: number;
}

export type ParentMessage =
  | { kind: 'prepare'; config: ClientsConfig }
  | { kind: 'go' }
  | { kind: 'reopen'; reopen: boolean }
  | { kind: 'stop' };

export type ChildMessage = { kind: 'ready' } | { kind: 'report'; report: ChildReport };

/** Everything since the start, except for the receipts, which are those since the last report. */
export interface ChildReport {
  opened: number;
  repolls: number;
  /** Clients whose first poll is decided: opened or failed. */
  decided: number;
  /** Connections open and waiting for a message. */
  waiting: number;
  /** Re-polls that wait for their turn, or are being established, and answered ones that the server has not closed yet. */
  turning: number;
  /** Processes that connect again where a connection is lost: 1 or 0. */
  reopening: number;
  failed: Record<string, number>;
  dropped: Record<string, number>;
  misdelivered: number;
  strays: number;
  /** When the last first poll was established, in microseconds of CLOCK_MONOTONIC. */
  lastOpenedUs: number;
  /** The same of the last poll of all, first or not. */
  lastPolledUs: number;
  /** Messages that came to the right client: sequence and microseconds since they were sent, pairwise. */
  sequences: Uint32Array;
  latenciesUs: Uint32Array;
}
