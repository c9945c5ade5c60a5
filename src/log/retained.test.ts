import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { AMPLE, publication } from './log-suite.js';
import { MemoryLog } from './memory.js';
import { CHANNEL_OVERHEAD_BYTES, PUBLICATION_OVERHEAD_BYTES } from './retained.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Array buffers are freed behind a collection. */
async function usedBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

const COUNT = 200_000;
const DATA_BYTES = 100;

/** Bytes for each of many publications, beside their data. */
async function overhead(channels: number, name: (channel: number) => string): Promise<number> {
  const before = await usedBytes();
  const log = new MemoryLog({ ...AMPLE, messages: COUNT, bytes: 1 << 30, totalBytes: 1 << 30 });
  for (let i = 0; i < COUNT; i += 100) {
    await log.append(
      Array.from({ length: 100 }, (_, k) => publication(name((i + k) % channels), Buffer.alloc(DATA_BYTES))),
    );
  }
  const bytes = ((await usedBytes()) - before) / COUNT - DATA_BYTES;
  assert.equal(log.counters.publications, COUNT);
  return bytes;
}

test('a publication costs no more than it is counted for', async (t) => {
  const bytes = await overhead(10, (channel) => `c${channel}`);
  t.diagnostic(`${bytes.toFixed(0)} bytes`);
  assert(bytes <= PUBLICATION_OVERHEAD_BYTES, `${bytes} bytes`);
});

test('a channel with one publication costs no more than both are counted for', async (t) => {
  const bytes = await overhead(COUNT, (channel) => `user/${channel}`);
  t.diagnostic(`${bytes.toFixed(0)} bytes`);
  assert(bytes <= PUBLICATION_OVERHEAD_BYTES + CHANNEL_OVERHEAD_BYTES, `${bytes} bytes`);
});

test('long-lived publications do not keep the memory of short-lived ones', async () => {
  const rules = [{ pattern: 'rare', messages: COUNT, seconds: 86_400 }];
  const log = new MemoryLog({ ...AMPLE, messages: 10, rules });
  for (let i = 0; i < 1000; i++) {
    await log.append([
      publication('rare', `${i}`),
      ...Array.from({ length: 99 }, () => publication('often', Buffer.alloc(100))),
    ]);
    if (i % 100 === 0) log.expire();
  }
  log.expire();
  assert(log.dataBytes <= 2 << 20, `${log.dataBytes} bytes for ${log.counters.bytes}, of 10 MB published`);
  const { publications } = await log.read(['rare'], 0, 1 << 20);
  assert.deepEqual(
    publications.map(({ data }) => Number(data.toString())),
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('a log that has emptied gives its memory back', async () => {
  const before = await usedBytes();
  let nowMs = 0;
  const clock = { wallMs: () => nowMs, steadyMs: () => nowMs };
  const log = new MemoryLog({ ...AMPLE, messages: COUNT }, { clock, gapMarksMax: 1000 });
  for (let i = 0; i < COUNT; i += 100) {
    await log.append(
      Array.from({ length: 100 }, (_, k) => publication(`user/${i + k}`, Buffer.alloc(DATA_BYTES), `${k}`)),
    );
  }
  nowMs = 60_000;
  for (let i = 0; i < COUNT / 10_000; i++) log.expire();
  assert.equal(log.counters.publications, 0);
  const left = (await usedBytes()) - before;
  assert(left < 2 << 20, `${left} bytes are left`);
});
