import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HISTORY_ASIDE_BYTES_MAX, HISTORY_CHANNEL_BYTES_MAX } from '../limits.js';
import { KIND_TEXT, READ_NOW } from '../link/frames.js';
import { Histories } from './histories.js';
import { type CachedPublication, Gap } from './history.js';
import { NONE } from './subscriptions.js';

const A = 7;
const B = 3;

function publication(sequence: number, bytes = 0): CachedPublication {
  return { sequence, timeMs: 0, kind: KIND_TEXT, data: Buffer.alloc(bytes), encodings: null };
}

const publications = (...sequences: number[]) => sequences.map((sequence) => publication(sequence));

/** What a merge visits, as `channel:sequence`, gaps as `channel:reached!lost`, and then where it ends. */
function merge(histories: Histories, channels: number[], after: number, position: number, bytes = 1e9): string {
  const seen: string[] = [];
  const reached = histories.merge(channels, after, position, bytes, (channel, item, at) => {
    seen.push(`${channel === A ? 'a' : 'b'}${item instanceof Gap ? `${at}!${item.lost}` : item.sequence}`);
    return true;
  });
  return `${seen.join(' ')} > ${reached}`;
}

/** Asks and gets the answer. */
function read(
  histories: Histories,
  channel: number,
  after: number,
  upTo: number,
  sequences: number[],
  options: { gap?: number; more?: boolean } = {},
): void {
  const request = histories.beginReading(channel, after);
  histories.page(request, upTo, options.gap ?? 0, options.more ?? false, publications(...sequences));
}

describe('a page', () => {
  test('is what readers within it get, up to its end', () => {
    const histories = new Histories();
    assert.equal(histories.covers(A, 10), false);
    read(histories, A, 10, 20, [12, 15, 20], { more: true });
    assert.deepEqual(
      [9, 10, 14, 19, 20].map((after) => histories.covers(A, after)),
      [false, true, true, true, false],
    );
    assert.equal(merge(histories, [A], 10, 30), 'a12 a15 a20 > 20');
    assert.equal(merge(histories, [A], 15, 30), 'a20 > 20');
    assert.equal(histories.wants(A), false);
  });

  test('that follows lengthens it, and the last one makes it live', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [12, 20], { more: true });
    read(histories, A, 20, 25, [22]);
    assert.equal(merge(histories, [A], 10, 25), 'a12 a20 a22 > 25');
    histories.live(A, publication(26));
    assert.equal(merge(histories, [A], 25, 26), 'a26 > 26');
    assert.equal(histories.isLevel([A], 26, 26), true);
  });

  test('that overlaps lengthens it without repeating', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [12, 20], { more: true });
    read(histories, A, 15, 30, [20, 29], { more: true });
    assert.equal(merge(histories, [A], 10, 30), 'a12 a20 a29 > 30');
  });

  test('of somewhere else takes its place', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [12], { more: true });
    read(histories, A, 40, 50, [45], { more: true });
    assert.equal(histories.covers(A, 10), false);
    assert.equal(merge(histories, [A], 40, 50), 'a45 > 50');
    read(histories, A, 0, 5, [2], { more: true });
    assert.equal(merge(histories, [A], 0, 50), 'a2 > 5');
  });

  test('goes before a live history that it reaches', () => {
    const histories = new Histories();
    histories.noteLive(A, publication(50));
    histories.live(A, publication(60));
    assert.deepEqual([histories.covers(A, 48), histories.covers(A, 49), histories.covers(A, 99)], [false, true, true]);
    read(histories, A, 10, 55, [20, 49, 50], { more: true });
    assert.equal(merge(histories, [A], 10, 60), 'a20 a49 a50 a60 > 60');
    assert.equal(histories.isLevel([A], 60, 60), true);
  });

  test('of the end of the log begins there', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, READ_NOW);
    histories.live(A, publication(31));
    histories.live(A, publication(33));
    histories.page(request, 32, 0, false, []);
    assert.equal(histories.covers(A, 31), false);
    assert.equal(merge(histories, [A], 32, 33), 'a33 > 33');
  });

  test('nobody waits for is ignored', () => {
    const histories = new Histories();
    const dropped = histories.beginReading(A, 0);
    histories.drop(A);
    assert.equal(histories.page(dropped, 9, 0, false, []), NONE);
    const abandoned = histories.beginReading(A, 0);
    histories.abandonReads();
    assert.equal(histories.isReading(A), false);
    assert.equal(histories.page(abandoned, 9, 0, false, []), NONE);
    const cleared = histories.beginReading(A, 0);
    histories.clear();
    assert.equal(histories.page(cleared, 9, 0, false, []), NONE);
    assert.deepEqual([histories.channels, histories.reads, histories.bytes], [0, 0, 0]);
  });

  test('names its channel', () => {
    const histories = new Histories();
    const [a, b] = [histories.beginReading(A, 0), histories.beginReading(B, 0)];
    assert.equal(histories.reads, 2);
    assert.deepEqual([histories.page(b, 9, 0, false, []), histories.page(a, 9, 0, false, [])], [B, A]);
  });
});

describe('live publications that come while a page is asked for', () => {
  test('follow it, except those that it has', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    for (const sequence of [20, 21, 25]) histories.live(A, publication(sequence));
    assert.equal(histories.covers(A, 10), false);
    histories.page(request, 21, 0, false, publications(15, 20, 21));
    assert.equal(merge(histories, [A], 10, 25), 'a15 a20 a21 a25 > 25');
    // … and one that the manager had read before it was told.
    histories.live(A, publication(25));
    assert.equal(merge(histories, [A], 10, 25), 'a15 a20 a21 a25 > 25');
  });

  test('are not kept where more pages follow', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    histories.live(A, publication(25));
    histories.page(request, 15, 0, true, publications(12));
    assert.equal(merge(histories, [A], 10, 25), 'a12 > 15');
    read(histories, A, 15, 25, [25]);
    assert.equal(merge(histories, [A], 10, 25), 'a12 a25 > 25');
  });

  test('may be too many: then the page counts as one with more to follow', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    histories.live(A, publication(20, HISTORY_ASIDE_BYTES_MAX / 2));
    histories.live(A, publication(21, HISTORY_ASIDE_BYTES_MAX / 2));
    histories.live(A, publication(22));
    assert(histories.bytes < HISTORY_ASIDE_BYTES_MAX);
    histories.page(request, 20, 0, false, publications(20));
    assert.equal(merge(histories, [A], 10, 22), 'a20 > 20');
    assert.equal(histories.covers(A, 20), false);
  });

  test('may be too many, which does not matter where the page has them', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    histories.live(A, publication(20, HISTORY_ASIDE_BYTES_MAX));
    histories.live(A, publication(22));
    histories.page(request, 20, 0, false, publications(20));
    assert.equal(merge(histories, [A], 10, 22), 'a20 a22 > 22');
  });

  test('are kept where the page comes after a live history began, and does not reach it', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    histories.noteLive(A, publication(30));
    histories.page(request, 20, 0, false, publications(15));
    assert.equal(merge(histories, [A], 10, 30), 'a15 a30 > 30');
  });
});

describe('a gap', () => {
  test('is for readers from before it, and what follows is for all', () => {
    const histories = new Histories();
    read(histories, A, 10, 50, [40, 50], { gap: 30 });
    assert.equal(merge(histories, [A], 10, 50), 'a10!30 a40 a50 > 50');
    assert.equal(merge(histories, [A], 29, 50), 'a29!30 a40 a50 > 50');
    assert.equal(merge(histories, [A], 30, 50), 'a40 a50 > 50');
  });

  test('between two pages keeps what came before it', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [12, 20], { gap: 11, more: true });
    read(histories, A, 20, 50, [40], { gap: 30 });
    assert.equal(merge(histories, [A], 10, 50), 'a10!11 a12 a20 a20!30 a40 > 50');
  });

  test('of what is still here is none', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [12, 20], { more: true });
    read(histories, A, 10, 30, [25], { gap: 20 });
    assert.equal(merge(histories, [A], 10, 30), 'a12 a20 a25 > 30');
  });

  test('before a live history ends where that begins', () => {
    const histories = new Histories();
    for (const sequence of [50, 60]) histories.noteLive(A, publication(sequence));
    read(histories, A, 10, 60, [60], { gap: 50 });
    assert.equal(merge(histories, [A], 10, 60), 'a10!49 a50 a60 > 60');
  });

  test('that the manager tells of comes where the worker was then', () => {
    const histories = new Histories();
    histories.noteLive(A, publication(50));
    histories.live(A, new Gap(51, 55));
    histories.live(A, publication(56));
    assert.equal(merge(histories, [A], 49, 60), 'a50 a51!55 a56 > 60');
    assert.equal(merge(histories, [A], 53, 60), 'a53!55 a56 > 60');
    assert.equal(merge(histories, [A], 55, 60), 'a56 > 60');
  });

  test('that is told again, or of what has come meanwhile, is none', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [], { gap: 50 });
    histories.live(A, new Gap(15, 50));
    assert.equal(merge(histories, [A], 10, 20), 'a10!50 > 20');
    histories.live(A, publication(60));
    histories.live(A, new Gap(20, 60));
    histories.live(A, new Gap(20, 70));
    assert.equal(merge(histories, [A], 10, 60), 'a10!50 a60 a60!70 > 60');
  });

  test('that overlaps another is told to those whom it concerns', () => {
    const histories = new Histories();
    read(histories, A, 10, 20, [15]);
    histories.live(A, new Gap(20, 40));
    histories.live(A, new Gap(30, 50));
    assert.equal(merge(histories, [A], 10, 30), 'a15 a20!40 a30!50 > 30');
    assert.equal(merge(histories, [A], 35, 30), 'a35!40 a35!50 > 35');
    assert.equal(merge(histories, [A], 40, 45), 'a40!50 > 45');
  });

  test('that comes while a page is asked for is told, unless the page has what was lost', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    histories.live(A, new Gap(12, 15));
    histories.live(A, new Gap(12, 40));
    histories.page(request, 20, 0, false, publications(15, 20));
    assert.equal(merge(histories, [A], 10, 20), 'a15 a20 a20!40 > 20');
  });

  test('that had to be forgotten while a page is asked for is asked for again', () => {
    const histories = new Histories();
    const request = histories.beginReading(A, 10);
    histories.live(A, publication(20, HISTORY_ASIDE_BYTES_MAX - 1000));
    histories.live(A, new Gap(20, 50));
    histories.live(A, publication(60, 2000));
    histories.page(request, 20, 0, false, publications(20));
    assert.deepEqual([histories.covers(A, 10), histories.covers(A, 20)], [true, false]);
  });

  test('that goes for want of memory takes with it the readers whom it concerns', () => {
    const histories = new Histories();
    histories.noteLive(A, publication(10));
    histories.live(A, new Gap(20, 50));
    for (const sequence of [60, 61]) histories.live(A, publication(sequence, HISTORY_CHANNEL_BYTES_MAX - 700));
    assert.deepEqual([histories.covers(A, 20), histories.covers(A, 49), histories.covers(A, 60)], [false, false, true]);
  });
});

describe('several channels', () => {
  test('come in the order of the sequences, as far as all are known', () => {
    const histories = new Histories();
    read(histories, A, 0, 30, [1, 5, 20, 30], { more: true });
    read(histories, B, 0, 20, [6, 7], { gap: 4, more: true });
    assert.equal(merge(histories, [A, B], 0, 100), 'b0!4 a1 a5 b6 b7 a20 > 20');
    assert.equal(histories.isLevel([A, B], 20, 20), false);
  });

  test('of which one is ahead of the worker are known up to its position, and level when it is there', () => {
    const histories = new Histories();
    read(histories, A, 0, 90, [80, 90]);
    histories.noteLive(B, publication(50));
    assert.equal(merge(histories, [A, B], 50, 60), ' > 60');
    assert.equal(histories.isLevel([A, B], 60, 60), false);
    histories.live(B, publication(70));
    assert.equal(merge(histories, [A, B], 60, 70), 'b70 > 70');
    histories.live(A, publication(80));
    assert.equal(merge(histories, [A, B], 70, 95), 'a80 a90 > 95');
    assert.equal(histories.isLevel([A, B], 95, 95), true);
  });

  test('stop when the bytes are used up, but not between two of one place', () => {
    const histories = new Histories();
    read(histories, A, 0, 5, [5], { more: true });
    read(histories, A, 5, 30, [10, 20], { gap: 8 });
    read(histories, B, 0, 30, [5, 11]);
    assert.equal(merge(histories, [A, B], 0, 30, 1), 'a5 b5 a5!8 > 5');
    assert.equal(merge(histories, [B, A], 0, 30, 1), 'b5 a5 a5!8 > 5');
    assert.equal(merge(histories, [A, B], 5, 30, 1), 'a5!8 a10 > 10');
    assert.equal(merge(histories, [A, B], 8, 30, 1), 'a10 > 10');
  });

  test('stop when the visitor says so', () => {
    const histories = new Histories();
    read(histories, A, 0, 30, [10, 20]);
    const seen: number[] = [];
    const reached = histories.merge([A], 0, 30, 1e9, (channel, { sequence }) => {
      histories.drop(channel);
      seen.push(sequence);
      return false;
    });
    assert.deepEqual([seen, reached], [[10], 10]);
    read(histories, A, 0, 30, [10, 20]);
    read(histories, B, 0, 30, [10]);
    seen.length = 0;
    histories.merge([A, B], 0, 30, 1e9, (_channel, { sequence }) => {
      seen.push(sequence);
      return false;
    });
    assert.deepEqual(seen, [10, 10]);
  });

  test('must cover the reader, who may be ahead of the worker', () => {
    const histories = new Histories();
    read(histories, A, 10, 30, [20]);
    assert.throws(() => merge(histories, [A], 9, 30), /covers/);
    assert.equal(merge(histories, [A], 40, 30), ' > 40');
    assert.equal(histories.isLevel([A], 40, 30), false);
  });
});

describe('memory', () => {
  test('of one channel is bounded: the oldest go', () => {
    const histories = new Histories();
    histories.noteLive(A, publication(1));
    const bytes = HISTORY_CHANNEL_BYTES_MAX / 8;
    for (let sequence = 2; sequence <= 100; sequence++) histories.live(A, publication(sequence, bytes));
    assert.deepEqual([histories.covers(A, 92), histories.covers(A, 93)], [false, true]);
    assert.equal(merge(histories, [A], 93, 100), 'a94 a95 a96 a97 a98 a99 a100 > 100');
    assert(histories.bytes <= HISTORY_CHANNEL_BYTES_MAX + 1000);
  });

  test('of one channel is bounded, and yet a reader from before it gets its page', () => {
    const histories = new Histories();
    histories.noteLive(A, publication(10, HISTORY_CHANNEL_BYTES_MAX - 1000));
    const request = histories.beginReading(A, 0);
    histories.page(request, 9, 0, true, [publication(5, 2000)]);
    assert.equal(merge(histories, [A], 0, 10), 'a5 > 9');
  });

  test('of all is bounded: the one not used for longest goes', () => {
    const histories = new Histories(10_000);
    for (const channel of [A, B]) histories.noteLive(channel, publication(1, 3000));
    assert.equal(merge(histories, [A], 0, 1), 'a1 > 1');
    histories.noteLive(9, publication(2, 3000));
    assert.deepEqual(
      [A, B, 9].map((channel) => histories.covers(channel, 2)),
      [true, false, true],
    );
    // One that only grows is not in use.
    for (let sequence = 3; sequence < 10; sequence++) histories.live(A, publication(sequence, 500));
    assert.equal(histories.covers(A, 2), false);
    assert(histories.bytes <= 10_000);
  });

  test('of all is less than what the channels of one reader need, and yet it gets on', () => {
    const histories = new Histories(60_000);
    const channels = Array.from({ length: 50 }, (_, channel) => channel);
    const log = Array.from({ length: 400 }, (_, i) => ({ channel: (i * 7) % 50, sequence: i + 1 }));
    const seen: number[] = [];
    let reached = 0;
    let reads = 0;
    while (reached < log.length) {
      const unknown = channels.filter((channel) => !histories.covers(channel, reached));
      const requests = unknown.map((channel) => ({ channel, request: histories.beginReading(channel, reached) }));
      for (const { channel, request } of requests) {
        const page = log.filter((item) => item.channel === channel && item.sequence > reached).slice(0, 4);
        const more = page.length === 4;
        const upTo = more ? page[3].sequence : log.length;
        histories.page(
          request,
          upTo,
          0,
          more,
          page.map(({ sequence }) => publication(sequence, 3000)),
        );
        assert(histories.bytes <= 60_000);
        reads++;
      }
      if (channels.some((channel) => !histories.covers(channel, reached))) continue;
      reached = histories.merge(
        channels,
        reached,
        log.length,
        1e9,
        (_channel, { sequence }) => seen.push(sequence) > 0,
      );
    }
    assert.deepEqual(
      seen,
      log.map(({ sequence }) => sequence),
    );
    assert(reads <= 3 * log.length, `${reads} pages`);
  });

  test('of all is bounded also while answers are awaited', () => {
    const histories = new Histories(10_000);
    const request = histories.beginReading(A, 0);
    histories.beginReading(B, 0);
    for (let sequence = 1; sequence < 100; sequence++) {
      for (const channel of [A, B]) histories.live(channel, publication(2 * sequence + (channel === A ? 1 : 0), 1000));
      assert(histories.bytes <= 10_000);
    }
    histories.page(request, 150, 0, false, publications(149));
    assert.equal(merge(histories, [A], 0, 200), 'a149 > 150');
    assert.equal(histories.covers(A, 150), false);
  });

  test('is counted exactly', () => {
    const histories = new Histories();
    for (let round = 0; round < 3; round++) {
      read(histories, A, 0, 20, [5, 20], { more: true });
      read(histories, B, 0, 20, [5, 20]);
      histories.beginReading(A, 20);
      histories.noteLive(A, publication(30, 10));
      histories.live(B, publication(31, 10));
      if (round === 1) histories.abandonReads();
      histories.drop(A);
      histories.drop(B);
      histories.drop(B);
      assert.equal(histories.bytes, 0);
    }
  });
});
