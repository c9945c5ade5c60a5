import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RESERVED_DESCRIPTORS, WORKERS_MAX } from '../limits.js';
import { UsageError } from './errors.js';
import { accessOptions } from './flags/access.js';
import { stormOptions } from './flags/storms.js';
import {
  completeServeOptions,
  defaultDataDirectory,
  defaultRunDirectory,
  formatSize,
  integer,
  type Machine,
  parseApiUrl,
  parseChannelPatterns,
  parseHost,
  parsePath,
  parsePort,
  parsePortOrNone,
  parsePorts,
  parseRetain,
  parseRunDirectory,
  planWorkers,
  type ServeFlags,
  size,
  WORKER_CONNECTIONS_MAX,
  workerCapacity,
} from './options.js';

const machine: Machine = { cores: 2, reactor: 'epoll', descriptorLimit: 20_000 };
const capacity = 20_000 - RESERVED_DESCRIPTORS;

const flags: ServeFlags = {
  host: '127.0.0.1',
  apiHost: '127.0.0.1',
  clientPorts: [8000],
  classicPort: 9000,
  apiPort: 9001,
  runDir: '/run/megacomet',
  log: 'lmdb',
  dataDir: '/var/lib/megacomet',
  fsync: 'interval',
  retainSeconds: 60,
  retainMessages: 100,
  retainBytes: 1 << 20,
  retainTotalBytes: 256 << 20,
  retain: [],
  clientPublish: [],
  anonymous: [],
  tokenToleranceSeconds: 5,
  origin: [],
  orphanSeconds: 60,
  reactor: 'auto',
  logLevel: 'info',
  logFormat: 'auto',
  drainSeconds: 0,
  connectionsPerAddress: 0,
  acceptRate: 0,
  trustedProxy: [],
  presenceGraceSeconds: 10,
};

describe('ports', () => {
  it('reads a port, a list, a range and a mixture', () => {
    assert.deepEqual(parsePorts('8000'), [8000]);
    assert.deepEqual(parsePorts('8000,8100'), [8000, 8100]);
    assert.deepEqual(parsePorts('8000-8003'), [8000, 8001, 8002, 8003]);
    assert.deepEqual(parsePorts('9000, 8000-8001'), [9000, 8000, 8001]);
  });

  it('takes 0 for any free port, as often as wanted', () => {
    assert.deepEqual(parsePorts('0,0'), [0, 0]);
    assert.equal(parsePort('0'), 0);
  });

  for (const text of [
    '',
    'x',
    '-1',
    '65536',
    '8000-',
    '8007-8000',
    '0-3',
    '8000,,8001',
    '80 00',
    '1e3',
    '8000-70000',
  ]) {
    it(`refuses '${text}' and says what is allowed`, () => {
      assert.throws(() => parsePorts(text), /Allowed: ports from 1 to 65535/);
    });
  }

  it('refuses a port named twice, also inside a range', () => {
    assert.throws(() => parsePorts('8000,8000'), /Port 8000 is named twice/);
    assert.throws(() => parsePorts('8000-8007,8003'), /Port 8003 is named twice/);
  });

  it('refuses a range that is a slip of the pen', () => {
    assert.throws(() => parsePorts('8000-18000'), /at most 32 ports/);
  });

  it("takes 'none' for the application port only", () => {
    assert.equal(parsePortOrNone('none'), 'none');
    assert.equal(parsePortOrNone('9000'), 9000);
    assert.throws(() => parsePortOrNone('off'), /or 'none'/);
    assert.throws(() => parsePort('none'), /Allowed: a port/);
    assert.throws(() => parsePort('65536'), /Allowed: a port/);
  });
});

describe('sizes', () => {
  const parse = size(1, 2 ** 40);

  it('reads bytes and units of 1024', () => {
    assert.equal(parse('1000'), 1000);
    assert.equal(parse('512K'), 512 * 1024);
    assert.equal(parse('1MiB'), 1 << 20);
    assert.equal(parse('2 gib'), 2 * 2 ** 30);
    assert.equal(parse('7B'), 7);
  });

  it('refuses fractions, signs, unknown units and what is out of range', () => {
    for (const text of ['', '1.5M', '-1', '1MB', '1T', 'M', '0', '2048G']) {
      assert.throws(() => parse(text), /Allowed: 1 to 1024GiB/, text);
    }
  });

  it('reads back what it prints', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (bytes) => parse(formatSize(bytes)) === bytes));
  });
});

describe('hosts, numbers, paths and addresses', () => {
  it('takes IP addresses and localhost', () => {
    assert.equal(parseHost('localhost'), '127.0.0.1');
    assert.equal(parseHost('0.0.0.0'), '0.0.0.0');
    assert.equal(parseHost('::1'), '::1');
    for (const text of ['fe80::1%eth0', '', 'example.org', '1.2.3', '127.0.0.1:80']) {
      assert.throws(() => parseHost(text), /Allowed: an IP address/, text);
    }
  });

  it('takes whole numbers in their range only', () => {
    const parse = integer(1, 250, 'seconds');
    assert.equal(parse('1'), 1);
    assert.equal(parse('250'), 250);
    for (const text of ['0', '251', '-1', '1.5', '0x10', '1e2', ' 1', '', '9'.repeat(400)]) {
      assert.throws(() => parse(text), /a whole number of seconds from 1 to 250/, text);
    }
  });

  it('takes run directories that leave room for the name of a Unix socket', () => {
    assert.equal(parseRunDirectory('/run/x'), '/run/x');
    assert.throws(() => parseRunDirectory(''), /1 to 90 bytes/);
    assert.throws(() => parseRunDirectory(`/${'é'.repeat(45)}`), /1 to 90 bytes/);
  });

  it('keeps messages where the state of the user lies, and of root that of the machine', () => {
    assert.equal(defaultDataDirectory('/state', '/home/a', 7), '/state/megacomet');
    assert.equal(defaultDataDirectory(undefined, '/home/a', 7), '/home/a/.local/state/megacomet');
    assert.equal(defaultDataDirectory('', '/home/a', 7), '/home/a/.local/state/megacomet');
    assert.equal(defaultDataDirectory('/state', '/root', 0), '/var/lib/megacomet');
    assert.equal(parsePath('data'), 'data');
    assert.throws(() => parsePath(''), /Allowed: a path/);
  });

  it('takes names and prefixes of channels that clients may publish to', () => {
    assert.deepEqual(parseChannelPatterns('chat/*'), ['chat/*']);
    assert.deepEqual(parseChannelPatterns('*,lobby,ü*'), ['*', 'lobby', 'ü*']);
    for (const text of ['', 'a,', 'a*b', '**', 'a\n', 'x'.repeat(129)]) {
      assert.throws(() => parseChannelPatterns(text), /Allowed: a channel's name/, text);
    }
  });

  it('prefers the run-time directory of the user', () => {
    assert.equal(defaultRunDirectory('/run/user/7', '/tmp', 7), '/run/user/7/megacomet');
    assert.equal(defaultRunDirectory(undefined, '/tmp', 7), '/tmp/megacomet-7');
    assert.equal(defaultRunDirectory('', '/tmp', 7), '/tmp/megacomet-7');
  });

  it('takes plain http addresses of an API', () => {
    assert.equal(parseApiUrl('http://127.0.0.1:9001/'), 'http://127.0.0.1:9001');
    assert.equal(parseApiUrl('http://proxy/push/'), 'http://proxy/push');
    for (const text of ['127.0.0.1:9001', 'ftp://x', '', 'http://x/?a', '/v1']) {
      assert.throws(() => parseApiUrl(text), /Allowed: an address/, text);
    }
  });
});

describe('workers and connections', () => {
  it('are one worker a core and all that these can hold by default', () => {
    assert.deepEqual(planWorkers(machine, undefined, undefined), { workers: 2, maxConnections: 2 * capacity });
  });

  it('are more workers where the descriptor limit makes it necessary', () => {
    assert.equal(planWorkers(machine, undefined, 2 * capacity).workers, 2);
    assert.equal(planWorkers(machine, undefined, 2 * capacity + 1).workers, 3);
    assert.equal(planWorkers(machine, undefined, 1_000_000).workers, Math.ceil(1_000_000 / capacity));
  });

  it('keep one worker a core for few connections', () => {
    assert.deepEqual(planWorkers(machine, undefined, 10), { workers: 2, maxConnections: 10 });
  });

  it('follow a number of workers that was given', () => {
    assert.deepEqual(planWorkers(machine, 5, undefined), { workers: 5, maxConnections: 5 * capacity });
    assert.deepEqual(planWorkers(machine, 5, 100), { workers: 5, maxConnections: 100 });
  });

  it('are one worker a core with io_uring, which descriptors do not limit, and a default that is not the most', () => {
    const ring: Machine = { ...machine, reactor: 'io-uring' };
    assert.deepEqual(planWorkers(ring, undefined, 1_048_576), { workers: 2, maxConnections: 1_048_576 });
    assert.deepEqual(planWorkers(ring, undefined, undefined), { workers: 2, maxConnections: 2 * 131_072 });
  });

  it('say how many workers are needed where they contradict each other', () => {
    assert.throws(() => planWorkers(machine, 2, 100_000), {
      message: /--max-connections 100000 needs at least --workers 6: --workers 2 can hold 39872/,
    });
  });

  it('say what is possible where no number of workers would do', () => {
    assert.throws(() => planWorkers({ cores: 2, reactor: 'epoll', descriptorLimit: 1024 }, undefined, 1_000_000), {
      message: /at most 250 are allowed: raise the limit \(ulimit -Hn\) or ask for at most 240000/,
    });
  });

  it('never exceed the maximum on a machine of many cores, nor fall to nothing under a tiny limit', () => {
    assert.equal(
      planWorkers({ cores: 1000, reactor: 'epoll', descriptorLimit: 20_000 }, undefined, undefined).workers,
      WORKERS_MAX,
    );
    assert.equal(workerCapacity({ cores: 1, reactor: 'epoll', descriptorLimit: 10 }), 1);
    assert.equal(
      workerCapacity({ cores: 1, reactor: 'epoll', descriptorLimit: 1_073_741_816 }),
      WORKER_CONNECTIONS_MAX,
    );
  });

  it('always come out with room for all connections', () => {
    const limits = fc.record({
      cores: fc.integer({ min: 1, max: 512 }),
      reactor: fc.constantFrom('epoll' as const, 'io-uring' as const),
      descriptorLimit: fc.integer({ min: 1, max: 2e6 }),
    });
    const count = fc.option(fc.integer({ min: 1, max: WORKERS_MAX }), { nil: undefined });
    const connections = fc.option(fc.integer({ min: 1, max: 1e8 }), { nil: undefined });
    fc.assert(
      fc.property(limits, count, connections, (some, workers, maxConnections) => {
        try {
          const plan = planWorkers(some, workers, maxConnections);
          assert.ok(plan.workers >= 1 && plan.workers <= WORKERS_MAX);
          assert.ok(plan.workers * workerCapacity(some) >= plan.maxConnections);
          assert.equal(plan.workers, workers ?? plan.workers);
          assert.equal(plan.maxConnections, maxConnections ?? plan.maxConnections);
        } catch (error) {
          if (!(error instanceof UsageError)) throw error;
        }
      }),
    );
  });
});

describe('the options of a server together', () => {
  const complete = (change: Partial<ServeFlags>) =>
    completeServeOptions({ ...flags, ...change }, { run: '/run/x', data: '/var/x' }, machine);

  it('are complete', () => {
    assert.deepEqual(complete({}), {
      host: '127.0.0.1',
      apiHost: '127.0.0.1',
      apiKeysFile: null,
      clientPorts: [8000],
      classicPort: 9000,
      apiPort: 9001,
      workers: 2,
      maxConnections: 2 * capacity,
      runDirectory: '/run/x',
      log: 'lmdb',
      dataDirectory: '/var/x',
      fsync: 'interval',
      retention: { seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 256 << 20, rules: [] },
      clientPublish: [],
      logFormat: 'json',
      logLevel: 'info',
      testEcho: false,
      orphanSeconds: 60,
      access: accessOptions(flags),
      storms: stormOptions(flags),
      reactor: 'epoll',
    });
  });

  it('name the port that two listeners would share', () => {
    assert.throws(() => complete({ apiPort: 9000 }), /--api-port and --classic-port are both 9000/);
    // The application port stays on loopback, wherever the API is.
    const open = { apiHost: '10.0.0.1', apiKeys: '/etc/keys' };
    assert.throws(() => complete({ ...open, clientPorts: [9000] }), /--classic-port 9000 is also one/);
    complete({ ...open, clientPorts: [9001] });
    assert.throws(() => complete({ clientPorts: [8999, 9000] }), /--classic-port 9000 is also one of --client-ports/);
    assert.throws(() => complete({ host: '0.0.0.0', clientPorts: [9001] }), /--api-port 9001 is also/);
  });

  it('may share a port on different addresses, and 0 clashes with nothing', () => {
    assert.deepEqual(complete({ host: '127.0.0.2', clientPorts: [9001] }).clientPorts, [9001]);
    assert.equal(complete({ clientPorts: [0, 0], classicPort: 0, apiPort: 0 }).apiPort, 0);
    assert.equal(complete({ classicPort: 'none' }).classicPort, null);
  });

  it('refuse to keep less of all channels than of one', () => {
    assert.throws(
      () => complete({ retainBytes: 4 << 20, retainTotalBytes: 2 << 20 }),
      /--retain-total-bytes 2MiB is less than --retain-bytes 4MiB/,
    );
    assert.throws(
      () => complete({ retain: [{ pattern: 'big/*', bytes: 2 ** 30 }] }),
      /--retain-total-bytes 256MiB is less than what --retain 'big\/\*' allows/,
    );
  });

  it('take one rule for a pattern', () => {
    const retain = parseRetain('a*=1,b=2/1h,a*=3');
    assert.throws(() => complete({ retain }), /--retain has two rules for 'a\*'/);
    assert.deepEqual(complete({ retain: retain.slice(0, 2) }).retention.rules, [
      { pattern: 'a*', messages: 1 },
      { pattern: 'b', messages: 2, seconds: 3600 },
    ]);
  });
});
