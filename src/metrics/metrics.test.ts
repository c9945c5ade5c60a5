import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { DELIVERY_BOUNDS_MS, FAN_OUT_BOUNDS_MS, LatencyHistogram } from '../latency-histogram.js';
import { EMPTY_STATS } from '../link/stats.js';
import { sumsOf, type WorkerStatus } from '../manager/status.js';
import { FAMILIES, type Sample } from './families.js';
import { Metrics } from './metrics.js';
import { type ExposedFamily, lint, parseExposition } from './testing/exposition.js';

function worker(number: number): WorkerStatus {
  return {
    ...EMPTY_STATS,
    worker: number,
    pid: 1000 + number,
    linked: true,
    reportAgeMs: 3,
    capacity: 1000,
    backlogBytes: number,
    rssBytes: 50 << 20,
    connections: 10,
    connectionsByTransport: { classic: 1, poll: 2, sse: 3, stream: 0, websocket: 3, other: 1 },
    accepted: 12,
    rejected: { 404: 2, 431: 1 },
    ended: { slow_consumer: 4 },
    accepting: true,
  };
}

function sampleOf(workers: WorkerStatus[]): Sample {
  const fanOut = new LatencyHistogram(FAN_OUT_BOUNDS_MS);
  for (const ms of [0.05, 0.3, 3, 10_000]) fanOut.observe(ms);
  return {
    version: '1.2.3',
    reactor: 'epoll',
    startedSeconds: 1_700_000_000.5,
    status: {
      ...sumsOf(workers),
      drain: null,
      webhooks: { pending: 2, sent: 7, dropped: 1, coalesced: 4, failures: 3, lastFailure: 'it answered 500' },
      pid: 1,
      uptimeSeconds: 5,
      rssBytes: 80 << 20,
      api: 'http://127.0.0.1:9001',
      classic: null,
      clients: ['127.0.0.1:8000'],
      log: {
        ...{ kind: 'memory', epoch: 'e', last: 7, fsync: null, publications: 5, bytes: 50, channels: 2 },
        ...{ queued: 1, expired: 1, evicted: 1 },
      },
      publisher: { published: 7, duplicates: 1, failed: 0, pending: 0, pendingBytes: 0, publishersWaiting: 0 },
      queue: { delivered: 3, receivers: 3, missed: 1, inFlight: 0, waiting: 1 },
      streams: { subscriptions: 1, fanOuts: 4, receivers: 2, linksBehind: 0 },
      workers,
    },
    fanOut: fanOut.counted,
    delivery: new LatencyHistogram(DELIVERY_BOUNDS_MS).counted,
    userBytes: 48.5,
    kernelBytes: null,
    cpu: { userSeconds: 1.5, systemSeconds: 0.5 },
    doctorWarnings: 2,
    workersEnded: 0,
    apiRequests: [
      { route: '/v1/publish', status: 200, requests: 4 },
      { route: '', status: 404, requests: 1 },
    ],
  };
}

const scrape = (workers: WorkerStatus[]) => new Metrics(() => sampleOf(workers)).text();

const TWO = [worker(0), { ...worker(1), ended: {}, rejected: {} }];

function seriesValue(families: ExposedFamily[], name: string, labels: Record<string, string> = {}): number | undefined {
  const series = families.flatMap((family) => family.series).filter((one) => one.name === name);
  return series.find((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))?.value;
}

describe('the exposition', () => {
  test('has no flaw', async () => {
    assert.deepEqual(lint(await scrape(TWO)), []);
  });

  test('has no flaw before a worker has reported, and without workers', async () => {
    const silent = Object.fromEntries(Object.keys(EMPTY_STATS).map((figure) => [figure, null]));
    const unlinked = {
      ...silent,
      worker: 0,
      pid: 1,
      linked: false,
      reportAgeMs: null,
      capacity: null,
      backlogBytes: null,
    };
    assert.deepEqual(lint(await scrape([{ ...unlinked, rssBytes: null } as never])), []);
    assert.deepEqual(lint(await scrape([])), []);
  });

  test('tells what was counted', async () => {
    const families = parseExposition(await scrape(TWO));
    const value = (name: string, labels?: Record<string, string>) => seriesValue(families, `megacomet_${name}`, labels);
    assert.equal(value('connections', { transport: 'sse', worker: '1' }), 3);
    assert.equal(value('connections_closed_total', { worker: '0' }), 2);
    assert.equal(value('connections_ended_total', { reason: 'slow_consumer' }), 4);
    assert.equal(value('requests_rejected_total', { status: '431' }), 1);
    assert.equal(value('build_info', { version: '1.2.3', reactor: 'epoll' }), 1);
    assert.equal(value('connection_user_bytes'), 48.5);
    assert.equal(value('connection_kernel_bytes'), undefined);
    assert.equal(value('process_cpu_seconds_total', { process: 'manager', mode: 'user' }), 1.5);
    assert.equal(value('log_dropped_total', { reason: 'evicted' }), 1);
    assert.equal(value('fan_out_seconds_bucket', { le: '0.0001' }), 1);
    assert.equal(value('fan_out_seconds_bucket', { le: '0.005' }), 3);
    assert.equal(value('fan_out_seconds_bucket', { le: '+Inf' }), 4);
    assert.ok(Math.abs(value('fan_out_seconds_sum')! - 10.00335) < 1e-9);
  });

  test('stays cheap with 250 workers', async () => {
    const metrics = new Metrics(() => sampleOf(Array.from({ length: 250 }, (_, i) => worker(i))));
    const text = await metrics.text();
    assert.deepEqual(lint(text), []);
    const { user, system } = process.cpuUsage();
    const rounds = 10;
    for (let i = 0; i < rounds; i++) await metrics.text();
    const spent = process.cpuUsage({ user, system });
    const msEach = (spent.user + spent.system) / 1000 / rounds;
    assert.ok(msEach < 200, `${msEach} ms of CPU for ${text.length} bytes`);
  });
});

describe('the linter of expositions finds', () => {
  const good = '# HELP a_total x\n# TYPE a_total counter\na_total{w="1"} 1\n';
  const flawed: [string, string, RegExp][] = [
    ['a series twice', `${good}a_total{w="1"} 2\n`, /twice/],
    ['a counter without _total', good.replaceAll('a_total', 'a'), /_total/],
    ['a gauge with it', good.replace('counter', 'gauge'), /_total/],
    ['milliseconds', good.replaceAll('a_total', 'a_ms_total'), /base units/],
    ['no help', good.replace(/# HELP.*\n/, ''), /no HELP/],
    ['what is no number', good.replace(' 1\n', ' NaN\n'), /not a number/],
    [
      'buckets that do not add up',
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 3\nh_bucket{le="+Inf"} 2\nh_sum 1\nh_count 2\n',
      /do not add up/,
    ],
  ];
  test('nothing in a good one', () => assert.deepEqual(lint(good), []));
  for (const [name, text, expected] of flawed) {
    test(name, () => assert.match(lint(text).join('\n'), expected));
  }
});

describe('what is made for Grafana and Prometheus uses only what there is:', () => {
  const read = (path: string) => readFileSync(new URL(`../../../deploy/${path}`, import.meta.url), 'utf8');
  const dashboard = JSON.parse(read('grafana/megacomet.json')) as {
    panels: {
      title: string;
      id: number;
      targets?: { expr: string }[];
      gridPos: Record<'x' | 'y' | 'w' | 'h', number>;
    }[];
    annotations: { list: { expr: string }[] };
    templating: { list: { query: string }[] };
  };
  const rules = parse(read('prometheus/megacomet.rules.yaml')) as {
    groups: { rules: { alert: string; expr: string; annotations: { summary: string } }[] }[];
  };
  const alerts = rules.groups.flatMap((group) => group.rules);
  const expressions: [string, string][] = [
    ...dashboard.panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }): [string, string] => [title, expr]),
    ),
    ...dashboard.annotations.list.map(({ expr }): [string, string] => ['annotation', expr]),
    ...dashboard.templating.list.map(({ query }): [string, string] => ['variable', query]),
    ...alerts.map(({ alert, expr }): [string, string] => [alert, expr]),
  ];
  /** Labels that the scraper adds. */
  const TARGET_LABELS = ['job', 'instance'];

  test('metrics of these names, with these labels', async () => {
    const families = parseExposition(await scrape(TWO));
    const labelsOf = new Map<string, Set<string>>(FAMILIES.map(({ name }) => [name, new Set<string>()]));
    for (const { series } of families) {
      for (const { name, labels } of series) {
        const known = labelsOf.get(name) ?? new Set();
        for (const label of Object.keys(labels)) known.add(label);
        labelsOf.set(name, known);
      }
    }
    let checked = 0;
    for (const [where, expression] of expressions) {
      const names = expression.match(/\bmegacomet_\w+/g) ?? [];
      const known = new Set(TARGET_LABELS);
      for (const name of names) {
        assert.ok(labelsOf.has(name), `${where}: there is no ${name}`);
        for (const label of labelsOf.get(name)!) known.add(label);
        checked++;
      }
      const used = [
        ...[...expression.matchAll(/[{,]\s*(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
        ...[...expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(/\s*,\s*/)),
      ];
      for (const label of used) assert.ok(known.has(label), `${where}: there is no label ${label}`);
    }
    assert.ok(checked > 50);
  });

  test('counters by their rate, and everything else as it is', () => {
    const types = new Map(FAMILIES.map(({ name, type }) => [name, type]));
    for (const [where, expression] of expressions) {
      for (const [, call, name] of expression.matchAll(/(?:\b(\w+)\()?\b(megacomet_\w+)(?:\{[^}]*\})?/g)) {
        const isCounter = types.get(name!) === 'counter' || name!.endsWith('_bucket');
        const isRate = call === 'rate' || call === 'increase';
        assert.equal(isRate, isCounter, `${where}: ${call}(${name})`);
      }
    }
  });

  test('every metric that tells of trouble is in the dashboard', () => {
    const shown = new Set(
      dashboard.panels.flatMap(({ targets = [] }) =>
        targets.flatMap(({ expr }) => expr.match(/\bmegacomet_\w+/g) ?? []),
      ),
    );
    const apart = [
      'megacomet_build_info',
      'megacomet_start_time_seconds',
      'megacomet_log_last_sequence',
      'megacomet_publishers_waiting',
      'megacomet_publications_pending',
    ];
    for (const { name, type } of FAMILIES) {
      if (!apart.includes(name)) assert.ok(shown.has(type === 'histogram' ? `${name}_bucket` : name), name);
    }
  });

  test('panels that do not overlap, and alerts that say what they are about', () => {
    const cells = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(!cells.has(`${x} ${y}`), `${title} lies over another panel`);
          cells.add(`${x} ${y}`);
        }
      }
    }
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length);
    for (const { alert, annotations } of alerts) assert.ok(annotations.summary.includes('$labels.instance'), alert);
  });
});
