/**
 * A megatest from beginning to end:
 *
 *     measure the server ─▶ open ─▶ hold ─▶ publish ─▶ settle ─▶ measure the server ─▶ end all connections
 *
 * This process publishes and keeps the books; child processes hold the connections (crew.ts, clients.ts).
 */

import { randomInt } from 'node:crypto';
import { OperatorError } from '../cli/errors.js';
import { Crew } from './crew.js';
import { Histogram } from './histogram.js';
import { Ledger } from './ledger.js';
import { monotonicUs } from './marker.js';
import type { MegatestOptions } from './options.js';
import { Progress, type ProgressOutput } from './progress.js';
import { Publisher } from './publisher.js';
import type { MegatestResult } from './result.js';
import { ApiRoute, ClassicRoute, type Route } from './routes.js';
import { findServerPids, measureProcesses, type ServerCost } from './server-cost.js';

export interface MegatestIo {
  progress: ProgressOutput;
  /** Ends the test early; what was measured so far is returned. */
  signal: AbortSignal;
  /** What to show to the API; in no result. */
  apiKey?: string | undefined;
}

/** How long the API may take to name its processes when the test was interrupted. */
const API_PATIENCE_MS = 300;
/** Two reports of every process: duplicates may follow what they are duplicates of. */
const LAST_REPORTS_MS = 600;

/**
 * Runs a test.
 *
 * @throws OperatorError where it could not be done: a client process ended, the API is not there
 */
export async function runMegatest(
  options: MegatestOptions,
  { progress: output, signal, apiKey }: MegatestIo,
): Promise<MegatestResult> {
  const run = randomInt(2 ** 32)
    .toString(16)
    .padStart(8, '0');
  const ledger = new Ledger(options.messageCount);
  const latencies = new Histogram();
  const publisher = new Publisher(
    {
      run,
      routes: routesOf(options, apiKey),
      rate: options.messagesPerSecond,
      count: options.messageCount,
      messageBytes: options.messageBytes,
      firstSequence: 0,
      recipient: () => options.prefix + Math.floor(Math.random() * options.connections),
    },
    ledger,
  );

  const before = await measureServer(options, signal, apiKey);
  const crew = await Crew.muster([{ ...options, within: [] }], run, receive, signal);
  let phase = 'opening';
  const progress = new Progress(output, () => {
    const { opened, failed, dropped } = crew.totals();
    const { connections } = options;
    const { sent, received } = ledger;
    return { phase, opened, connections, failed: sum(failed), dropped: sum(dropped), sent, received };
  });
  let publishSeconds = 0;
  let after: ServerCost | null = null;
  const startUs = monotonicUs();
  try {
    crew.go();
    await crew.until(() => crew.totals().decided === options.connections, Number.POSITIVE_INFINITY, signal);
    phase = 'holding';
    await crew.until(() => false, options.holdSeconds * 1000, signal);
    if (options.messageCount > 0) {
      phase = 'publishing';
      publishSeconds = await publisher.run(signal);
      phase = 'settling';
      await settle();
    }
    await crew.until(() => false, LAST_REPORTS_MS, signal);
    await crew.until(() => crew.totals().turning === 0, options.graceMs, signal);
    after = await measureServer(options, signal, apiKey).catch((error: Error) => {
      progress.note(error.message);
      return null;
    });
  } finally {
    await crew.stop(signal);
    progress.stop();
  }

  function receive(sequences: Uint32Array, latenciesUs: Uint32Array): void {
    for (let index = 0; index < sequences.length; index++) {
      if (ledger.markReceived(sequences[index])) latencies.record(latenciesUs[index]);
    }
  }

  /** Waits for what is missing, for as long as messages keep coming. */
  async function settle(): Promise<void> {
    let received: number;
    do {
      received = ledger.received;
      await crew.until(() => ledger.missing === 0, options.graceMs, signal);
    } while (ledger.missing > 0 && ledger.received > received && !signal.aborted);
  }

  const totals = crew.totals();
  const seconds = totals.opened === 0 ? 0 : Math.max(0, totals.lastOpenedUs - startUs) / 1e6;
  return {
    run,
    connections: options.connections,
    processes: options.processes,
    sourceAddresses: options.sources.length,
    opened: totals.opened,
    failed: sum(totals.failed),
    failedByReason: totals.failed,
    seconds: round(seconds, 3),
    connectionsPerSecond: seconds === 0 ? 0 : Math.round(totals.opened / seconds),
    held: totals.waiting,
    dropped: sum(totals.dropped),
    droppedByReason: totals.dropped,
    repolls: totals.repolls,
    sent: ledger.sent,
    unsent: sum(publisher.unsent),
    unsentByReason: publisher.unsent,
    publishSeconds: round(publishSeconds, 3),
    received: ledger.received,
    lost: ledger.missing,
    duplicates: ledger.duplicates,
    misdelivered: totals.misdelivered,
    strays: totals.strays,
    latency: {
      p50Ms: latencies.percentile(50) / 1000,
      p90Ms: latencies.percentile(90) / 1000,
      p99Ms: latencies.percentile(99) / 1000,
      maxMs: latencies.max / 1000,
    },
    server: before === null || after === null ? null : { before, after },
    interrupted: signal.aborted,
  };
}

function routesOf({ api, classic, messageBytes }: MegatestOptions, apiKey: string | undefined): Route[] {
  const routes: Route[] = [];
  if (api !== null) routes.push(new ApiRoute(api, messageBytes, apiKey));
  if (classic !== null) routes.push(new ClassicRoute(classic));
  return routes;
}

/** Null where the server's processes are not on this machine, or nobody says which they are. */
async function measureServer(
  { api, serverPids }: MegatestOptions,
  signal: AbortSignal,
  apiKey: string | undefined,
): Promise<ServerCost | null> {
  const asks = serverPids.length === 0 && api !== null;
  const pids = asks ? await Promise.race([findServerPids(api, apiKey), impatience(signal)]) : serverPids;
  if (pids.length === 0) return null;
  try {
    return measureProcesses(pids);
  } catch (error) {
    throw new OperatorError(`cannot measure the server's processes (${pids.join(', ')}): ${(error as Error).message}`);
  }
}

/** An empty list, soon after the signal: an API that hangs must not keep an interrupted test from ending. */
function impatience(signal: AbortSignal): Promise<number[]> {
  return new Promise((resolve) => {
    const wait = () => setTimeout(resolve, API_PATIENCE_MS, []).unref();
    if (signal.aborted) wait();
    else signal.addEventListener('abort', wait, { once: true });
  });
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function round(number: number, digits: number): number {
  return Number(number.toFixed(digits));
}
