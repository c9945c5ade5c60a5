/**
 * `npm run bench:fan-out`: what it costs to hand a publication of 100 bytes to all who listen to its channel on an open
 * connection, beside a minimal C server that does the same on the same client, in one run.
 *
 *     connections on channels    one publication a channel, one after another, until every connection has its own
 *     15,000      on 1           1 publication
 *     15,000      on 1,000       1,000 publications in requests of 100, 15 receivers each
 *
 * In each round fresh servers get their connections and some fan-outs to warm up; then they take turns in passes of some
 * fan-outs in a row. A cost is the CPU time of a server's processes, kernel included, from idle to idle, over the messages
 * of a pass; its ratio is to the reference in the same pass.
 */

import { availableParallelism, release } from 'node:os';
import { parseArgs } from 'node:util';
import { type Cost, costOf, totalOf, userOf } from './costs.js';
import { type BenchServer, type Publication, startC, startMegaComet, startNode } from './launch.js';
import { median } from './measure.js';
import { baselineCheckout, choices, connectionsMax, integer, runProgram } from './program.js';
import { alignColumns } from './report.js';
import { type Entry, Round } from './round.js';
import type { Protocol } from './wires.js';

const MESSAGE_BYTES = 100;
const IN_FLIGHT = { connectingMax: 64, acceptQueueMax: 256 };

interface Row {
  key: string;
  title: string;
  start(connections: number, protocol: Protocol): Promise<BenchServer>;
}

const REFERENCE = 'c';

const ROWS: Row[] = [
  { key: 'megacomet', title: 'MegaComet', start: (n) => startMegaComet(n, 'auto') },
  { key: 'megacomet-epoll', title: 'MegaComet, epoll', start: (n) => startMegaComet(n, 'epoll') },
  { key: REFERENCE, title: 'minimal C epoll', start: (_, protocol) => startC('minimal-stream', [protocol], lines) },
  { key: 'reactor', title: 'the reactor alone', start: (_, protocol) => startReactor(protocol, 'epoll') },
  { key: 'io-uring', title: 'io_uring alone', start: (_, protocol) => startReactor(protocol, 'io-uring') },
];
const DEFAULT_ROWS = 'megacomet,megacomet-epoll,c';

/** MegaComet as it was: the build of another checkout, with the same options. */
function baselineRow(checkout: string): Row {
  return { key: 'baseline', title: 'MegaComet, before', start: (n) => startMegaComet(n, 'auto', [], checkout) };
}

const TRANSPORTS = ['sse', 'websocket'] as const;
type Transport = (typeof TRANSPORTS)[number];

const USAGE = `Usage: npm run bench:fan-out -- [options]

  --connections N    for each server (default 15000; as many as the descriptor limit allows)
  --channels a,b     over how many channels they are spread (default 1,1000)
  --transports a,b   of ${TRANSPORTS.join(', ')} (default both)
  --rows a,b         of ${ROWS.map((row) => row.key).join(', ')} (default ${DEFAULT_ROWS})
  --baseline DIR     another checkout of MegaComet, built: one more row, which the others are compared with too
  --rounds N         fresh processes each (default 3)
  --warm-ups N       fan-outs before the first that counts (default 10)
  --passes N         turns of each server in a round (default 4)
  --fan-outs N       in a row in a pass (default 5)
  --json             every pass, for programs
  --help`;

interface FanOutOptions {
  connections: number;
  channels: number[];
  transports: Transport[];
  rows: Row[];
  baseline: Row | null;
  rounds: number;
  warmUps: number;
  passes: number;
  fanOuts: number;
  json: boolean;
}

/** One row in one pass. */
interface Pass {
  round: number;
  costs: Cost[];
  /** Median time from the publisher's first request until the last connection has its message. */
  seconds: number;
}

/** @returns null when help was asked for */
function readOptions(): FanOutOptions | null {
  const { values } = parseArgs({
    options: {
      connections: { type: 'string', default: String(Math.min(15_000, connectionsMax())) },
      channels: { type: 'string', default: '1,1000' },
      transports: { type: 'string', default: TRANSPORTS.join(',') },
      rows: { type: 'string', default: DEFAULT_ROWS },
      baseline: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      'warm-ups': { type: 'string', default: '10' },
      passes: { type: 'string', default: '4' },
      'fan-outs': { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const connections = integer('connections', values.connections, 100, connectionsMax());
  const checkout = baselineCheckout(values.baseline);
  const baseline = checkout === null ? null : baselineRow(checkout);
  const rows = choices('rows', values.rows, ROWS, (row) => row.key);
  return {
    connections,
    channels: values.channels.split(',').map((text) => integer('channels', text, 1, connections)),
    transports: choices('transports', values.transports, TRANSPORTS, (name) => name),
    rows: baseline === null ? rows : [...rows, baseline],
    baseline,
    rounds: integer('rounds', values.rounds, 1, 100),
    warmUps: integer('warm-ups', values['warm-ups'], 0, 1000),
    passes: integer('passes', values.passes, 1, 100),
    fanOuts: integer('fan-outs', values['fan-outs'], 1, 1000),
    json: values.json,
  };
}

function startReactor(protocol: Protocol, backend: string): Promise<BenchServer> {
  return startNode('reactor-stream.js', [protocol, backend], lines);
}

/** What minimal-stream.c and servers/reactor-stream.ts read. */
function lines(publications: Publication[]): string {
  return publications.map(({ channel, data }) => `${channel} ${data}\n`).join('');
}

async function run(options: FanOutOptions): Promise<boolean> {
  const machine = `Node ${process.version}, Linux ${release()}, ${availableParallelism()} processors`;
  if (!options.json) console.log(`${options.connections} connections, messages of ${MESSAGE_BYTES} bytes; ${machine}`);
  const results = [];
  let right = true;
  for (const transport of options.transports) {
    for (const channels of options.channels) {
      const { passes, reasons } = await measure(transport, channels, options);
      right &&= reasons.size === 0;
      if (!options.json) console.log(`\n${formatResult(transport, channels, passes, reasons, options.baseline)}`);
      const rows = options.rows.map((row) => ({ key: row.key, passes: passes.get(row), reason: reasons.get(row) }));
      results.push({ transport, channels, rows });
    }
  }
  if (options.json) console.log(JSON.stringify({ machine, ...options, results }, null, 2));
  return right;
}

interface Measured {
  passes: Map<Row, Pass[]>;
  /** Why rows were left out. */
  reasons: Map<Row, string>;
}

async function measure(transport: Transport, channels: number, options: FanOutOptions): Promise<Measured> {
  const passes = new Map<Row, Pass[]>(options.rows.map((row) => [row, []]));
  const reasons = new Map<Row, string>();
  for (let number = 1; number <= options.rounds; number++) {
    const round = new Round<Row>();
    const able = options.rows.filter((row) => !reasons.has(row));
    await round.start(able, (row) => row.start(options.connections, transport));
    await round.inTurn((entry) => prepare(entry, transport, channels, options));
    for (let pass = 0; pass < options.passes; pass++) {
      await round.inTurn(
        async (entry) => {
          passes.get(entry.row)!.push({ round: number, ...(await measurePass(entry, channels, options)) });
        },
        pass % 2 === 0 ? 'forwards' : 'backwards',
      );
    }
    await round.end();
    for (const [row, { reason }] of round.failures) reasons.set(row, reason);
  }
  return { passes, reasons };
}

async function prepare(
  { server, client }: Entry<Row>,
  protocol: Transport,
  channels: number,
  { connections, warmUps }: FanOutOptions,
): Promise<void> {
  await client.open({ port: server.port, protocol, count: connections, channels, ...IN_FLIGHT });
  for (let n = 0; n < warmUps; n++) await fanOut({ server, client }, channels);
}

async function measurePass(
  { server, client }: Entry<Row>,
  channels: number,
  { connections, fanOuts }: FanOutOptions,
): Promise<Omit<Pass, 'round'>> {
  const seconds: number[] = [];
  const costs = await costOf(server, connections * fanOuts, async () => {
    for (let n = 0; n < fanOuts; n++) seconds.push(await fanOut({ server, client }, channels));
  });
  return { costs, seconds: median(seconds) };
}

let messages = 0;

/** Publishes to every channel a message that was not sent before, until every connection has it. */
async function fanOut({ server, client }: Pick<Entry<Row>, 'server' | 'client'>, channels: number): Promise<number> {
  const data = `message ${++messages} `.padEnd(MESSAGE_BYTES, 'x');
  await client.expect(data);
  const publications = Array.from({ length: channels }, (_, n) => ({ channel: `c${n}`, data }));
  const [seconds] = await Promise.all([client.receive(), server.publish(publications)]);
  return seconds;
}

const HEADINGS = [
  '',
  'µs/message',
  'user',
  'worker',
  'manager',
  '× C',
  'worker × C',
  '× before',
  'each round',
  'ms until the last',
];

function formatResult(
  transport: Transport,
  channels: number,
  passes: Map<Row, Pass[]>,
  reasons: Map<Row, string>,
  baseline: Row | null,
): string {
  const passesOf = (compared: (row: Row) => boolean): Pass[] =>
    [...passes].find(([row]) => compared(row) && !reasons.has(row))?.[1] ?? [];
  const reference = passesOf((row) => row.key === REFERENCE);
  const before = passesOf((row) => row === baseline);
  const table = [HEADINGS];
  for (const [row, own] of passes) {
    table.push(
      reasons.has(row) ? [row.title, ...HEADINGS.slice(1).map(() => '-')] : cells(row, own, reference, before),
    );
  }
  const notes = [...reasons].map(([row, reason]) => `${row.title}: not measured: ${reason}`);
  const title = `${transport}, ${channels === 1 ? 'one channel' : `${channels} channels`}`;
  return [title, alignColumns(table), ...notes].join('\n');
}

function cells(row: Row, own: Pass[], reference: Pass[], before: Pass[]): string[] {
  const middle = (of: (pass: Pass) => number): string => median(own.map(of)).toFixed(2);
  const holders = (pass: Pass): Cost[] => pass.costs.filter((cost) => cost.role !== 'manager');
  const managers = (pass: Pass): Cost[] => pass.costs.filter((cost) => cost.role === 'manager');
  const ratios = (of: (pass: Pass) => Cost[], others = reference): number[] =>
    others.map((pass, i) => totalOf(of(own[i])) / totalOf(pass.costs));
  const all = ratios((pass) => pass.costs);
  const rounds = [...new Set(own.map((pass) => pass.round))];
  const eachRound = rounds.map((round) => median(all.filter((_, i) => own[i].round === round)));
  const ratioCell = (values: number[]): string => (values.length === 0 ? '-' : median(values).toFixed(2));
  return [
    row.title,
    middle((pass) => totalOf(pass.costs)),
    middle((pass) => userOf(pass.costs)),
    middle((pass) => totalOf(holders(pass))),
    own[0].costs.length === 1 ? '-' : middle((pass) => totalOf(managers(pass))),
    ratioCell(all),
    ratioCell(ratios(holders)),
    ratioCell(ratios((pass) => pass.costs, before)),
    eachRound.map((ratio) => (Number.isNaN(ratio) ? '-' : ratio.toFixed(2))).join(' '),
    (median(own.map((pass) => pass.seconds)) * 1000).toFixed(0),
  ];
}

await runProgram(USAGE, readOptions, run);
