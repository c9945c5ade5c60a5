import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CommanderError } from 'commander';
import { assertWithin } from '../testing/assert-within.js';
import { megatestCommand } from './command.js';
import type { MegatestResult } from './result.js';
import { type FakeServer, startFakeServer } from './testing/fake-server.js';

const COMMAND_URL = new URL('./command.js', import.meta.url).href;

/** The one line that a wrong command line gets. */
async function refusal(...words: string[]): Promise<string> {
  const command = megatestCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  const error = await command.parseAsync(words, { from: 'user' }).then(
    () => assert.fail(`${words.join(' ')} was taken`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof CommanderError, String(error));
  assert.ok(!error.message.includes('\n'));
  return error.message;
}

test('a wrong option is named together with what is allowed', async () => {
  assert.match(await refusal('--target', 'nowhere'), /--target.*Allowed: an address and ports, such as/);
  assert.match(await refusal('--connections', '0'), /--connections.*from 1 to 10000000/);
  assert.match(await refusal('--connections', '1e3'), /--connections.*whole number/);
  assert.match(await refusal('--prefix', 'a.b'), /--prefix.*letters, digits/);
  assert.match(await refusal('--rate', '5/m'), /--rate.*from 1 to/);
  assert.match(await refusal('--hold', '-1'), /--hold.*seconds from 0/);
  assert.match(await refusal('--messages', '0'), /--messages.*from 1/);
  assert.match(await refusal('--message-bytes', '2MiB'), /--message-bytes.*1MiB/);
  assert.match(await refusal('--api', 'https://x'), /--api.*http:/);
  assert.match(await refusal('--classic', '127.0.0.1:1-2'), /--classic.*one port only/);
  assert.match(await refusal('--source', '10.0.0'), /--source.*range/);
  assert.match(await refusal('--processes', '1001'), /--processes.*from 1 to 1000/);
  assert.match(await refusal('--timeout', '121'), /--timeout.*from 1 to 120/);
  assert.match(await refusal('--server-pids', '1,x'), /--server-pids.*process ids/);
  assert.match(await refusal('--nonsense'), /unknown option '--nonsense'/);
});

test('help names every option and its variable', () => {
  let help = '';
  megatestCommand()
    .configureOutput({ writeOut: (text) => (help += text) })
    .outputHelp();
  const options = [
    'target',
    'connections',
    'prefix',
    'rate',
    'hold',
    'messages',
    'message-count',
    'message-bytes',
    'api',
  ];
  for (const name of [...options, 'classic', 'source', 'processes', 'timeout', 'reopen', 'server-pids']) {
    assert.match(help, new RegExp(`--${name}\\b`));
    assert.ok(help.includes(`MEGACOMET_${name.replaceAll('-', '_').toUpperCase()}`), name);
  }
  assert.match(help, /--json \[file\]/);
});

interface Run {
  process: ChildProcess;
  /** Everything that the process wrote to stdout and stderr. */
  output: () => { out: string; error: string };
  /** Exit code, once the process and all who write to its streams have ended. */
  ended: Promise<number | null>;
}

/** Runs the command in a process of its own. */
function start(...words: string[]): Run {
  const script = `import { megatestCommand } from ${JSON.stringify(COMMAND_URL)};
    await megatestCommand().parseAsync(${JSON.stringify(words)}, { from: 'user' });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let error = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (error += text));
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { process: child, output: () => ({ out, error }), ended };
}

/** Waits until so many polls wait at the server. */
async function untilWaiting(server: FakeServer, count: number): Promise<void> {
  for (const endMs = performance.now() + 20_000; server.waiting() !== count; ) {
    assert.ok(performance.now() < endMs, `${server.waiting()} polls are waiting, not ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('the command writes JSON to a file and the table to stdout, and ends with 0 when nothing went wrong', async () => {
  const server = await startFakeServer();
  const directory = mkdtempSync(join(tmpdir(), 'megatest-'));
  try {
    const file = join(directory, 'result.json');
    const target = `127.0.0.1:${server.port}`;
    const classic = `127.0.0.1:${server.classicPort}`;
    const load = ['--connections', '20', '--hold', '0', '--messages', '100', '--classic', classic];
    const run = start('--target', target, ...load, '--json', file);
    assert.equal(await run.ended, 0, run.output().error);
    const result = JSON.parse(readFileSync(file, 'utf8')) as MegatestResult;
    assert.deepEqual([result.opened, result.held, result.sent, result.received], [20, 20, 100, 100]);
    assert.match(run.output().out, /^opened +20 in .*^received +100$.*^verdict +flawless\n$/ms);
    assert.match(run.output().error, /20 of 20 opened, 0 failed, 0 dropped, 100 of 100 messages received\n$/);
  } finally {
    rmSync(directory, { recursive: true });
    await server.close();
  }
});

test('the command prints JSON alone with --json, and ends with 1 when something went wrong', async () => {
  const server = await startFakeServer({ dropEach: 10 });
  try {
    const run = start('--target', `127.0.0.1:${server.port}`, '--connections', '20', '--hold', '0', '--json');
    assert.equal(await run.ended, 1);
    assert.equal((JSON.parse(run.output().out) as MegatestResult).dropped, 2);
  } finally {
    await server.close();
  }
});

test('Ctrl-C ends the command and its processes within two seconds, with what was measured so far', async () => {
  await assertWithin(2000, async () => {
    const server = await startFakeServer();
    try {
      const target = `127.0.0.1:${server.port}`;
      const run = start('--target', target, '--connections', '50', '--processes', '2', '--hold', '600');
      await untilWaiting(server, 50);
      const startMs = performance.now();
      run.process.kill('SIGINT');
      // The streams end with the last process that holds them: the client processes have ended too.
      assert.equal(await run.ended, 1);
      const tookMs = performance.now() - startMs;
      assert.match(run.output().out, /^opened +50 in .*^verdict +interrupted$/ms);
      return tookMs;
    } finally {
      await server.close();
    }
  });
});

test('client processes end when their parent vanishes', async () => {
  const server = await startFakeServer();
  try {
    const target = `127.0.0.1:${server.port}`;
    const run = start('--target', target, '--connections', '50', '--processes', '2', '--hold', '600');
    await untilWaiting(server, 50);
    run.process.kill('SIGKILL');
    assert.equal(await run.ended, null);
    await untilWaiting(server, 0);
  } finally {
    await server.close();
  }
});
