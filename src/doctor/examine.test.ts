import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { examine } from './examine.js';
import { fixFiles, limitsPath } from './fix-files.js';
import { HISTORY } from './history.js';
import { formatHistory, formatReport, toJson, warningLine } from './report.js';
import { fakeReading, NO_IO_URING } from './testing/fake-reading.js';

const request = { connections: 100_000, workers: 4, reactor: 'auto', loopback: false } as const;

/** A machine that is in the way in each of the three ways: a sysctl, a limit, and what no file mends. */
const poor = fakeReading({
  descriptors: { soft: 1024, hard: 4096 },
  ioUring: NO_IO_URING,
  sysctls: { 'net.core.somaxconn': [128] },
  memory: { availableBytes: 128 * 2 ** 20, commitLimitBytes: 2 ** 30, committedBytes: 0 },
});

describe('the doctor', () => {
  it('finds nothing wrong with an ordinary machine and 100,000 connections, with io_uring or without', () => {
    for (const ioUring of [null, NO_IO_URING]) {
      const checks = examine(request, fakeReading({ ioUring }));
      assert.deepEqual(
        checks.filter(({ ok }) => !ok),
        [],
      );
      assert.match(formatReport(checks, 100_000, '6.18.0'), /\nNothing in this machine .* of 100,000 connections\.\n/);
    }
  });

  it('looks at everything, each under its own name, with is, needs and why', () => {
    const checks = examine(request, fakeReading());
    assert.deepEqual(
      checks.map(({ name }) => name),
      [
        'RLIMIT_NOFILE',
        'fs.nr_open',
        'fs.file-max',
        'kernel.io_uring_disabled',
        'fs.epoll.max_user_watches',
        'net.core.somaxconn',
        'net.ipv4.tcp_max_syn_backlog',
        'net.ipv4.tcp_mem',
        'net.netfilter.nf_conntrack_max',
        'net.ipv4.ip_local_port_range',
        'MemAvailable',
        'memory.max',
        'pids.max',
        'vm.overcommit_memory',
      ],
    );
    for (const check of checks) assert(check.is && check.needs && check.why, check.name);
  });

  it('has a fix on one line exactly where something is wrong', () => {
    for (const check of examine(request, poor)) {
      assert.equal(check.fix !== '', !check.ok, check.name);
      assert.doesNotMatch(check.fix, /\n/);
      assert.deepEqual(Object.keys(toJson(check)), ['name', 'ok', 'is', 'needs', 'why', 'fix']);
    }
  });

  it('tells people in a block for each check, and a verdict', () => {
    const report = formatReport(examine(request, poor), 100_000, '6.18.0');
    assert.match(
      report,
      /\nNOT OK {2}net\.core\.somaxconn\n {9}is 128\n {6}needs 1000\n {8}why [^\n]+\n.*fix sysctl -w net\.core\.somaxconn=1024\n\n/s,
    );
    assert.match(
      report,
      /\nIn the way of 100,000 connections.*:\s+RLIMIT_NOFILE,\s+net\.core\.somaxconn,\s+MemAvailable\.\n/,
    );
  });

  it('warns on one line', () => {
    const [check] = examine(request, poor).filter(({ name }) => name === 'net.core.somaxconn');
    assert.equal(
      warningLine(check, 100_000),
      'net.core.somaxconn is 128; 100,000 connections need 1000: sysctl -w net.core.somaxconn=1024',
    );
  });
});

describe('--fix', () => {
  it('writes what is not sufficient, and only that', () => {
    const { sysctls, limits } = fixFiles(examine(request, poor), 'megacomet doctor --connections 100000 --fix');
    assert.equal(
      sysctls,
      `# Written by: megacomet doctor --connections 100000 --fix
# Put it into /etc/sysctl.d/, then: sysctl --system

# net.core.somaxconn is 128; needed: 1000.
net.core.somaxconn = 1024

# No file mends these:

# MemAvailable is 128 MiB; needed: 910 MiB.
# no setting mends it: more memory, or fewer workers and connections
`,
    );
    assert.equal(
      limits,
      `# Written by: megacomet doctor --connections 100000 --fix
# Put it into /etc/security/limits.d/ under a name that ends in .conf, then log in again.

# RLIMIT_NOFILE is soft 1024, hard 4096; needed: hard 25064.
* hard nofile 32768
root hard nofile 32768

# A systemd unit does not read this file; it needs, under [Service]:
#   LimitNOFILE=32768
`,
    );
  });

  it('writes no setting where all are sufficient', () => {
    const { sysctls, limits } = fixFiles(examine(request, fakeReading()), 'megacomet');
    for (const text of [sysctls, limits]) assert.match(text, /^(#.*\n|\n)+$/);
    assert.match(sysctls, /\n# All sysctls are sufficient\.\n/);
    assert.match(limits, /\n# All limits are sufficient\.\n/);
  });

  it('names the limits file so that sysctl --system does not read it', () => {
    assert.equal(limitsPath('/etc/sysctl.d/90-megacomet.conf'), '/etc/sysctl.d/90-megacomet.limits');
    assert.equal(limitsPath('here'), 'here.limits');
  });
});

describe('the list of 2011', () => {
  it('says of each line whether it is needed today', () => {
    const text = formatHistory();
    for (const { line, today } of HISTORY) {
      assert(text.includes(line), line);
      assert(today.length > 20, line);
    }
    assert.match(text, /gone {8}net\.ipv4\.tcp_tw_recycle = 1\n {12}removed in Linux 4\.12/);
  });
});
