/** The result of an experiment as text: the server's processes like `top`, totals beside those of 2011, and what happened. */

import { group } from '../megatest/progress.js';
import { ORIGINAL } from './original.js';
import { type ExperimentResult, isFlawless, type MessagesResult } from './result.js';

/** The whole report, with a newline at the end. */
export function formatReport(result: ExperimentResult): string {
  const parts = [
    heading(result),
    table(processRows(result)),
    table(comparisonRows(result)),
    table(eventRows(result)),
    ...(result.complaints.length === 0 ? [] : [complaintLines(result).join('\n')]),
  ];
  return `${parts.join('\n\n')}\n`;
}

function heading({
  connections,
  clientBoxes,
  clientProcesses,
  mode,
  reactor,
  machine,
  versions,
}: ExperimentResult): string {
  const commit = versions.commit === null ? '' : ` (${versions.commit})`;
  return [
    `${group(connections)} connections from ${clientBoxes} boxes (${clientProcesses} processes, ${mode}, ${reactor})`,
    `MegaComet ${versions.megacomet}${commit}, Node ${versions.node}, Linux ${versions.kernel}, ` +
      `${machine.cores} cores, ${mebibytes(machine.memoryBytes)} MiB, ${machine.cpu}`,
  ].join('\n');
}

/** Like `top`: memory while all connections are held, CPU of one core while they were opened and while they were idle. */
function processRows(result: ExperimentResult): string[][] {
  const open = result.phases.find(({ name }) => name === 'open');
  const hold = result.phases.find(({ name }) => name === 'hold');
  const cpu = (phase: typeof open, name: string) => {
    const percent = phase?.processes.find((each) => each.name === name)?.cpuPercent;
    return percent === undefined ? '' : percent.toFixed(1);
  };
  const rows = result.processes.map(({ name, pid, rssBytes, pssBytes, privateBytes }) => [
    name,
    String(pid),
    ...[rssBytes, pssBytes, privateBytes].map(mebibytes),
    cpu(open, name),
    cpu(hold, name),
  ]);
  const { rssBytes, pssBytes, privateBytes } = result;
  const totals = [open, hold].map((phase) => (phase === undefined ? '' : cpuPercent(phase).toFixed(1)));
  return [
    ['PROCESS', 'PID', 'RSS MiB', 'PSS MiB', 'PRIVATE', '%CPU open', '%CPU idle'],
    ...rows,
    ['together', '', ...[rssBytes, pssBytes, privateBytes].map(mebibytes), ...totals],
  ];
}

/** The figures of this run beside those of 2011. */
export function comparisonRows(result: ExperimentResult): string[][] {
  const workers = result.processes.filter(({ name }) => name.startsWith('worker'));
  const largest = Math.max(0, ...workers.map(({ pssBytes }) => pssBytes));
  return [
    ['', 'this run', '2011'],
    [
      'connections held',
      group(result.phases.find(({ name }) => name === result.memoryAfter)?.held ?? 0),
      group(ORIGINAL.connections),
    ],
    ['worker processes', String(workers.length), String(ORIGINAL.workers)],
    ['largest worker, PSS', `${mebibytes(largest)} MiB`, `${mebibytes(ORIGINAL.workerBytes)} MiB`],
    ['all server processes, PSS', `${mebibytes(result.pssBytes)} MiB`, `${mebibytes(ORIGINAL.serverBytes)} MiB`],
    ['kernel, both ends', `${mebibytes(result.kernelBytes)} MiB`, '?'],
    ['connections a second', group(result.openedPerSecond), group(ORIGINAL.connectionsPerSecond)],
    ['CPU meanwhile, of one core', `${cpuAt(result, result.openedPerSecond).toFixed(0)} %`, `${ORIGINAL.cpuPercent} %`],
    [
      'CPU for 4,000 a second',
      `${cpuAt(result, ORIGINAL.connectionsPerSecond).toFixed(0)} %`,
      `${ORIGINAL.cpuPercent} %`,
    ],
  ];
}

/** CPU that the server takes while so many connections a second arrive, from what one has cost: per cent of one core. */
function cpuAt({ phases, opened }: ExperimentResult, perSecond: number): number {
  return (phases[0].serverCpuSeconds / Math.max(1, opened)) * perSecond * 100;
}

function cpuPercent({ serverCpuSeconds, seconds }: { serverCpuSeconds: number; seconds: number }): number {
  return seconds === 0 ? 0 : (serverCpuSeconds / seconds) * 100;
}

/** What happened, a line for each phase. */
export function eventRows(result: ExperimentResult): string[][] {
  const { opened, failed, failedByReason, dropped, droppedByReason, directed, broadcast, idleCpuPercent } = result;
  const rows = [
    ['opened', `${group(opened)}, ${group(result.openedPerSecond)} a second`],
    ['failed', withReasons(failed, failedByReason)],
    ['dropped', withReasons(dropped, droppedByReason)],
    ['held at the end', group(result.held)],
  ];
  if (idleCpuPercent !== null) rows.push(['idle server', `${idleCpuPercent} % of one core`]);
  if (directed !== null) {
    const { p50Ms, p99Ms, maxMs } = directed;
    rows.push(['directed', `${messages(directed)}; p50 ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms`]);
  }
  if (broadcast !== null) {
    const { firstMs, lastMs } = broadcast;
    rows.push(['broadcast', `${messages(broadcast)}; first after ${firstMs} ms, last after ${lastMs} ms`]);
  }
  if (result.return !== null) {
    const { clients, seconds, heldSeconds, duplicates: again } = result.return;
    const held = heldSeconds === null ? 'the server did not hold all of them again' : `all held after ${heldSeconds} s`;
    rows.push([
      'return',
      `${group(clients)} clients of a killed worker: connected after ${seconds} s, ${held}${again > 0 ? `; ${group(again)} messages came again` : ''}`,
    ]);
  }
  const { duplicates, misdelivered, strays } = result;
  if (duplicates + misdelivered + strays > 0) {
    rows.push(['wrong messages', `${duplicates} duplicates, ${misdelivered} misdelivered, ${strays} strays`]);
  }
  rows.push([
    'kernel',
    result.complaints.length === 0 ? 'no complaint' : `complaints: ${result.complaints.length}, see below`,
  ]);
  rows.push(['verdict', result.interrupted ? 'interrupted' : isFlawless(result) ? 'flawless' : 'NOT flawless']);
  return rows;
}

function complaintLines({ complaints, mode }: ExperimentResult): string[] {
  return [
    `What the kernel complained about${mode === 'loopback' ? ' (counters of the whole machine)' : ''}:`,
    ...complaints.flatMap(({ what, count, cure }) => [
      `  ${what}${count > 1 ? ` (${group(count)})` : ''}`,
      ...(cure === null ? [] : [`    ${cure}`]),
    ]),
  ];
}

function messages({ sent, received, lost, unsent, unsentByReason }: MessagesResult): string {
  const counts = `${group(sent)} sent, ${group(received)} received, ${group(lost)} lost`;
  return unsent === 0 ? counts : `${counts}, not sent ${withReasons(unsent, unsentByReason)}`;
}

function withReasons(total: number, reasons: Record<string, number>): string {
  const parts = Object.entries(reasons).map(([reason, count]) => `${reason} ${group(count)}`);
  return parts.length === 0 ? group(total) : `${group(total)}: ${parts.join(', ')}`;
}

export function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

/** First column to the left; where there are more than two, the others to the right. */
function table(rows: string[][]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const pad = (cell: string, column: number, cells: number) =>
    column === 0 ? cell.padEnd(widths[0]) : cells > 2 ? cell.padStart(widths[column]) : cell;
  return rows
    .map((row) =>
      row
        .map((cell, column) => pad(cell, column, row.length))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
