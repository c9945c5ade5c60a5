import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Cursor } from '../cursor.js';
import { KIND_JSON, KIND_RAW, KIND_TEXT } from '../link/frames.js';
import { MemoryLog } from '../log/memory.js';
import type { Output } from './event-stream.js';
import { EventParser, type ServerEvent } from './shared/event-parser.js';
import type { TailGap, TailMessage } from './shared/snapshot.js';
import { LOOK_PUBLICATIONS_MAX, SHOWN_BYTES_MAX, TAILS_MAX, Tails } from './tails.js';

const RETENTION = { seconds: 60, messages: 1000, bytes: 1 << 20, totalBytes: 64 << 20 };

/** A response that keeps what it is given. `unread`: what its reader has not taken. */
class FakeOutput {
  readonly events: ServerEvent[] = [];
  unread = 0;
  ended = false;
  #closed: () => void = () => {};
  readonly #parser = new EventParser();
  readonly output: Output;

  constructor() {
    const unread = () => this.unread;
    this.output = {
      on: ((name: string, call: () => void) => {
        if (name === 'close') this.#closed = call;
      }) as never,
      writeHead: (() => {}) as never,
      write: ((text: string) => void this.events.push(...this.#parser.push(text))) as never,
      end: (() => this.close()) as never,
      destroy: (() => this.close()) as never,
      get writableLength() {
        return unread();
      },
    };
  }

  close(): void {
    this.ended = true;
    this.#closed();
  }

  named<T>(name: string): T[] {
    return this.events.filter((event) => event.name === name).map(({ data }) => JSON.parse(data) as T);
  }
}
function cursorOf(text: string): Cursor {
  const cursor = new Cursor();
  assert.ok(cursor.parse(Buffer.from(text), 0, text.length));
  return cursor;
}

const publication = (channel: string, data: string | Buffer, kind = KIND_TEXT) => ({
  channel,
  kind,
  data: Buffer.from(data),
});

describe('a tail', () => {
  const open = (log: MemoryLog, after = 'now', channel = 'news') => {
    const tails = new Tails(log);
    const viewer = new FakeOutput();
    assert.ok(tails.add(viewer.output, channel, cursorOf(after)));
    return { tails, viewer };
  };

  test('shows what is published from now on, on its channel alone, in order', async (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const log = new MemoryLog(RETENTION);
    await log.append([publication('news', 'before')]);
    const { tails, viewer } = open(log);
    await log.append([
      publication('news', 'one'),
      publication('other', 'x'),
      publication('news', '{"two":2}', KIND_JSON),
    ]);
    context.mock.timers.tick(100);
    await new Promise(setImmediate);
    assert.deepEqual(viewer.named('open'), [{ channel: 'news', cursor: `${log.epoch}-1` }]);
    const messages = viewer.named<TailMessage>('message');
    assert.deepEqual(
      messages.map(({ cursor, kind, data, bytes }) => [cursor, kind, data, bytes]),
      [
        [`${log.epoch}-2`, 'text', 'one', 3],
        [`${log.epoch}-4`, 'json', '{"two":2}', 9],
      ],
    );
    assert.equal(viewer.events.at(-1)?.id, `${log.epoch}-4`);
    tails.endStreams();
    assert.ok(viewer.ended);
    assert.equal(tails.size, 0);
  });

  test('begins after a cursor, or with the oldest that is kept', async () => {
    const log = new MemoryLog(RETENTION);
    await log.append([publication('news', 'a'), publication('news', 'b')]);
    for (const [after, expected] of [
      ['start', ['a', 'b']],
      [`${log.epoch}-1`, ['b']],
      [`${log.epoch}-99`, []],
    ] as const) {
      const { tails, viewer } = open(log, after);
      await new Promise(setImmediate);
      assert.deepEqual(
        viewer.named<TailMessage>('message').map(({ data }) => data),
        expected,
      );
      tails.endStreams();
    }
  });

  test('tells of what retention has dropped, and of a cursor of another history', async () => {
    const log = new MemoryLog({ ...RETENTION, messages: 2 });
    for (const data of 'abcd') await log.append([publication('news', data)]);
    const late = open(log, `${log.epoch}-1`);
    await new Promise(setImmediate);
    assert.deepEqual(late.viewer.named<TailGap>('gap'), [{ cursor: `${log.epoch}-2`, reason: 'retention' }]);
    assert.deepEqual(
      late.viewer.named<TailMessage>('message').map(({ data }) => data),
      ['c', 'd'],
    );
    late.tails.endStreams();
    const foreign = open(log, 'another-3');
    await new Promise(setImmediate);
    assert.equal(foreign.viewer.named<TailGap>('gap')[0].reason, 'retention');
    assert.equal(foreign.viewer.named('message').length, 2);
    foreign.tails.endStreams();
  });

  test('shows the latest of a flood and says that it left something out', async (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const log = new MemoryLog(RETENTION);
    const { tails, viewer } = open(log);
    await log.append(Array.from({ length: 150 }, (_, i) => publication('news', `${i}`)));
    context.mock.timers.tick(100);
    await new Promise(setImmediate);
    const messages = viewer.named<TailMessage>('message');
    assert.equal(messages.length, LOOK_PUBLICATIONS_MAX);
    assert.equal(messages.at(-1)?.data, '149');
    assert.deepEqual(viewer.named<TailGap>('gap'), [{ cursor: `${log.epoch}-50`, reason: 'pace' }]);
    // Of large ones a look takes a few, and goes on with what is new then.
    const large = 'm'.repeat(40 << 10);
    await log.append(Array.from({ length: 10 }, () => publication('news', large)));
    context.mock.timers.tick(100);
    await new Promise(setImmediate);
    assert.deepEqual(viewer.named<TailGap>('gap').at(-1), { cursor: `${log.epoch}-160`, reason: 'pace' });
    await log.append([publication('news', 'after')]);
    context.mock.timers.tick(100);
    await new Promise(setImmediate);
    assert.equal(viewer.named<TailMessage>('message').at(-1)?.data, 'after');
    tails.endStreams();
  });

  test('shows the beginning of what is long, never half a character, and says how long it is', async () => {
    const log = new MemoryLog(RETENTION);
    const data = `x${'ü'.repeat(SHOWN_BYTES_MAX)}`;
    await log.append([publication('news', data), publication('news', Buffer.from([0xff, 0x41]), KIND_RAW)]);
    const { tails, viewer } = open(log, 'start');
    await new Promise(setImmediate);
    const [long, raw] = viewer.named<TailMessage>('message');
    assert.equal(long.bytes, Buffer.byteLength(data));
    assert.equal(long.data, data.slice(0, long.data.length));
    assert.equal(Buffer.byteLength(long.data), SHOWN_BYTES_MAX - 1);
    assert.deepEqual([raw.kind, raw.data], ['raw', '\ufffdA']);
    tails.endStreams();
  });

  test('is not read for while its viewer does not read', async (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const log = new MemoryLog(RETENTION);
    const { tails, viewer } = open(log);
    viewer.unread = 1 << 20;
    await log.append([publication('news', 'one')]);
    context.mock.timers.tick(1000);
    await new Promise(setImmediate);
    assert.deepEqual(viewer.named('message'), []);
    viewer.unread = 0;
    context.mock.timers.tick(100);
    await new Promise(setImmediate);
    assert.equal(viewer.named('message').length, 1);
    tails.endStreams();
  });

  test('of a quiet channel says every 15 s that it lives', (context) => {
    context.mock.timers.enable({ apis: ['setInterval'] });
    const { tails, viewer } = open(new MemoryLog(RETENTION));
    const written: string[] = [];
    viewer.output.write = ((text: string) => written.push(text)) as never;
    context.mock.timers.tick(30_000);
    assert.deepEqual(written, [':\n\n', ':\n\n']);
    tails.endStreams();
  });

  test('is one of a bounded number, and who leaves makes room', () => {
    const tails = new Tails(new MemoryLog(RETENTION));
    const viewers = Array.from({ length: TAILS_MAX }, () => {
      const viewer = new FakeOutput();
      assert.ok(tails.add(viewer.output, 'news', cursorOf('now')));
      return viewer;
    });
    assert.equal(tails.add(new FakeOutput().output, 'news', cursorOf('now')), false);
    viewers[0].close();
    assert.ok(tails.add(new FakeOutput().output, 'news', cursorOf('now')));
    tails.endStreams();
    assert.equal(tails.size, 0);
  });
});
