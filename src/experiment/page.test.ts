import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Chart, niceTicks, renderChart } from './chart.js';
import { renderPage } from './page.js';
import { formatReport } from './report.js';
import { type ExperimentResult, isFlawless, type Sample } from './result.js';

const MIB = 2 ** 20;
const processes = [
  { name: 'manager', pid: 10, rssBytes: 80 * MIB, pssBytes: 36 * MIB, privateBytes: 30 * MIB, cpuPercent: 1 },
  { name: 'worker 0', pid: 11, rssBytes: 90 * MIB, pssBytes: 44.5 * MIB, privateBytes: 40 * MIB, cpuPercent: 50 },
];
const memory = { rssBytes: 170 * MIB, pssBytes: 80.5 * MIB, privateBytes: 70 * MIB, kernelBytes: 9000 * MIB };

function sampleAt(seconds: number): Sample {
  const counts = { opened: seconds * 1000, held: seconds * 1000, failed: 0, dropped: 0, received: 0, duplicates: 0 };
  const sockets = { sockets: 1, orphans: 0, timeWait: 0, slabUnreclaimableBytes: 1, bufferBytes: 0, openFiles: 9 };
  const latencies = { latencyP50Ms: seconds > 2 ? 3 : null, latencyMaxMs: seconds > 2 ? 4000 : null };
  const rest = { cpuPercent: 51, processes, testersRssBytes: 0 };
  return { seconds, phase: 'open', ...counts, ...memory, ...sockets, ...latencies, ...rest };
}

function resultWith(changes: Partial<ExperimentResult> = {}): ExperimentResult {
  const phase = { ...memory, held: 1_048_576, processes };
  return {
    ...{ run: '1f0e33ab', startedAt: '2026-01-02T03:04:05.000Z', connections: 1_048_576, mode: 'namespaces' },
    ...{ reactor: 'io-uring', clientBoxes: 4, clientProcesses: 8, sourceAddresses: 1052, interrupted: false },
    machine: { cpu: '<Fast & "Cheap">', cores: 2, memoryBytes: 24e9, arch: 'x64' },
    versions: { megacomet: '0.1.0', commit: 'abc1234', node: 'v20.0.0', kernel: '6.18' },
    ...{ opened: 1_048_576, failed: 0, failedByReason: {}, dropped: 0, droppedByReason: {}, held: 1_048_576 },
    ...{ openedPerSecond: 30_000, idleCpuPercent: 0.6, memoryAfter: 'hold', processes, ...memory },
    kernel: {
      ...{ slabBytes: 8000 * MIB, slabUnreclaimableBytes: 7900 * MIB, vmallocBytes: 10 * MIB },
      ...{ perCpuBytes: 0, pageTableBytes: 5 * MIB, bufferBytes: 0 },
    },
    directed: {
      ...{ sent: 10_000, received: 10_000, lost: 0, unsent: 0, unsentByReason: {}, perSecond: 1000 },
      ...{ p50Ms: 1.5, p99Ms: 9.25, maxMs: 20 },
    },
    broadcast: null,
    return: { clients: 500_000, dropped: 500_000, duplicates: 0, seconds: 12.5, heldSeconds: null },
    ...{ duplicates: 0, misdelivered: 0, strays: 0 },
    phases: [
      { name: 'open', startSeconds: 0, seconds: 35, serverCpuSeconds: 10.5, ...phase },
      { name: 'hold', startSeconds: 35, seconds: 60, serverCpuSeconds: 0.36, ...phase },
    ],
    counters: { server: {}, clients: {} },
    complaints: [{ what: 'TcpExt.ListenOverflows', count: 1200, cure: 'raise it' }],
    kernelLogRead: true,
    kernelLog: [{ uptimeSeconds: 5, level: 4, text: 'TCP: <odd>', cure: null }],
    samples: [0, 1, 2, 3, 4].map(sampleAt),
    ...changes,
  };
}

describe('the report', () => {
  test('has the processes like top, totals beside 2011, and what happened', () => {
    const report = formatReport(resultWith());
    assert.match(report, /^1,048,576 connections from 4 boxes \(8 processes, namespaces, io-uring\)\n/);
    assert.match(report, /^PROCESS +PID +RSS MiB +PSS MiB +PRIVATE +%CPU open +%CPU idle$/m);
    assert.match(report, /^worker 0 +11 +90\.0 +44\.5 +40\.0 +50\.0 +50\.0$/m);
    assert.match(report, /^together +170\.0 +80\.5 +70\.0 +30\.0 +0\.6$/m);
    assert.match(report, /^connections held +1,048,576 +523,000$/m);
    assert.match(report, /^all server processes, PSS +80\.5 MiB +128\.0 MiB$/m);
    assert.match(report, /^CPU for 4,000 a second +4 % +24 %$/m);
    assert.match(report, /^directed +10,000 sent, 10,000 received, 0 lost; p50 1\.5 ms, p99 9\.25 ms, max 20 ms$/m);
    assert.match(report, /^return +500,000 clients of a killed worker: connected after 12\.5 s, the server did not/m);
    assert.match(report, /^verdict +flawless$/m);
    assert.match(report, /\n {2}TcpExt\.ListenOverflows \(1,200\)\n {4}raise it\n$/);
  });

  test('is flawless only when nothing failed, was dropped or lost, and all was held', () => {
    assert.ok(isFlawless(resultWith()));
    const { directed } = resultWith();
    for (const flaw of [
      { failed: 1 },
      { dropped: 1 },
      { held: 1_048_575 },
      { interrupted: true },
      { misdelivered: 1 },
      { directed: { ...directed!, lost: 1 } },
    ]) {
      assert.ok(!isFlawless(resultWith(flaw)), JSON.stringify(flaw));
    }
    assert.match(formatReport(resultWith({ dropped: 2, droppedByReason: { FIN: 2 } })), /^dropped +2: FIN 2$/m);
    assert.match(formatReport(resultWith({ failed: 1 })), /^verdict +NOT flawless$/m);
  });
});

describe('the page', () => {
  const page = renderPage(resultWith());

  test('loads nothing and runs nothing', () => {
    assert.doesNotMatch(page, /<script|<link|<img|<iframe|src=|href=|url\(|@import|https?:/);
  });

  test('escapes what comes from the machine', () => {
    assert.match(page, /&lt;Fast &amp; &quot;Cheap&quot;&gt;/);
    assert.match(page, /TCP: &lt;odd&gt;/);
  });

  test('has light and dark colours, six charts and every closing tag', () => {
    assert.match(page, /prefers-color-scheme: dark/);
    assert.equal(page.match(/<svg /g)!.length, 6);
    for (const tag of ['figure', 'svg', 'table', 'tr', 'td', 'th', 'div', 'section', 'rect', 'ul', 'li', 'title']) {
      const opened = page.match(new RegExp(`<${tag}(?=[\\s>])[^>]*(?<!/)>`, 'g'))?.length ?? 0;
      assert.equal(page.match(new RegExp(`</${tag}>`, 'g'))?.length ?? 0, opened, tag);
    }
    assert.doesNotMatch(page, /NaN|undefined|Infinity|\[object/);
  });

  test('is whole without any samples, and for a run that opened nothing', () => {
    const nothing = renderPage(
      resultWith({ samples: [], opened: 0, openedPerSecond: 0, kernelLog: [], complaints: [] }),
    );
    assert.doesNotMatch(nothing, /NaN|undefined|Infinity/);
    assert.match(nothing, /None\./);
  });
});

describe('a chart', () => {
  const chart: Chart = {
    title: 'Held',
    subtitle: '',
    seconds: [0, 1, 2, 3],
    series: [
      { name: 'one', values: [0, 5, null, 10] },
      { name: 'two', values: [0, 5, 10, 10] },
    ],
    bands: [{ name: 'open', fromSeconds: 0, toSeconds: 3 }],
    kind: 'lines',
    scale: 'linear',
    format: String,
  };

  test('has round ticks that reach the end', () => {
    assert.deepEqual(niceTicks(0, 1_048_576), [0, 500_000, 1_000_000, 1_500_000]);
    assert.deepEqual(niceTicks(0, 10), [0, 2, 4, 6, 8, 10]);
    assert.deepEqual(niceTicks(0, 0.7), [0, 0.2, 0.4, 0.6, 0.8]);
  });

  test('leaves gaps where there is no value', () => {
    const svg = renderChart(chart);
    assert.equal(svg.match(/<polyline class="line series-0"/g)!.length, 1);
    assert.equal(svg.match(/<circle class="dot series-0"/g)!.length, 1);
    assert.match(svg, /<title>2 s\none: none\ntwo: 10<\/title>/);
  });

  test('puts areas on top of each other', () => {
    const svg = renderChart({ ...chart, kind: 'stacked' });
    // The sum at the end is 20, the top of the axis.
    assert.match(svg, /<polyline class="line series-1" points="[^"]* 748,24"/);
    assert.equal(svg.match(/<polygon/g)!.length, 2);
  });

  test('shows values of every size on a logarithmic scale', () => {
    const series = [{ name: 'latency', values: [0.5, 5, 50, 5000] }];
    const svg = renderChart({ ...chart, scale: 'logarithmic', series });
    for (const tick of ['0.1', '1', '10', '100', '1000', '10000']) assert.match(svg, new RegExp(`>${tick}</text>`));
  });
});
