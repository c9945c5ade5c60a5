import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readGroupLimits } from './cgroup.js';

const reader = (files: Record<string, string>) => (path: string) => files[path] ?? null;

describe('limits of control groups', () => {
  it('version 2: the tightest of the group and those above it, less what can be reclaimed', () => {
    const limits = readGroupLimits(
      reader({
        '/proc/self/cgroup': '0::/system.slice/megacomet.service\n',
        '/sys/fs/cgroup/system.slice/megacomet.service/memory.max': 'max\n',
        '/sys/fs/cgroup/system.slice/megacomet.service/pids.max': '512\n',
        '/sys/fs/cgroup/system.slice/megacomet.service/pids.current': '12\n',
        '/sys/fs/cgroup/system.slice/memory.max': '1000000\n',
        '/sys/fs/cgroup/system.slice/memory.current': '300000\n',
        '/sys/fs/cgroup/system.slice/memory.stat': 'anon 5\ninactive_file 100000\n',
      }),
    );
    assert.deepEqual(limits.memory, {
      name: 'memory.max',
      path: '/sys/fs/cgroup/system.slice/memory.max',
      limit: 1_000_000,
      used: 200_000,
    });
    assert.equal(limits.tasks?.limit, 512);
    assert.equal(limits.tasks?.used, 12);
    assert.equal(limits.tcpMemory, null);
  });

  it("version 1 in a container, whose group is the mount itself and not the host's path", () => {
    const limits = readGroupLimits(
      reader({
        '/proc/self/cgroup': '8:pids:/docker/abc\n4:memory:/docker/abc\n1:cpu:/docker/abc\n',
        '/sys/fs/cgroup/memory/memory.limit_in_bytes': '2147483648\n',
        '/sys/fs/cgroup/memory/memory.usage_in_bytes': '500\n',
        '/sys/fs/cgroup/memory/memory.stat': 'inactive_file 1\ntotal_inactive_file 400\n',
        '/sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes': '9223372036854771712\n',
        '/sys/fs/cgroup/pids/pids.max': '100\n',
        '/sys/fs/cgroup/pids/pids.current': '4\n',
      }),
    );
    assert.equal(limits.memory?.name, 'memory.limit_in_bytes');
    assert.equal(limits.memory?.limit, 2 ** 31);
    assert.equal(limits.memory?.used, 100);
    assert.equal(limits.tasks?.limit, 100);
    assert.equal(limits.tcpMemory, null);
  });

  it('none, where nothing is limited or there are no control groups', () => {
    const none = { memory: null, tcpMemory: null, tasks: null };
    assert.deepEqual(readGroupLimits(reader({})), none);
    assert.deepEqual(
      readGroupLimits(
        reader({
          '/proc/self/cgroup': '4:memory:/\n0::/\n',
          '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
        }),
      ),
      none,
    );
  });
});
