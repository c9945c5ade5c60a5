/**
 * The work of the bench: what each server of a round has to do, and how it is measured.
 *
 *     warm-up   on a fresh server, ten times over: 2 % of the connections, some answered and some reset
 *     memory    20 %, then 90 % of the connections, each waiting on its own id
 *     warm-up   three passes that do not count, of which the figures still fall: compilers see each way that code is used
 *     open      all connections, each on its own id                    ┐ a pass, three of them
 *     fan-out   all connections on one id get a message of 100 bytes   ┘
 *
 * Memory is measured of all servers at once: it does not mind. In the passes they take turns (round.ts).
 */

import { costOf, pidsOf } from './costs.js';
import { idleCpu, measureSlope, stablePrivateBytes } from './measure.js';
import type { Pass, Sample } from './report.js';
import { type Entry, type Failure, Round } from './round.js';
import type { Row } from './rows.js';

export interface RoundOptions {
  connections: number;
  /** Measure memory with clients that have each received a message and come back. */
  afterMessages: boolean;
  /** False: only warm up. */
  memory: boolean;
  /** How connections are opened in the passes. */
  pace: Pace;
  /** Connections that wait when a flood is let in, fewer than net.core.somaxconn. */
  burst: number;
  /** Passes before the first that counts. */
  warmUpPasses: number;
  passes: number;
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
/** The client goes on as long as fewer connections are being established, and fewer wait to be accepted. */
const IN_FLIGHT: Record<Pace, { connectingMax: number; acceptQueueMax: number }> = {
  flood: { connectingMax: 64, acceptQueueMax: 4000 },
  trickle: { connectingMax: 64, acceptQueueMax: 256 },
  single: { connectingMax: 1, acceptQueueMax: 1 },
};

/** One round over the rows. Each gets its sample or the reason why there is none. */
export async function runRound(rows: Row[], options: RoundOptions): Promise<Map<Row, Sample | Failure>> {
  const round = new Round<Row>();
  const samples = new Map<Row, Sample>();
  await round.start(rows, (row) => row.start(options.connections));
  await round.atOnce(async (entry) => {
    samples.set(entry.row, { ...(await measureMemory(entry, options)), passes: [] });
  });
  for (let pass = -options.warmUpPasses; pass < options.passes; pass++) {
    await round.inTurn(
      async (entry) => {
        const costs = await measurePass(entry, options);
        if (pass >= 0) samples.get(entry.row)!.passes.push(costs);
      },
      pass % 2 === 0 ? 'forwards' : 'backwards',
    );
  }
  await round.end();
  return new Map<Row, Sample | Failure>([...samples, ...round.failures]);
}

async function measureMemory(
  entry: Entry<Row>,
  { connections, afterMessages, memory }: RoundOptions,
): Promise<Omit<Sample, 'passes'>> {
  const { client, server } = entry;
  const pids = pidsOf(server);
  const baseBytes = (await stablePrivateBytes(pids)).reduce((sum, bytes) => sum + bytes, 0);
  await warmUp(entry, Math.round(connections * WARM_UP_SHARE));
  if (!memory) return { bytesPerConnection: Number.NaN, managerBytesPerConnection: Number.NaN, baseBytes };
  let opened = 0;
  const openTo = async (count: number): Promise<void> => {
    await open(entry, count - opened, null);
    if (afterMessages) {
      await client.abort();
      await idleCpu(pids);
      await open(entry, count, 1);
      await fanOut(entry);
      await client.abort();
      await open(entry, count, null);
    }
    opened = count;
    await idleCpu(pids);
  };
  const slopes = await measureSlope({ pids, connections, openTo });
  const slopeOf = (manager: boolean): number =>
    slopes.reduce((sum, slope, i) => sum + ((server.processes[i].role === 'manager') === manager ? slope : 0), 0);
  await reset(entry);
  return { bytesPerConnection: slopeOf(false), managerBytesPerConnection: slopeOf(true), baseBytes };
}

/** Lets compilers see all of the work, in so few connections that the slope of memory is not touched. */
async function warmUp(entry: Entry<Row>, connections: number): Promise<void> {
  for (let i = 0; i < WARM_UPS; i++) {
    await open(entry, connections, i % 2 === 0 ? null : 1);
    if (i % 2 === 1) await fanOut(entry);
    await reset(entry);
  }
}

async function measurePass(entry: Entry<Row>, { connections, pace, burst }: RoundOptions): Promise<Pass> {
  const { server } = entry;
  const opened = await costOf(server, connections, () =>
    // An upgrade needs an answer, which a server that stands still does not give.
    pace === 'flood' && entry.row.protocol === 'classic'
      ? openInBursts(entry, connections, burst)
      : open(entry, connections, null, pace),
  );
  await reset(entry);
  await open(entry, connections, 1);
  const message = await costOf(server, connections, () => fanOut(entry));
  await reset(entry);
  return { open: opened, message };
}

async function open(
  { client, server, row }: Entry<Row>,
  count: number,
  channels: number | null,
  pace: Pace = 'trickle',
): Promise<void> {
  const work = { port: server.port, protocol: row.protocol, count, channels, ...IN_FLIGHT[pace] };
  await client.open(work);
}

/**
 * Who accepts stands still while a burst arrives, and the server has the machine to itself while it works it off. A manager, which
 * accepts nobody, is not stopped: that would wake each of its threads twice, which no client does.
 */
async function openInBursts(entry: Entry<Row>, count: number, burst: number): Promise<void> {
  const { processes } = entry.server;
  const accepting = processes.filter(({ role }) => role !== 'manager').map(({ pid }) => pid);
  for (let left = count; left > 0; left -= burst) {
    for (const pid of accepting) process.kill(pid, 'SIGSTOP');
    try {
      await open(entry, Math.min(burst, left), null, 'flood');
    } finally {
      for (const pid of accepting) process.kill(pid, 'SIGCONT');
    }
    await idleCpu(pidsOf(entry.server));
  }
}

let messages = 0;

/** Sends a message that was not sent before to all connections, until the last of them has it. */
async function fanOut({ client, server }: Entry<Row>): Promise<void> {
  const message = `message ${++messages} `.padEnd(MESSAGE_BYTES, 'x');
  await idleCpu(pidsOf(server)); // every request has been read
  await client.expect(message);
  await Promise.all([client.receive(), server.publish([{ channel: 'c0', data: message }])]);
}

/** Ends all connections and waits until the server has seen it. */
async function reset({ client, server }: Entry<Row>): Promise<void> {
  await client.abort();
  await idleCpu(pidsOf(server));
}
