/**
 * The work of the bench: what each server of a round has to do, and how it is measured.
 *
 *     warm-up   on a fresh server, ten times over: 2 % of the connections, some answered and some reset
 *     memory    20 %, then 90 % of the connections, each waiting on its own id
 *     open      all connections, each on its own id                    ┐ three passes
 *     fan-out   all connections on one id get a message of 100 bytes   ┘
 *
 * All servers of a round run at the same time. Memory is measured of all at once: it does not mind. In the passes they
 * take turns, so that what is compared happens within a few seconds: on a shared machine the same work costs a third
 * more or less from minute to minute.
 */

import { BenchClient } from './client-control.js';
import { type Cpu, idleCpu, measureSlope, stablePrivateBytes } from './measure.js';
import type { Cost, Sample } from './report.js';
import { type BenchServer, type Row, type ServerProcess, SHARED_CHANNEL, stopAllServers, Unavailable } from './rows.js';

export interface RoundOptions {
  connections: number;
  /** Measure memory with clients that have each received a message and come back. */
  afterMessages: boolean;
  /** How connections are opened in the passes. */
  pace: Pace;
}

/**
 * flood: in bursts that already wait, requests and all, when the server comes to look; trickle: as fast as one client can with
 * a few hundred in flight, so that the server wakes for a few at a time; single: one after another, so that it wakes for each.
 */
export const PACES = ['flood', 'trickle', 'single'] as const;
export type Pace = (typeof PACES)[number];

const MESSAGE_BYTES = 100;
const WARM_UPS = 10;
const WARM_UP_SHARE = 0.02;
const PASSES = 3;
/** The client goes on as long as fewer connections are being established, and fewer wait to be accepted. */
const IN_FLIGHT: Record<Pace, { connectingMax: number; acceptQueueMax: number }> = {
  flood: { connectingMax: 64, acceptQueueMax: 4000 },
  trickle: { connectingMax: 64, acceptQueueMax: 256 },
  single: { connectingMax: 1, acceptQueueMax: 1 },
};
/** Fewer than net.core.somaxconn, which is 4,096. */
const BURST = 2000;

/** Why a row has no sample: it cannot run here, or it did something wrong. */
export interface Failure {
  reason: string;
  wrong: boolean;
}

interface Entry {
  row: Row;
  server: BenchServer;
  client: BenchClient;
  sample: Sample;
}

/** One round over the rows. Each gets its sample or the reason why there is none. */
export async function runRound(rows: Row[], options: RoundOptions): Promise<Map<Row, Sample | Failure>> {
  const results = new Map<Row, Sample | Failure>();
  let entries: Entry[] = [];

  /** Does one phase with an entry; who fails is ended and out of this round. */
  const attempt = async (entry: Entry, phase: (entry: Entry) => Promise<void>): Promise<void> => {
    try {
      await phase(entry);
    } catch (error) {
      results.set(entry.row, { reason: (error as Error).message, wrong: true });
      entries = entries.filter((other) => other !== entry);
      await end(entry);
    }
  };

  for (const row of rows) {
    try {
      const server = await row.start(options.connections);
      const client = new BenchClient();
      clients.add(client);
      const sample = { bytesPerConnection: 0, managerBytesPerConnection: 0, baseBytes: 0, passes: [] };
      entries.push({ row, server, client, sample });
    } catch (error) {
      results.set(row, { reason: (error as Error).message, wrong: !(error instanceof Unavailable) });
    }
  }
  await Promise.all(entries.map((entry) => attempt(entry, (e) => measureMemory(e, options))));
  for (let pass = 0; pass < PASSES; pass++) {
    for (const entry of entries) await attempt(entry, (e) => measurePass(e, options));
  }
  for (const entry of entries) {
    results.set(entry.row, entry.sample);
    await end(entry);
  }
  return results;
}

const clients = new Set<BenchClient>();

/** Ends every process of a round that is under way: for Ctrl-C. */
export async function endAll(): Promise<void> {
  await Promise.all([...clients].map((client) => client.stop()));
  await stopAllServers();
}

async function end({ client, server }: Entry): Promise<void> {
  clients.delete(client);
  await client.stop();
  await server.stop();
}

async function measureMemory(entry: Entry, { connections, afterMessages }: RoundOptions): Promise<void> {
  const { client, server, sample } = entry;
  const pids = pidsOf(server);
  sample.baseBytes = (await stablePrivateBytes(pids)).reduce((sum, bytes) => sum + bytes, 0);
  await warmUp(entry, Math.round(connections * WARM_UP_SHARE));
  let opened = 0;
  const openTo = async (count: number): Promise<void> => {
    await open(entry, count - opened, null);
    if (afterMessages) {
      await client.abort();
      await idleCpu(pids);
      await open(entry, count, SHARED_CHANNEL);
      await fanOut(entry);
      await client.abort();
      await open(entry, count, null);
    }
    opened = count;
    await idleCpu(pids);
  };
  const slopes = await measureSlope({ pids, connections, openTo });
  for (const [i, { role }] of server.processes.entries()) {
    if (role === 'manager') sample.managerBytesPerConnection += slopes[i];
    else sample.bytesPerConnection += slopes[i];
  }
  await reset(entry);
}

/** Lets compilers see all of the work, in so few connections that the slope of memory is not touched. */
async function warmUp(entry: Entry, connections: number): Promise<void> {
  for (let i = 0; i < WARM_UPS; i++) {
    await open(entry, connections, i % 2 === 0 ? null : SHARED_CHANNEL);
    if (i % 2 === 1) await fanOut(entry);
    await reset(entry);
  }
}

async function measurePass(entry: Entry, { connections, pace }: RoundOptions): Promise<void> {
  const { server, sample } = entry;
  const openCost = await costOf(server, connections, () =>
    // An upgrade needs an answer, which a server that stands still does not give.
    pace === 'flood' && entry.row.protocol === 'long-poll'
      ? openInBursts(entry, connections)
      : open(entry, connections, null, pace),
  );
  await reset(entry);
  await open(entry, connections, SHARED_CHANNEL);
  const messageCost = await costOf(server, connections, () => fanOut(entry));
  await reset(entry);
  sample.passes.push({ open: openCost, message: messageCost });
}

async function open(
  { client, server, row }: Entry,
  count: number,
  channel: string | null,
  pace: Pace = 'trickle',
): Promise<void> {
  const work = { port: server.port, protocol: row.protocol, count, channel, ...IN_FLIGHT[pace] };
  await client.open(work);
}

/** The server stands still while a burst arrives, and has the machine to itself while it works it off. */
async function openInBursts(entry: Entry, count: number): Promise<void> {
  const pids = pidsOf(entry.server);
  for (let left = count; left > 0; left -= BURST) {
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      await open(entry, Math.min(BURST, left), null, 'flood');
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    await idleCpu(pids);
  }
}

let messages = 0;

/** Sends a message that was not sent before to all connections, until the last of them has it. */
async function fanOut({ client, server }: Entry): Promise<void> {
  const message = `message ${++messages} `.padEnd(MESSAGE_BYTES, 'x');
  await idleCpu(pidsOf(server)); // every request has been read
  await client.expect(message);
  await Promise.all([client.receive(), server.fanOut(message)]);
}

/** Ends all connections and waits until the server has seen it. */
async function reset({ client, server }: Entry): Promise<void> {
  await client.abort();
  await idleCpu(pidsOf(server));
}

/** CPU time of each process for each of `count`, from idle to idle. */
async function costOf(server: BenchServer, count: number, work: () => Promise<void>): Promise<Cost[]> {
  const pids = pidsOf(server);
  const before = await idleCpu(pids);
  await work();
  const after = await idleCpu(pids);
  return server.processes.map(({ role }, i) => costBetween(role, before[i], after[i], count));
}

function costBetween(role: ServerProcess['role'], before: Cpu, after: Cpu, count: number): Cost {
  const micros = 1e6 / count;
  return { role, total: (after.total - before.total) * micros, user: (after.user - before.user) * micros };
}

function pidsOf(server: BenchServer): number[] {
  return server.processes.map(({ pid }) => pid);
}
