/** Figures as people read them, in the few characters that a tile or an axis has. */

/** What is not known. */
export const UNKNOWN = '–';

const WHOLE = new Intl.NumberFormat('en');

/** `1,048,576`. */
export function count(value: number | null): string {
  return value === null ? UNKNOWN : WHOLE.format(Math.round(value));
}

/** At most four characters and a letter: `0.25`, `12.5`, `999`, `12.3k`, `1.05M`. */
export function compact(value: number | null): string {
  if (value === null) return UNKNOWN;
  const size = Math.abs(value);
  if (size < 999.5) return trimmed(value, size < 10 ? 2 : size < 100 ? 1 : 0);
  for (const [unit, letter] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    // 999,600 is 1M and not 1000k.
    if (size < unit * 0.9995) continue;
    const scaled = value / unit;
    return `${trimmed(scaled, scaled < 10 ? 2 : scaled < 100 ? 1 : 0)}${letter}`;
  }
  return trimmed(value, 0);
}

/** `512 B`, `4.2 KiB`, `134 MiB`. */
export function bytes(value: number | null): string {
  if (value === null) return UNKNOWN;
  if (value < 1024) return `${Math.round(value)} B`;
  let scaled = value;
  let unit = 0;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${trimmed(scaled, scaled < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A share, of one core for instance: `< 0.1 %`, `0.6 %`, `142 %`. */
export function percent(share: number | null): string {
  if (share === null) return UNKNOWN;
  const value = share * 100;
  if (value > 0 && value < 0.05) return '< 0.1 %';
  return `${trimmed(value, value < 10 ? 1 : 0)} %`;
}

/** `0.4 ms`, `250 ms`, `2.5 s`. */
export function milliseconds(value: number | null): string {
  if (value === null) return UNKNOWN;
  return value < 1000 ? `${trimmed(value, value < 10 ? 1 : 0)} ms` : `${trimmed(value / 1000, 1)} s`;
}

/** `42 s`, `3 min`, `5 h 12 min`, `12 d 3 h`. */
export function duration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (hours < 1) return `${minutes} min`;
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** `14:05:09.123`, local. */
export function clock(timeMs: number): string {
  const time = new Date(timeMs);
  const two = (value: number) => String(value).padStart(2, '0');
  const ms = String(time.getMilliseconds()).padStart(3, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

/** Without zeros that say nothing: `1.50` is `1.5`. */
function trimmed(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
