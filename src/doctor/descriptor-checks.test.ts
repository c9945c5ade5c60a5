import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { descriptorLimit, epollWatches, filesOfAllProcesses, filesOfOneProcess, ioUring } from './descriptor-checks.js';
import { NO_IO_URING } from './testing/fake-reading.js';
import { runCheck } from './testing/run-check.js';

describe('RLIMIT_NOFILE', () => {
  it('with epoll must hold the clients of one worker and 64 descriptors more', () => {
    const at = (hard: number) =>
      runCheck(descriptorLimit, { descriptors: { soft: 1024, hard } }, { reactor: 'epoll', workers: 4 });
    assert.equal(at(25_064).ok, true);
    const check = at(25_063);
    assert.equal(check.ok, false);
    assert.equal(check.is, 'soft 1024, hard 25063');
    assert.equal(check.needs, 'hard 25064');
    assert.match(check.fix, /LimitNOFILE=32768 .*"\* hard nofile 32768".*limits\.d/);
    assert.deepEqual(check.setting, { kind: 'limit', item: 'nofile', value: 32_768 });
  });

  it('counts the hard limit, as serve raises the soft one', () => {
    assert.equal(
      runCheck(descriptorLimit, { descriptors: { soft: 256, hard: 524_288 } }, { reactor: 'epoll' }).ok,
      true,
    );
  });

  it('with epoll may be low where more workers can be started, up to 250', () => {
    const at = (connections: number) =>
      runCheck(descriptorLimit, { descriptors: { soft: 1064, hard: 1064 } }, { reactor: 'epoll', connections });
    assert.equal(at(250_000).ok, true);
    const check = at(250_001);
    assert.equal(check.ok, false);
    assert.equal(check.needs, 'hard 1065');
    // With a limit that lets one worker a core suffice.
    assert.match(check.fix, /LimitNOFILE=65536 /);
  });

  it('does not recommend more than fs.nr_open where less will do', () => {
    const check = runCheck(
      descriptorLimit,
      { descriptors: { soft: 64, hard: 64 }, sysctls: { 'fs.nr_open': [4096] } },
      { reactor: 'epoll', connections: 500_000 },
    );
    assert.deepEqual(check.setting, { kind: 'limit', item: 'nofile', value: 4096 });
  });

  it('with io_uring bounds one ring, of which a worker opens several', () => {
    const at = (hard: number) =>
      runCheck(descriptorLimit, { descriptors: { soft: hard, hard } }, { connections: 1_048_576, workers: 2 });
    const check = at(20_000);
    assert.equal(check.ok, true);
    assert.match(check.why, /several \(32 for 524,288 clients\)/);
    assert.equal(at(1024 + 16).ok, true);
    assert.equal(at(1024).ok, false, 'tables of 512 beside 16 places for listeners, 1024 rings');
  });

  it('is judged for epoll where io_uring is not usable', () => {
    const check = runCheck(
      descriptorLimit,
      { descriptors: { soft: 1024, hard: 1024 }, ioUring: NO_IO_URING },
      { connections: 1_000_000, workers: 4 },
    );
    assert.equal(check.ok, false);
    assert.equal(check.needs, 'hard 250064');
  });

  it('may be unlimited', () => {
    const limit = Number.POSITIVE_INFINITY;
    const check = runCheck(descriptorLimit, { descriptors: { soft: limit, hard: limit } }, { reactor: 'epoll' });
    assert.equal(check.ok, true);
    assert.equal(check.is, 'soft unlimited, hard unlimited');
  });
});

describe('fs.nr_open', () => {
  it('must not be below the limit that is needed', () => {
    const at = (open: number) =>
      runCheck(filesOfOneProcess, { sysctls: { 'fs.nr_open': [open] } }, { reactor: 'epoll', workers: 1 });
    assert.equal(at(100_064).ok, true);
    const check = at(100_063);
    assert.equal(check.ok, false);
    assert.equal(check.name, 'fs.nr_open');
    assert.equal(check.needs, '100064');
    assert.equal(check.fix, 'sysctl -w fs.nr_open=131072');
  });
});

describe('fs.file-max', () => {
  const at = (most: number, loopback = false) =>
    runCheck(filesOfAllProcesses, { sysctls: { 'fs.file-max': [most], 'fs.file-nr': [500, 0, most] } }, { loopback });

  it('must hold all connections, what is open now and 10,000 more', () => {
    assert.equal(at(110_500).ok, true);
    const check = at(110_499);
    assert.equal(check.ok, false);
    assert.equal(check.fix, 'sysctl -w fs.file-max=131072');
    assert.match(check.why, /500 are open now/);
  });

  it('must hold both ends of each where both are here', () => {
    assert.equal(at(210_499, true).ok, false);
    assert.equal(at(210_500, true).ok, true);
  });
});

describe('fs.epoll.max_user_watches', () => {
  const small = { sysctls: { 'fs.epoll.max_user_watches': [99_999] } };

  it('must be as many as there are connections, with epoll', () => {
    const check = runCheck(epollWatches, small, { reactor: 'epoll' });
    assert.equal(check.ok, false);
    assert.equal(check.fix, 'sysctl -w fs.epoll.max_user_watches=131072');
    assert.equal(runCheck(epollWatches, {}, { reactor: 'epoll' }).ok, true);
  });

  it('does not matter with io_uring', () => {
    assert.equal(runCheck(epollWatches, small).ok, true);
  });
});

describe('kernel.io_uring_disabled', () => {
  it('is fine where io_uring is usable', () => {
    const check = runCheck(ioUring, {}, { reactor: 'io-uring' });
    assert.equal(check.ok, true);
    assert.equal(check.is, '0; Linux 6.18.0; usable');
  });

  it('is fine where it is not usable and epoll may be used', () => {
    const check = runCheck(ioUring, { ioUring: NO_IO_URING });
    assert.equal(check.ok, true);
    assert.match(check.is, /not usable: io_uring is forbidden by a seccomp filter/);
    assert.match(check.why, /epoll holds as many/);
  });

  it('is not where --reactor io-uring was asked for: the sysctl', () => {
    const check = runCheck(
      ioUring,
      { ioUring: 'forbidden by the sysctl', sysctls: { 'kernel.io_uring_disabled': [2] } },
      { reactor: 'io-uring' },
    );
    assert.equal(check.ok, false);
    assert.equal(check.fix, 'sysctl -w kernel.io_uring_disabled=0');
  });

  it('is not where --reactor io-uring was asked for: seccomp, or an old kernel', () => {
    const seccomp = runCheck(ioUring, { ioUring: NO_IO_URING }, { reactor: 'io-uring' });
    assert.equal(seccomp.ok, false);
    assert.match(seccomp.fix, /--reactor auto; .*seccomp filter.*docker run --security-opt seccomp=/);
    assert.equal(seccomp.setting, undefined);
    const old = runCheck(
      ioUring,
      {
        kernel: '5.10.0',
        ioUring: 'the kernel is older than Linux 6.13',
        sysctls: { 'kernel.io_uring_disabled': [0] },
      },
      { reactor: 'io-uring' },
    );
    assert.match(old.is, /Linux 5\.10\.0/);
    assert.match(old.fix, /^--reactor auto; or mend this: the kernel is older/);
  });
});
