import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublicationRecords } from './publication-records.js';

const publication = (sequence: number, channel = 'news') => ({
  sequence,
  channel,
  kind: 0,
  timeMs: 1000 + sequence,
  data: Buffer.alloc(3),
});

test('a publication is found with the workers that it was given to', () => {
  const records = new PublicationRecords();
  records.begin(publication(1));
  records.given(0, false);
  records.given(31, true);
  records.given(249, false);
  records.queued(1, 31, 2);
  records.queued(1, 31, 1);
  records.queued(7, 31, 1);
  records.begin(publication(2, 'alice'));
  assert.deepEqual(records.find(1), {
    channel: 'news',
    timeMs: 1001,
    bytes: 3,
    workers: [
      { worker: 0, via: 'fan_out' },
      { worker: 31, via: 'log' },
      { worker: 31, via: 'queue' },
      { worker: 249, via: 'fan_out' },
    ],
    queueReceivers: 3,
  });
  assert.deepEqual(records.find(2)?.workers, []);
  for (const unknown of [0, 3, 1 + (1 << 15)]) assert.equal(records.find(unknown), null);
});

test('the memory is bounded: a later one takes the place of an old one, and nothing of it', () => {
  const records = new PublicationRecords();
  records.begin(publication(1));
  records.given(5, true);
  records.queued(1, 6, 1);
  records.begin(publication(1 + (1 << 15), 'later'));
  assert.equal(records.find(1), null);
  assert.deepEqual(records.find(1 + (1 << 15)), {
    channel: 'later',
    timeMs: 33_769,
    bytes: 3,
    workers: [],
    queueReceivers: 0,
  });
});
