/** The result of a megatest as a table for people. */

import { group } from './progress.js';
import { isFlawless, type MegatestResult } from './result.js';
import { cpuSecondsBetween, type ServerCost } from './server-cost.js';

/** Rows of a name and a text, names in one column; with a newline at the end. */
export function formatReport(result: MegatestResult): string {
  const rows: [string, string][] = [
    ['connections', `${group(result.connections)} from ${plural(result.processes, 'process', 'processes')}`],
    [
      'opened',
      `${group(result.opened)} in ${result.seconds.toFixed(2)} s, ${group(result.connectionsPerSecond)} a second`,
    ],
    ['failed', withReasons(result.failed, result.failedByReason)],
    ['held', group(result.held)],
    ['dropped', withReasons(result.dropped, result.droppedByReason)],
  ];
  if (result.sent + result.unsent > 0) rows.push(...messageRows(result));
  if (result.server !== null) rows.push(...serverRows(result.server));
  rows.push(['verdict', verdict(result)]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n')}\n`;
}

function messageRows(result: MegatestResult): [string, string][] {
  const { p50Ms, p90Ms, p99Ms, maxMs } = result.latency;
  return [
    ['sent', `${group(result.sent)} in ${result.publishSeconds.toFixed(2)} s`],
    ['not sent', withReasons(result.unsent, result.unsentByReason)],
    ['received', group(result.received)],
    ['lost', group(result.lost)],
    ['duplicates', group(result.duplicates)],
    ['misdelivered', group(result.misdelivered)],
    ['strays', group(result.strays)],
    ['polled again', group(result.repolls)],
    ['latency', `p50 ${p50Ms} ms, p90 ${p90Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms`],
  ];
}

function serverRows({ before, after }: { before: ServerCost; after: ServerCost }): [string, string][] {
  const change = (field: 'rssBytes' | 'pssBytes' | 'privateBytes') =>
    `${mebibytes(before[field])} MiB before, ${mebibytes(after[field])} MiB after`;
  return [
    ['server', plural(after.processes.length, 'process', 'processes')],
    ['  RSS', change('rssBytes')],
    ['  PSS', change('pssBytes')],
    ['  private', change('privateBytes')],
    ['  CPU', `${cpuSecondsBetween(before, after).toFixed(2)} s`],
  ];
}

function verdict(result: MegatestResult): string {
  if (result.interrupted) return 'interrupted';
  return isFlawless(result) ? 'flawless' : 'NOT flawless';
}

function withReasons(total: number, reasons: Record<string, number>): string {
  const parts = Object.entries(reasons).map(([reason, count]) => `${reason} ${group(count)}`);
  return parts.length === 0 ? group(total) : `${group(total)}: ${parts.join(', ')}`;
}

function plural(number: number, one: string, many: string): string {
  return `${group(number)} ${number === 1 ? one : many}`;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
