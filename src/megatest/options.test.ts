import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../cli/errors.js';
import { completeMegatestOptions, type LoadMachine, localPorts, type MegatestFlags } from './options.js';

const MACHINE: LoadMachine = { reactor: 'epoll', descriptorLimit: 20_000, portsEach: 28_232 };

function flags(changes: Partial<MegatestFlags> = {}): MegatestFlags {
  return {
    target: [{ host: '127.0.0.1', port: 8000 }],
    connections: 1000,
    prefix: 'a',
    hold: 10,
    messageBytes: 100,
    timeout: 30,
    reactor: 'epoll',
    ...changes,
  };
}

test('what was left out gets its default', () => {
  const options = completeMegatestOptions(flags(), MACHINE);
  assert.deepEqual(
    [options.rate, options.messageCount, options.api, options.classic, options.reopen, options.processes],
    [Number.POSITIVE_INFINITY, 0, null, null, false, 1],
  );
  assert.deepEqual(options.sources, ['127.1.0.1']);
  assert.equal(options.timeoutMs, 30_000);
});

test('there are as many messages as a second of them times the hold, unless it is said how many', () => {
  const api = 'http://127.0.0.1:9001';
  const count = (changes: Partial<MegatestFlags>) =>
    completeMegatestOptions(flags({ api, ...changes }), MACHINE).messageCount;
  assert.equal(count({ messages: 7 }), 70);
  assert.equal(count({ messages: 7, hold: 0 }), 7);
  assert.equal(count({ messages: 7, messageCount: 3 }), 3);
});

test('there are as many processes as the descriptors make necessary', () => {
  const processes = (connections: number, wanted?: number, descriptorLimit = 20_000) =>
    completeMegatestOptions(flags({ connections, ...(wanted && { processes: wanted }) }), {
      ...MACHINE,
      descriptorLimit,
    }).processes;
  assert.equal(processes(19_500), 1);
  assert.equal(processes(19_501), 2);
  assert.equal(processes(1_000_000), 52);
  assert.equal(processes(1000, 4), 4);
  assert.equal(processes(2, 4), 2);
  assert.equal(processes(1_000_000, undefined, Number.POSITIVE_INFINITY), 20);
});

test('contradictions and what the machine cannot do are refused in one line with the cure', () => {
  const refused = (changes: Partial<MegatestFlags>, machine = MACHINE) => {
    try {
      completeMegatestOptions(flags(changes), machine);
    } catch (error) {
      assert.ok(error instanceof UsageError && !error.message.includes('\n'));
      return error.message;
    }
    assert.fail(`${JSON.stringify(changes)} was taken`);
  };
  assert.match(refused({ messages: 5 }), /--messages needs .*--api URL, --classic HOST:PORT/);
  assert.match(refused({ messageCount: 5 }), /--message-count needs --messages/);
  assert.match(refused({ messageBytes: 20 }), /--message-bytes is 20: .*at least \d+/);
  assert.match(
    refused({ connections: 60_000, target: [{ host: '10.0.0.1', port: 80 }] }),
    /ports for 28232: name 3 with --source/,
  );
  assert.match(refused({ source: ['fd00::1'] }), /must both be IPv4 or both IPv6/);
  assert.match(refused({ connections: 40_000, processes: 2 }), /--processes may be 3 to 1000/);
  assert.match(refused({}, { ...MACHINE, descriptorLimit: 400 }), /RLIMIT_NOFILE is 400: raise it/);
});

test('the kernel says how many ports an address has', () => {
  const ports = localPorts();
  assert.ok(Number.isInteger(ports) && ports > 0 && ports < 65536);
});

test('with io_uring, which takes no descriptors, two processes open a million connections', () => {
  const processes = (connections: number) =>
    completeMegatestOptions(flags({ connections }), { ...MACHINE, reactor: 'io-uring', descriptorLimit: 400 })
      .processes;
  assert.deepEqual([processes(1000), processes(100_000), processes(1_048_576)], [1, 2, 2]);
});
