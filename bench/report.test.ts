import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable, type Sample, summarize } from './report.js';

function sample(openMicros: number, messageMicros: number, bytes = 16): Sample {
  return {
    bytesPerConnection: bytes,
    managerBytesPerConnection: 0,
    baseBytes: 2 ** 20,
    passes: [
      {
        open: [{ role: 'server', total: openMicros, user: openMicros / 4 }],
        message: [{ role: 'server', total: messageMicros, user: messageMicros / 2 }],
      },
    ],
  };
}

test('a ratio is the median of the ratios within each pass, not the ratio of the medians', () => {
  // The machine was three times slower in the second round, for both.
  const reference = [sample(20, 10), sample(60, 30), sample(20, 10)];
  const { open, message } = summarize([sample(30, 10), sample(90, 33), sample(28, 11)], reference);
  assert.equal(open.ratio, 1.5);
  assert.equal(message.ratio, 1.1);
  assert.equal(open.micros, 30);
  assert.equal(open.userMicros, 7.5);
});

test('without a reference there are figures but no ratios', () => {
  const { open } = summarize([sample(30, 10)], []);
  assert.equal(open.micros, 30);
  assert.equal(open.ratio, null);
});

test('the processes of a server count together and are told apart', () => {
  const two = sample(30, 10);
  two.passes[0].message.push({ role: 'manager', total: 2, user: 1 });
  const { message } = summarize([two], [sample(30, 10)]);
  assert.equal(message.micros, 12);
  assert.equal(message.ratio, 1.2);
  assert.deepEqual(message.byRole, { server: 10, manager: 2 });
});

test('the table has a line for each row, and says below it why one could not run', () => {
  const table = formatTable([
    { title: 'mine', summary: summarize([sample(30, 12, 1234.4)], [sample(20, 10)]) },
    { title: 'minimal C epoll', reason: 'no C compiler: cc was not found' },
  ]);
  const lines = table.split('\n').map((line) => line.trim().split(/\s\s+/));
  assert.deepEqual(lines[0], ['bytes/idle', 'µs/open', 'user', '× C', 'µs/message', 'user', '× C', 'base MB']);
  assert.deepEqual(lines[1], ['mine', '1,234', '30.0', '7.5', '1.50', '12.0', '6.0', '1.20', '1.0']);
  assert.deepEqual(lines[2], ['minimal C epoll', ...Array(8).fill('-')]);
  assert.deepEqual(lines.at(-1), ['minimal C epoll: not measured: no C compiler: cc was not found']);
});
