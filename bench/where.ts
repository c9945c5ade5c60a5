/**
 * Where the memory of processes is: `node dist/bench/where.js PID…` prints the KiB of PSS of each kind of mapping, in a table that
 * adds up (docs/million.md).
 */

import { readFileSync } from 'node:fs';
import { byKind, KINDS, type Kind } from './mappings.js';

function table(pids: string[]): string {
  const columns = pids.map((pid) => byKind(readFileSync(`/proc/${pid}/smaps`, 'latin1')));
  const row = (name: string, numbers: number[]) =>
    `| ${[name, ...[...numbers, sum(numbers)].map((kilobytes) => kilobytes.toLocaleString('en'))].join(' | ')} |`;
  const rows = Object.entries(KINDS).map(([kind, name]) =>
    row(
      name,
      columns.map((sums) => sums[kind as Kind]),
    ),
  );
  const together = row(
    'together',
    columns.map((sums) => sum(Object.values(sums))),
  );
  const head = `| KiB of PSS | ${[...pids, 'together'].join(' | ')} |\n|${'---|'.repeat(pids.length + 2)}`;
  return [head, ...rows, together].join('\n');
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

const pids = process.argv.slice(2);
if (pids.length === 0 || !pids.every((pid) => /^[1-9]\d*$/.test(pid))) {
  process.stderr.write('usage: node dist/bench/where.js PID…\n');
  process.exit(2);
}
try {
  process.stdout.write(`${table(pids)}\n`);
} catch (error) {
  const { code, path, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  process.stderr.write(`${path ?? 'a process has ended'}: ${message}\n`);
  process.exit(1);
}
