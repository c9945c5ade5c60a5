/** `megacomet doctor` from outside, on whatever machine the tests run, and what `serve` says of it at its start. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startWarnings } from '../src/cli/doctor.js';
import { runCommand, startServer } from './helpers.js';

interface CheckJson {
  name: string;
  ok: boolean;
  is: string;
  needs: string;
  why: string;
  fix: string;
}

const KEYS = ['name', 'ok', 'is', 'needs', 'why', 'fix'];
/** More than any machine can hold. */
const ABSURD = '100000000';

async function doctor(...args: string[]): Promise<{ exitCode: number | null; checks: CheckJson[] }> {
  const { exitCode, stdout, stderr } = await runCommand(['doctor', '--json', ...args]);
  assert.equal(stderr, '');
  return { exitCode, checks: (JSON.parse(stdout) as { checks: CheckJson[] }).checks };
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'megacomet-doctor-'));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

describe('doctor', () => {
  it('passes 100 connections, exit code 0', async () => {
    const { exitCode, checks } = await doctor('--connections', '100');
    assert.deepEqual(
      checks.filter(({ ok }) => !ok),
      [],
    );
    assert.equal(exitCode, 0);
    for (const check of checks) assert.deepEqual(Object.keys(check), KEYS);
  });

  it('does not pass a number that no machine can hold, exit code 1, and says what mends it', async () => {
    const { exitCode, checks } = await doctor('--connections', ABSURD);
    assert.equal(exitCode, 1);
    const failed = checks.filter(({ ok }) => !ok);
    assert(failed.some(({ name }) => name === 'net.core.somaxconn' || name === 'MemAvailable'));
    for (const { name, fix } of failed) assert.notEqual(fix, '', name);
  });

  it('says the same to people', async () => {
    const good = await runCommand(['doctor', '--connections', '100']);
    assert.equal(good.exitCode, 0, good.stdout);
    assert.match(good.stdout, /^ok {6}RLIMIT_NOFILE\n {9}is soft \d+, hard \d+\n/);
    assert.match(good.stdout, /\nNothing in this machine .* 100 connections\./);
    const bad = await runCommand(['doctor', '--connections', ABSURD]);
    assert.equal(bad.exitCode, 1);
    assert.match(bad.stdout, /\nNOT OK {2}MemAvailable\n/);
    assert.match(bad.stdout, /\nIn the way of 100,000,000 connections/);
  });

  it('--reactor epoll asks more of descriptors than io_uring does', async () => {
    const { checks } = await doctor('--connections', '1000000', '--workers', '1', '--reactor', 'epoll');
    assert.equal(checks.find(({ name }) => name === 'RLIMIT_NOFILE')!.needs, 'hard 1000064');
    assert.equal(checks.find(({ name }) => name === 'fs.nr_open')!.needs, '1000064');
  });

  it('--history knows what was set in 2011, with and without a number of connections', async () => {
    const alone = await runCommand(['doctor', '--history']);
    assert.equal(alone.exitCode, 0);
    assert.match(alone.stdout, /tcp_tw_recycle = 1\n +removed in Linux 4\.12/);
    const both = await runCommand(['doctor', '--history', '--connections', '100', '--json']);
    const { checks, history } = JSON.parse(both.stdout);
    assert(checks.length > 10 && history.length > 10);
  });

  it('--fix writes two files, once', async () => {
    await withDirectory(async (directory) => {
      const file = join(directory, '90-megacomet.conf');
      const args = ['doctor', '--connections', ABSURD, '--fix', file];
      const written = await runCommand(args);
      assert.equal(written.exitCode, 1);
      assert.match(
        written.stderr,
        /^megacomet: wrote .*90-megacomet\.conf and .*90-megacomet\.limits; nothing was changed\n$/,
      );
      const sysctls = await readFile(file, 'utf8');
      assert.match(sysctls, /^# Written by: megacomet doctor --connections 100000000 --fix\n/);
      assert.match(sysctls, /^(#.*\n|[a-z0-9_.-]+ = [0-9 ]+\n|\n)+$/);
      const limits = await readFile(join(directory, '90-megacomet.limits'), 'utf8');
      assert.match(limits, /^(#.*\n|(\*|root) hard nofile \d+\n|\n)+$/);

      const again = await runCommand(args);
      assert.equal(again.exitCode, 1);
      assert.equal(again.stdout, '');
      assert.match(again.stderr, /^megacomet: .*90-megacomet\.conf exists: --force overwrites it[^\n]*\n$/);
      assert.equal((await runCommand([...args, '--force'])).stderr, written.stderr);
    });
  });

  it('--fix says in one line where it cannot write', async () => {
    const result = await runCommand(['doctor', '--connections', '100', '--fix', '/nonexistent/file.conf']);
    assert.equal(result.exitCode, 1);
    assert.match(result.stderr, /^megacomet: cannot write what --fix asks for: ENOENT[^\n]*\n$/);
  });

  const wrong: [string[], RegExp][] = [
    [[], /--connections is missing/],
    [['--connections', '0'], /--connections.*Allowed: a whole number from 1/],
    [['--connections', '5', '--workers', '251'], /--workers.*Allowed: a whole number from 1 to 250/],
    [['--connections', '5', '--reactor', 'kqueue'], /--reactor.*Allowed choices are auto, io-uring, epoll/],
    [['--connections', '5', '--cure'], /unknown option '--cure'.*doctor --help/],
    [['--history', '--fix', 'x'], /--connections is missing/],
  ];
  for (const [args, expected] of wrong) {
    it(`refuses '${args.join(' ')}' in one line, exit code 2`, async () => {
      const { exitCode, stdout, stderr } = await runCommand(['doctor', ...args]);
      assert.equal(exitCode, 2);
      assert.equal(stdout, '');
      assert.match(stderr, /^megacomet: [^\n]+\n$/);
      assert.match(stderr, expected);
    });
  }
});

describe('serve', () => {
  it('is quiet on this machine, with and without --max-connections', async () => {
    for (const args of [[], ['--max-connections', '1000']]) {
      const server = await startServer(args);
      try {
        // Of a busy machine that is true, and no judgement of it.
        const lines = server
          .output()
          .split('\n')
          .filter((line) => !line.includes('"msg":"not all workers serve yet"'));
        assert.doesNotMatch(lines.join('\n'), /"level":"warn"/);
      } finally {
        await server.stop();
      }
    }
  });

  it('has a warning for each check that --max-connections does not pass', async () => {
    const { checks } = await doctor('--connections', ABSURD, '--workers', '2');
    const failed = checks.filter(({ ok }) => !ok).map(({ name }) => name);
    const lines = await startWarnings(Number(ABSURD), { workers: 2, maxConnections: Number(ABSURD), reactor: 'auto' });
    assert.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      failed,
    );
    for (const line of lines) assert.match(line, /^\S+ is .+; 100,000,000 connections need .+: \S.+$/);
  });

  it('is checked for a modest number where none was asked for', async () => {
    assert.deepEqual(
      await startWarnings(undefined, { workers: 2, maxConnections: Number(ABSURD), reactor: 'auto' }),
      [],
    );
  });
});
