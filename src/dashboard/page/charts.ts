/**
 * The charts, by uPlot. All have the same time axis and one crosshair; what a line stands for and its figure, under the
 * crosshair or now, is text beside the chart's name, so colour is never all that tells lines apart.
 */

import uPlot from 'uplot';
import { bytes, compact, milliseconds, percent } from '../shared/format.js';
import type { SeriesName } from '../shared/snapshot.js';
import type { Timeline } from '../shared/timeline.js';
import { make, setText } from './dom.js';

interface ChartLine {
  series: SeriesName;
  name: string;
  /** A custom property of the style sheet. */
  color: string;
}

interface ChartPlan {
  title: string;
  lines: ChartLine[];
  /** Each line on top of those after it, filled. */
  stacked?: boolean;
  format(value: number | null): string;
  /** What is said where nothing is known. */
  empty: string;
}

const PLANS: ChartPlan[] = [
  {
    title: 'Connections by transport',
    stacked: true,
    format: compact,
    empty: 'nobody has connected yet',
    lines: [
      { series: 'websocket', name: 'WebSocket', color: '--line-1' },
      { series: 'sse', name: 'SSE', color: '--line-2' },
      { series: 'stream', name: 'Stream', color: '--line-3' },
      { series: 'poll', name: 'Poll', color: '--line-4' },
      { series: 'classic', name: 'Classic', color: '--line-5' },
      { series: 'other', name: 'Other', color: '--line-6' },
    ],
  },
  {
    title: 'Opened and closed a second',
    format: compact,
    empty: 'no worker has reported twice yet',
    lines: [
      { series: 'opened', name: 'Opened', color: '--line-2' },
      { series: 'closed', name: 'Closed', color: '--line-3' },
    ],
  },
  {
    title: 'Messages and publications a second',
    format: compact,
    empty: 'no worker has reported twice yet',
    lines: [
      { series: 'messages', name: 'Messages', color: '--line-1' },
      { series: 'publications', name: 'Publications', color: '--line-4' },
    ],
  },
  {
    title: 'Delivery, from the log to the kernel',
    format: milliseconds,
    empty: 'no message in this time',
    lines: [
      { series: 'deliveryP99Ms', name: '99 %', color: '--line-4' },
      { series: 'deliveryP50Ms', name: 'half', color: '--line-1' },
    ],
  },
  {
    title: 'CPU, of one core',
    format: percent,
    empty: 'no worker has reported twice yet',
    lines: [
      { series: 'workersCpu', name: 'Workers', color: '--line-1' },
      { series: 'busiestWorkerCpu', name: 'Busiest', color: '--line-3' },
      { series: 'managerCpu', name: 'Manager', color: '--line-2' },
    ],
  },
  {
    title: 'Memory for each connection',
    format: bytes,
    empty: 'from 1,000 connections on',
    lines: [
      { series: 'kernelBytes', name: 'Kernel', color: '--line-5' },
      { series: 'userBytes', name: 'User space', color: '--line-1' },
    ],
  },
];

const HEIGHT_PX = 148;
const AXIS_FONT = '11px system-ui, sans-serif';
const SYNC = 'megacomet';

export class Charts {
  readonly #timeline: Timeline;
  readonly #charts: Chart[];
  #spanSeconds: number;
  #due = false;

  constructor(parent: HTMLElement, timeline: Timeline, spanSeconds: number) {
    this.#timeline = timeline;
    this.#spanSeconds = spanSeconds;
    this.#charts = PLANS.map((plan) => new Chart(plan, timeline, () => this.#range()));
    parent.append(...this.#charts.map(({ figure }) => figure));
    const sizes = new ResizeObserver(() => {
      for (const chart of this.#charts) chart.resize();
    });
    for (const { frame } of this.#charts) sizes.observe(frame);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const chart of this.#charts) chart.rebuild();
      this.update();
    });
  }

  /** How much of the past is shown. */
  set spanSeconds(seconds: number) {
    this.#spanSeconds = seconds;
    this.update();
  }

  /** Draws what the timeline has, with the next frame: not at all while the page cannot be seen. */
  update(): void {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      for (const chart of this.#charts) chart.update();
    });
  }

  #range(): [number, number] {
    const end = this.#timeline.times.at(-1) ?? Date.now() / 1000;
    return [end - this.#spanSeconds, end];
  }
}

class Chart {
  readonly figure = make('figure', 'panel chart');
  readonly frame = make('div', 'plot');
  readonly #plan: ChartPlan;
  readonly #timeline: Timeline;
  readonly #range: () => [number, number];
  readonly #values: HTMLElement[];
  readonly #empty = make('p', 'empty');
  #plot: uPlot | null = null;

  constructor(plan: ChartPlan, timeline: Timeline, range: () => [number, number]) {
    this.#plan = plan;
    this.#timeline = timeline;
    this.#range = range;
    const caption = make('figcaption');
    const legend = make('ul', 'legend');
    this.#values = plan.lines.map(({ name, color }) => {
      const item = make('li');
      const swatch = make('span', 'swatch');
      swatch.style.setProperty('--swatch', `var(${color})`);
      const value = make('b');
      item.append(swatch, `${name} `, value);
      legend.append(item);
      return value;
    });
    caption.append(make('h3', '', plan.title), legend);
    this.frame.setAttribute('role', 'img');
    this.frame.setAttribute(
      'aria-label',
      `${plan.title}: a chart of the last minutes; its figures of now are beside its name`,
    );
    this.frame.append(this.#empty);
    this.figure.append(caption, this.frame);
  }

  resize(): void {
    const width = this.frame.clientWidth;
    if (width > 0 && this.#plot !== null && this.#plot.width !== width)
      this.#plot.setSize({ width, height: HEIGHT_PX });
    else if (width > 0 && this.#plot === null) this.update();
  }

  /** Colours are read when a plot is made. */
  rebuild(): void {
    this.#plot?.destroy();
    this.#plot = null;
  }

  update(): void {
    const width = this.frame.clientWidth;
    if (width === 0) return;
    const data = this.#data();
    if (this.#plot === null) this.#plot = new uPlot(this.#options(width), data, this.frame);
    else this.#plot.setData(data);
    setText(this.#empty, this.#known() ? '' : this.#plan.empty);
    this.#tell(this.#plot.cursor.idx ?? null);
  }

  /** Whether there is a figure in the time that is shown. */
  #known(): boolean {
    const [from] = this.#range();
    const first = this.#timeline.times.findIndex((time) => time >= from);
    const isKnown = (value: number | null, i: number) => i >= first && value !== null;
    return this.#plan.lines.some(({ series }) => this.#timeline.column(series).some(isKnown));
  }

  #data(): uPlot.AlignedData {
    const names = this.#plan.lines.map(({ series }) => series);
    const columns = this.#plan.stacked
      ? this.#timeline.stacked(names)
      : names.map((name) => [...this.#timeline.column(name)]);
    return [[...this.#timeline.times], ...columns];
  }

  /** The figures under the crosshair, or the latest. */
  #tell(at: number | null): void {
    const last = this.#timeline.times.length - 1;
    for (const [i, { series }] of this.#plan.lines.entries()) {
      setText(this.#values[i], this.#plan.format(this.#timeline.column(series)[at ?? last] ?? null));
    }
  }

  /** `14:05`, or with seconds where labels are closer together than a minute. One that would be cut off at the end is left out. */
  #clockLabels(times: number[]): string[] {
    const isClose = times.length > 1 && times[1] - times[0] < 60;
    const [from, to] = this.#range();
    const end = to - (to - from) * (isClose ? 0.08 : 0.04);
    return times.map((time) => (time > end ? '' : new Date(time * 1000).toTimeString().slice(0, isClose ? 8 : 5)));
  }

  #options(width: number): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color('--muted'),
      font: AXIS_FONT,
      grid: { stroke: color('--grid'), width: 1 },
      ticks: { show: false },
    };
    const { lines, stacked = false, format } = this.#plan;
    return {
      width,
      height: HEIGHT_PX,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: SYNC }, points: { size: 6 }, drag: { x: false, y: false }, y: false },
      scales: { x: { range: () => this.#range() }, y: { range: (_plot, _low, high) => [0, topOf(high)] } },
      axes: [
        { ...axis, space: 70, size: 24, values: (_plot, times) => this.#clockLabels(times) },
        { ...axis, space: 28, size: 52, values: (_plot, values) => (this.#known() ? values.map(format) : []) },
      ],
      series: [
        {},
        ...lines.map((line) => {
          const stroke = color(line.color);
          const width = stacked ? 1 : 1.5;
          return {
            label: line.name,
            stroke,
            width,
            spanGaps: false,
            // A figure between two that are not known is no line.
            points: { show: !stacked, size: 4, filter: (plot: uPlot, at: number) => alone(plot.data[at]) },
            // What lies beneath is drawn over it, so a fill must hide what is under it.
            ...(stacked && { fill: mixed(stroke, color('--panel')) }),
          };
        }),
      ],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx ?? null)] },
    };
  }
}

/** Where there is a figure and none on either side. */
function alone(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
  }
  return found;
}

/** The end of an axis that begins at 0; something to divide where nothing is known. */
function topOf(high: number | null): number {
  if (high === null || !Number.isFinite(high) || high <= 0) return 1;
  return high * 1.08;
}

/** An opaque colour between a line's (`#rrggbb`) and that of what is behind it. */
function mixed(line: string, ground: string): string {
  const part = (text: string, at: number) => Number.parseInt(text.slice(at, at + 2), 16);
  const mix = (at: number) => Math.round(part(line, at) * 0.55 + part(ground, at) * 0.45);
  return `rgb(${mix(1)}, ${mix(3)}, ${mix(5)})`;
}
