/** What a megatest found. This is the object that --json prints: its fields are part of the interface. */

import type { ServerCost } from './server-cost.js';

export interface MegatestResult {
  /** Eight hexadecimal digits that mark the messages of this run. */
  run: string;
  connections: number;
  processes: number;
  sourceAddresses: number;
  /** Clients whose first poll was established. */
  opened: number;
  /** Polls that could not be established or got a wrong answer, and why: an errno, `HTTP 503`, `MALFORMED`. */
  failed: number;
  failedByReason: Record<string, number>;
  /** From the first connect() to the last one that was established. */
  seconds: number;
  connectionsPerSecond: number;
  /** Polls open at the end. What the server has not accepted yet is open as well: only messages tell the difference. */
  held: number;
  /** Connections that ended without a message, by errno; FIN: the server closed it. */
  dropped: number;
  droppedByReason: Record<string, number>;
  /** Polls after the first of each client: after a message, or after a drop with --reopen. */
  repolls: number;
  /** Messages that the server took. */
  sent: number;
  /** Messages that could not be published, and why. */
  unsent: number;
  unsentByReason: Record<string, number>;
  /** Seconds that the publishing of all of them took. */
  publishSeconds: number;
  /** Different messages that came to the right client. */
  received: number;
  /** Sent, and not received although nothing came any more for a while. */
  lost: number;
  duplicates: number;
  /** Messages that came to another client than theirs. */
  misdelivered: number;
  /** Messages that are none of this run's, or damaged. */
  strays: number;
  /** From publish to receipt, of all that were received. */
  latency: { p50Ms: number; p90Ms: number; p99Ms: number; maxMs: number };
  /** Before the first connection and at the end, while all are open; null where the server is not on this machine. */
  server: { before: ServerCost; after: ServerCost } | null;
  /** Ended by a signal before its time. */
  interrupted: boolean;
}

/** True where nothing failed, was dropped, lost, doubled or misdelivered, to the end. */
export function isFlawless(result: MegatestResult): boolean {
  const { failed, dropped, unsent, lost, duplicates, misdelivered, interrupted } = result;
  return failed + dropped + unsent + lost + duplicates + misdelivered === 0 && !interrupted;
}
