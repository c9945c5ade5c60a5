/** `megacomet check-config`, and the files of configuration that come with the package. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { parse } from 'yaml';
import { configurable } from '../src/cli/config-file.js';
import { addServeFlags } from '../src/cli/flags.js';
import { runCommand } from './helpers.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const names = configurable(addServeFlags(new Command()).options).map((option) => option.name());

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'megacomet-config-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** Writes a configuration and checks it; MEGACOMET_LOG is set by the helper. */
function check(text: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const path = join(directory, 'm.yaml');
  writeFileSync(path, text);
  return runCommand(['check-config', path, ...args], { env });
}

describe('a good configuration', () => {
  test('is printed whole, with the place where each value comes from', async () => {
    const { stdout, stderr, exitCode } = await check(
      'api-port: 9005\nretain:\n  news/*: 1000/1h\nworkers: 3\n',
      ['--workers', '2'],
      { MEGACOMET_FSYNC: 'never' },
    );
    assert.deepEqual([stderr, exitCode], ['', 0]);
    const line = (name: string) => stdout.split('\n').find((text) => text.startsWith(`${name}:`));
    assert.match(line('api-port')!, /^api-port: 9005 +# \S+m\.yaml:1$/);
    assert.match(line('workers')!, /^workers: 2 +# command line$/);
    assert.match(line('fsync')!, /^fsync: never +# MEGACOMET_FSYNC$/);
    assert.match(line('host')!, /^host: 127\.0\.0\.1 +# default$/);
    assert.match(stdout, /^retain: +# \S+m\.yaml:2\n {2}- "news\/\*=1000\/1h"$/m);
    for (const name of names) assert.match(stdout, new RegExp(`^(# )?${name}:`, 'm'));
  });

  test('is printed as a configuration that says the same', async () => {
    const first = await check('client-ports: [8000, 8100-8101]\nretain: [a=1, b=2]\nhost: "::"\ntest-echo: true\n');
    const again = await check(first.stdout);
    const values = (text: string) => parse(text) as Record<string, unknown>;
    assert.deepEqual(values(again.stdout), values(first.stdout));
    assert.equal(again.exitCode, 0);
  });
});

describe('a wrong configuration ends with exit code 2 and a line for each problem:', () => {
  test('in the file', async () => {
    const { stdout, stderr, exitCode } = await check('hots: ::1\nworkers: 0\n');
    assert.deepEqual([stdout, exitCode], ['', 2]);
    const lines = stderr.trimEnd().split('\n');
    assert.match(lines[0]!, /^megacomet: \S+m\.yaml:1:1: 'hots' is no option; did you mean 'host'\?$/);
    assert.match(lines[1]!, /^megacomet: \S+m\.yaml:2:10: workers '0' is invalid\./);
    assert.equal(lines.length, 2);
  });

  test('between options of different sources', async () => {
    const { stderr, exitCode } = await check('api-port: 8000\n');
    assert.match(stderr, /^megacomet: --api-port 8000 is also one of --client-ports: they must differ\n$/);
    assert.equal(exitCode, 2);
  });

  test('in the files of keys, all of them', async () => {
    writeFileSync(join(directory, 'keys'), '- nonsense\n');
    const { stderr, exitCode } = await check(
      'api-keys: keys\ntoken-keys: none.pem\nwebhook-url: http://a.example\nwebhook-secret-file: keys\n',
    );
    const lines = stderr.trimEnd().split('\n');
    assert.match(lines[0]!, /^megacomet: \S+keys:1:\d+: /);
    assert.match(lines[1]!, /^megacomet: --token-keys \S+none\.pem: there is no such file$/);
    assert.match(
      lines[2]!,
      /^megacomet: --webhook-secret-file \S+keys: the secret has 10 bytes, and needs 32 at least/,
    );
    assert.deepEqual([lines.length, exitCode], [3, 2]);
  });

  test('that is no text', async () => {
    const path = join(directory, 'latin.yaml');
    writeFileSync(path, 'anonymous: ["caf\xe9/*"]\n', 'latin1');
    const { stderr, exitCode } = await runCommand(['check-config', path]);
    assert.deepEqual([stderr, exitCode], [`megacomet: --config ${path} cannot be read: it is not UTF-8\n`, 2]);
  });

  test('where there is no file', async () => {
    const { stderr, exitCode } = await runCommand(['check-config', '/nowhere/m.yaml']);
    assert.match(stderr, /^megacomet: --config \/nowhere\/m\.yaml cannot be read: there is no such file\n$/);
    assert.equal(exitCode, 2);
  });
});

describe('what comes with the package', () => {
  const example = join(root, 'examples/megacomet.yaml');

  test('an example with every option, each as it is without it, or as a comment', () => {
    const text = readFileSync(example, 'utf8');
    const given = [...text.matchAll(/^#?([a-z][a-z0-9-]+):(?: |$)/gm)].map(([, name]) => name!);
    assert.deepEqual(given.sort(), [...names].sort());
  });

  test('an example that is valid', async () => {
    const { stderr, exitCode } = await runCommand(['check-config', example]);
    assert.deepEqual([stderr, exitCode], ['', 0]);
  });

  test('an example that stays valid when its comments are options, but for the files that they name', async () => {
    const text = readFileSync(example, 'utf8').replace(/^#(?=[a-z][a-z-]+:| {2}\S+: )/gm, '');
    const { stderr } = await check(text);
    for (const line of stderr.trimEnd().split('\n')) assert.match(line, /there is no such file|it does not exist/);
  });

  test('a reference of the options that names them all, with their defaults', () => {
    const reference = readFileSync(join(root, 'docs/configuration.md'), 'utf8');
    for (const option of configurable(addServeFlags(new Command()).options)) {
      assert.ok(reference.includes(`| \`${option.name()}\` |`), option.name());
    }
    const documented = [...reference.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name!);
    assert.deepEqual(
      documented.filter((name) => !names.includes(name)),
      [],
    );
    assert.equal(new Set(documented).size, documented.length);
  });
});
