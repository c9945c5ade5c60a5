import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, clock, compact, count, duration, milliseconds, percent, UNKNOWN } from './format.js';

test('figures are short, and what is not known is a dash', () => {
  for (const format of [bytes, compact, count, milliseconds, percent]) assert.equal(format(null), UNKNOWN);
  const cases: [string, string][] = [
    [count(1_048_576), '1,048,576'],
    [compact(0), '0'],
    [compact(0.254), '0.25'],
    [compact(12.34), '12.3'],
    [compact(999.4), '999'],
    [compact(1000), '1k'],
    [compact(12_345), '12.3k'],
    [compact(999.6), '1k'],
    [compact(999_400), '999k'],
    [compact(999_600), '1M'],
    [compact(1_048_576), '1.05M'],
    [compact(3e9), '3G'],
    [bytes(0), '0 B'],
    [bytes(43.4), '43 B'],
    [bytes(4300), '4.2 KiB'],
    [bytes(1_048_500), '1 MiB'],
    [bytes(134 * 2 ** 20), '134 MiB'],
    [bytes(3 * 2 ** 40), '3 TiB'],
    [percent(0), '0 %'],
    [percent(0.0004), '< 0.1 %'],
    [percent(0.006), '0.6 %'],
    [percent(1.42), '142 %'],
    [milliseconds(0.44), '0.4 ms'],
    [milliseconds(250), '250 ms'],
    [milliseconds(2500), '2.5 s'],
    [duration(42.9), '42 s'],
    [duration(3 * 60 + 1), '3 min'],
    [duration(5 * 3600 + 12 * 60), '5 h 12 min'],
    [duration(12 * 86_400 + 3 * 3600), '12 d 3 h'],
  ];
  for (const [is, expected] of cases) assert.equal(is, expected);
});

test('a time of day has its milliseconds', () => {
  assert.match(clock(1_700_000_000_009), /^\d\d:\d\d:\d\d\.009$/);
});
