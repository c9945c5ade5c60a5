/** Cases of queue and links over a real Unix socket, with workers played by the test. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeWorker } from '../../test/fakes/worker.js';
import { DELIVER, KIND_RAW, KIND_TEXT, STOP } from '../link/frames.js';
import { MemoryLog } from '../log/memory.js';
import { LinkRig } from './testing/link-rig.js';
import { BACKLOG_BYTES_MAX } from './worker-link.js';

const TEXT = KIND_TEXT;

describe('the queue over links', () => {
  let rig: LinkRig;
  let log: MemoryLog;
  let nowMs: number;

  beforeEach(async () => {
    nowMs = 0;
    const clock = { wallMs: () => nowMs, steadyMs: () => nowMs };
    log = new MemoryLog({ seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 1 << 26 }, { clock });
    rig = new LinkRig(log);
    await rig.listen();
  });

  afterEach(() => rig.close());

  const publish = (...publication: Parameters<LinkRig['publish']>) => rig.publish(...publication);

  /** The sequence of what the queue owes next. */
  const owed = (channel: string) => log.oldestQueued(channel)?.sequence;

  /** A worker that has channels waiting, of which the manager has read. */
  async function worker(number: number, ...channels: string[]): Promise<FakeWorker> {
    const fake = await FakeWorker.dial(rig.path, number);
    const before = rig.queue.counters.waiting;
    fake.wait(...channels);
    await until(() => rig.queue.counters.waiting === before + channels.length && rig.server.links.has(number));
    return fake;
  }

  test('a publication goes to the worker that has its channel waiting, and its publisher hears who got it', async () => {
    const first = await worker(0, 'alice', 'ünï');
    const second = await worker(1, 'bob');
    const receipt = publish('ünï', 'hello', KIND_RAW);
    const told = await first.next();
    assert.deepEqual(told, { type: DELIVER, sequence: 1, kind: KIND_RAW, channel: 'ünï', data: 'hello' });
    first.stopWaiting('ünï');
    first.verdict(1, 3);
    assert.deepEqual(await receipt, {
      cursor: `${log.epoch}-1`,
      sequence: 1,
      status: 'delivered',
      receivers: 3,
      incomplete: false,
      duplicate: false,
    });
    assert.equal(owed('ünï'), undefined);
    assert.equal(second.untaken, 0);
  });

  test('what nobody waits for is queued at once, and sent when somebody subscribes', async () => {
    assert.equal((await publish('alice', '1')).status, 'queued');
    const fake = await worker(0, 'bob', 'alice');
    const told = await fake.next();
    assert.equal(told.data, '1');
    fake.verdict(told.sequence, 1);
    await until(() => owed('alice') === undefined);
  });

  test('one publication of a channel is in flight at a time, and each publisher hears of its own turn', async () => {
    const fake = await worker(0, 'alice');
    const receipts = ['1', '2', '3'].map((data) => publish('alice', data));
    for (const data of ['1', '2']) {
      const told = await fake.next();
      assert.equal(told.data, data);
      assert.equal(fake.untaken, 0);
      fake.verdict(told.sequence, 1);
    }
    assert.deepEqual([(await receipts[0]!).status, (await receipts[1]!).status], ['delivered', 'delivered']);
    // The third finds nobody: the connection has gone with the second.
    const told = await fake.next();
    fake.stopWaiting('alice');
    fake.verdict(told.sequence, 0);
    assert.deepEqual([(await receipts[2]!).status, owed('alice')], ['queued', 3]);
    fake.wait('alice');
    assert.equal((await fake.next()).data, '3');
  });

  test('after a verdict that leaves nobody, those who are queued behind it stay queued and their publishers hear it', async () => {
    const fake = await worker(0, 'alice');
    const receipts = ['1', '2', '3'].map((data) => publish('alice', data));
    const told = await fake.next();
    fake.stopWaiting('alice');
    fake.verdict(told.sequence, 1);
    assert.deepEqual(
      (await Promise.all(receipts)).map(({ status }) => status),
      ['delivered', 'queued', 'queued'],
    );
    assert.equal(owed('alice'), 2);
  });

  test('a verdict of 0 is followed by another attempt if somebody subscribed meanwhile, and by none otherwise', async () => {
    const fake = await worker(0, 'alice');
    const receipt = publish('alice', '1');
    await fake.next();
    fake.stopWaiting('alice');
    fake.wait('alice');
    fake.verdict(1, 0);
    assert.equal((await fake.next()).sequence, 1);
    fake.verdict(1, 0);
    assert.equal((await receipt).status, 'queued');
    // The index still names the worker, as it does for a stranger with the same fingerprint: it is left in peace.
    assert.equal(rig.queue.counters.missed, 2);
    assert.equal(rig.queue.inFlight, 0);
    assert.equal(owed('alice'), 1);
  });

  test('a channel that waits on two workers is delivered on both, and the receivers are added up', async () => {
    const fakes = [await worker(0, 'alice'), await worker(1, 'alice')];
    const receipt = publish('alice', '1');
    for (const [i, fake] of fakes.entries()) fake.verdict((await fake.next()).sequence, i + 1);
    assert.equal((await receipt).receivers, 3);

    const second = publish('alice', '2');
    fakes[0]!.verdict((await fakes[0]!.next()).sequence, 0);
    fakes[1]!.verdict((await fakes[1]!.next()).sequence, 1);
    assert.deepEqual([(await second).status, (await second).receivers], ['delivered', 1]);
  });

  test('a worker that dies with a publication in flight counts 0, and others get it', async () => {
    const dying = await worker(0, 'alice');
    const receipt = publish('alice', '1');
    await dying.next();
    const other = await worker(1, 'alice');
    dying.end();
    const told = await other.next();
    assert.equal(told.data, '1');
    other.verdict(told.sequence, 1);
    assert.deepEqual([(await receipt).status, (await receipt).receivers], ['delivered', 1]);

    const again = publish('alice', '2');
    await other.next();
    other.end();
    assert.equal((await again).status, 'queued');
    assert.equal(rig.queue.counters.waiting, 0);
    const next = await worker(0, 'alice');
    assert.equal((await next.next()).data, '2');
  });

  test('a worker that stands still does not hold up a channel that others serve', async () => {
    const living = await worker(0, 'news');
    const still = await worker(1, 'news');
    const receipts = ['1', '2'].map((data) => publish('news', data));
    living.verdict((await living.next()).sequence, 5);
    living.wait('after the verdict');
    await until(() => rig.queue.counters.waiting === 3);
    rig.queue.sweep();
    assert.equal(owed('news'), 1, 'it has a while');
    rig.queue.sweep();
    assert.deepEqual([(await receipts[0]!).receivers, owed('news')], [5, 2]);
    assert.equal((await living.next()).data, '2');
    living.verdict(2, 1);
    assert.equal((await still.next()).sequence, 1);
    still.verdict(1, 1);
    still.verdict(2, 1);
    assert.equal((await receipts[1]!).receivers, 2);
    assert.equal(rig.queue.counters.receivers, 7, 'a verdict that comes too late is not counted');
  });

  test('without a verdict in time the publisher is told queued; a late verdict still counts', async () => {
    rig.close();
    rig = new LinkRig(log, 60);
    await rig.listen();
    const fake = await worker(0, 'alice');
    assert.equal((await publish('alice', '1')).status, 'queued');
    assert.equal(rig.receipts.size, 0);
    fake.verdict((await fake.next()).sequence, 1);
    await until(() => owed('alice') === undefined);
  });

  test('a publication that expires in flight is delivered all the same, or forgotten', async () => {
    const fake = await worker(0, 'alice', 'bob');
    const first = publish('alice', '1');
    const second = publish('bob', '2');
    await fake.next();
    await fake.next();
    nowMs = 60_001;
    log.expire();
    fake.verdict(1, 1);
    fake.verdict(2, 0);
    assert.equal((await first).status, 'delivered');
    assert.equal((await second).status, 'queued');
    assert.equal(rig.queue.inFlight, 0);
  });

  test('a worker that does not read costs a bounded amount of memory, and gets everything when it reads again', async () => {
    const channels = Array.from({ length: 60 }, (_, i) => `c${i}`);
    const fake = await worker(0, ...channels);
    fake.socket.pause();
    const data = Buffer.alloc(500_000, 'm');
    for (const channel of channels) {
      await rig.publisher.accept([{ channel, kind: TEXT, data }]);
      await turn();
    }
    assert.equal(log.counters.queued, 60);
    // Beyond the backlog links hold names only: had they held the data, 30 MB would be buffered here.
    const { backlogBytes } = rig.server.links.get(0)!;
    assert.ok(backlogBytes > BACKLOG_BYTES_MAX / 2 && backlogBytes < BACKLOG_BYTES_MAX + 1e6, `${backlogBytes} bytes`);
    await rig.publisher.accept([{ channel: 'c59', kind: TEXT, data: Buffer.from('behind the one that is gone') }]);
    log.consumed('c59', 60);
    fake.socket.resume();
    for (const sequence of [...channels.keys()].map((i) => (i === 59 ? 61 : i + 1))) {
      const told = await fake.next();
      assert.equal(told.sequence, sequence);
      fake.verdict(told.sequence, 1);
    }
    await until(() => rig.queue.inFlight === 0);
    assert.equal(rig.queue.counters.missed, 1, 'the one that was removed meanwhile');
    assert.equal(log.counters.queued, 0);
  });

  test('a worker that dials again replaces its old link; a second process under its number is told to stop', async () => {
    const old = await worker(0, 'alice');
    const again = await FakeWorker.dial(rig.path, 0);
    await once(old.socket, 'close');
    assert.equal(rig.queue.counters.waiting, 0);
    const other = await FakeWorker.dial(rig.path, 0, { pid: 1 });
    assert.equal((await other.next()).type, STOP);
    assert.equal(rig.server.links.get(0)?.hello.pid, process.pid);
    again.wait('alice');
    await until(() => rig.queue.counters.waiting === 1);
  });

  test('a worker of another version is told to stop', async () => {
    const fake = await FakeWorker.dial(rig.path, 3, { version: 99 });
    assert.equal((await fake.next()).type, STOP);
    assert.equal(rig.server.links.size, 0);
    assert.equal(rig.outdated[0]?.worker, 3);
  });

  test('a worker that is drained for another manager is told to stop, and goes on with its own', async () => {
    const stray = await FakeWorker.dial(rig.path, 3, { draining: true });
    assert.equal((await stray.next()).type, STOP);
    assert.equal(rig.server.links.size, 0);
    rig.server.draining = true;
    await FakeWorker.dial(rig.path, 3, { draining: true });
    await until(() => rig.server.links.size === 1);
  });

  test('whoever does not speak the protocol is cut off with one line', async () => {
    const bytes = ['GET / HTTP/1.1\r\n\r\n', '\x01\0\0\0\x02', '\x03\0\0\0\x01{}', '\x02\0\0\0\x01{'];
    for (const text of bytes) {
      const socket = connect(rig.path);
      socket.write(text);
      await once(socket, 'close');
    }
    assert.equal(rig.lines.length, bytes.length);
    assert.match(rig.lines[0]!, /link refused reason="not a stream of frames"/);
  });

  test('a stale socket of a killed manager is replaced', async () => {
    rig.server.close();
    rmSync(rig.path, { force: true });
    writeFileSync(rig.path, '');
    await rig.listen();
    await worker(0, 'alice');
  });

  test('a worker is told what clients may do as soon as it dials, and at each change', async () => {
    rig.policies.change({ anonymous: ['public/*'] });
    const fake = await worker(0);
    await until(() => fake.policy !== null);
    assert.deepEqual(fake.policy?.anonymous, ['public/*']);
    rig.policies.change({ publish: ['chat/*'] });
    await until(() => fake.policy?.publish[0] === 'chat/*');
    assert.deepEqual(fake.policy, rig.policies.current);
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
