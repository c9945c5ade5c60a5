/**
 * The log's contract as tests, for every implementation. They rely on nothing but the contract.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PAGE_PUBLICATIONS_MAX } from '../limits.js';
import { type Log, type LogClock, LogError, type NewPublication, type Retention } from './log.js';
import { modelRun } from './log-model.js';
import { CHANNEL_OVERHEAD_BYTES, PUBLICATION_OVERHEAD_BYTES } from './retained.js';

/** Time that stands still until it is moved. */
export class FakeClock implements LogClock {
  nowMs = 0;
  wallMs(): number {
    return 1_700_000_000_000 + this.nowMs;
  }
  steadyMs(): number {
    return this.nowMs;
  }
}

export interface SuiteParts {
  clock: LogClock;
  gapMarksMax?: number;
}

/** Makes an empty log. It is closed by the suite. */
export type MakeLog = (retention: Retention, parts: SuiteParts) => Promise<Log>;

export const AMPLE: Retention = { seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 1 << 28 };

export function publication(channel: string, data: string | Buffer = 'x', id?: string): NewPublication {
  return { channel, kind: 1, data: Buffer.from(data), ...(id !== undefined && { id }) };
}

/** Publishes `x` on each channel, in one batch. */
export async function publish(log: Log, ...channels: string[]): Promise<number[]> {
  const appended = await log.append(channels.map((channel) => publication(channel)));
  return appended.map(({ sequence }) => sequence);
}

/** Everything after a sequence, page by page. */
export async function readAll(log: Log, channels: string[], after: number, bytes = 1 << 20): Promise<number[]> {
  const sequences: number[] = [];
  for (let at = after; at < log.last; ) {
    const page = await log.read(channels, at, bytes);
    sequences.push(...page.publications.map(({ sequence }) => sequence));
    assert(page.upTo > at, 'a page goes on');
    at = page.upTo;
  }
  return sequences;
}

export function logSuite(name: string, makeLog: MakeLog, seeds: readonly number[]): void {
  /** A test with a log and a clock of its own. */
  function contract(
    sentence: string,
    retention: Partial<Retention>,
    body: (log: Log, clock: FakeClock) => Promise<void>,
    parts: { gapMarksMax?: number } = {},
  ): void {
    test(sentence, async () => {
      const clock = new FakeClock();
      const log = await makeLog({ ...AMPLE, ...retention }, { clock, ...parts });
      try {
        await body(log, clock);
      } finally {
        await log.close();
      }
    });
  }

  describe(`log contract: ${name}`, () => {
    contract('an empty log has nothing', {}, async (log) => {
      assert.match(log.epoch, /^[0-9A-Za-z_]+$/);
      assert.equal(log.last, 0);
      assert.deepEqual(await log.read(['a'], 0, 100), { publications: [], upTo: 0, gaps: [] });
      assert.equal(log.hasNews('a', 0), false);
      assert.equal(log.oldestQueued('a'), undefined);
      log.consumed('a', 7);
      log.expire();
      assert.deepEqual(await log.append([]), []);
    });

    contract('the sequence is one for the node, in the order of the batches', {}, async (log, clock) => {
      const first = log.append([publication('a'), publication('b')]);
      const second = log.append([publication('a')]);
      const order: number[] = [];
      void first.then(() => order.push(1));
      await second.then(() => order.push(2));
      assert.deepEqual(order, [1, 2]);
      const timeMs = clock.wallMs();
      assert.deepEqual(await first, [
        { sequence: 1, timeMs, duplicate: false },
        { sequence: 2, timeMs, duplicate: false },
      ]);
      assert.deepEqual(await second, [{ sequence: 3, timeMs, duplicate: false }]);
      assert.equal(log.last, 3);
    });

    contract('what is read is what was appended', {}, async (log, clock) => {
      clock.nowMs = 123;
      const data = [Buffer.alloc(0), Buffer.from('héllo'), Buffer.from([0, 255, 10]), Buffer.alloc(1 << 20, 'z')];
      const channel = 'é'.repeat(64);
      await log.append(data.map((bytes, kind) => ({ channel, kind, data: bytes })));
      const { publications, upTo, gaps } = await log.read([channel], 0, 8 << 20);
      const timeMs = clock.wallMs();
      const expected = data.map((bytes, i) => ({ sequence: i + 1, channel, kind: i, data: bytes, timeMs }));
      assert.deepEqual(publications, expected.slice(gaps.length === 0 ? 0 : gaps[0]!.sequence));
      assert.equal(upTo, 4);
    });

    contract('data is copied: the batch may be used again', { bytes: 1000 }, async (log) => {
      const data = Buffer.from('before');
      await log.append([{ channel: 'a', kind: 0, data }]);
      data.fill('!');
      assert.equal((await log.read(['a'], 0, 100)).publications[0]!.data.toString(), 'before');
      assert.equal(log.oldestQueued('a')!.data.toString(), 'before');
    });

    contract('channels are merged in the order of the sequences', {}, async (log) => {
      await publish(log, 'a', 'b', 'c', 'a', 'b', 'a', 'c');
      assert.deepEqual(await readAll(log, ['a'], 0), [1, 4, 6]);
      assert.deepEqual(await readAll(log, ['c', 'a'], 0), [1, 3, 4, 6, 7]);
      assert.deepEqual(await readAll(log, ['a', 'b', 'nobody', 'c'], 3), [4, 5, 6, 7]);
      assert.deepEqual(await readAll(log, ['nobody'], 0), []);
      assert.deepEqual(await log.read(['a'], 99, 10), { publications: [], upTo: 7, gaps: [] });
    });

    contract('a page ends before it has too many bytes, but never empty', {}, async (log) => {
      await log.append(Array.from({ length: 7 }, (_, i) => publication(i % 2 === 0 ? 'a' : 'b', Buffer.alloc(10))));
      const page = await log.read(['a', 'b'], 0, 35);
      assert.deepEqual([page.publications.map(({ sequence }) => sequence), page.upTo], [[1, 2, 3], 3]);
      const small = await log.read(['b'], 0, 0);
      assert.deepEqual([small.publications.map(({ sequence }) => sequence), small.upTo], [[2], 2]);
      const rest = await log.read(['a'], 3, 20);
      assert.deepEqual([rest.publications.map(({ sequence }) => sequence), rest.upTo], [[5, 7], 7]);
      assert.deepEqual(await readAll(log, ['a', 'b'], 0, 25), [1, 2, 3, 4, 5, 6, 7]);
    });

    contract(
      'a page has no more publications than were asked for, or a page may have',
      { messages: 20_000 },
      async (log) => {
        const count = PAGE_PUBLICATIONS_MAX + 5;
        await log.append(Array.from({ length: count }, () => publication('a', '')));
        const page = await log.read(['a'], 0, 100, 3);
        assert.deepEqual([page.publications.map(({ sequence }) => sequence), page.upTo], [[1, 2, 3], 3]);
        const most = await log.read(['a'], 0, 100, count);
        assert.deepEqual([most.publications.length, most.upTo], [PAGE_PUBLICATIONS_MAX, PAGE_PUBLICATIONS_MAX]);
        assert.equal((await log.read(['a'], 0, 100)).upTo, PAGE_PUBLICATIONS_MAX, 'what has no bytes fills a page too');
        const rest = await log.read(['a'], PAGE_PUBLICATIONS_MAX, 100, 5);
        assert.deepEqual([rest.publications.length, rest.upTo], [5, count]);
      },
    );

    contract('an id is appended once on its channel while it is retained', { messages: 2 }, async (log, clock) => {
      const [first] = await log.append([publication('a', '1', 'id')]);
      clock.nowMs = 5;
      const batch = [publication('a', '2', 'id'), publication('b', '3', 'id'), publication('b', '4', 'id')];
      const appended = await log.append(batch);
      assert.deepEqual(appended[0], { ...first, duplicate: true });
      assert.deepEqual(
        appended.map(({ sequence, duplicate }) => [sequence, duplicate]),
        [
          [1, true],
          [2, false],
          [2, true],
        ],
      );
      assert.equal(log.last, 2);
      assert.deepEqual(await readAll(log, ['a', 'b'], 0), [1, 2]);
      await publish(log, 'a', 'a');
      const [again] = await log.append([publication('a', '5', 'id')]);
      assert.deepEqual([again!.sequence, again!.duplicate], [5, false], 'the first one was evicted');
      clock.nowMs = 61_000;
      log.expire();
      const [late] = await log.append([publication('b', '6', 'id')]);
      assert.deepEqual([late!.sequence, late!.duplicate], [6, false], 'the first one has expired');
    });

    contract('appends made in one turn see the ids of those before them', {}, async (log) => {
      const twice = await Promise.all([
        log.append([publication('a', '1', 'k')]),
        log.append([publication('a', '2', 'k')]),
      ]);
      assert.deepEqual(
        twice.map(([{ sequence, duplicate } = { sequence: 0, duplicate: false }]) => [sequence, duplicate]),
        [
          [1, false],
          [1, true],
        ],
      );
    });

    contract('a channel keeps its number of messages, the oldest go first', { messages: 2 }, async (log) => {
      await publish(log, 'a', 'b', 'a', 'a', 'a');
      assert.deepEqual(await readAll(log, ['a', 'b'], 0), [2, 4, 5]);
      assert.deepEqual((await log.read(['a', 'b'], 0, 100)).gaps, [{ channel: 'a', sequence: 3 }]);
      assert.deepEqual((await log.read(['a', 'b'], 3, 100)).gaps, []);
      assert.equal(log.counters.evicted, 2);
    });

    contract('a channel keeps its bytes, and its newest whatever its size', { bytes: 10 }, async (log) => {
      await log.append([4, 4, 4].map((length) => publication('a', Buffer.alloc(length))));
      assert.deepEqual(await readAll(log, ['a'], 0), [2, 3]);
      await log.append([publication('a', Buffer.alloc(50))]);
      assert.deepEqual(await readAll(log, ['a'], 0), [4]);
    });

    const room = 3 * (PUBLICATION_OVERHEAD_BYTES + CHANNEL_OVERHEAD_BYTES + 10);
    contract('all channels share totalBytes, the oldest of the node go first', { totalBytes: room }, async (log) => {
      for (let i = 0; i < 5; i++) await log.append([publication(`c${i}`, Buffer.alloc(10))]);
      assert.deepEqual(await readAll(log, ['c0', 'c1', 'c2', 'c3', 'c4'], 0), [3, 4, 5]);
      assert.deepEqual(log.counters, { publications: 3, bytes: 30, channels: 3, queued: 3, expired: 0, evicted: 2 });
    });

    contract('what has reached its age goes, with each call of expire and each append', {}, async (log, clock) => {
      await publish(log, 'a');
      clock.nowMs = 30_000;
      await publish(log, 'b');
      clock.nowMs = 59_999;
      log.expire();
      assert.deepEqual(await readAll(log, ['a', 'b'], 0), [1, 2]);
      clock.nowMs = 60_000;
      log.expire();
      assert.deepEqual(await readAll(log, ['a', 'b'], 0), [2]);
      assert.deepEqual((await log.read(['a', 'b'], 0, 100)).gaps, [{ channel: 'a', sequence: 1 }]);
      clock.nowMs = 90_000;
      await publish(log, 'a');
      assert.deepEqual(await readAll(log, ['a', 'b'], 0), [3]);
      assert.equal(log.counters.expired, 2);
    });

    const rules = [
      { pattern: 'news/*', messages: 2, seconds: 3600 },
      { pattern: 'news/sport/*', messages: 1 },
    ];
    contract('rules give channels limits of their own', { rules }, async (log, clock) => {
      await publish(log, 'news/a', 'news/a', 'news/a', 'news/sport/x', 'news/sport/x', 'other', 'other', 'other');
      const channels = ['news/a', 'news/sport/x', 'other'];
      assert.deepEqual(await readAll(log, channels, 0), [2, 3, 5, 6, 7, 8]);
      clock.nowMs = 60_000;
      log.expire();
      assert.deepEqual(
        await readAll(log, channels, 0),
        [2, 3],
        'an age that is not the oldest does not wait for the others',
      );
      clock.nowMs = 3_600_000;
      log.expire();
      assert.equal(log.counters.publications, 0);
    });

    contract('expire is bounded, and goes on where it stopped', { messages: 1 << 20 }, async (log, clock) => {
      const batch = Array.from({ length: 10_000 }, () => publication('a', ''));
      for (let i = 0; i < 5; i++) await log.append(batch);
      clock.nowMs = 60_000;
      const left: number[] = [];
      for (let i = 0; i < 3; i++) {
        log.expire();
        left.push(log.counters.publications);
      }
      assert.deepEqual(left, [30_000, 10_000, 0]);
    });

    contract('a channel that has lost everything tells it', { seconds: 10 }, async (log, clock) => {
      await publish(log, 'a', 'b');
      clock.nowMs = 10_000;
      log.expire();
      assert.equal(log.counters.channels, 0);
      assert.deepEqual(await log.read(['a', 'b', 'c'], 1, 10), {
        publications: [],
        upTo: 2,
        gaps: [{ channel: 'b', sequence: 2 }],
      });
      assert.deepEqual(
        [log.hasNews('a', 0), log.hasNews('a', 1), log.hasNews('b', 1), log.hasNews('c', 0)],
        [true, false, true, false],
      );
      await publish(log, 'a');
      const { publications, gaps } = await log.read(['a'], 0, 10);
      assert.deepEqual([publications.length, gaps], [1, [{ channel: 'a', sequence: 1 }]]);
    });

    contract(
      'where marks were forgotten gaps may be false, but none is missed',
      { seconds: 10 },
      async (log, clock) => {
        const channels = Array.from({ length: 100 }, (_, i) => `c${i}`);
        for (const channel of channels) await publish(log, channel);
        clock.nowMs = 10_000;
        log.expire();
        for (const [i, channel] of channels.entries()) assert(log.hasNews(channel, i), channel);
        assert.equal(log.hasNews('c99', 100), false);
        assert.equal(log.hasNews('quiet', 95), false, 'only the forgotten ones count for strangers');
        assert.equal(log.hasNews('quiet', 0), true);
        await publish(log, 'quiet');
        assert.deepEqual((await log.read(['quiet'], 99, 10)).gaps, []);
      },
      { gapMarksMax: 16 },
    );

    contract('the classic queue hands out in order, and leaves the log alone', {}, async (log) => {
      await publish(log, 'a', 'b', 'a', 'a');
      assert.equal(log.counters.queued, 4);
      assert.equal(log.queued, 4);
      assert.equal(log.oldestQueued('a')!.sequence, 1);
      log.consumed('a', 1);
      assert.equal(log.oldestQueued('a')!.sequence, 3);
      log.consumed('a', 1);
      assert.equal(log.oldestQueued('a')!.sequence, 3);
      log.consumed('a', 4);
      assert.equal(log.oldestQueued('a'), undefined);
      assert.equal(log.oldestQueued('b')!.sequence, 2);
      assert.equal(log.counters.queued, 1);
      assert.equal(log.queued, 1);
      assert.deepEqual(await readAll(log, ['a'], 0), [1, 3, 4]);
      await publish(log, 'a');
      assert.equal(log.oldestQueued('a')!.sequence, 5);
    });

    contract('retention takes from the queue as well', { messages: 2 }, async (log) => {
      await publish(log, 'a', 'a');
      log.consumed('a', 1);
      await publish(log, 'a', 'a');
      assert.equal(log.oldestQueued('a')!.sequence, 3);
      assert.equal(log.counters.queued, 2);
      assert.equal(log.queued, 2);
    });

    contract(
      'retention may be made less: what is too much goes, and is a gap',
      { messages: 100 },
      async (log, clock) => {
        await publish(log, ...Array.from({ length: 10 }, () => 'a'), 'b');
        const rules = [{ pattern: 'b', seconds: 5 }];
        log.setRetention({ ...AMPLE, messages: 3, rules });
        assert.deepEqual(await readAll(log, ['a', 'b'], 0), [8, 9, 10, 11]);
        assert.deepEqual((await log.read(['a'], 0, 1)).gaps, [{ channel: 'a', sequence: 7 }]);
        assert.equal(log.counters.evicted, 7);
        clock.nowMs = 5000;
        log.expire();
        assert.deepEqual(await readAll(log, ['a', 'b'], 0), [8, 9, 10]);
      },
    );

    contract('retention may be made more: what is retained stays longer', { seconds: 5 }, async (log, clock) => {
      await publish(log, 'a');
      clock.nowMs = 4000;
      log.setRetention({ ...AMPLE, seconds: 10 });
      clock.nowMs = 9000;
      log.expire();
      assert.deepEqual(await readAll(log, ['a'], 0), [1]);
      clock.nowMs = 10_000;
      log.expire();
      assert.deepEqual(await readAll(log, ['a'], 0), []);
    });

    contract('a retention that contradicts itself changes nothing', { messages: 2 }, async (log) => {
      const rules = [
        { pattern: 'a', messages: 5 },
        { pattern: 'a', messages: 6 },
      ];
      assert.throws(() => log.setRetention({ ...AMPLE, rules }), /'a' has two rules/);
      await publish(log, 'a', 'a', 'a');
      assert.deepEqual(await readAll(log, ['a'], 0), [2, 3]);
    });

    contract('a closed log accepts nothing', {}, async (log) => {
      await publish(log, 'a');
      await log.close();
      await assert.rejects(publish(log, 'a'), (error) => error instanceof LogError && error.code === 'ELOGCLOSED');
    });

    for (const seed of seeds) {
      test(`a random history leaves what a plain list would hold (seed ${seed})`, () => modelRun(makeLog, seed));
    }
  });
}
