/**
 * Charts over time as inline SVG: lines, or areas on top of each other, with the phases behind them. Pure: numbers in, text
 * out. Colours come from the page (classes `series-0` …), so that one chart serves light and dark.
 *
 *     ┌ legend ────────────────────────────┐
 *     │ open │ hold          │ directed    │  ◀ bands of the phases
 *   y ┤      ╭───────────────┬─────────    │
 *     └──────┴───────────────┴─────────────┘ x: seconds
 */

export interface Series {
  name: string;
  /** A value for each of the chart's times; null leaves a gap. */
  values: (number | null)[];
}

export interface Band {
  name: string;
  fromSeconds: number;
  toSeconds: number;
}

export interface Chart {
  title: string;
  /** Said below the title. */
  subtitle: string;
  seconds: number[];
  series: Series[];
  bands: Band[];
  kind: 'lines' | 'stacked';
  /** Logarithmic where values of very different size matter alike. */
  scale: 'linear' | 'logarithmic';
  /** How a value is written on the axis and in the tooltips. */
  format: (value: number) => string;
}

const WIDTH = 760;
const HEIGHT = 260;
const LEFT = 76;
const RIGHT = 12;
const TOP = 24;
const BOTTOM = 28;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;
const TICKS = 5;
/** Narrower bands have no room for their name: about 7 units a letter. */
const LETTER_WIDTH = 7;

type Scale = (value: number) => number;

/** A figure with title, legend and SVG. */
export function renderChart(chart: Chart): string {
  const stacked = chart.kind === 'stacked' ? stack(chart.series) : chart.series;
  const endSeconds = Math.max(1, ...chart.seconds, ...chart.bands.map(({ toSeconds }) => toSeconds));
  const x: Scale = (seconds) => LEFT + (seconds / endSeconds) * PLOT_WIDTH;
  const values = stacked.flatMap((each) => each.values).filter((value) => value !== null);
  const { y, ticks } = chart.scale === 'linear' ? linearAxis(values) : logarithmicAxis(values);
  const shapes = stacked.map((series, index) => {
    const below = chart.kind === 'stacked' ? (stacked[index - 1]?.values ?? series.values.map(() => 0)) : null;
    return shape(chart.seconds, series.values, below, index, x, y);
  });
  // What lies on top is drawn first, so that the edge of what is below stays visible.
  if (chart.kind === 'stacked') shapes.reverse();
  return [
    `<figure><figcaption><h3>${escapeHtml(chart.title)}</h3><p>${escapeHtml(chart.subtitle)}</p>${legend(chart)}</figcaption>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(chart.title)}">`,
    ...chart.bands.map((band, index) => renderBand(band, index, x)),
    ...ticks.map((tick) => renderTick(tick, y(tick), chart.format)),
    ...niceTicks(0, endSeconds).map((tick) => text(x(tick), HEIGHT - BOTTOM + 18, 'middle', `${tick} s`)),
    ...shapes,
    ...chart.seconds.map((_, index) => tooltip(chart, index, x)),
    '</svg></figure>',
  ].join('\n');
}

function legend({ series, kind }: Chart): string {
  if (series.length === 1) return '';
  const entries = series.map(({ name }, index) => `<li><i class="series-${index}"></i>${escapeHtml(name)}</li>`);
  return `<ul class="legend">${(kind === 'stacked' ? entries.reverse() : entries).join('')}</ul>`;
}

function renderBand({ name, fromSeconds, toSeconds }: Band, index: number, x: Scale): string {
  const left = x(fromSeconds);
  const width = x(toSeconds) - left;
  const rect = `<rect class="band-${index % 2}" x="${fixed(left)}" y="${TOP}" width="${fixed(width)}" height="${PLOT_HEIGHT}"/>`;
  const label = width < name.length * LETTER_WIDTH ? '' : text(left + width / 2, TOP - 8, 'middle', name);
  return rect + label;
}

function renderTick(tick: number, position: number, format: (value: number) => string): string {
  const line = `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(position)}" y2="${fixed(position)}"/>`;
  return line + text(LEFT - 8, position + 4, 'end', format(tick));
}

/** A line, and an area down to `below` where that is given; gaps begin a new one. */
function shape(
  seconds: number[],
  values: (number | null)[],
  below: (number | null)[] | null,
  index: number,
  x: Scale,
  y: Scale,
): string {
  const runs: number[][] = [];
  values.forEach((value, sample) => {
    if (value === null) return;
    const last = runs.at(-1);
    if (last?.at(-1) === sample - 1) last.push(sample);
    else runs.push([sample]);
  });
  return runs
    .map((run) => {
      const points = run.map((sample) => `${fixed(x(seconds[sample]))},${fixed(y(values[sample]!))}`);
      if (run.length === 1) {
        const [cx, cy] = points[0].split(',');
        return `<circle class="dot series-${index}" cx="${cx}" cy="${cy}" r="2.5"/>`;
      }
      const line = `<polyline class="line series-${index}" points="${points.join(' ')}"/>`;
      if (below === null) return line;
      const floor = run.toReversed().map((sample) => `${fixed(x(seconds[sample]))},${fixed(y(below[sample] ?? 0))}`);
      return `<polygon class="area series-${index}" points="${[...points, ...floor].join(' ')}"/>${line}`;
    })
    .join('');
}

/** An invisible column over each sample whose title the browser shows. */
function tooltip(chart: Chart, index: number, x: Scale): string {
  const at = chart.seconds[index];
  const left = index === 0 ? x(0) : x((chart.seconds[index - 1] + at) / 2);
  const right = index + 1 === chart.seconds.length ? x(at) : x((at + chart.seconds[index + 1]) / 2);
  const lines = chart.series.map(({ name, values }) => {
    const value = values[index];
    return `${name}: ${value === null ? 'none' : chart.format(value)}`;
  });
  const title = escapeHtml([`${at.toFixed(0)} s`, ...lines].join('\n'));
  const width = fixed(Math.max(1, right - left));
  return `<rect class="hover" x="${fixed(left)}" y="${TOP}" width="${width}" height="${PLOT_HEIGHT}"><title>${title}</title></rect>`;
}

function stack(series: Series[]): Series[] {
  const sums: number[] = [];
  return series.map(({ name, values }) => ({
    name,
    values: values.map((value, index) => (sums[index] = (sums[index] ?? 0) + Math.max(0, value ?? 0))),
  }));
}

function linearAxis(values: number[]): { y: Scale; ticks: number[] } {
  const ticks = niceTicks(0, Math.max(0, ...values) || 1);
  const end = ticks.at(-1)!;
  return { y: (value) => TOP + PLOT_HEIGHT * (1 - Math.max(0, value) / end), ticks };
}

/** Powers of ten around the values. Zero has no place there and is drawn at the foot. */
function logarithmicAxis(values: number[]): { y: Scale; ticks: number[] } {
  const positive = values.filter((value) => value > 0);
  const first = Math.floor(Math.log10(Math.min(...positive, 1)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...positive, 1))));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
  const share = (value: number) => (Math.log10(Math.max(value, 10 ** first)) - first) / (last - first);
  return { y: (value) => TOP + PLOT_HEIGHT * (1 - share(value)), ticks };
}

/** About five round numbers (1, 2 or 5 times a power of ten) from `start`; the last one is `end` or just above. */
export function niceTicks(start: number, end: number): number[] {
  const rough = (end - start) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const count = Math.ceil((end - start) / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => Number((start + index * step).toPrecision(12)));
}

function text(x: number, y: number, anchor: string, content: string): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`;
}

function fixed(number: number): string {
  return String(Number(number.toFixed(1)));
}

/** Text inside HTML elements and attributes. */
export function escapeHtml(value: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return value.replace(/[&<>"']/g, (character) => entities[character]);
}
