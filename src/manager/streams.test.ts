/** Fan-out, catching up, history and clients' publications over a real Unix socket, with workers played by the test. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeWorker, type Told } from '../../test/fakes/worker.js';
import { LINK_FRAME_BYTES_MAX, MESSAGE_BYTES_MAX } from '../limits.js';
import {
  DELIVER,
  DELIVERED,
  FAN_OUT,
  FAN_OUT_RECEIPT,
  GAP,
  HELLO,
  HELLO_END,
  HISTORY,
  HISTORY_BEYOND,
  HISTORY_COMPLETE,
  HISTORY_MORE,
  KIND_JSON,
  KIND_RAW,
  KIND_TEXT,
  NOT_WAITING,
  PUBLISH,
  PUBLISHED,
  PUBLISHED_DUPLICATE,
  PUBLISHED_FAILED,
  PUBLISHED_NEW,
  READ,
  READ_NOW,
  RECEIVED,
  STATS,
  SUBSCRIBED,
  UNSUBSCRIBED,
  WAITING,
} from '../link/frames.js';
import { EMPTY_STATS } from '../link/stats.js';
import type { Log, Retention } from '../log/log.js';
import { MemoryLog } from '../log/memory.js';
import { HISTORY_BYTES } from './history.js';
import { LinkRig } from './testing/link-rig.js';
import { SlowLog } from './testing/slow-log.js';
import { BACKLOG_BYTES_MAX } from './worker-link.js';

const AMPLE: Retention = { seconds: 60, messages: 1_000_000, bytes: 2 ** 30, totalBytes: 2 ** 31 };
const rigs: LinkRig[] = [];

async function open(log: Log = new MemoryLog(AMPLE)): Promise<LinkRig> {
  const rig = new LinkRig(log);
  rigs.push(rig);
  await rig.listen();
  return rig;
}

afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close();
});

/** A live worker with subscribers of the channels. */
async function subscriber(rig: LinkRig, worker: number, ...channels: string[]): Promise<FakeWorker> {
  const fake = await FakeWorker.dial(rig.path, worker);
  const before = rig.fanOut.counters.subscriptions;
  fake.subscribe(...channels);
  await until(() => rig.fanOut.counters.subscriptions === before + channels.length && fake.position >= 0);
  return fake;
}

/** Publishes one on each channel, and waits for nobody but the log. */
async function accept(rig: LinkRig, ...channels: string[]): Promise<void> {
  await rig.publisher.accept(channels.map((channel) => ({ channel, kind: KIND_RAW, data: Buffer.from('x') })));
}

/** The next `count` frames, as text: `channel sequence` of FAN_OUT, `gap channel sequence`. */
async function take(fake: FakeWorker, count: number): Promise<string[]> {
  const frames: string[] = [];
  while (frames.length < count) {
    const { type, channel, sequence } = await fake.next();
    frames.push(`${type === GAP ? 'gap ' : ''}${channel} ${sequence}`);
  }
  return frames;
}

describe('fan-out', () => {
  test('a publication goes to every worker with subscribers, and its publisher hears the sum', async () => {
    const rig = await open();
    const fakes = [
      await subscriber(rig, 0, 'ünï'),
      await subscriber(rig, 1, 'ünï', 'b'),
      await subscriber(rig, 2, 'b'),
    ];
    assert.deepEqual(fakes[0]!.welcome, { last: 0, epoch: rig.log.epoch });
    const receipt = rig.publish('ünï', 'hello', KIND_JSON);
    for (const [i, fake] of fakes.slice(0, 2).entries()) {
      const told = await fake.next();
      const flags = FAN_OUT_RECEIPT;
      assert.deepEqual(told, { type: FAN_OUT, sequence: 1, kind: KIND_JSON, flags, channel: 'ünï', data: 'hello' });
      fake.received(1, i + 2);
    }
    const { status, receivers } = await receipt;
    assert.deepEqual([status, receivers, fakes[2]!.untaken], ['delivered', 5, 0]);
    assert.deepEqual(rig.fanOut.counters, { subscriptions: 4, fanOuts: 1, receivers: 5, linksBehind: 0 });
  });

  test('nobody is asked for a receipt where nobody waits for one', async () => {
    const rig = await open();
    const fake = await subscriber(rig, 0, 'a');
    await accept(rig, 'a');
    assert.equal((await fake.next()).flags, 0);
    fake.received(1, 3);
    fake.unsubscribe('a');
    await until(() => rig.fanOut.counters.subscriptions === 0);
    assert.equal(rig.fanOut.counters.receivers, 0);
    assert.equal((await rig.publish('a', 'x')).status, 'queued');
  });

  test('a publication reaches who polls the queue and who streams, and all are counted', async () => {
    const rig = await open();
    const fake = await subscriber(rig, 0, 'a');
    fake.wait('a');
    await until(() => rig.queue.counters.waiting === 1);
    const receipt = rig.publish('a', 'x');
    const told = [await fake.next(), await fake.next()].map(({ type }) => type);
    assert.deepEqual(told.sort(), [DELIVER, FAN_OUT]);
    fake.received(1, 4);
    fake.verdict(1, 1);
    assert.deepEqual((await receipt).receivers, 5);
    assert.equal(rig.log.oldestQueued('a'), undefined);
    assert.equal(rig.log.counters.publications, 1, 'consumed is not gone');
  });

  test('what a dead worker owes is not waited for, and a batch is answered as a whole', async () => {
    const rig = await open();
    const dying = await subscriber(rig, 0, 'a', 'b');
    const living = await subscriber(rig, 1, 'a');
    const receipts = rig.publisher.publish(
      ['a', 'b', 'c'].map((channel) => ({ channel, kind: KIND_TEXT, data: Buffer.from('x') })),
    );
    living.received((await living.next()).sequence, 1);
    assert.deepEqual(await take(dying, 2), ['a 1', 'b 2']);
    dying.end();
    assert.deepEqual(
      (await receipts).map(({ sequence, status, receivers }) => [sequence, status, receivers]),
      [
        [1, 'delivered', 1],
        [2, 'queued', 0],
        [3, 'queued', 0],
      ],
    );
  });

  test('a known id is answered with the first place and sent to nobody, within a batch too', async () => {
    const rig = await open();
    const fake = await subscriber(rig, 0, 'a');
    const batch = [1, 2].map(() => ({ channel: 'a', kind: KIND_TEXT, data: Buffer.from('x'), id: 'once' }));
    await rig.publisher.accept(batch);
    const [again] = await rig.publisher.publish([batch[0]!]);
    assert.deepEqual([again!.sequence, again!.duplicate], [1, true]);
    await rig.publisher.accept([{ ...batch[0]!, id: 'other' }]);
    assert.deepEqual(await take(fake, 2), ['a 1', 'a 2']);
    const { published, duplicates } = rig.publisher.counters;
    assert.deepEqual([published, duplicates], [2, 2]);
  });

  test('POSITION answers STATS', async () => {
    const rig = await open();
    const fake = await subscriber(rig, 0);
    await rig.publish('nobody', 'x');
    fake.stats({ ...EMPTY_STATS, connections: 1 });
    await until(() => fake.position === 1);
    assert.equal(rig.server.links.get(0)?.stats?.connections, 1);
  });
});

describe('a worker that dials', () => {
  test('is sent what its subscribers missed, in order, before anything newer, and nothing else', async () => {
    const rig = await open();
    await accept(rig, 'a', 'b', 'a', 'c', 'b', 'a');
    const { epoch } = rig.log;
    const fake = await FakeWorker.dial(rig.path, 0, { epoch, position: 2 }, ['a', 'b', 'quiet']);
    await until(() => fake.position === 6);
    await accept(rig, 'quiet', 'c', 'a');
    assert.deepEqual(await take(fake, 5), ['a 3', 'b 5', 'a 6', 'quiet 7', 'a 9']);
    assert.deepEqual(fake.welcome, { last: 6, epoch });
  });

  test('is told where retention dropped what it missed, before anything else', async () => {
    const rig = await open(new MemoryLog({ ...AMPLE, messages: 1 }));
    await accept(rig, 'b', 'a', 'b', 'a', 'b', 'c');
    const { epoch } = rig.log;
    const fake = await FakeWorker.dial(rig.path, 0, { epoch, position: 1 }, ['a', 'b', 'c']);
    assert.deepEqual(await take(fake, 5), ['gap a 2', 'gap b 3', 'a 4', 'b 5', 'c 6']);
    const current = await FakeWorker.dial(rig.path, 1, { epoch, position: 4 }, ['a', 'b', 'c']);
    assert.deepEqual(await take(current, 2), ['b 5', 'c 6']);
  });

  test('is told once, also of what lies behind the first page', async () => {
    const rig = await open(new MemoryLog({ ...AMPLE, rules: [{ pattern: 'short', messages: 1 }] }));
    const data = Buffer.alloc(200_000, 'm');
    const channels = ['long', 'short', 'long', 'long', 'short', 'long', 'short'];
    await rig.publisher.accept(channels.map((channel) => ({ channel, kind: KIND_RAW, data })));
    const fake = await FakeWorker.dial(rig.path, 0, { epoch: rig.log.epoch, position: 0 }, ['long', 'short']);
    assert.deepEqual(await take(fake, 6), ['gap short 5', 'long 1', 'long 3', 'long 4', 'long 6', 'short 7']);
  });

  test('from another log gets all that is retained, and one with nothing to miss is live at once', async () => {
    const rig = await open();
    await accept(rig, 'a', 'b');
    const fake = await FakeWorker.dial(rig.path, 0, { epoch: 'other', position: 2 }, ['a']);
    assert.deepEqual(await take(fake, 1), ['a 1']);
    const odd = await FakeWorker.dial(rig.path, 1, { epoch: rig.log.epoch, position: 99 }, ['b']);
    assert.deepEqual(await take(odd, 1), ['b 2']);
    const idle = await FakeWorker.dial(rig.path, 2, { epoch: rig.log.epoch, position: 2 }, ['a', 'b']);
    await until(() => idle.position === 2);
    assert.equal(idle.untaken, 0);
  });

  test('answers for those who got in late what a publisher waits to hear', async () => {
    const rig = await open(new SlowLog(AMPLE, () => 3));
    const { epoch } = rig.log;
    await accept(rig, 'a');
    const fake = await FakeWorker.dial(rig.path, 0, { epoch, position: 0 }, ['a']);
    await until(() => rig.fanOut.counters.subscriptions === 1);
    const receipt = rig.publish('a', 'x');
    assert.deepEqual(await take(fake, 1), ['a 1']);
    const told = await fake.next();
    assert.deepEqual([told.sequence, told.flags], [2, FAN_OUT_RECEIPT]);
    fake.received(2, 1);
    assert.equal((await receipt).status, 'delivered');
  });
});

describe('a channel that is subscribed while the link is behind', () => {
  for (const turns of [0, 1, 2, 3, 4, 5, 6, 8, 12]) {
    test(`is sent all that lies above the cursor that its READ is answered with: after ${turns} turns`, async () => {
      const rig = await open(new SlowLog(AMPLE, () => 2));
      for (let n = 0; n < 30; n++) {
        const data = Buffer.alloc(50_000, 'm');
        await rig.publisher.accept(['a', 'b'].map((channel) => ({ channel, kind: KIND_RAW, data })));
      }
      const fake = await FakeWorker.dial(rig.path, 0, { epoch: rig.log.epoch, position: 0 }, ['a']);
      await until(() => rig.fanOut.counters.subscriptions === 1);
      for (let n = 0; n < turns; n++) await turn();
      assert.ok(rig.server.links.get(0)!.behind);
      fake.subscribe('b', 'quiet');
      fake.read(1, READ_NOW, 'b');
      fake.read(2, 7, 'quiet');
      fake.read(3, 7, 'b');
      await until(() => rig.fanOut.counters.subscriptions === 3);
      await accept(rig, 'b', 'quiet');
      const got: Told[] = [];
      while (got.at(-1)?.channel !== 'quiet') got.push(await fake.next());
      const sequences = got.filter(({ type }) => type === FAN_OUT).map(({ sequence }) => sequence);
      assert.deepEqual(
        sequences,
        sequences.toSorted((one, other) => one - other),
      );
      const all = Array.from({ length: 30 }, (_, n) => 2 * n + 2).concat(61);
      for (const answer of got.filter(({ type }) => type === HISTORY)) {
        const at = got.indexOf(answer);
        const sent = got.slice(0, at).findLast(({ type }) => type === FAN_OUT)?.sequence ?? 0;
        assert.ok(answer.request === 3 || answer.sequence >= sent, 'the worker moves no farther back');
        if (answer.rest !== HISTORY_COMPLETE || answer.request === 2) continue;
        const after = got.slice(at).filter(({ type, channel }) => type === FAN_OUT && channel === 'b');
        assert.deepEqual(
          after.map(({ sequence }) => sequence).filter((sequence) => sequence > answer.sequence),
          all.filter((sequence) => sequence > answer.sequence),
          `nothing of b is missing above ${answer.sequence}`,
        );
      }
    });
  }
});

describe('a worker that does not read', () => {
  const CHANNELS = ['a', 'b', 'c', 'd'];

  /** Publishes at full rate until told to stop. Returns what was published, by channel. */
  function flood(rig: LinkRig, bytes: number, count: number): { published: number[]; done: Promise<void> } {
    const published: number[] = [];
    const publish = async (): Promise<void> => {
      for (let n = 0; n < count; n += 10) {
        const batch = Array.from({ length: 10 }, (_, i) => ({
          channel: CHANNELS[(n + i * 7) % 5] ?? 'elsewhere',
          kind: KIND_RAW,
          data: Buffer.alloc(bytes, 'm'),
        }));
        const places = await rig.publisher.accept(batch);
        for (const [i, { sequence }] of places.entries()) published[sequence] = CHANNELS.indexOf(batch[i]!.channel);
        if (n % 100 === 0) await turn();
      }
    };
    return { published, done: Promise.all([publish(), publish()]).then(() => {}) };
  }

  /** Reads frames until all up to `last` are there. */
  async function readUpTo(fake: FakeWorker, last: number): Promise<Told[]> {
    const frames: Told[] = [];
    while ((frames.at(-1)?.sequence ?? 0) < last) frames.push(await fake.next());
    return frames;
  }

  const logs: [name: string, create: (retention: Retention) => Log][] = [
    ['memory', (retention) => new MemoryLog(retention)],
    ['a slow disk', (retention) => new SlowLog(retention, () => Math.floor(Math.random() * 4))],
  ];
  for (const [name, create] of logs) {
    test(`falls behind, catches up and is live again without loss, repetition or disorder: ${name}`, async () => {
      const rig = await open(create(AMPLE));
      const fake = await subscriber(rig, 0, ...CHANNELS);
      const { published, done } = flood(rig, 5_000, 6_000);
      // It reads by fits and starts while publishers go on, and falls behind more than once.
      let highest = 0;
      let falls = 0;
      let reading = true;
      void done.then(() => (reading = false));
      while (reading) {
        fake.socket.pause();
        for (let n = 0; n < 60 && reading && !rig.server.links.get(0)!.behind; n++) await turn();
        if (rig.server.links.get(0)!.behind) falls++;
        for (let n = 0; n < 10; n++) await turn();
        highest = Math.max(highest, rig.server.links.get(0)!.backlogBytes);
        fake.socket.resume();
        for (let n = 0; n < 100 && reading && rig.server.links.get(0)!.behind; n++) await turn();
      }
      await done;
      await accept(rig, 'a');
      const last = rig.log.last;
      const got = await readUpTo(fake, last);
      const expected = published.flatMap((channel, sequence) =>
        channel >= 0 ? [`${CHANNELS[channel]} ${sequence}`] : [],
      );
      assert.ok(falls > 0 && highest < BACKLOG_BYTES_MAX + 2e6, `${falls} falls, ${highest} bytes`);
      assert.deepEqual(
        got.map(({ channel, sequence }) => `${channel} ${sequence}`),
        [...expected, `a ${last}`],
      );
      assert.ok(got.every(({ type }) => type === FAN_OUT));
      await until(() => !rig.server.links.get(0)!.behind);
    });

    test(`is told of gaps exactly where retention dropped what it had not read: ${name}`, async () => {
      const rig = await open(create({ ...AMPLE, messages: 300 }));
      const fake = await subscriber(rig, 0, ...CHANNELS);
      fake.socket.pause();
      const { published, done } = flood(rig, 5_000, 4_000);
      await done;
      assert.equal(rig.fanOut.counters.linksBehind, 1);
      fake.socket.resume();
      await accept(rig, 'a');
      published[rig.log.last] = 0;
      const got = await readUpTo(fake, rig.log.last);
      for (const [number, channel] of CHANNELS.entries()) {
        const of = got.filter((told) => told.channel === channel);
        const gap = of.findIndex(({ type }) => type === GAP);
        assert.ok(
          gap > 0 && of.filter(({ type }) => type === GAP).length === 1,
          `${channel}: a gap after what it read`,
        );
        const seen = of.filter(({ type }) => type === FAN_OUT).map(({ sequence }) => sequence);
        const missing = published.flatMap((of, sequence) =>
          of === number && !seen.includes(sequence) ? [sequence] : [],
        );
        assert.equal(of[gap]!.sequence, missing.at(-1), 'the gap goes up to the last one that is missing');
        const before = got.slice(0, got.indexOf(of[gap]!)).filter(({ type }) => type === FAN_OUT);
        assert.ok(before.at(-1)!.sequence < missing[0]!, 'and comes before anything of whatever channel above it');
      }
      const sequences = got.filter(({ type }) => type === FAN_OUT).map(({ sequence }) => sequence);
      assert.deepEqual(
        sequences,
        sequences.toSorted((one, other) => one - other),
      );
    });
  }

  test('and whose log cannot be read is cut off, and dials again', async () => {
    const log = new SlowLog(AMPLE, () => 1);
    const rig = await open(log);
    await rig.publish('a', 'x');
    log.failing = 'read';
    const fake = await FakeWorker.dial(rig.path, 0, { epoch: log.epoch, position: 0 }, ['a']);
    await once(fake.socket, 'close');
    assert.match(rig.lines.join(''), /the log cannot be read; a link begins again worker=0 code=ELOGIO/);
    log.failing = null;
    const again = await FakeWorker.dial(rig.path, 0, { epoch: log.epoch, position: 0 }, ['a']);
    assert.deepEqual(await take(again, 1), ['a 1']);
  });
});

describe('READ', () => {
  test('is answered page by page, with what was dropped before', async () => {
    const rig = await open(new MemoryLog({ ...AMPLE, messages: 5 }));
    const data = 'm'.repeat(100_000);
    for (let n = 0; n < 7; n++) await rig.publish('a', data, KIND_TEXT);
    const fake = await subscriber(rig, 0, 'a');
    fake.read(7, 0, 'a');
    const first = await fake.next();
    assert.deepEqual(
      [first.type, first.request, first.sequence, first.gap, first.rest],
      [HISTORY, 7, 4, 2, HISTORY_MORE],
    );
    assert.deepEqual(
      first.publications!.map(({ sequence, kind, data }) => [sequence, kind, data.length]),
      [
        [3, KIND_TEXT, 100_000],
        [4, KIND_TEXT, 100_000],
      ],
    );
    assert.ok(Math.abs(first.publications![0]!.timeMs - Date.now()) < 60_000);
    fake.read(8, first.sequence, 'a');
    const second = await fake.next();
    assert.deepEqual([second.sequence, second.gap, second.rest], [6, 0, HISTORY_MORE]);
    fake.read(9, second.sequence, 'a');
    const third = await fake.next();
    assert.deepEqual([third.sequence, third.rest, third.publications!.length], [7, HISTORY_COMPLETE, 1]);
  });

  test('of what is not there says how far the log goes', async () => {
    const rig = await open();
    for (let n = 0; n < 3; n++) await rig.publish('a', 'x');
    const fake = await subscriber(rig, 0);
    fake.read(1, READ_NOW, 'a');
    fake.read(2, 3, 'a');
    fake.read(3, 0, 'nothing');
    for (const request of [1, 2, 3]) {
      const { type, sequence, gap, rest, publications, ...told } = await fake.next();
      assert.deepEqual([type, told.request, sequence, gap, rest], [HISTORY, request, 3, 0, HISTORY_COMPLETE]);
      assert.deepEqual(publications, []);
    }
    fake.read(4, 99, 'a');
    const beyond = await fake.next();
    assert.deepEqual([beyond.rest, beyond.publications!.length], [HISTORY_BEYOND, 0], 'a sequence of some other log');
  });

  test('of very many tiny publications fits its frames, and of the largest one too', async () => {
    const rig = await open();
    const count = 100_000;
    for (let n = 0; n < count; n += 10_000) {
      await rig.publisher.accept(Array(10_000).fill({ channel: 'a', kind: KIND_RAW, data: Buffer.alloc(0) }));
    }
    await rig.publish('a', Buffer.alloc(MESSAGE_BYTES_MAX, 'm'));
    assert.ok(count * 17 > LINK_FRAME_BYTES_MAX);
    const fake = await subscriber(rig, 0, 'a');
    let expected = 1;
    for (let after = 0, rest = HISTORY_MORE; rest === HISTORY_MORE; ) {
      fake.read(1, after, 'a');
      const page = await fake.next();
      for (const { sequence } of page.publications!) assert.equal(sequence, expected++);
      assert.equal(page.sequence, expected - 1);
      after = page.sequence;
      rest = page.rest!;
    }
    assert.equal(expected, count + 2);
  });

  test('by a crowd that does not read its answers costs a bounded amount of memory, and all are answered', async () => {
    const rig = await open();
    await rig.publish('a', Buffer.alloc(HISTORY_BYTES, 'm'));
    const fake = await subscriber(rig, 0, 'a');
    fake.socket.pause();
    const crowd = 300;
    for (let n = 0; n < crowd; n++) fake.read(n, 0, 'a');
    for (let n = 0; n < 100; n++) await turn();
    const { backlogBytes } = rig.server.links.get(0)!;
    assert.ok(backlogBytes < 2e6, `${backlogBytes} bytes`);
    fake.socket.resume();
    for (let n = 0; n < crowd; n++) assert.equal((await fake.next()).request, n);
  });
});

describe('a client that publishes', () => {
  test('goes the way of all, and its worker hears where it lies', async () => {
    const rig = await open();
    const fake = await subscriber(rig, 0, 'ünï');
    fake.say((writer) => {
      const publish = (request: number, id: string) =>
        writer.publish(request, KIND_JSON, Buffer.from(id), Buffer.from('ünï'), Buffer.from('{}'));
      publish(5, 'x');
      publish(6, 'x');
      publish(0xffff_ffff, '');
    });
    const told: Told[] = [];
    while (told.length < 5) told.push(await fake.next());
    assert.deepEqual(
      told.filter(({ type }) => type === FAN_OUT).map(({ sequence, channel, data }) => [sequence, channel, data]),
      [
        [1, 'ünï', '{}'],
        [2, 'ünï', '{}'],
      ],
    );
    assert.deepEqual(
      told.filter(({ type }) => type === PUBLISHED).map(({ request, result, sequence }) => [request, result, sequence]),
      [
        [5, PUBLISHED_NEW, 1],
        [6, PUBLISHED_DUPLICATE, 1],
        [0xffff_ffff, PUBLISHED_NEW, 2],
      ],
    );
  });

  test('hears when the log keeps nothing; so does the operator, once', async () => {
    const log = new SlowLog(AMPLE, () => 1);
    const rig = await open(log);
    const fake = await subscriber(rig, 0, 'a');
    log.failing = 'append';
    for (const request of [1, 2]) {
      fake.publish(request, KIND_TEXT, 'a', 'x');
      const told = await fake.next();
      assert.deepEqual([told.type, told.request, told.result], [PUBLISHED, request, PUBLISHED_FAILED]);
    }
    await assert.rejects(rig.publish('a', 'x'), { code: 'ELOGFULL' });
    assert.equal(rig.publisher.counters.failed, 3);
    assert.equal(rig.lines.length, 1);
    assert.match(rig.lines[0]!, /error the log keeps nothing code=ELOGFULL reason="the disk is full; make room"/);
    log.failing = null;
    assert.equal((await rig.publish('b', 'x')).sequence, 1);
  });
});

describe('a broken worker', () => {
  test('is cut off for each frame that is not as the contract has it, and nobody else notices', async () => {
    const rig = await open();
    const witness = await subscriber(rig, 1, 'a');
    const long = 'n'.repeat(129);
    const frames: [what: string, type: number, payload: string][] = [
      ['SUBSCRIBED without names', SUBSCRIBED, ''],
      ['SUBSCRIBED of an empty name', SUBSCRIBED, '\x01a\0'],
      ['SUBSCRIBED of a long name', SUBSCRIBED, `\x81${long}`],
      ['SUBSCRIBED cut within a name', SUBSCRIBED, '\x01a\x03bc'],
      ['UNSUBSCRIBED without names', UNSUBSCRIBED, ''],
      ['WAITING of a long name', WAITING, `\x81${long}`],
      ['NOT_WAITING cut within a name', NOT_WAITING, '\x01'],
      ['RECEIVED too short', RECEIVED, '123456789'],
      ['DELIVERED too long', DELIVERED, '12345678901'],
      ['READ without a name', READ, '1234567890'],
      ['READ of what is not UTF-8', READ, '1234567890\xff'],
      ['READ of a long name', READ, `1234567890${long}`],
      ['PUBLISH of nothing', PUBLISH, ''],
      ['PUBLISH cut within its id', PUBLISH, '1234\x00\x05ab'],
      ['PUBLISH cut within its name', PUBLISH, '1234\x00\x00\x05ab'],
      ['PUBLISH without a name', PUBLISH, '1234\x00\x00\x00data'],
      ['PUBLISH with a control character', PUBLISH, '1234\x00\x00\x02a\nx'],
      ['PUBLISH of a raw kind', PUBLISH, '1234\x02\x00\x01ax'],
      ['PUBLISH of an unknown kind', PUBLISH, '1234\x07\x00\x01ax'],
      ['PUBLISH with a strange id', PUBLISH, '1234\x00\x01\xff\x01ax'],
      ['PUBLISH with a long id', PUBLISH, `1234\x00\x81${long}\x01ax`],
      ['PUBLISH of what is not UTF-8', PUBLISH, '1234\x00\x00\x01a\xff'],
      ['PUBLISH of too much', PUBLISH, `1234\x00\x00\x01a${'m'.repeat(MESSAGE_BYTES_MAX + 1)}`],
      ['STATS of words', STATS, '{"connections":"many"}'],
      ['STATS of nothing', STATS, 'null'],
      ['STATS without a part', STATS, JSON.stringify({ ...EMPTY_STATS, delivery: { sumMs: 0 } })],
      ['STATS with words among counts', STATS, JSON.stringify({ ...EMPTY_STATS, ended: { memory: 'many' } })],
      ['a second HELLO', HELLO, '{}'],
      ['a frame of the manager', FAN_OUT, 'x'],
    ];
    for (const [what, type, payload] of frames) {
      const fake = await FakeWorker.dial(rig.path, 0);
      const header = Buffer.alloc(5);
      header.writeUInt32LE(1 + payload.length);
      header[4] = type;
      fake.socket.write(Buffer.concat([header, Buffer.from(payload, 'latin1')]));
      await once(fake.socket, 'close', { signal: AbortSignal.timeout(2000) }).catch(() => assert.fail(what));
    }
    assert.equal(rig.lines.length, frames.length);
    assert.ok(rig.lines.every((line) => line.includes('warn link refused')));
    await until(() => rig.fanOut.counters.subscriptions === 1);
    await accept(rig, 'a');
    assert.deepEqual(await take(witness, 1), ['a 1']);
  });

  test('that says strange things in their right form does no harm', async () => {
    const rig = await open();
    const fake = await subscriber(rig, 0, 'a');
    fake.unsubscribe('never subscribed');
    fake.received(999, 5);
    fake.verdict(999, 5);
    fake.say((writer) => writer.frame(HELLO_END));
    fake.subscribe('\ufffd');
    await rig.publish('\ufffd', 'x');
    fake.read(1, 2 ** 47, 'a');
    const strange = Buffer.from([0x80, 0xff]);
    fake.say((writer) => writer.name(SUBSCRIBED, strange, 0, 2));
    await until(() => rig.fanOut.counters.subscriptions === 3);
    fake.received(1, 0xffff_ffff);
    await accept(rig, 'a');
    for (;;) if ((await fake.next()).channel === 'a') break;
    assert.equal(rig.lines.length, 0);
  });
});

/** Lets the event loop turn until the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `waited in vain for ${condition}`);
    await turn();
  }
}
