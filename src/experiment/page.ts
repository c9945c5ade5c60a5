/** The result of an experiment as one HTML page: figures, charts, tables. Nothing is loaded from elsewhere, nothing runs. */

import { group } from '../megatest/progress.js';
import { type Band, type Chart, escapeHtml, renderChart, type Series } from './chart.js';
import { ORIGINAL } from './original.js';
import { comparisonRows, eventRows, mebibytes } from './report.js';
import { type ExperimentResult, isFlawless, type Sample } from './result.js';
import { STYLE } from './style.js';

export function renderPage(result: ExperimentResult): string {
  const { connections, clientBoxes, clientProcesses, mode, sourceAddresses, machine, versions, startedAt } = result;
  const title = `${group(connections)} connections`;
  const commit = versions.commit === null ? '' : `, commit ${versions.commit}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>MegaComet: ${title}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<p class="verdict ${isFlawless(result) ? 'good' : 'bad'}">${verdict(result)}</p>
<h1>${title}</h1>
<p>${clientBoxes} client boxes (${escapeHtml(mode)}, ${result.reactor}), ${clientProcesses} client processes, ${group(sourceAddresses)} source
addresses. ${escapeHtml(startedAt.slice(0, 16).replace('T', ' '))} UTC.</p>
</header>
<section class="tiles">${tiles(result)}</section>
<section class="charts">
${chartsOf(result).map(renderChart).join('\n')}
</section>
<section class="tables">
<div><h2>Server processes</h2>${htmlTable(processTable(result))}
<p>After the phase ${result.memoryAfter}. RSS counts pages that processes share once for each, PSS divides them.</p></div>
<div><h2>Beside 2011</h2>${htmlTable(comparisonRows(result))}</div>
<div><h2>Memory of the kernel</h2>${htmlTable(kernelTable(result))}
<p>Growth since before the server was started. Both ends of every connection are on this machine.</p></div>
<div><h2>Phases</h2>${htmlTable(phaseTable(result))}</div>
<div><h2>What happened</h2>${htmlTable([['', ''], ...eventRows(result)])}</div>
${complaints(result)}
</section>
<footer>MegaComet ${escapeHtml(versions.megacomet + commit)}, Node ${escapeHtml(versions.node)}, Linux
${escapeHtml(versions.kernel)}, ${machine.cores} cores, ${mebibytes(machine.memoryBytes)} MiB, ${escapeHtml(machine.cpu)},
${escapeHtml(machine.arch)}. Run ${escapeHtml(result.run)}.</footer>
</body>
</html>
`;
}

function verdict(result: ExperimentResult): string {
  if (result.interrupted) return 'interrupted';
  return isFlawless(result) ? 'none failed, none dropped, none lost' : 'not flawless';
}

function tiles(result: ExperimentResult): string {
  const { directed, broadcast, idleCpuPercent } = result;
  const held = result.phases.find(({ name }) => name === result.memoryAfter)?.held ?? 0;
  const values: [string, string, string][] = [
    [group(held), 'connections held', `2011: ${group(ORIGINAL.connections)}`],
    [`${mebibytes(result.pssBytes)} MiB`, 'all server processes (PSS)', `2011: ${mebibytes(ORIGINAL.serverBytes)} MiB`],
    [group(result.openedPerSecond), 'connections opened a second', `2011: ${group(ORIGINAL.connectionsPerSecond)}`],
  ];
  if (idleCpuPercent !== null) values.push([`${idleCpuPercent} %`, 'CPU of the idle server', 'of one core']);
  if (directed !== null) {
    const { p50Ms, p99Ms, received } = directed;
    values.push([
      `${p99Ms.toFixed(1)} ms`,
      'p99 of directed messages',
      `p50 ${p50Ms.toFixed(1)} ms, ${group(received)} received`,
    ]);
  }
  if (broadcast !== null) {
    const { lastMs, received } = broadcast;
    values.push([
      `${(lastMs / 1000).toFixed(2)} s`,
      'until all have a message of their own',
      `${group(received)} received`,
    ]);
  }
  return values
    .map(([value, name, note]) => `<div><b>${value}</b><span>${name}</span><small>${note}</small></div>`)
    .join('');
}

function chartsOf({ samples, phases, connections }: ExperimentResult): Chart[] {
  const seconds = samples.map((sample) => sample.seconds);
  const bands: Band[] = phases.map(({ name, startSeconds, seconds: length }) => ({
    name,
    fromSeconds: startSeconds,
    toSeconds: startSeconds + length,
  }));
  const series = (name: string, read: (sample: Sample, index: number) => number | null): Series => ({
    name,
    values: samples.map(read),
  });
  /** Growth a second since the sample before. */
  const rate = (field: 'opened' | 'received') => (sample: Sample, index: number) => {
    const before = samples[index - 1] ?? { seconds: 0, opened: 0, received: 0 };
    return (sample[field] - before[field]) / Math.max(0.1, sample.seconds - before.seconds);
  };
  const common = { seconds, bands, kind: 'lines', scale: 'linear' } as const;
  const workers = [...new Set(samples.flatMap(({ processes }) => processes.map(({ name }) => name)))];
  return [
    {
      ...common,
      title: 'Connections',
      subtitle: `of ${group(connections)}, as the clients see it`,
      series: [series('held', ({ held }) => held)],
      format: count,
    },
    {
      ...common,
      title: 'Rate',
      subtitle: 'a second',
      series: [series('connections opened', rate('opened')), series('messages received', rate('received'))],
      format: count,
    },
    {
      ...common,
      kind: 'stacked',
      title: 'Memory',
      subtitle: 'user space of the server (PSS), and the kernel for both ends',
      series: [
        series('server, user space', ({ pssBytes }) => inMebibytes(pssBytes)),
        series('kernel', ({ kernelBytes }) => inMebibytes(kernelBytes)),
      ],
      format: memory,
    },
    {
      ...common,
      title: 'Memory of the server',
      subtitle: 'PSS of each process',
      kind: 'stacked',
      series: workers.map((name) => series(name, (sample) => inMebibytes(processOf(sample, name)?.pssBytes ?? 0))),
      format: memory,
    },
    {
      ...common,
      title: 'CPU of the server',
      subtitle: 'per cent of one core',
      series: workers.map((name) => series(name, (sample) => processOf(sample, name)?.cpuPercent ?? null)),
      format: (value) => `${Number(value.toFixed(1))} %`,
    },
    {
      ...common,
      scale: 'logarithmic',
      title: 'Latency',
      subtitle: 'from publish to receipt; of a broadcast, from its beginning',
      series: [
        series('median', ({ latencyP50Ms }) => latencyP50Ms),
        series('largest', ({ latencyMaxMs }) => latencyMaxMs),
      ],
      format: duration,
    },
  ];
}

function processOf({ processes }: Sample, name: string): Sample['processes'][number] | undefined {
  return processes.find((each) => each.name === name);
}

/** 1200000 as `1.2M`. */
function count(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  return value >= 1e4 ? `${Number((value / 1e3).toPrecision(3))}k` : String(Math.round(value));
}

function inMebibytes(bytes: number): number {
  return bytes / 2 ** 20;
}

function memory(value: number): string {
  return `${group(Number(value.toPrecision(4)))} MiB`;
}

function duration(ms: number): string {
  return ms < 1000 ? `${Number(ms.toPrecision(3))} ms` : `${Number((ms / 1000).toPrecision(3))} s`;
}

function processTable({ processes, rssBytes, pssBytes, privateBytes }: ExperimentResult): string[][] {
  return [
    ['process', 'pid', 'RSS MiB', 'PSS MiB', 'private MiB'],
    ...processes.map((each) => [
      each.name,
      String(each.pid),
      ...[each.rssBytes, each.pssBytes, each.privateBytes].map(mebibytes),
    ]),
    ['together', '', ...[rssBytes, pssBytes, privateBytes].map(mebibytes)],
  ];
}

function kernelTable({ kernel, kernelBytes, phases, memoryAfter }: ExperimentResult): string[][] {
  const held = Math.max(1, phases.find(({ name }) => name === memoryAfter)?.held ?? 0);
  const row = (name: string, amount: number) => [name, mebibytes(amount), group(Math.round(amount / held))];
  return [
    ['', 'MiB', 'bytes a connection'],
    row('slab', kernel.slabBytes),
    row('of it unreclaimable', kernel.slabUnreclaimableBytes),
    row('vmalloc', kernel.vmallocBytes),
    row('per CPU', kernel.perCpuBytes),
    row('page tables', kernel.pageTableBytes),
    row('TCP buffers', kernel.bufferBytes),
    row('together', kernelBytes),
  ];
}

function phaseTable({ phases }: ExperimentResult): string[][] {
  return [
    ['phase', 'seconds', 'server CPU s', 'held', 'PSS MiB', 'kernel MiB'],
    ...phases.map((each) => [
      each.name,
      each.seconds.toFixed(1),
      each.serverCpuSeconds.toFixed(2),
      group(each.held),
      mebibytes(each.pssBytes),
      mebibytes(each.kernelBytes),
    ]),
  ];
}

function complaints({ complaints: found, kernelLog, kernelLogRead }: ExperimentResult): string {
  const rows = found.map(({ what, count: times, cure }) => [what, group(times), cure ?? 'unknown: see what it says']);
  const table = rows.length === 0 ? '<p>None.</p>' : htmlTable([['what', 'times', 'cure'], ...rows]);
  const log = kernelLog.map(({ uptimeSeconds, text }) => `[${uptimeSeconds.toFixed(6)}] ${text}`).join('\n');
  const read = kernelLogRead ? '' : '<p>The kernel log could not be read (root only): counters only.</p>';
  return `<div class="wide"><h2>Complaints of the kernel</h2>${table}${read}${log && `<pre>${escapeHtml(log)}</pre>`}</div>`;
}

/** The first row is the head, the first column names the rows. */
function htmlTable([head, ...rows]: string[][]): string {
  const numeric = head.map(
    (_, column) => column > 0 && rows.every((row) => /^(-?[\d.,]+( MiB| %)?|\?)?$/.test(row[column])),
  );
  const cell = (tag: string, content: string, column: number) =>
    `<${tag}${numeric[column] ? ' class="number"' : ''}>${escapeHtml(content)}</${tag}>`;
  const heads = head.map((name, column) => cell('th', name, column)).join('');
  const top = head.some((name) => name !== '') ? `<thead><tr>${heads}</tr></thead>` : '';
  const body = rows.map(([name, ...others]) => {
    const cells = others.map((content, index) => cell('td', content, index + 1)).join('');
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells}</tr>`;
  });
  return `<table>${top}<tbody>${body.join('')}</tbody></table>`;
}
