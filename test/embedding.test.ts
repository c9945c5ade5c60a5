/** A server in a program: this one, and one that has installed the package. */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { OptionsError, type Server, ServerError, type StartOptions, start } from '../src/index.js';
import { isAlive, portOf, rawClient, runCommand, waitFor } from './helpers.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const quiet = { info: () => {}, warn: () => {}, error: () => {} };

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'megacomet-embed-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** Free ports, and a run directory of its own. */
function options(name: string, more: StartOptions = {}): StartOptions {
  const ports: StartOptions = { clientPorts: 0, apiPort: 0, classicPort: 'none' };
  const reactor = (process.env['MEGACOMET_TEST_REACTOR'] ?? 'auto') as 'auto';
  return {
    ...ports,
    reactor,
    workers: 1,
    maxConnections: 1000,
    log: 'memory',
    logLevel: 'error',
    runDir: join(directory, name),
    ...more,
  };
}

async function isServerError(code: string, pattern: RegExp, act: () => Promise<unknown>): Promise<void> {
  await assert.rejects(act, (error) => {
    assert.ok(error instanceof ServerError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });
}

describe('a server in this process', () => {
  const events = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit', 'uncaughtException', 'unhandledRejection'];
  const listeners = () => events.map((name) => process.listenerCount(name));
  let server: Server;
  let listenersBefore: number[];
  before(async () => {
    listenersBefore = listeners();
    server = await start(options('run', { clientPublish: ['chat/*'], retain: { news: 2 } }), { logger: quiet });
  });
  after(() => server.stop());

  test('tells where it listens, and serves there', async () => {
    const { api, classic, clients } = server.addresses;
    assert.equal(classic, null);
    assert.equal((await fetch(`${api}/v1/status`)).status, 200);
    const client = await rawClient(portOf(clients[0]!), 'GET /v1/sse?channel=a HTTP/1.1\r\nHost: test\r\n\r\n');
    await client.until('event: subscribed');
    const published = await server.publish('a', { score: 3 });
    assert.deepEqual([published.status, published.receivers, published.duplicate], ['delivered', 1, false]);
    await client.until('{"score":3}');
    client.socket.destroy();
  });

  test('publishes once what has the same id, and batches in order', async () => {
    const first = await server.publish('ids', 'x', { id: 'm-1' });
    const again = await server.publish('ids', 'x', { id: 'm-1' });
    assert.deepEqual([again.cursor, again.duplicate], [first.cursor, true]);
    const batch = await server.publishAll([
      { channel: 'b', data: 1 },
      { channel: 'c', data: null },
    ]);
    const sequences = batch.map(({ cursor }) => Number(cursor.split('-')[1]));
    assert.equal(sequences[1], sequences[0]! + 1);
  });

  test('refuses what is no publication', async () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    let deep: unknown = 0;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    const wrong: [string, unknown, RegExp][] = [
      ['', 'x', /^channel must be 1 to 128 bytes/],
      ['a\nb', 'x', /^channel must be/],
      ['a', undefined, /not undefined$/],
      ['a', () => 1, /not function$/],
      ['a', 1n, /not bigint$/],
      ['a', { toJSON: () => undefined }, /^data is nothing that JSON can say$/],
      ['a', circular, /circular/i],
      ['a', deep, /nested too deeply/],
      ['a', 'x'.repeat((1 << 20) + 1), /at most 1048576 bytes/],
    ];
    for (const [channel, data, pattern] of wrong) {
      await isServerError('EPUBLICATION', pattern, () => server.publish(channel, data));
    }
    await isServerError('EPUBLICATION', /^id must be/, () => server.publish('a', 'x', { id: '' }));
    await isServerError('EPUBLICATION', /^a batch has 1 to/, () => server.publishAll([]));
    await isServerError('EPUBLICATION', /must be an array/, () => server.publishAll('ab' as never));
    await isServerError('EPUBLICATION', /must be an object/, () => server.publishAll([null as never]));
  });

  test('listens to no signal, and touches nothing else of the process', () => {
    assert.deepEqual(listeners(), listenersBefore);
  });

  test('takes other options while it serves', async () => {
    const retained = () => server.status().log.publications;
    for (let i = 0; i < 4; i++) await server.publish('kept', i);
    const before = retained();
    const report = await server.reload(options('run', { clientPublish: ['chat/*'], retain: 'kept=1', workers: 2 }));
    assert.deepEqual(report, { changed: ['retain-*'], fixed: ['workers'] });
    assert.equal(retained(), before - 3);
    await assert.rejects(server.reload({ retainBytes: 'many' }), OptionsError);
  });

  test('cannot be started twice on one run directory', async () => {
    await isServerError('ERUNNING', /already running/, () => start(options('run'), { logger: quiet }));
  });

  test('is seen by the commands, which leave it to the program', async () => {
    const runDir = join(directory, 'run');
    const status = JSON.parse((await runCommand(['status', '--json', '--run-dir', runDir])).stdout);
    assert.deepEqual([status.running, status.manager.pid, status.workers.length], [true, process.pid, 1]);
    for (const command of ['stop', 'reload', 'drain']) {
      const { exitCode, stderr } = await runCommand([command, '--run-dir', runDir]);
      assert.deepEqual(
        [exitCode, stderr],
        [
          1,
          `megacomet: the server in ${runDir} is part of a program (pid ${process.pid}), which alone can ${command} it\n`,
        ],
      );
    }
    assert.equal(server.status().workers.length, 1);
  });

  test('ends its workers, and does nothing after that', async () => {
    const other = await start(options('other'), { logger: quiet });
    const pids = other.status().workers.map(({ pid }) => pid);
    assert.equal(pids.length, 1);
    await other.stop();
    await other.stop();
    await waitFor('its worker to end', () => !pids.some(isAlive));
    await isServerError('ESTOPPED', /stopped/, () => other.publish('a', 'x'));
  });

  test('drains, and is over when all have gone', async () => {
    const other = await start(options('drained'), { logger: quiet });
    const client = await rawClient(
      portOf(other.addresses.clients[0]!),
      'GET /v1/sse?channel=a HTTP/1.1\r\nHost: test\r\n\r\n',
    );
    await client.until('200 OK');
    await other.drain({ seconds: 1 });
    assert.match((await client.closed).received, /event: disconnect/);
    await other.stop();
  });

  test('is drained no longer when it is stopped', async () => {
    const other = await start(options('cut short'), { logger: quiet });
    const client = await rawClient(
      portOf(other.addresses.clients[0]!),
      'GET /v1/sse?channel=a HTTP/1.1\r\nHost: test\r\n\r\n',
    );
    await client.until('200 OK');
    const drained = other.drain({ seconds: 600 });
    await waitFor('it to begin', () => other.status().drain !== null);
    await other.stop();
    await drained;
    client.socket.destroy();
  });

  test('is drained only over a time that is one', async () => {
    for (const seconds of [-1, Number.NaN, 1e9, '5' as never]) {
      await assert.rejects(server.drain({ seconds }), OptionsError);
      await assert.rejects(server.drain({ returnAfterSeconds: seconds }), OptionsError);
    }
    assert.equal(server.status().drain, null);
  });
});

describe('options in a program', () => {
  test('are an object, and a logger has all that is called', async () => {
    for (const wrong of [null, 5, 'x', []]) {
      await assert.rejects(start(wrong as never, { logger: quiet }), {
        code: 'EOPTIONS',
        message: /must be an object/,
      });
    }
    const logger = { info: () => {}, warn: null } as never;
    await assert.rejects(start(options('quiet'), { logger }), { message: 'logger: it has no warn, error' });
  });

  test('have all their problems told at once', async () => {
    const wrong = { apiPort: 99_999, clientPort: 8000, 'api-host': '::1', testEcho: 'yes', host: ['a'], workers: 0 };
    await assert.rejects(start(wrong as never), (error) => {
      assert.ok(error instanceof OptionsError && error.code === 'EOPTIONS');
      assert.deepEqual(
        error.problems.map((problem) => problem.split('.')[0]),
        [
          'apiPort: Allowed: a port from 1 to 65535, or 0 for any free one',
          'clientPort is no option; did you mean clientPorts?',
          'api-host is no option; did you mean apiHost?',
          'testEcho: Allowed: true or false',
          'host: Allowed: a text or a number',
          'workers: Allowed: a whole number from 1 to 250',
        ],
      );
      return true;
    });
  });

  test('contradict each other by the rules of the command line', async () => {
    await assert.rejects(start({ apiPort: 9001, clientPorts: '9000-9002' }), /--api-port 9001 is also one of/);
  });

  test('may come from a configuration file, which they win over', async () => {
    const config = join(directory, 'config.yaml');
    writeFileSync(config, 'workers: 2\nretain-messages: 7\n');
    const server = await start(options('file', { config, workers: 1 }), { logger: quiet });
    try {
      assert.equal(server.status().workers.length, 1);
      for (let i = 0; i < 9; i++) await server.publish('a', i);
      assert.equal(server.status().log.publications, 7);
    } finally {
      await server.stop();
    }
    writeFileSync(config, 'worker: 2\n');
    await assert.rejects(start({ config }), /config\.yaml:1:1: 'worker' is no option; did you mean 'workers'\?/);
  });

  test('are not taken from the environment', async () => {
    process.env['MEGACOMET_WORKERS'] = 'nonsense';
    try {
      await (await start(options('environment'), { logger: quiet })).stop();
    } finally {
      delete process.env['MEGACOMET_WORKERS'];
    }
  });
});

describe('the package, installed elsewhere', () => {
  let home: string;
  before(async () => {
    home = join(directory, 'app');
    mkdirSync(join(home, 'node_modules'), { recursive: true });
    const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: root });
    await run('tar', ['-xzf', join(directory, stdout.trim()), '-C', home]);
    // What npm would install beside it is what is installed here.
    for (const name of readdirSync(join(root, 'node_modules'))) {
      if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(home, 'node_modules', name));
    }
    await run('mv', [join(home, 'package'), join(home, 'node_modules', 'megacomet')]);
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
  });

  test('serves, publishes, has dashboard and client library, and ends with the program', async () => {
    const program = `
      import { start } from 'megacomet';
      const server = await start(${JSON.stringify(options('installed'))});
      const { api } = server.addresses;
      const page = await fetch(api + '/');
      const { cursor } = await server.publish('a', 'x');
      const { connect } = await import('megacomet/client');
      const library = await fetch('http://' + server.addresses.clients[0] + '/megacomet.js');
      if (typeof connect !== 'function' || !(await library.text()).includes('connect')) throw new Error('no client');
      console.log(JSON.stringify({ page: page.status, type: page.headers.get('content-type'), cursor }));
      await server.stop();
    `;
    writeFileSync(join(home, 'app.js'), program);
    const child = spawn(process.execPath, ['app.js'], { cwd: home, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    const [code] = await once(child, 'close');
    assert.equal(code, 0, 'nothing keeps the program alive after stop');
    const { page, type, cursor } = JSON.parse(output) as { page: number; type: string; cursor: string };
    assert.equal(page, 200);
    assert.match(type, /^text\/html/);
    assert.match(cursor, /^[0-9a-f]{12}-1$/);
  });

  test('has a command that runs', async () => {
    const bin = join(home, 'node_modules', 'megacomet', 'bin', 'megacomet');
    const { stdout } = await run(process.execPath, [bin, '--version']);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });

  test('has types that a strict program compiles with, and that refuse wrong options', async () => {
    const program = `
      import { type StartOptions, start, type Server, OptionsError } from 'megacomet';
      const options: StartOptions = { clientPorts: [8000, '8001-8003'], retain: { 'news/*': '1000/1h' }, testEcho: false };
      // @ts-expect-error a switch is no text
      const wrong: StartOptions = { testEcho: 'yes' };
      // @ts-expect-error there is no such option
      const unknown: StartOptions = { clientPort: 1 };
      export const server: Server = await start(options);
      const { receivers } = await server.publish('a', { b: 1 }, { id: 'c' });
      export const count: number = receivers;
      export const problems = (error: unknown): readonly string[] => (error instanceof OptionsError ? error.problems : []);
      export { wrong, unknown };
    `;
    writeFileSync(join(home, 'types.ts'), program);
    const args = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node', 'types.ts'];
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = await run(process.execPath, [tsc, ...args], { cwd: home }).catch((error) => error);
    assert.equal(stdout, '');
  });
});
