import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelLogLine } from '../kernel/kernel-log.js';
import { KernelMemoryGrowth } from '../kernel/memory-growth.js';
import { KernelWatch } from './kernel-watch.js';

const line = (level: number, text: string): KernelLogLine => ({ uptimeSeconds: 1, level, text });

test('counters that have grown since the first look are complaints, most frequent first; ordinary ones are not', () => {
  let counters: Record<string, number> = { 'TcpExt.ListenOverflows': 5, 'TcpExt.TCPTimeouts': 1 };
  const watch = new KernelWatch({ openLog: () => null, counters: () => counters });
  assert.deepEqual(watch.complaints(), []);
  counters = { 'TcpExt.ListenOverflows': 7, 'TcpExt.PruneCalled': 9, 'TcpExt.TCPTimeouts': 100 };
  assert.deepEqual(
    watch.complaints().map(({ what, count }) => [what, count]),
    [
      ['TcpExt.PruneCalled', 9],
      ['TcpExt.ListenOverflows', 2],
    ],
  );
  assert.match(watch.complaints()[1].cure!, /somaxconn/);
});

test('lines of the log are remembered, those alike as one, and what is only information is not', () => {
  let lines: KernelLogLine[] = [];
  let closed = false;
  const log = { read: () => lines.splice(0), close: () => void (closed = true) };
  const watch = new KernelWatch({ openLog: () => log, counters: () => ({}) });
  lines = [line(4, 'TCP: out of memory -- consider tuning tcp_mem'), line(6, 'a device is there')];
  assert.equal(watch.complaints().length, 1);
  lines = [line(4, 'TCP: out of memory -- consider tuning tcp_mem')];
  assert.deepEqual(
    watch.complaints().map(({ count }) => count),
    [2],
  );
  watch.close();
  assert.ok(closed);
});

test('a kernel that complains without end is remembered up to a number of lines', () => {
  const log = { read: () => Array.from({ length: 500 }, () => line(3, 'disk sda1 fails')), close: () => {} };
  const watch = new KernelWatch({ openLog: () => log, counters: () => ({}) });
  watch.complaints();
  assert.equal(watch.complaints()[0].count, 200);
});

test('this machine can be watched', () => {
  const watch = new KernelWatch();
  assert.ok(Array.isArray(watch.complaints()));
  watch.close();
});

test('growth of the kernel’s memory is shared out; none, or one that cannot be read, is not told', () => {
  let bytes: number | null = 1000;
  const growth = new KernelMemoryGrowth(() => bytes);
  assert.equal(growth.bytesEach(10), null);
  bytes = 41_000;
  assert.equal(growth.bytesEach(10), 4000);
  bytes = 900;
  assert.equal(growth.bytesEach(10), null);
  bytes = null;
  assert.equal(growth.bytesEach(10), null);
});
