/** Reads Prometheus' text format, and finds in it what `promtool check metrics` and Prometheus itself would complain of. */

export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface ExposedFamily {
  name: string;
  type: string;
  help: string;
  series: Series[];
}

/** Units that are no base units, and words that tell the type. */
const FORBIDDEN = /(^|_)(ms|milliseconds|minutes|hours|kb|kib|mb|mib|percent|gauge|counter|histogram)(_|$)/;
const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** @throws Error for what is no exposition at all */
export function parseExposition(text: string): ExposedFamily[] {
  const families = new Map<string, ExposedFamily>();
  let current: ExposedFamily | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment;
      current = families.get(name!) ?? { name: name!, type: '', help: '', series: [] };
      families.set(name!, current);
      if (kind === 'HELP') current.help = rest!;
      else current.type = rest!;
      continue;
    }
    const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null || current === undefined) throw new Error(`no line of an exposition: ${line}`);
    const [, name, labelText = '', value] = match;
    const labels: Record<string, string> = {};
    for (const [, label, content] of labelText.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/g))
      labels[label!] = content!;
    current.series.push({ name: name!, labels, value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) });
  }
  return [...families.values()];
}

/** All that is wrong, a line each. */
export function lint(text: string): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  if (!text.endsWith('\n')) problems.push('the last line does not end');
  for (const family of parseExposition(text)) {
    const { name, type, help, series } = family;
    const complain = (problem: string) => problems.push(`${name}: ${problem}`);
    if (!NAME.test(name)) complain('no name of a metric');
    if (help === '') complain('no HELP');
    if (!['gauge', 'counter', 'histogram'].includes(type)) complain(`TYPE '${type}'`);
    if ((type === 'counter') !== name.endsWith('_total')) complain('counters, and they alone, end in _total');
    if (FORBIDDEN.test(name)) complain('not in base units, or its type is in its name');
    for (const one of series) {
      const key = `${one.name} ${JSON.stringify(Object.entries(one.labels).sort())}`;
      if (seen.has(key)) complain(`the same series twice: ${key}`);
      seen.add(key);
      if (Number.isNaN(one.value)) complain(`not a number: ${key}`);
      if (type !== 'gauge' && one.value < 0) complain(`below 0: ${key}`);
      if (type !== 'histogram' && one.name !== name) complain(`a series of another name: ${one.name}`);
      if ('' in one.labels || Object.values(one.labels).includes('undefined')) complain(`an empty label: ${key}`);
    }
    if (type === 'histogram') lintHistogram(family, complain);
  }
  return problems;
}

function lintHistogram({ name, series }: ExposedFamily, complain: (problem: string) => void): void {
  const buckets = series.filter((one) => one.name === `${name}_bucket`);
  const [count, sum] = ['count', 'sum'].map((end) => series.filter((one) => one.name === `${name}_${end}`));
  if (count!.length !== 1 || sum!.length !== 1) complain('no count, or no sum');
  if (series.length !== buckets.length + 2) complain('a series that is no part of a histogram');
  const bounds = buckets.map(({ labels }) =>
    labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le']),
  );
  if (bounds.at(-1) !== Number.POSITIVE_INFINITY) complain('no bucket for everything');
  for (let i = 1; i < buckets.length; i++) {
    if (!(bounds[i]! > bounds[i - 1]!)) complain('buckets out of order');
    if (buckets[i]!.value < buckets[i - 1]!.value) complain('buckets that do not add up');
  }
  if (buckets.at(-1)?.value !== count?.[0]?.value) complain('the last bucket is not the count');
}
