/**
 * `npm run bench:publish`: how fast one manager takes publications through the HTTP API, by log and by when the disk must
 * confirm, with nobody listening and with one event stream that reads all of it.
 *
 * Requests carry 100 publications of 100 bytes over a few keep-alive connections, the next request on each after the answer
 * to the last. The rate on one core is what the manager's CPU time (all its threads, kernel included, from idle to idle)
 * allows: 1 / CPU for one publication. The rate that was seen is lower where the manager waits for the disk, or shares
 * its processor with the publisher. Logs take turns in each round, on a fresh server; medians of the rounds are printed.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type MegaCometServer, startMegaComet } from './launch.js';
import { type Cpu, cpuOf, idleCpu, median } from './measure.js';
import { choices, integer, runProgram } from './program.js';
import { Publisher, Reader } from './publisher.js';
import { alignColumns } from './report.js';

/** Publications in a request. */
const BATCH = 100;
const MESSAGE_BYTES = 100;
const WARM_UP_SECONDS = 2;

interface Row {
  key: string;
  title: string;
  /** Of serve. */
  options: string[];
}

const ROWS: Row[] = [
  { key: 'memory', title: 'memory', options: ['--log', 'memory'] },
  ...['never', 'interval', 'always'].map((fsync) => ({
    key: fsync,
    title: `lmdb, fsync ${fsync}`,
    options: ['--log', 'lmdb', '--fsync', fsync],
  })),
];

const READERS = ['none', 'one'] as const;
type Readers = (typeof READERS)[number];

const USAGE = `Usage: npm run bench:publish -- [options]

  --rows a,b       of ${ROWS.map((row) => row.key).join(', ')} (default all)
  --readers a,b    of ${READERS.join(', ')} (default both)
  --seconds N      of publishing that count (default 5)
  --rounds N       fresh processes each (default 3)
  --at-once N      requests under way (default 4)
  --channels N     that are published to in turn (default 50)
  --data-dir PATH  on the disk to measure (default: a directory in ${tmpdir()})
  --json           every round, for programs
  --help`;

interface PublishOptions {
  rows: Row[];
  readers: Readers[];
  seconds: number;
  rounds: number;
  atOnce: number;
  channels: number;
  dataDirectory: string;
  json: boolean;
}

interface Sample {
  /** A second, as seen. */
  rate: number;
  managerMicros: number;
  managerUserMicros: number;
  /** Of a processor, while publishing. */
  managerShare: number;
  workerMicros: number;
}

/** @returns null when help was asked for */
function readOptions(): PublishOptions | null {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: ROWS.map((row) => row.key).join(',') },
      readers: { type: 'string', default: READERS.join(',') },
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '3' },
      'at-once': { type: 'string', default: '4' },
      channels: { type: 'string', default: '50' },
      'data-dir': { type: 'string', default: tmpdir() },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    rows: choices('rows', values.rows, ROWS, (row) => row.key),
    readers: choices('readers', values.readers, READERS, (name) => name),
    seconds: integer('seconds', values.seconds, 1, 60),
    rounds: integer('rounds', values.rounds, 1, 100),
    atOnce: integer('at-once', values['at-once'], 1, 1000),
    channels: integer('channels', values.channels, 1, 100),
    dataDirectory: values['data-dir'],
    json: values.json,
  };
}

async function run(options: PublishOptions): Promise<boolean> {
  const results = [];
  let right = true;
  for (const readers of options.readers) {
    const samples = new Map<Row, Sample[]>(options.rows.map((row) => [row, []]));
    const reasons = new Map<Row, string>();
    for (let round = 1; round <= options.rounds; round++) {
      for (const row of round % 2 ? options.rows : options.rows.toReversed()) {
        if (reasons.has(row)) continue;
        try {
          samples.get(row)!.push(await measure(row, readers, options));
        } catch (error) {
          reasons.set(row, (error as Error).message);
          right = false;
        }
      }
    }
    if (!options.json) console.log(`${formatResult(readers, samples, reasons, options)}\n`);
    const rows = options.rows.map((row) => ({ key: row.key, samples: samples.get(row), reason: reasons.get(row) }));
    results.push({ readers, rows });
  }
  if (options.json) console.log(JSON.stringify({ ...options, node: process.version, results }, null, 2));
  return right;
}

async function measure(row: Row, readers: Readers, options: PublishOptions): Promise<Sample> {
  const dataDirectory = await mkdtemp(join(options.dataDirectory, 'megacomet-publish-'));
  try {
    const data = row.key === 'memory' ? [] : ['--data-dir', dataDirectory];
    const server = await startMegaComet(1000, 'auto', [...row.options, ...data]);
    try {
      return await publishFor(server, readers, options);
    } finally {
      await server.stop();
    }
  } finally {
    await rm(dataDirectory, { recursive: true, force: true });
  }
}

async function publishFor(server: MegaCometServer, readers: Readers, options: PublishOptions): Promise<Sample> {
  const pids = server.processes.map(({ pid }) => pid);
  const reader = readers === 'one' ? await Reader.open(server.port, options.channels) : null;
  const publisher = await Publisher.open(server.api, {
    connections: options.atOnce,
    channels: options.channels,
    batch: BATCH,
    messageBytes: MESSAGE_BYTES,
  });
  const warmUp = await publisher.run(WARM_UP_SECONDS);
  const before = await idleCpu(pids);
  const start = performance.now();
  const count = await publisher.run(options.seconds);
  const seconds = (performance.now() - start) / 1000;
  const busy = pids.map(cpuOf);
  await reader?.until(warmUp + count);
  const after = await idleCpu(pids);
  publisher.end();
  reader?.end();
  const used = (role: string, until: Cpu[], of: keyof Cpu): number =>
    server.processes.reduce((sum, process, i) => sum + (process.role === role ? until[i][of] - before[i][of] : 0), 0);
  return {
    rate: count / seconds,
    managerMicros: (used('manager', after, 'total') / count) * 1e6,
    managerUserMicros: (used('manager', after, 'user') / count) * 1e6,
    managerShare: used('manager', busy, 'total') / seconds,
    workerMicros: (used('worker', after, 'total') / count) * 1e6,
  };
}

const HEADINGS = [
  '',
  'publications/s',
  'µs of manager',
  'user',
  'manager busy',
  '/s on one core',
  'µs of worker',
  'rates',
];

function formatResult(
  readers: Readers,
  samples: Map<Row, Sample[]>,
  reasons: Map<Row, string>,
  { atOnce, channels, rounds, seconds }: PublishOptions,
): string {
  const table = [HEADINGS];
  for (const [row, own] of samples) {
    table.push(reasons.has(row) ? [row.title, ...HEADINGS.slice(1).map(() => '-')] : cells(row, own));
  }
  const notes = [...reasons].map(([row, reason]) => `${row.title}: not measured: ${reason}`);
  const listeners = readers === 'one' ? 'one event stream reads all' : 'nobody listens';
  const work = `batches of ${BATCH}, ${MESSAGE_BYTES} bytes each, ${atOnce} at once, ${channels} channels`;
  return [`${listeners}; ${work}; ${rounds} rounds of ${seconds} s`, alignColumns(table), ...notes].join('\n');
}

function cells(row: Row, samples: Sample[]): string[] {
  const middle = (of: (sample: Sample) => number): number => median(samples.map(of));
  const rounded = (rate: number): string => Math.round(rate).toLocaleString('en');
  return [
    row.title,
    rounded(middle((sample) => sample.rate)),
    middle((sample) => sample.managerMicros).toFixed(1),
    middle((sample) => sample.managerUserMicros).toFixed(1),
    `${(middle((sample) => sample.managerShare) * 100).toFixed(0)} %`,
    rounded(1e6 / middle((sample) => sample.managerMicros)),
    middle((sample) => sample.workerMicros).toFixed(1),
    samples.map((sample) => rounded(sample.rate)).join(' '),
  ];
}

await runProgram(USAGE, readOptions, run);
