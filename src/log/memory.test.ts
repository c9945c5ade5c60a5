import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Publication, Retention } from './log.js';
import { MemoryLog, PUBLICATION_OVERHEAD_BYTES } from './memory.js';

const AMPLE: Retention = { seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 1 << 28 };

function sequences(log: MemoryLog, last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1).filter((sequence) => log.has(sequence));
}

test('the sequence is one for the node, and the oldest of each channel is at hand', () => {
  const log = new MemoryLog(AMPLE);
  assert.deepEqual(
    [log.append('a', 0, Buffer.from('1')).sequence, log.append('b', 0, Buffer.from('2')).sequence],
    [1, 2],
  );
  log.append('a', 0, Buffer.from('3'));
  assert.equal(log.oldest('a')?.sequence, 1);
  assert.equal(log.remove(1), true);
  assert.equal(log.remove(1), false);
  assert.equal(log.oldest('a')?.data.toString(), '3');
  assert.equal(log.oldest('c'), undefined);
  assert.match(log.epoch, /^[0-9a-z]+$/);
  assert.notEqual(new MemoryLog(AMPLE).epoch, log.epoch);
});

test('a channel keeps at most its number of messages and bytes, the oldest go first', () => {
  const byCount = new MemoryLog({ ...AMPLE, messages: 2 });
  for (let i = 0; i < 5; i++) byCount.append('a', 0, Buffer.from('x'));
  byCount.append('b', 0, Buffer.from('x'));
  assert.deepEqual(sequences(byCount, 6), [4, 5, 6]);
  assert.equal(byCount.counters.evicted, 3);

  const byBytes = new MemoryLog({ ...AMPLE, bytes: 10 });
  for (const length of [4, 4, 4]) byBytes.append('a', 0, Buffer.alloc(length));
  assert.deepEqual(sequences(byBytes, 3), [2, 3]);
  byBytes.append('a', 0, Buffer.alloc(50));
  assert.deepEqual(sequences(byBytes, 4), [4], 'the newest stays, so that it can be delivered');
});

test('the whole log has a limit of bytes, which counts what a publication costs beside its data', () => {
  const log = new MemoryLog({ ...AMPLE, totalBytes: 3 * (PUBLICATION_OVERHEAD_BYTES + 10) });
  for (let i = 0; i < 5; i++) log.append(`c${i}`, 0, Buffer.alloc(10));
  assert.deepEqual(sequences(log, 5), [3, 4, 5]);
  assert.deepEqual(log.counters, { publications: 3, bytes: 30, channels: 3, expired: 0, evicted: 2 });
});

test('what is too old is dropped and counted', () => {
  let nowMs = 0;
  const log = new MemoryLog(AMPLE, () => nowMs);
  log.append('a', 0, Buffer.from('x'));
  nowMs = 30_000;
  log.append('a', 0, Buffer.from('y'));
  nowMs = 59_999;
  log.expire();
  assert.deepEqual(sequences(log, 2), [1, 2]);
  nowMs = 60_000;
  log.expire();
  assert.deepEqual(sequences(log, 2), [2]);
  assert.equal(log.counters.expired, 1);
});

test('any sequence of operations leaves what a plain list would hold', () => {
  const retention: Retention = {
    seconds: 10,
    messages: 3,
    bytes: 100,
    totalBytes: 6 * (PUBLICATION_OVERHEAD_BYTES + 30),
  };
  const operation = fc.oneof(
    fc.record({ append: fc.constantFrom('a', 'b', 'c', 'd'), length: fc.nat(120) }),
    fc.record({ remove: fc.nat(40) }),
    fc.record({ wait: fc.nat(4000) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
      let nowMs = 0;
      const log = new MemoryLog(retention, () => nowMs);
      let model: Publication[] = [];
      let dropped = 0;
      const drop = (publication: Publication) => {
        model = model.filter((other) => other !== publication);
        dropped++;
      };
      const sum = (list: Publication[], overhead: number) => list.reduce((n, p) => n + p.data.length + overhead, 0);
      for (const step of operations) {
        if ('append' in step) {
          model.push(log.append(step.append, 0, Buffer.alloc(step.length)));
          const of = () => model.filter((publication) => publication.channel === step.append);
          while (of().length > 1 && (of().length > 3 || sum(of(), 0) > 100)) drop(of()[0]!);
          while (model.length > 1 && sum(model, PUBLICATION_OVERHEAD_BYTES) > retention.totalBytes) drop(model[0]!);
        } else if ('remove' in step) {
          const known = model.some((publication) => publication.sequence === step.remove);
          assert.equal(log.remove(step.remove), known);
          model = model.filter((publication) => publication.sequence !== step.remove);
        } else {
          nowMs += step.wait;
          log.expire();
          for (const publication of model) if (publication.timeMs <= nowMs - 10_000) drop(publication);
        }
        for (const channel of ['a', 'b', 'c', 'd']) {
          assert.equal(
            log.oldest(channel),
            model.find((publication) => publication.channel === channel),
          );
        }
        const { publications, bytes, channels, expired, evicted } = log.counters;
        assert.deepEqual(
          [publications, bytes, channels, expired + evicted],
          [model.length, sum(model, 0), new Set(model.map((publication) => publication.channel)).size, dropped],
        );
      }
    }),
  );
});
