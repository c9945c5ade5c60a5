import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { type FsyncPolicy, openLmdbLog } from './lmdb.js';
import { type Log, LogError, type LogErrorCode } from './log.js';
import { random } from './log-model.js';
import { AMPLE, FakeClock, publication, publish, readAll } from './log-suite.js';

const CHILD = new URL('./lmdb-child.js', import.meta.url).pathname;
const CHANNELS = ['c0', 'c1', 'c2', 'c3', 'c4'];
const ALL = { seconds: 3600, messages: 1 << 20, bytes: 1 << 30, totalBytes: 1 << 30 };

const root = mkdtempSync(join(tmpdir(), 'megacomet-crash-'));
after(() => rmSync(root, { recursive: true }));

function emptyDirectory(): string {
  return mkdtempSync(join(root, 'data-'));
}

function failsWith(code: LogErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof LogError && error.code === code && error.cure !== '';
}

/** Runs a child until it has acknowledged some batches, and kills it. Returns what it had acknowledged. */
async function killInTheMiddle(directory: string, fsync: FsyncPolicy, first: number, lines: number, delayMs: number) {
  const child = spawn(process.execPath, [CHILD, directory, fsync, `${first}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const acknowledged: { epoch: string; places: [number, number][] }[] = [];
  const reader = createInterface(child.stdout);
  reader.on('line', (line) => {
    // The last line may be cut off where the child was killed.
    if (line.endsWith('}')) acknowledged.push(JSON.parse(line));
    if (acknowledged.length === lines) setTimeout(() => child.kill('SIGKILL'), delayMs);
  });
  await Promise.all([once(child, 'exit'), once(reader, 'close')]);
  return acknowledged;
}

for (const fsync of ['never', 'interval', 'always'] satisfies FsyncPolicy[]) {
  test(`after kill -9 everything acknowledged is there, and sequences go on (fsync ${fsync})`, async (t) => {
    const seed = 1 + Math.floor(Math.random() * 1e6);
    t.diagnostic(`seed ${seed}`);
    const next = random(seed);
    const directory = emptyDirectory();
    const all = new Map<number, number>();
    let epoch = '';
    let last = 0;
    for (let round = 0; round < 3; round++) {
      const acknowledged = await killInTheMiddle(directory, fsync, round * 1_000_000, 5 + next() * 40, next() * 30);
      for (const batch of acknowledged) {
        for (const [sequence, number] of batch.places) {
          assert(!all.has(sequence), `sequence ${sequence} was given twice`);
          assert(sequence > last, 'sequences go on above what was found');
          all.set(sequence, number);
        }
      }
      const log = await openLmdbLog({ directory, fsync, retention: ALL });
      epoch ||= log.epoch;
      assert.deepEqual([log.epoch, acknowledged[0]!.epoch], [epoch, epoch]);
      const found = new Map<number, number>();
      const { publications, gaps } = await log.read(CHANNELS, 0, 1 << 30);
      for (const { sequence, data } of publications) found.set(sequence, Number(data.toString()));
      for (const [sequence, number] of all) assert.equal(found.get(sequence), number, `sequence ${sequence}`);
      assert.deepEqual(gaps, []);
      for (const [sequence, number] of [...found].filter(([, n]) => n % 3 === 0).slice(-5)) {
        const [again] = await log.append([publication(`c${number % 5}`, '', `${number}`)]);
        assert.deepEqual([again!.sequence, again!.duplicate], [sequence, true]);
      }
      last = log.last;
      await log.close();
    }
  });
}

/** Copies the files of a log that is in use, as they are in the page cache: what kill -9 leaves. */
function snapshot(directory: string): string {
  const copy = emptyDirectory();
  for (const name of ['state.json', 'history.mdb', 'checkpoint']) {
    try {
      copyFileSync(join(directory, name), join(copy, name));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT');
    }
  }
  return copy;
}

async function fill(log: Log, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await log.append([publication(`c${n % 5}`, `${n}`.repeat(50))]);
}

test('a power failure between two checkpoints leaves the first, whichever pages had reached the disk', async (t) => {
  const seed = 1 + Math.floor(Math.random() * 1e6);
  t.diagnostic(`seed ${seed}`);
  const next = random(seed);
  const directory = emptyDirectory();
  const retention = { ...AMPLE, messages: 50 };
  const log = await openLmdbLog({ directory, fsync: 'interval', retention }, { bootId: 'one' });
  await fill(log, 0, 1000);
  const checkpoint = join(directory, 'checkpoint');
  const before = statSync(checkpoint).ino;
  log.expire();
  while (statSync(checkpoint).ino === before) await new Promise((resolve) => setImmediate(resolve));
  const synced = readFileSync(join(directory, 'history.mdb'));
  const { last, epoch } = log;
  const expected = await readAll(log, CHANNELS, 0);
  await fill(log, 1000, 1400);
  for (let round = 0; round < 10; round++) {
    const copy = snapshot(directory);
    const file = join(copy, 'history.mdb');
    const torn = readFileSync(file);
    for (let page = 0; page < synced.length; page += 4096) {
      if (next() < 0.5) synced.copy(torn, page, page, page + 4096);
    }
    writeFileSync(file, torn);
    const left = await openLmdbLog({ directory: copy, fsync: 'interval', retention }, { bootId: 'two' });
    assert.notEqual(left.epoch, epoch);
    assert.equal(left.last, last);
    const found = await readAll(left, CHANNELS, 0);
    // Blocks with dead publications beside live ones may bring these back.
    assert.deepEqual(found.slice(-expected.length), expected);
    for (const { channel, data } of (await left.read(CHANNELS, 0, 1 << 30)).publications) {
      assert.match(data.toString(), /^(\d+?)\1{49}$/);
      assert(CHANNELS.includes(channel));
    }
    assert.deepEqual(await publish(left, 'c0'), [last + 1]);
    await left.close();
  }
  await log.close();
});

test('the epoch changes exactly where history may have been lost', async () => {
  for (const [fsync, lost] of [
    ['always', false],
    ['interval', true],
    ['never', true],
  ] satisfies [FsyncPolicy, boolean][]) {
    const directory = emptyDirectory();
    const options = { directory, fsync, retention: AMPLE };
    const log = await openLmdbLog(options, { bootId: 'one' });
    await publish(log, 'a', 'a');
    const killed = await openLmdbLog({ ...options, directory: snapshot(directory) }, { bootId: 'one' });
    assert.deepEqual([killed.epoch, killed.last], [log.epoch, 2], `${fsync}: killed`);
    await killed.close();
    const failed = await openLmdbLog({ ...options, directory: snapshot(directory) }, { bootId: 'two' });
    assert.equal(failed.epoch !== log.epoch, lost, `${fsync}: power failure`);
    await failed.close();
    await log.close();
    const closed = await openLmdbLog(options, { bootId: 'two' });
    assert.deepEqual([closed.epoch, closed.last], [log.epoch, 2], `${fsync}: closed`);
    await closed.close();
    rmSync(join(directory, 'history.mdb'));
    const empty = await openLmdbLog(options, { bootId: 'two' });
    assert.deepEqual([empty.epoch !== log.epoch, empty.last], [true, 0], `${fsync}: the database was removed`);
    await empty.close();
  }
});

test('a sequence is never used again, though everything has expired', async () => {
  const directory = emptyDirectory();
  const clock = new FakeClock();
  const options = { directory, fsync: 'interval' as const, retention: AMPLE };
  const log = await openLmdbLog(options, { clock });
  await publish(log, 'a', 'b');
  log.consumed('a', 1);
  clock.nowMs = 60_000;
  log.expire();
  await log.close();
  const again = await openLmdbLog(options, { clock });
  assert.deepEqual([again.last, again.counters.publications], [2, 0]);
  assert.deepEqual(
    (await again.read(['a', 'b'], 0, 10)).gaps.map(({ sequence }) => sequence),
    [1, 2],
  );
  assert.deepEqual(await publish(again, 'a'), [3]);
  assert.equal(again.oldestQueued('a')!.sequence, 3);
  await again.close();
});

test('what retention drops leaves the disk: the file stops growing', async () => {
  const directory = emptyDirectory();
  const retention = { ...AMPLE, messages: 10, rules: [{ pattern: 'rare', messages: 100_000, seconds: 86_400 }] };
  const log = await openLmdbLog({ directory, fsync: 'never', retention });
  const sizes: number[] = [];
  for (let round = 0; round < 8; round++) {
    // One of each batch stays for ever: every block would, without being moved together.
    for (let i = 0; i < 100; i++) {
      await log.append([
        publication('rare', '1'),
        ...Array.from({ length: 99 }, () => publication('often', Buffer.alloc(100))),
      ]);
      if (i % 10 === 0) log.expire();
    }
    sizes.push(statSync(join(directory, 'history.mdb')).size);
  }
  assert(sizes.at(-1)! < 6 << 20, `8 MB of data were published; sizes ${sizes}`);
  assert.equal(log.counters.publications, 810);
  assert.equal((await readAll(log, ['rare'], 0)).length, 800);
  await log.close();
});

test('a directory is private, and for one log at a time', async () => {
  const directory = join(emptyDirectory(), 'made', 'here');
  const options = { directory, fsync: 'never' as const, retention: AMPLE };
  const log = await openLmdbLog(options);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  await assert.rejects(openLmdbLog(options), failsWith('ELOGLOCKED'));
  await log.close();
  await (await openLmdbLog(options)).close();
});

test('what is no data directory is refused with what to do', async () => {
  const open = (directory: string) => openLmdbLog({ directory, fsync: 'never', retention: AMPLE });
  const file = join(emptyDirectory(), 'file');
  writeFileSync(file, '');
  await assert.rejects(open(file), failsWith('ELOGDIR'));
  await assert.rejects(open(join(file, 'below')), failsWith('ELOGDIR'));
  await assert.rejects(open('/proc/megacomet/data'), failsWith('ELOGDIR'));
  const foreign = emptyDirectory();
  writeFileSync(join(foreign, 'history.mdb'), 'something else');
  await assert.rejects(open(foreign), failsWith('ELOGFORMAT'));
  await assert.rejects(open(foreign), failsWith('ELOGFORMAT'), 'the first attempt has left no lock');
  const damaged = emptyDirectory();
  await (await open(damaged)).close();
  writeFileSync(join(damaged, 'history.mdb'), Buffer.alloc(8192, 7));
  await assert.rejects(open(damaged), failsWith('ELOGFORMAT'));
  writeFileSync(join(damaged, 'state.json'), '{"format":99}');
  await assert.rejects(open(damaged), failsWith('ELOGFORMAT'));
  writeFileSync(join(damaged, 'state.json'), '{');
  await assert.rejects(open(damaged), failsWith('ELOGFORMAT'));
});

for (const fsync of ['never', 'always'] satisfies FsyncPolicy[]) {
  test(`where there is no room append is rejected, and works again when there is (fsync ${fsync})`, () => {
    const script = `
      import assert from 'node:assert/strict';
      import { openLmdbLog } from ${JSON.stringify(new URL('./lmdb.js', import.meta.url).href)};
      process.on('SIGXFSZ', () => {});
      let nowMs = 0;
      const clock = { wallMs: () => nowMs, steadyMs: () => nowMs };
      const retention = { seconds: 60, messages: 1e6, bytes: 1e9, totalBytes: 1e9 };
      const options = { directory: process.argv[1], fsync: '${fsync}', retention };
      const log = await openLmdbLog(options, { clock });
      const batch = ['a', 'b', 'c'].map((channel) => ({ channel, kind: 0, data: Buffer.alloc(50_000, 1) }));
      let error;
      while (error === undefined) await log.append(batch).catch((reason) => { error = reason; });
      assert.equal(error.code, 'ELOGIO');
      const { last, epoch } = log;
      assert(last > 10 && last % 3 === 0);
      const { publications } = await log.read(['a', 'b', 'c'], 0, 1e9);
      assert.equal(publications.at(-1).sequence, last);
      nowMs = 60_000;
      log.expire();
      const [{ sequence }] = await log.append(batch);
      assert.equal(sequence, last + 1);
      await log.close();
      const again = await openLmdbLog(options, { clock });
      assert.deepEqual([again.last, again.epoch, again.counters.publications], [last + 3, epoch, 3]);
      await again.close();`;
    const directory = emptyDirectory();
    const node = [process.execPath, '--input-type=module', '-e', script, directory];
    const { status, stderr } = spawnSync('/bin/sh', ['-c', 'ulimit -f 4096; exec "$0" "$@"', ...node], {
      timeout: 60_000,
    });
    assert.equal(status, 0, stderr.toString());
  });
}
