/** API keys from outside: making them, a server that needs them, commands that show them. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runCommand, startServer, type TestServer } from './helpers.js';

describe('API keys', () => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-keys-'));
  const keysPath = join(folder, 'keys');
  const keyPath = join(folder, 'backend.key');
  let server: TestServer;
  let backend: string;
  let ops: string;

  const makeKey = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await runCommand(['key', ...args, '--append', keysPath]);
    assert.equal(exitCode, 0, stderr);
    return stdout.trim();
  };

  before(async () => {
    backend = await makeKey('--name', 'backend', '--rights', 'publish', '--channels', 'news/*');
    ops = await makeKey('--name', 'ops', '--rights', 'admin');
    writeFileSync(keyPath, `${backend}\n`);
    server = await startServer(['--api-host', '0.0.0.0', '--api-keys', keysPath]);
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  it('are printed once; the file has their hashes, and is for its owner', () => {
    const text = readFileSync(keysPath, 'utf8');
    assert.match(
      text,
      /^- \{name: "backend", hash: "sha256:[0-9a-f]{64}", rights: \["publish"\], channels: \["news\/\*"\]\}\n/,
    );
    assert.ok(!text.includes(backend) && !text.includes(ops));
    assert.equal(statSync(keysPath).mode & 0o777, 0o600);
  });

  it('without a file to append to come with their line', async () => {
    const { stdout } = await runCommand(['key', '--name', 'm', '--rights', 'monitor']);
    assert.match(
      stdout,
      /^mk_[\w-]{43}\n\n.*\n\n- \{name: "m", hash: "sha256:[0-9a-f]{64}", rights: \["monitor"\]\}\n$/,
    );
  });

  it('that the server would refuse are not made', async () => {
    for (const [args, message] of [
      [['--name', 'backend', '--rights', 'admin', '--append', keysPath], /there are two keys of the name 'backend'/],
      [['--name', 'x', '--rights', 'publish'], /'x' may publish, but on no channels/],
      [['--name', 'a b', '--rights', 'admin'], /Allowed: 1 to 64 letters/],
      [['--name', 'x', '--rights', 'root'], /Allowed: a list of publish, read, monitor, admin/],
    ] as const) {
      const { exitCode, stderr } = await runCommand(['key', ...args]);
      assert.equal(exitCode, 2, stderr);
      assert.match(stderr, message);
    }
  });

  it('are what a server needs that others can reach', async () => {
    const without = await runCommand(['serve', '--api-host', '0.0.0.0', '--run-dir', join(folder, 'run')]);
    assert.equal(without.exitCode, 2);
    assert.match(without.stderr, /--api-host 0\.0\.0\.0 lets other machines reach the API: it needs --api-keys/);
    const missing = await runCommand(['serve', '--api-keys', '/nonexistent', '--run-dir', join(folder, 'run')]);
    assert.equal(missing.exitCode, 1);
    assert.match(missing.stderr, /\/nonexistent cannot be read: there is no such file/);
    assert.match(server.output(), /"classic":"127\.0\.0\.1:/);
  });

  it('are shown by commands from a file or the environment', async () => {
    const publish = ['publish', 'news/1', 'hi', '--api', server.api];
    const refused = await runCommand(publish);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /answered 401: a key is needed.*\(--api-key-file or MEGACOMET_API_KEY gives one\)/);
    for (const [args, env] of [
      [['--api-key-file', keyPath], {}],
      [[], { MEGACOMET_API_KEY: backend }],
      [[], { MEGACOMET_API_KEY_FILE: keyPath }],
    ] as const) {
      const { exitCode, stderr } = await runCommand([...publish, ...args], { env });
      assert.equal(exitCode, 0, stderr);
    }
    const status = ['status', '--run-dir', server.runDirectory];
    assert.match((await runCommand(status, { env: { MEGACOMET_API_KEY: backend } })).stderr, /answered 403/);
    assert.equal((await runCommand(status, { env: { MEGACOMET_API_KEY: ops } })).exitCode, 0);
    const unreadable = await runCommand([...publish, '--api-key-file', join(folder, 'none')]);
    assert.match(unreadable.stderr, /--api-key-file .* cannot be read/);
    const two = await runCommand(publish, { env: { MEGACOMET_API_KEY: `${backend}\n${ops}` } });
    assert.deepEqual([two.stderr, two.exitCode], ['megacomet: MEGACOMET_API_KEY is no key, or more than one\n', 1]);
  });

  it('are shown by the load tester', async () => {
    const target = ['--target', `127.0.0.1:${server.ports.client}`, '--connections', '5'];
    const load = ['--hold', '1', '--messages', '20', '--message-count', '10', '--api', server.api];
    const { exitCode, stdout, stderr } = await runCommand(['megatest', ...target, ...load], {
      env: { MEGACOMET_API_KEY: ops },
    });
    assert.equal(exitCode, 0, stdout + stderr);
    assert.ok(!stdout.includes(ops) && !stderr.includes(ops));
  });

  it('do not get into what the server says', () => {
    assert.ok(!server.output().includes(backend) && !server.output().includes(ops));
  });
});
