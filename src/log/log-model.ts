/**
 * A log as a plain list, and a random history that an implementation and the list must agree on after every step.
 */

import assert from 'node:assert/strict';
import { EXPIRE_PUBLICATIONS_MAX } from '../limits.js';
import type { Appended, Gap, Log, NewPublication, Publication, Retention } from './log.js';
import { FakeClock, type MakeLog, publication } from './log-suite.js';
import { CHANNEL_OVERHEAD_BYTES, PUBLICATION_OVERHEAD_BYTES } from './retained.js';

const CHANNELS = ['a', 'b', 'c', 'long/1', 'long/2', 'x', 'y'];
const STEPS = 300;

const RETENTION: Retention = {
  seconds: 10,
  messages: 4,
  bytes: 300,
  totalBytes: 20 * (PUBLICATION_OVERHEAD_BYTES + 100),
  rules: [{ pattern: 'long/*', seconds: 60, messages: 8, bytes: 600 }],
};

/** What retention is changed to, and back. */
const OTHER_RETENTION: Retention = {
  seconds: 20,
  messages: 6,
  bytes: 200,
  totalBytes: 14 * (PUBLICATION_OVERHEAD_BYTES + 100),
  rules: [
    { pattern: 'long/1', messages: 3 },
    { pattern: 'x', seconds: 5, bytes: 100 },
  ],
};

interface Entry extends Publication {
  id: string | undefined;
  bornMs: number;
}

/** Numbers from 0 up to below 1, the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

class ListLog {
  list: Entry[] = [];
  last = 0;
  readonly lost = new Map<string, number>();
  readonly handedOut = new Map<string, number>();
  retention = RETENTION;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  setRetention(retention: Retention): void {
    this.retention = retention;
    this.#limitAll();
  }

  append(batch: readonly NewPublication[]): Appended[] {
    const timeMs = this.#clock.wallMs();
    const appended = batch.map(({ channel, kind, data, id }) => {
      const known = this.list.find((entry) => id !== undefined && entry.id === id && entry.channel === channel);
      if (known !== undefined) return { sequence: known.sequence, timeMs: known.timeMs, duplicate: true };
      const bornMs = this.#clock.nowMs;
      this.list.push({ sequence: ++this.last, channel, kind, data, timeMs, id, bornMs });
      return { sequence: this.last, timeMs, duplicate: false };
    });
    this.#limitAll();
    this.expire();
    return appended;
  }

  expire(): void {
    for (const entry of [...this.list]) {
      if (this.#clock.nowMs - entry.bornMs >= this.#limitsOf(entry.channel).seconds * 1000) this.#drop(entry);
    }
  }

  of(channel: string): Entry[] {
    return this.list.filter((entry) => entry.channel === channel);
  }

  queued(channel: string): Entry[] {
    return this.of(channel).filter(({ sequence }) => sequence > (this.handedOut.get(channel) ?? 0));
  }

  gaps(channels: string[], after: number): Gap[] {
    return channels
      .map((channel) => ({ channel, sequence: this.lost.get(channel) ?? 0 }))
      .filter(({ sequence }) => sequence > after);
  }

  #limitAll(): void {
    for (const channel of CHANNELS) this.#limit(channel);
    while (this.list.length > 1 && this.#cost() > this.retention.totalBytes) this.#drop(this.list[0]!);
  }

  #limit(channel: string): void {
    const { messages, bytes } = this.#limitsOf(channel);
    for (let of = this.of(channel); of.length > 1; of = this.of(channel)) {
      if (of.length <= messages && of.reduce((sum, { data }) => sum + data.length, 0) <= bytes) return;
      this.#drop(of[0]!);
    }
  }

  #cost(): number {
    const channels = new Set(this.list.map(({ channel }) => channel)).size;
    const data = this.list.reduce((sum, entry) => sum + entry.data.length, 0);
    return data + this.list.length * PUBLICATION_OVERHEAD_BYTES + channels * CHANNEL_OVERHEAD_BYTES;
  }

  #drop(entry: Entry): void {
    this.list = this.list.filter((other) => other !== entry);
    this.lost.set(entry.channel, entry.sequence);
  }

  /** Of the rules here no two match the same channel. */
  #limitsOf(channel: string): { seconds: number; messages: number; bytes: number } {
    const rule = this.retention.rules!.find(({ pattern }) =>
      pattern.endsWith('*') ? channel.startsWith(pattern.slice(0, -1)) : channel === pattern,
    );
    return { ...this.retention, ...rule };
  }
}

/**
 * @param reopen closes the log and opens it again, for those that keep what they hold
 */
export async function modelRun(
  makeLog: MakeLog,
  seed: number,
  reopen: ((log: Log, clock: FakeClock, retention: Retention) => Promise<Log>) | null = null,
): Promise<void> {
  const next = random(seed);
  const below = (limit: number) => Math.floor(next() * limit);
  const channel = () => CHANNELS[below(CHANNELS.length)]!;
  const clock = new FakeClock();
  const model = new ListLog(clock);
  let log = await makeLog(RETENTION, { clock });
  assert(EXPIRE_PUBLICATIONS_MAX > 1000, 'one call of expire drops all of this model');
  try {
    for (let step = 0; step < STEPS; step++) {
      const chosen = below(21);
      if (chosen < 9) {
        const batch = Array.from({ length: 1 + below(5) }, () =>
          publication(channel(), Buffer.alloc(below(150), below(256)), below(4) === 0 ? `id${below(5)}` : undefined),
        );
        const appended = await log.append(batch);
        // An append drops twice what it adds at most of what is too old; the model drops all.
        log.expire();
        assert.deepEqual(appended, model.append(batch));
      } else if (chosen < 12) {
        clock.nowMs += below(4000);
        log.expire();
        model.expire();
      } else if (chosen < 15) {
        const name = channel();
        const sequence = below(model.last + 2);
        log.consumed(name, sequence);
        const of = model.of(name).filter((entry) => entry.sequence <= sequence);
        const before = model.handedOut.get(name) ?? 0;
        if (of.length > 0) model.handedOut.set(name, Math.max(before, of.at(-1)!.sequence));
      } else if (chosen === 15 && reopen !== null) {
        log = await reopen(log, clock, model.retention);
      } else if (chosen === 16) {
        const retention = model.retention === RETENTION ? OTHER_RETENTION : RETENTION;
        log.setRetention(retention);
        model.setRetention(retention);
        log.expire();
        model.expire();
      } else {
        await comparePages(log, model, below);
      }
      compare(log, model, below(model.last + 2));
    }
  } finally {
    await log.close();
  }
}

function compare(log: Log, model: ListLog, after: number): void {
  assert.equal(log.last, model.last);
  for (const channel of CHANNELS) {
    const { sequence, data } = log.oldestQueued(channel) ?? {};
    const expected = model.queued(channel)[0];
    assert.deepEqual([sequence, data?.toString('hex')], [expected?.sequence, expected?.data.toString('hex')], channel);
    const news = model.of(channel).some((entry) => entry.sequence > after) || model.gaps([channel], after).length > 0;
    assert.equal(log.hasNews(channel, after), news, `news of ${channel} after ${after}`);
  }
  const { publications, bytes, channels, queued } = log.counters;
  const sum = model.list.reduce((total, { data }) => total + data.length, 0);
  const names = CHANNELS.filter((channel) => model.of(channel).length > 0);
  const owed = CHANNELS.reduce((total, channel) => total + model.queued(channel).length, 0);
  assert.deepEqual([publications, bytes, channels, queued], [model.list.length, sum, names.length, owed]);
}

/** Reads some channels to the end, in pages of some size. */
async function comparePages(log: Log, model: ListLog, below: (limit: number) => number): Promise<void> {
  const channels = CHANNELS.filter(() => below(2) === 0);
  const after = below(model.last + 1);
  const bytes = below(400);
  const gaps = new Map<string, number>();
  const read: Publication[] = [];
  for (let at = after; ; ) {
    const page = await log.read(channels, at, bytes);
    for (const gap of page.gaps) {
      // Nothing is lost meanwhile: what a page says the next ones repeat, and none says more.
      assert(gap.sequence > at && gap.sequence <= log.last);
      assert.equal(gap.sequence, gaps.get(gap.channel) ?? (at === after ? gap.sequence : Number.NaN));
      gaps.set(gap.channel, gap.sequence);
    }
    assert(page.publications.every(({ sequence }) => sequence > at && sequence <= page.upTo));
    read.push(...page.publications);
    at = page.upTo;
    if (at >= log.last) break;
  }
  const expected = model.list.filter(({ channel, sequence }) => channels.includes(channel) && sequence > after);
  assert.deepEqual(
    read.map(({ sequence, channel, kind, timeMs, data }) => ({
      sequence,
      channel,
      kind,
      timeMs,
      data: data.toString('hex'),
    })),
    expected.map(({ sequence, channel, kind, timeMs, data }) => ({
      sequence,
      channel,
      kind,
      timeMs,
      data: data.toString('hex'),
    })),
  );
  assert.deepEqual(
    [...gaps].sort(),
    model
      .gaps(channels, after)
      .map(({ channel, sequence }): [string, number] => [channel, sequence])
      .sort(),
  );
}
