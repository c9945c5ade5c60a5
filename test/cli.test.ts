/** The command line from outside: help, wrong options, environment variables, exit codes. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../src/testing/free-port.js';
import { binPath, runCommand, startServer, type TestServer, temporaryRunDirectory } from './helpers.js';

const COMMANDS = [
  'serve',
  'start',
  'stop',
  'status',
  'publish',
  'key',
  'megatest',
  'experiment',
  'doctor',
  'check-config',
  'reload',
];

/** Asserts that a command said one line on stderr, nothing on stdout, and ended with the exit code. */
function assertOneLine(result: { exitCode: number | null; stdout: string; stderr: string }, exitCode: number): void {
  assert.equal(result.exitCode, exitCode, result.stderr);
  assert.equal(result.stdout, '');
  assert.match(result.stderr, /^megacomet: [^\n]+\n$/);
}

/** A port of 127.0.0.1 on which somebody listens until `close`. */
async function takePort(): Promise<{ port: number; close(): void }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as { port: number }).port, close: () => server.close() };
}

describe('help', () => {
  for (const command of COMMANDS) {
    it(`of ${command} has a purpose, options and an example`, async () => {
      const { exitCode, stdout, stderr } = await runCommand([command, '--help']);
      assert.equal(exitCode, 0);
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`^Usage: megacomet ${command} `));
      assert.match(stdout, /\nOptions:\n/);
      assert.match(stdout, new RegExp(`\\nExamples?:\\n +megacomet ${command}`));
    });
  }

  it('lists the commands', async () => {
    const { exitCode, stdout } = await runCommand(['--help']);
    assert.equal(exitCode, 0);
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`\\n  ${command} `));
  });

  it('names defaults, units and environment variables', async () => {
    const help = (await runCommand(['serve', '--help'])).stdout.replace(/\s+/g, ' ');
    assert.match(help, /--client-ports <list>.*default: 8000, env: MEGACOMET_CLIENT_PORTS/);
    assert.match(help, /--retain-bytes <size>.*default: 1MiB, env: MEGACOMET_RETAIN_BYTES/);
    assert.match(help, /--retain-seconds <s>.*default: 60, env: MEGACOMET_RETAIN_SECONDS/);
  });

  it('is what a call without a command shows, with exit code 2', async () => {
    const { exitCode, stderr } = await runCommand([]);
    assert.equal(exitCode, 2);
    assert.match(stderr, /^Usage: megacomet/);
  });

  it('and the version come from bin/megacomet, too', async () => {
    const { exitCode, stdout } = await runCommand(['--version'], { script: binPath });
    assert.equal(exitCode, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('a wrong option is one line and exit code 2:', () => {
  const wrong: [string[], RegExp][] = [
    [['serve', '--client-ports', '8000-x'], /--client-ports.*8000-x.*Allowed: ports from 1 to 65535/],
    [['serve', '--api-port', '65536'], /--api-port.*65536.*Allowed: a port from 1 to 65535/],
    [['serve', '--workers', '0'], /--workers.*Allowed: a whole number from 1 to 250/],
    [['serve', '--workers', '1', '--max-connections', '99999999'], /--max-connections 99999999 needs/],
    [['serve', '--host', 'example.org'], /--host.*example\.org.*Allowed: an IP address/],
    [['serve', '--retain-bytes', '1.5M'], /--retain-bytes.*Allowed/],
    [['serve', '--retain-total-bytes', '1M', '--retain-bytes', '2M'], /--retain-total-bytes 1MiB is less than/],
    [['serve', '--retain', 'news=1000/1y'], /--retain.*'1y' is no limit/],
    [['serve', '--retain', 'a=1', '--retain', 'b=1,a=2'], /two rules for 'a'/],
    [['serve', '--client-publish', 'a*b'], /--client-publish.*Allowed/],
    [['serve', '--log', 'paper'], /--log.*Allowed: memory, lmdb/],
    [['serve', '--classic-port', '9001'], /--api-port and --classic-port are both 9001/],
    [['serve', '--client-port', '8000'], /unknown option '--client-port'.*--client-ports/],
    [['serve', '--frobnicate'], /unknown option '--frobnicate'.*serve --help/],
    [['serve', 'now'], /too many arguments.*serve/],
    [['start', '--api-port', 'x'], /--api-port.*Allowed/],
    [['stop', '--run-dir', ''], /--run-dir.*Allowed: a path/],
    [['publish', 'alice'], /missing required argument 'data'/],
    [['publish', 'alice', '{', '--json'], /DATA is not JSON/],
    [['publish', 'alice', 'hi', '--api', '127.0.0.1:9001'], /--api.*Allowed: an address such as/],
    [['megatest', '--connections', 'many'], /--connections.*Allowed/],
    [['serv'], /unknown command 'serv'.*serve/],
    [['frobnicate'], /unknown command 'frobnicate'.*allowed: serve, start, .*, doctor/],
    [['--frobnicate'], /unknown option '--frobnicate'.*megacomet --help/],
  ];
  for (const [args, expected] of wrong) {
    it(args.join(' '), async () => {
      const result = await runCommand(args);
      assertOneLine(result, 2);
      assert.match(result.stderr, expected);
    });
  }

  it('a wrong environment variable, which is named', async () => {
    const result = await runCommand(['serve'], { env: { MEGACOMET_CLIENT_PORTS: '8000-' } });
    assertOneLine(result, 2);
    assert.match(result.stderr, /MEGACOMET_CLIENT_PORTS.*Allowed: ports/);
  });
});

describe('a failure is one line and exit code 1:', () => {
  it('publish without a server', async () => {
    const result = await runCommand(['publish', 'alice', 'hi', '--api', `http://127.0.0.1:${await freePort()}`]);
    assertOneLine(result, 1);
    assert.match(result.stderr, /cannot reach the API at http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });

  for (const option of ['--client-ports', '--classic-port', '--api-port']) {
    it(`serve with a port for ${option} that is taken, naming both`, async () => {
      const { port, close } = await takePort();
      const runDirectory = await temporaryRunDirectory();
      try {
        const free = ['--client-ports', '0', '--classic-port', '0', '--api-port', '0', '--run-dir', runDirectory.path];
        const result = await runCommand(['serve', ...free, option, String(port)]);
        assertOneLine(result, 1);
        assert.match(result.stderr, new RegExp(`${option} ${port}:.*taken`));

        const started = await runCommand(['start', ...free, option, String(port)]);
        assertOneLine(started, 1);
        assert.match(started.stderr, new RegExp(`${option} ${port}:`));
      } finally {
        close();
        await runDirectory.remove();
      }
    });
  }

  it('status where nothing runs, which --json says as JSON', async () => {
    const runDirectory = await temporaryRunDirectory();
    const text = await runCommand(['status', '--run-dir', runDirectory.path]);
    assert.equal(text.exitCode, 1);
    assert.match(text.stdout, /^no manager runs in /);
    const json = await runCommand(['status', '--json', '--run-dir', runDirectory.path]);
    assert.equal(json.exitCode, 1);
    assert.deepEqual(JSON.parse(json.stdout), {
      running: false,
      runDirectory: runDirectory.path,
      manager: null,
      addresses: null,
      workers: [],
    });
    await runDirectory.remove();
  });
});

describe('with a server', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer(['--log-format', 'text'], { env: { MEGACOMET_RETAIN_MESSAGES: '7' } });
  });
  after(() => server.stop());

  it('publish sends text, JSON and standard input, and prints the answer', async () => {
    const sent: [string[], string | undefined][] = [
      [['hello'], undefined],
      [['{"score": 3}', '--json'], undefined],
      [['-'], 'from a pipe'],
    ];
    for (const [args, input] of sent) {
      const result = await runCommand(
        ['publish', 'nobody', ...args, '--api', server.api],
        input === undefined ? {} : { input },
      );
      assert.equal(result.exitCode, 0, result.stderr);
      const answer = JSON.parse(result.stdout);
      assert.equal(answer.status, 'queued');
      assert.equal(answer.receivers, 0);
      assert.match(answer.cursor, /^[^-]+-\d+$/);
    }
  });

  it('publish shows what the API refuses in one line', async () => {
    const result = await runCommand(['publish', 'x'.repeat(129), 'hi', '--api', server.api]);
    assertOneLine(result, 1);
    assert.match(result.stderr, /answered 400: .*channel/);
  });

  it('publish takes the address of the API from MEGACOMET_API', async () => {
    const result = await runCommand(['publish', 'nobody', 'hi'], { env: { MEGACOMET_API: server.api } });
    assert.equal(result.exitCode, 0, result.stderr);
  });

  it('the greeting names the real ports in lines to paste', () => {
    const output = server.output();
    assert.match(output, new RegExp(`\n  curl http://127.0.0.1:${server.ports.client}/alice\\.js &\n`));
    assert.match(output, new RegExp(`\n  curl .* http://127.0.0.1:${server.ports.api}/v1/publish\n`));
    assert.match(output, new RegExp(`\n  \\S+ publish alice hello --api http://127.0.0.1:${server.ports.api}\n`));
  });
});
