import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rates } from './rates.js';

test('a rate is the growth between two reports by the time between them', () => {
  const rates = new Rates();
  assert.equal(rates.report(0, 7, 1000, { opened: 100 }), null);
  assert.deepEqual(rates.report(0, 7, 3000, { opened: 150 }), { opened: 25 });
});

test('a report that comes again leaves the rate as it was: looks between two reports do not make it flicker', () => {
  const rates = new Rates();
  rates.report(0, 7, 0, { opened: 0 });
  const seen = [];
  // Reports each 1,000 ms, looked at each 900 ms.
  for (let ms = 900; ms <= 9000; ms += 900) {
    const reportMs = Math.floor(ms / 1000) * 1000;
    seen.push(rates.report(0, 7, reportMs, { opened: reportMs / 10 })?.['opened']);
  }
  assert.deepEqual(seen, [undefined, ...Array(9).fill(100)]);
});

test('a worker that was replaced has no rate until its second report, and none is below 0', () => {
  const rates = new Rates();
  rates.report(0, 7, 0, { opened: 1000 });
  assert.deepEqual(rates.report(0, 7, 1000, { opened: 1010 }), { opened: 10 });
  assert.equal(rates.report(0, 8, 2000, { opened: 5 }), null);
  assert.deepEqual(rates.report(0, 8, 3000, { opened: 25 }), { opened: 20 });
  assert.deepEqual(rates.report(0, 8, 4000, { opened: 20 }), { opened: 0 });
});

test('a worker that is gone is forgotten', () => {
  const rates = new Rates();
  rates.report(0, 7, 0, { opened: 0 });
  rates.report(1, 8, 0, { opened: 0 });
  rates.keep(new Set([1]));
  assert.equal(rates.report(0, 7, 1000, { opened: 9 }), null);
  assert.deepEqual(rates.report(1, 8, 1000, { opened: 9 }), { opened: 9 });
});
