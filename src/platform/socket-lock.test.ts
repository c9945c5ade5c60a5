import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Lock } from './platform.js';
import { answers, lockBySocket, tellHolder } from './socket-lock.js';

const MODULE = new URL('./socket-lock.js', import.meta.url).href;

/** A process that takes the lock, says what it got and holds it. */
async function holder(path: string): Promise<{ child: ChildProcess; got: string }> {
  const script = `
    const { lockBySocket } = await import(${JSON.stringify(MODULE)});
    process.once('SIGHUP', () => console.log('told SIGHUP'));
    const lock = await lockBySocket(${JSON.stringify(path)});
    console.log(lock === null ? 'taken' : 'held');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await once(child.stdout!, 'data');
  return { child, got: String(output).trim() };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('a lock by a socket', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'lock-'));
  });
  after(() => rmSync(directory, { recursive: true }));
  const path = (name: string) => join(directory, name);

  test('is held by one, and free again when it is released', async () => {
    const lock = await lockBySocket(path('one'));
    assert.notEqual(lock, null);
    assert.equal(await lockBySocket(path('one')), null);
    assert.equal(await answers(path('one')), true);
    lock!.release();
    assert.equal(await answers(path('one')), false);
    (await lockBySocket(path('one')))!.release();
  });

  test('is held against other processes, and free when its holder was killed', async () => {
    const { child, got } = await holder(path('two'));
    assert.equal(got, 'held');
    assert.equal(await lockBySocket(path('two')), null);
    await kill(child);
    assert(existsSync(path('two')), 'its socket was left behind');
    assert.equal(await answers(path('two')), false);
    const lock = await lockBySocket(path('two'));
    assert.notEqual(lock, null);
    lock!.release();
  });

  test('of a killed process is taken by one of many who want it at once', async () => {
    const { child } = await holder(path('three'));
    await kill(child);
    const holders = await Promise.all([1, 2, 3, 4].map(() => holder(path('three'))));
    assert.deepEqual(holders.map(({ got }) => got).sort(), ['held', 'taken', 'taken', 'taken']);
    assert.equal(await lockBySocket(path('three')), null);
    await Promise.all(holders.map(({ child }) => kill(child)));
  });

  test('is not held up by the guard of a process that was killed while it took the lock', async () => {
    const { child } = await holder(path('four'));
    await kill(child);
    mkdirSync(path('four.guard'));
    utimesSync(path('four.guard'), 0, 0);
    const lock: Lock | null = await lockBySocket(path('four'));
    assert.notEqual(lock, null);
    assert.equal(existsSync(path('four.guard')), false);
    lock!.release();
  });

  test('lets its holder be told a signal, and nothing else', async () => {
    const { child } = await holder(path('five'));
    const told = once(child.stdout!, 'data');
    assert.equal(await tellHolder(path('five'), 'SIGKILL' as 'SIGHUP'), true);
    assert.equal(await tellHolder(path('five'), 'SIGHUP'), true);
    assert.equal(String((await told)[0]).trim(), 'told SIGHUP');
    await kill(child);
    assert.equal(await tellHolder(path('five'), 'SIGHUP'), false, 'nobody holds it');
  });

  test('fails where its directory is missing', async () => {
    await assert.rejects(lockBySocket(path('missing/lock')), { code: 'EACCES' });
  });
});
