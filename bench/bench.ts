/**
 * `npm run bench`: MegaComet beside a minimal C epoll server, `node:http` and `ws`, on the same work with the same
 * client, in one run. Options below; bench/rounds.ts says what is measured.
 *
 * Exit code 0 when every row that can run here ran, 1 when one did something wrong, 2 for a wrong option.
 */

import { availableParallelism, release } from 'node:os';
import { parseArgs } from 'node:util';
import { baselineCheckout, choices, connectionsMax, integer, runProgram } from './program.js';
import { formatTable, type Outcome, type Sample, summarize } from './report.js';
import type { Failure } from './round.js';
import { PACES, type Pace, runRound } from './rounds.js';
import { baselineRow, REFERENCE, ROWS, type Row } from './rows.js';

const DEFAULT_ROWS = 'megacomet,c,http,ws';

const USAGE = `Usage: npm run bench -- [options]

  --connections N    for each server (default 15000; as many as the descriptor limit allows)
  --rounds N         fresh processes each; medians are printed (default 3)
  --rows a,b         of ${ROWS.map((row) => row.key).join(', ')} (default ${DEFAULT_ROWS})
  --baseline DIR     another checkout of MegaComet, built: one more row, which the others are compared with too
  --warm-up-passes N in each round, before the first that counts (default 3)
  --passes N         in each round (default 3)
  --no-memory        only CPU time
  --after-messages   memory with clients that have each received a message and come back
  --pace NAME        how connections are opened: flood, trickle (default; 256 in flight) or single
  --burst N          of a flood: so many wait when the server comes to look (default 2000; below net.core.somaxconn)
  --json             every sample, for programs
  --help`;

interface BenchOptions {
  connections: number;
  rounds: number;
  rows: Row[];
  baseline: Row | null;
  warmUpPasses: number;
  passes: number;
  memory: boolean;
  afterMessages: boolean;
  pace: Pace;
  burst: number;
  json: boolean;
}

/** @returns null when help was asked for */
function readOptions(): BenchOptions | null {
  const { values } = parseArgs({
    options: {
      connections: { type: 'string', default: String(Math.min(15_000, connectionsMax())) },
      rounds: { type: 'string', default: '3' },
      rows: { type: 'string', default: DEFAULT_ROWS },
      baseline: { type: 'string' },
      'warm-up-passes': { type: 'string', default: '3' },
      passes: { type: 'string', default: '3' },
      'no-memory': { type: 'boolean', default: false },
      'after-messages': { type: 'boolean', default: false },
      pace: { type: 'string', default: 'trickle' },
      burst: { type: 'string', default: '2000' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const [pace] = choices('pace', values.pace, PACES, (name) => name);
  const checkout = baselineCheckout(values.baseline);
  const baseline = checkout === null ? null : baselineRow(checkout);
  const rows = choices('rows', values.rows, ROWS, (row) => row.key);
  return {
    connections: integer('connections', values.connections, 100, connectionsMax()),
    rounds: integer('rounds', values.rounds, 1, 100),
    rows: baseline === null ? rows : [...rows, baseline],
    baseline,
    warmUpPasses: integer('warm-up-passes', values['warm-up-passes'], 0, 100),
    passes: integer('passes', values.passes, 1, 100),
    memory: !values['no-memory'],
    afterMessages: values['after-messages'],
    pace,
    burst: integer('burst', values.burst, 1, 4000),
    json: values.json,
  };
}

async function run(options: BenchOptions): Promise<boolean> {
  const { connections, rounds, rows, baseline, warmUpPasses, passes, memory, afterMessages, pace, burst, json } =
    options;
  const samples = new Map<Row, Sample[]>(rows.map((row) => [row, []]));
  const failures = new Map<Row, Failure>();
  for (let round = 1; round <= rounds; round++) {
    if (!json) console.error(`round ${round} of ${rounds} …`);
    const able = rows.filter((row) => !failures.has(row));
    // Every second round the other way round, so that no row always comes first.
    const results = await runRound(round % 2 ? able : able.toReversed(), options);
    for (const [row, result] of results) {
      if ('reason' in result) failures.set(row, result);
      else samples.get(row)!.push(result);
    }
  }
  const samplesOf = (compared: (row: Row) => boolean): Sample[] => {
    const found = rows.find((row) => compared(row) && !failures.has(row));
    return found === undefined ? [] : samples.get(found)!;
  };
  const referenceSamples = samplesOf((row) => row.key === REFERENCE);
  const baselineSamples = samplesOf((row) => row === baseline);
  const outcomes = rows.map((row): Outcome & { key: string; samples: Sample[] } => {
    const failure = failures.get(row);
    const own = samples.get(row)!;
    const outcome = failure
      ? { reason: failure.reason }
      : { summary: summarize(own, referenceSamples, baselineSamples) };
    return { key: row.key, title: row.title, ...outcome, samples: own };
  });
  const machine = { node: process.version, linux: release(), processors: availableParallelism() };
  if (json) {
    const conditions = { machine, connections, rounds, warmUpPasses, passes, memory, afterMessages, pace, burst };
    console.log(JSON.stringify({ ...conditions, rows: outcomes }, null, 2));
  } else {
    const when = afterMessages ? 'memory after a message to each' : 'memory before any message';
    const figures = `median of ${rounds} rounds of ${passes} passes${memory ? `, ${when}` : ''}`;
    console.log(`\n${connections} connections, opened in pace '${pace}', ${figures}`);
    console.log(`Node ${machine.node}, Linux ${machine.linux}, ${machine.processors} processors\n`);
    console.log(formatTable(outcomes));
    console.log(
      '\nA message ends a long-poll and its connection (send and close); for ws it is a frame on one that stays.',
    );
  }
  return [...failures.values()].every((failure) => !failure.wrong);
}

await runProgram(USAGE, readOptions, run);
