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
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type MegaCometServer, startMegaComet } from './launch.js';
import { type Cpu, cpuOf, idleCpu, median } from './measure.js';
import { choices, integer, runProgram } from './program.js';
import { alignColumns } from './report.js';

const BATCH = 100;
const MESSAGE_BYTES = 100;
const WARM_UP_SECONDS = 2;
const CATCH_UP_MS = 30_000;

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
  const publisher = new Publisher(server.api, options);
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

/** Publishes over a few connections at once. */
class Publisher {
  private readonly agent: Agent;
  private readonly url: string;
  private readonly atOnce: number;
  /** Ready-made bodies of requests, sent in turn. */
  private readonly bodies: string[];
  private next = 0;

  constructor(api: string, { atOnce, channels }: PublishOptions) {
    this.agent = new Agent({ keepAlive: true, maxSockets: atOnce });
    this.url = `${api}/v1/publish`;
    this.atOnce = atOnce;
    const data = 'x'.repeat(MESSAGE_BYTES);
    const channelOf = (n: number): string => `c${n % channels}`;
    this.bodies = Array.from({ length: channels }, (_, body) =>
      JSON.stringify(Array.from({ length: BATCH }, (_, n) => ({ channel: channelOf(body * BATCH + n), data }))),
    );
  }

  /** Publishes for so long, until the last answer. Returns how many. */
  async run(seconds: number): Promise<number> {
    const deadline = performance.now() + seconds * 1000;
    let published = 0;
    await Promise.all(
      Array.from({ length: this.atOnce }, async () => {
        while (performance.now() < deadline) {
          await this.post(this.bodies[this.next++ % this.bodies.length]);
          published += BATCH;
        }
      }),
    );
    return published;
  }

  end(): void {
    this.agent.destroy();
  }

  private post(body: string): Promise<void> {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    return new Promise((resolve, reject) => {
      const answered = (response: IncomingMessage): void => {
        let answer = '';
        response.setEncoding('latin1');
        response.on('data', (chunk: string) => (answer += chunk));
        response.on('error', reject);
        response.on('end', () => {
          const right = response.statusCode === 200 && (JSON.parse(answer) as unknown[]).length === BATCH;
          if (right) resolve();
          else reject(new Error(`publish: ${response.statusCode} ${answer.slice(0, 200)}`));
        });
      };
      request(this.url, { method: 'POST', agent: this.agent, headers }, answered).on('error', reject).end(body);
    });
  }
}

const BLOCK_END = Buffer.from('\n\n');
const DATA = Buffer.from('\ndata: {"channel":');

/** One event stream on all channels, which counts publications. */
class Reader {
  private readonly socket: Socket;
  private count = 0;
  private rest: Buffer = Buffer.alloc(0);
  private failure: string | null = null;
  private live = false;

  static async open(port: number, channels: number): Promise<Reader> {
    const names = Array.from({ length: channels }, (_, n) => `channel=c${n}`).join('&');
    const reader = new Reader(port, names);
    await reader.waitFor('the stream to be live', () => reader.live);
    return reader;
  }

  private constructor(port: number, query: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', (error) => (this.failure ??= error.message));
    this.socket.on('close', () => (this.failure ??= 'the server has closed the stream'));
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.write(`GET /v1/sse?${query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  }

  /** Resolves when so many publications have come since the start. */
  until(count: number): Promise<void> {
    return this.waitFor(`${count} publications`, () => {
      if (this.count > count) this.failure ??= `${this.count} publications instead of ${count}`;
      return this.count === count;
    });
  }

  end(): void {
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let from = 0;
    for (let end: number; (end = bytes.indexOf(BLOCK_END, from)) >= 0; from = end + 2) {
      const data = bytes.indexOf(DATA, from);
      if (data >= 0 && data < end) this.count++;
      else this.takeOther(bytes.toString('latin1', from, end));
    }
    this.rest = bytes.subarray(from);
  }

  private takeOther(block: string): void {
    if (block.startsWith('event: gap')) this.failure ??= `a gap: ${block}`;
    else if (block.startsWith('HTTP/') && !block.startsWith('HTTP/1.1 200 ')) this.failure ??= block.slice(0, 80);
    else if (block.startsWith('id: ')) this.live = true;
  }

  private async waitFor(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + CATCH_UP_MS;
    while (!condition()) {
      if (this.failure !== null) throw new Error(`reader: ${this.failure}, after ${this.count} publications`);
      if (performance.now() > deadline) throw new Error(`reader: waited in vain for ${what}, has ${this.count}`);
      await sleep(10);
    }
  }
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
