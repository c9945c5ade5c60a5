/** From the samples of all rounds to the summary of a row, and from the summaries to a table. */

import { type Cost, totalOf, userOf } from './costs.js';
import { median } from './measure.js';

/** The CPU time of one pass, by process. */
export interface Pass {
  open: Cost[];
  message: Cost[];
}

/** One round of one row. Bytes are of the processes that hold connections; a manager's are apart. NaN: not measured. */
export interface Sample {
  bytesPerConnection: number;
  managerBytesPerConnection: number;
  /** All processes, before the first connection. */
  baseBytes: number;
  passes: Pass[];
}

export interface CpuSummary {
  micros: number;
  userMicros: number;
  /** By role, where there are several processes. */
  byRole: Record<string, number>;
  /** To the reference, taken within each pass; null without one. */
  ratio: number | null;
  /** To the baseline, likewise. */
  ratioBefore: number | null;
}

export interface Summary {
  bytesPerConnection: number;
  managerBytesPerConnection: number;
  baseBytes: number;
  open: CpuSummary;
  message: CpuSummary;
}

/** Medians over rounds and passes. `reference` and `baseline` have the samples of these rows, of the same rounds, or none. */
export function summarize(samples: Sample[], reference: Sample[], baseline: Sample[] = []): Summary {
  const middle = (of: (sample: Sample) => number): number => median(samples.map(of));
  return {
    bytesPerConnection: middle((sample) => sample.bytesPerConnection),
    managerBytesPerConnection: middle((sample) => sample.managerBytesPerConnection),
    baseBytes: middle((sample) => sample.baseBytes),
    open: summarizeCpu(costsOf(samples, 'open'), costsOf(reference, 'open'), costsOf(baseline, 'open')),
    message: summarizeCpu(costsOf(samples, 'message'), costsOf(reference, 'message'), costsOf(baseline, 'message')),
  };
}

/** The costs of every pass of every round. */
function costsOf(samples: Sample[], phase: keyof Pass): Cost[][] {
  return samples.flatMap((sample) => sample.passes.map((pass) => pass[phase]));
}

function summarizeCpu(passes: Cost[][], reference: Cost[][], baseline: Cost[][]): CpuSummary {
  const totals = passes.map(totalOf);
  const ratioTo = (others: Cost[][]): number | null =>
    others.length === 0 ? null : median(others.map((costs, i) => totals[i] / totalOf(costs)));
  const roles = [...new Set(passes[0].map((cost) => cost.role))];
  const ofRole = (role: string): number => median(passes.map((costs) => totalOf(costs.filter((c) => c.role === role))));
  return {
    micros: median(totals),
    userMicros: median(passes.map(userOf)),
    byRole: roles.length < 2 ? {} : Object.fromEntries(roles.map((role) => [role, ofRole(role)])),
    ratio: ratioTo(reference),
    ratioBefore: ratioTo(baseline),
  };
}

/** A row that ran, or the reason why there is none. */
export type Outcome = { title: string } & ({ summary: Summary } | { reason: string });

/** @param before whether there is a baseline */
function headings(before: boolean): string[] {
  const ratios = before ? ['× C', '× before'] : ['× C'];
  return ['', 'bytes/idle', 'µs/open', 'user', ...ratios, 'µs/message', 'user', ...ratios, 'base MB'];
}

/** The table as text, and below it what does not fit a cell. */
export function formatTable(outcomes: Outcome[]): string {
  const notes: string[] = [];
  const before = outcomes.some((outcome) => 'summary' in outcome && outcome.summary.open.ratioBefore !== null);
  const lines = [headings(before)];
  for (const outcome of outcomes) {
    if ('reason' in outcome) {
      lines.push([outcome.title, ...lines[0].slice(1).map(() => '-')]);
      notes.push(`${outcome.title}: not measured: ${outcome.reason}`);
      continue;
    }
    const { summary, title } = outcome;
    lines.push([
      title,
      bytesCell(summary.bytesPerConnection),
      ...cpuCells(summary.open, before),
      ...cpuCells(summary.message, before),
      (summary.baseBytes / 2 ** 20).toFixed(1),
    ]);
    if (Object.keys(summary.open.byRole).length > 0) {
      const manager = bytesCell(summary.managerBytesPerConnection);
      notes.push(`${title}: µs/open ${roleCells(summary.open)}; µs/message ${roleCells(summary.message)}`);
      notes.push(`${title}: the manager's index takes another ${manager} bytes for each connection with its own id`);
    }
  }
  return [alignColumns(lines), ...(notes.length > 0 ? ['', ...notes] : [])].join('\n');
}

/** A table of which the first column is text and the others are figures. */
export function alignColumns(lines: string[][]): string {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines
    .map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[i]))).join('  '))
    .join('\n');
}

function bytesCell(bytes: number): string {
  return Number.isNaN(bytes) ? '-' : Math.round(bytes).toLocaleString('en');
}

function cpuCells({ micros, userMicros, ratio, ratioBefore }: CpuSummary, before: boolean): string[] {
  const ratios = before ? [ratio, ratioBefore] : [ratio];
  const cells = ratios.map((value) => (value === null ? '-' : value.toFixed(2)));
  return [micros.toFixed(1), userMicros.toFixed(1), ...cells];
}

function roleCells({ byRole }: CpuSummary): string {
  return Object.entries(byRole)
    .map(([role, micros]) => `${role} ${micros.toFixed(1)}`)
    .join(' + ');
}
