/**
 * A drain of a real server with very many clients that go on at a second one: are they told evenly, do all come back, and has any lost a
 * message? The two servers have a log each, and every publication goes to both under the same id, as docs/operations.md says.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runCommand, startServer, type TestServer } from '../helpers.js';
import { channelOf, type FromHerd, type HerdConfig, type HerdReport, type ToHerd, type Transport } from './protocol.js';

const TRANSPORTS: readonly Transport[] = ['sse', 'ws', 'stream', 'poll'];
/** Numbers are published so often, each time on some channels. */
const PUBLISH_MS = 50;
/** How long clients may take to come back after the drain, and to have the last numbers. */
const RETURN_MS = 30_000;
const OPEN_MS = 120_000;

export interface EvacuationOptions {
  clients: number;
  /** Over how long the first server is drained. */
  seconds: number;
  /** Processes of clients. */
  processes: number;
  channels: number;
  /** Publications a second. */
  rate: number;
  reactor: HerdConfig['reactor'];
  log: (line: string) => void;
}

export interface EvacuationReport {
  /** Clients that were told to come back in each second. */
  perSecond: number[];
  /** Of the busiest second over the mean of the drain. */
  worstOverMean: number;
  published: number;
  received: number;
  duplicates: number;
  /** Polls that were between two requests, of which the connection just ends, and whatever else ended without advice. */
  unadvised: Record<string, number>;
  /** The longest time between being told and listening again. */
  awayMsMax: number;
  /** What went wrong; empty where nothing did. */
  errors: string[];
}

export async function evacuate(options: EvacuationOptions): Promise<EvacuationReport> {
  const { clients, seconds, processes, channels, reactor, log } = options;
  const args = ['--log', 'memory', '--classic-port', 'none', '--max-connections', String(clients + 1000)];
  args.push('--retain-messages', '100000', '--retain-seconds', '3600', '--reactor', reactor);
  const herds: ChildProcess[] = [];
  const servers: TestServer[] = [];
  let publisher: Publisher | null = null;
  try {
    for (let i = 0; i < 2; i++) servers.push(await startServer(args));
    const [first, second] = servers;
    const numbers = new Publisher([first.api, second.api], channels);
    publisher = numbers;
    numbers.start(options.rate);
    for (let i = 0; i < processes; i++) {
      const from = Math.floor((i * clients) / processes);
      const to = Math.floor(((i + 1) * clients) / processes);
      const ports = { from: first.ports.client, to: second.ports.client };
      herds.push(openHerd({ clients: to - from, first: from, transports: TRANSPORTS, channels, ...ports, reactor }));
    }
    await Promise.all(herds.map((herd) => toldWithin(herd, 'opened', OPEN_MS)));
    log(`${clients} clients listen at the first server`);

    const drain = await runCommand(['drain', '--run-dir', first.runDirectory, '--seconds', String(seconds)]);
    for (const line of drain.stdout.trim().split('\n')) log(line);
    numbers.drop(first.api);
    const back = await until(herds, ({ atSecond }) => atSecond === clients, RETURN_MS);
    log(`${back.atSecond} clients listen at the second server`);
    await numbers.finish();
    const caughtUp = (report: HerdReport) => numbers.last.every((n, i) => report.lowest[channelOf(i, channels)] >= n);
    const last = await until(herds, caughtUp, RETURN_MS);

    const perSecond = Array.from({ length: seconds + 1 }, (_, i) => last.told[i] ?? 0);
    const late = Object.keys(last.told).filter((key) => Number(key) > seconds);
    const errors: string[] = [];
    if (drain.exitCode !== 0) errors.push(`megacomet drain ended with ${drain.exitCode}: ${drain.stderr}`);
    if (last.atSecond !== clients) errors.push(`${clients - last.atSecond} clients did not come back`);
    if (last.lost > 0) errors.push(`${last.lost} messages were lost`);
    if (!caughtUp(last)) errors.push('some clients do not have the last messages');
    const worstOverMean = Math.max(...perSecond) / (clients / seconds);
    if (worstOverMean > 2) errors.push(`one second had ${worstOverMean.toFixed(2)} times the mean`);
    if (late.length > 0) errors.push(`clients were told after the time of the drain: in seconds ${late.join(', ')}`);
    const { received, duplicates, unadvised, awayMsMax } = last;
    return { perSecond, worstOverMean, published: numbers.count, received, duplicates, unadvised, awayMsMax, errors };
  } finally {
    await publisher?.stop();
    for (const herd of herds) herd.kill('SIGKILL');
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Publishes numbers, 1 2 3 … on each channel, to several servers. */
class Publisher {
  readonly #servers: Set<string>;
  /** The last number of each channel. */
  readonly last: number[];
  count = 0;
  #next = 0;
  #running: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(servers: string[], channels: number) {
    this.#servers = new Set(servers);
    this.last = new Array<number>(channels).fill(0);
  }

  start(rate: number): void {
    const each = Math.max(1, Math.round((rate * PUBLISH_MS) / 1000));
    this.#running = (async () => {
      while (!this.#stopping) {
        const [batch] = await Promise.all([this.#batch(each), delay(PUBLISH_MS)]);
        this.count += batch;
      }
    })();
  }

  /** One that has ended is published to no more. */
  drop(server: string): void {
    this.#servers.delete(server);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  /** One more number on every channel, and no more. */
  async finish(): Promise<void> {
    await this.stop();
    this.count += await this.#batch(this.last.length);
  }

  async #batch(size: number): Promise<number> {
    const batch: { channel: string; data: number; id: string }[] = [];
    for (let i = 0; i < size; i++) {
      const channel = this.#next;
      this.#next = (channel + 1) % this.last.length;
      const data = ++this.last[channel];
      batch.push({ channel: channelOf(channel, this.last.length), data, id: `${channel}-${data}` });
    }
    const body = JSON.stringify(batch);
    await Promise.all([...this.#servers].map((server) => this.#post(server, body)));
    return batch.length;
  }

  /** What the server that is drained does not answer, it may have or not: the other one has it, and nobody comes back to this one. */
  async #post(server: string, body: string): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    try {
      const response = await fetch(`${server}/v1/publish`, { method: 'POST', headers, body });
      if (!response.ok) throw new Error(`publishing was answered with ${response.status}: ${await response.text()}`);
      await response.text();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#servers.delete(server);
      if (this.#servers.size === 0) throw error;
    }
  }
}

function openHerd(config: HerdConfig): ChildProcess {
  const herd = fork(fileURLToPath(new URL('./herd.js', import.meta.url)), [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const message: ToHerd = { kind: 'open', config };
  herd.send(message);
  return herd;
}

async function toldWithin<K extends FromHerd['kind']>(
  herd: ChildProcess,
  kind: K,
  timeoutMs: number,
): Promise<FromHerd & { kind: K }> {
  const over = new AbortController();
  const { signal } = over;
  const timer = setTimeout(() => over.abort(new Error(`no ${kind} within ${timeoutMs} ms`)), timeoutMs);
  const ended = once(herd, 'exit', { signal }).then(([code]) => {
    throw new Error(`a process of clients ended with ${code}`);
  });
  try {
    for (;;) {
      const [message] = (await Promise.race([once(herd, 'message', { signal }), ended])) as [FromHerd];
      if (message.kind === kind) return message as FromHerd & { kind: K };
    }
  } finally {
    clearTimeout(timer);
    over.abort();
  }
}

/** Asks all herds until the sum of their reports is as wanted, or the time is over. @returns the last sum */
async function until(
  herds: readonly ChildProcess[],
  wanted: (sum: HerdReport) => boolean,
  timeoutMs: number,
): Promise<HerdReport> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const sum = sumOf(await Promise.all(herds.map(reportOf)));
    if (wanted(sum) || performance.now() > deadlineMs) return sum;
    await delay(200);
  }
}

async function reportOf(herd: ChildProcess): Promise<HerdReport> {
  const answer = toldWithin(herd, 'report', RETURN_MS);
  const message: ToHerd = { kind: 'report' };
  herd.send(message);
  return (await answer).report;
}

function sumOf(reports: readonly HerdReport[]): HerdReport {
  const sum: HerdReport = { ...reports[0], told: {}, unadvised: {}, lowest: {}, atFirst: 0, atSecond: 0 };
  Object.assign(sum, { received: 0, duplicates: 0, lost: 0, awayMsMax: 0 });
  for (const report of reports) {
    for (const figure of ['atFirst', 'atSecond', 'received', 'duplicates', 'lost'] as const)
      sum[figure] += report[figure];
    for (const [second, count] of Object.entries(report.told)) sum.told[second] = (sum.told[second] ?? 0) + count;
    for (const [why, count] of Object.entries(report.unadvised)) sum.unadvised[why] = (sum.unadvised[why] ?? 0) + count;
    for (const [channel, n] of Object.entries(report.lowest))
      sum.lowest[channel] = Math.min(sum.lowest[channel] ?? n, n);
    sum.awayMsMax = Math.max(sum.awayMsMax, report.awayMsMax);
  }
  return sum;
}
