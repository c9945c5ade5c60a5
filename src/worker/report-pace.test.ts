import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReportPace } from './report-pace.js';

test('figures that change are reported each time, and figures that do not every five seconds', () => {
  const pace = new ReportPace();
  const reported = [];
  for (let second = 1; second <= 20; second++) {
    const connections = Math.min(second, 5);
    if (pace.due({ connections, rejected: {} }, second * 1000 + (second % 2) * 20)) reported.push(second);
  }
  assert.deepEqual(reported, [1, 2, 3, 4, 5, 10, 15, 20]);
});

test('a change deep inside is a change', () => {
  const pace = new ReportPace();
  assert(pace.due({ rejected: { '400': 1 } }, 1000));
  assert(!pace.due({ rejected: { '400': 1 } }, 2000));
  assert(pace.due({ rejected: { '400': 2 } }, 3000));
});

test('a manager that comes is told at once', () => {
  const pace = new ReportPace();
  assert(pace.due({ connections: 1 }, 1000));
  pace.forget();
  assert(pace.due({ connections: 1 }, 1100));
});
