/** What is in deploy/: read by the linters of each format, since neither containers nor services can be started everywhere. */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { validate } from 'dockerfile-utils';
import { parse } from 'yaml';
import { runCommand } from './helpers.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
const run = promisify(execFile);

test('the Dockerfile has no flaw that its linter knows', () => {
  assert.deepEqual(validate(read('deploy/docker/Dockerfile')), []);
});

test('the linter of Dockerfiles finds a flaw where there is one', () => {
  assert.notDeepEqual(validate('FROM node\nEXPOSE all\n'), []);
});

test('the Dockerfile copies only what exists', () => {
  const sources = [...read('deploy/docker/Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) =>
    paths!.split(' '),
  );
  assert(sources.length > 3);
  for (const path of sources) assert(path === '.' || read(path).length > 0, path);
});

test('the compose file is valid, and has no flaw that its linter knows', async () => {
  const linter = fileURLToPath(import.meta.resolve('dclint/package.json').replace('package.json', 'bin/dclint.cjs'));
  await run(process.execPath, [linter, '--max-warnings', '0', `${root}deploy/docker/compose.yaml`]);
});

test('the compose file serves with the configuration and the keys that it mounts', () => {
  const { services, secrets } = parse(read('deploy/docker/compose.yaml'));
  const { command, volumes } = services.megacomet;
  const [source, target] = volumes[0].split(':');
  assert.equal(command.at(-1), target);
  const configuration = parse(read(`deploy/docker/${source}`));
  assert.equal(configuration['api-keys'], `/run/secrets/${Object.keys(secrets)[0]}`);
});

test('the configuration of the compose file is one that the server takes', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'megacomet-test-'));
  try {
    // The secret is there only in the container.
    const keys = join(directory, 'api-keys');
    await runCommand(['key', '--name', 'ops', '--rights', 'admin', '--append', keys]);
    const configuration = join(directory, 'megacomet.yaml');
    writeFileSync(configuration, read('deploy/docker/megacomet.yaml').replace('/run/secrets/api-keys', keys));
    const { exitCode, stderr } = await runCommand(['check-config', configuration]);
    assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: '' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the unit has no flaw that systemd knows', (t) => {
  const { error, stderr } = spawnSync(
    'systemd-analyze',
    ['verify', '--man=no', `${root}deploy/systemd/megacomet.service`],
    {
      encoding: 'utf8',
    },
  );
  if (error !== undefined) {
    t.skip('there is no systemd-analyze here');
    return;
  }
  // The program is not installed on the machine of the test.
  const flaws = stderr.split('\n').filter((line) => line !== '' && !line.includes('/bin/megacomet is not executable'));
  assert.deepEqual(flaws, []);
});

test('the unit allows what its options need', () => {
  const unit = read('deploy/systemd/megacomet.service');
  // A crashed manager is followed by one that adopts the workers: they and the run directory must still be there.
  for (const line of ['KillMode=process', 'RuntimeDirectoryPreserve=restart', 'LimitNOFILE=1048576']) {
    assert(unit.split('\n').includes(line), line);
  }
});
