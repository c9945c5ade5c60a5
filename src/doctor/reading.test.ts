import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readMachine, type Sources, takeReading } from './reading.js';

const FILES: Record<string, string> = {
  '/proc/sys/kernel/osrelease': '6.1.0-test\n',
  '/proc/sys/fs/nr_open': '1048576\n',
  '/proc/sys/net/ipv4/tcp_mem': '100\t200\t300\n',
  '/proc/meminfo': 'MemTotal: 9 kB\nMemAvailable:   4 kB\nCommitLimit: 3 kB\nCommitted_AS: 2 kB\n',
  '/proc/net/sockstat': 'sockets: used 20\nTCP: inuse 1 orphan 0 tw 5 alloc 1 mem 7\nUDP: inuse 0 mem 9\n',
};

function sources(files: Record<string, string>, whileConnected: Sources['whileConnected'] = refuse): Sources {
  const read = (path: string) => files[path] ?? null;
  return { read, cores: 2, descriptors: { soft: 1, hard: 2 }, ioUring: null, whileConnected };
}

async function refuse(): Promise<void> {
  assert.fail('no connection is needed');
}

describe('a reading', () => {
  it('takes numbers from /proc, and leaves out what the kernel does not have', async () => {
    const reading = await takeReading(sources(FILES));
    assert.equal(reading.kernel, '6.1.0-test');
    assert.deepEqual(reading.sysctls, { 'fs.nr_open': [1_048_576], 'net.ipv4.tcp_mem': [100, 200, 300] });
    assert.deepEqual(reading.memory, { availableBytes: 4096, commitLimitBytes: 3072, committedBytes: 2048 });
    assert.equal(reading.tcpPages, 7);
    assert.equal(reading.tracksConnections, false);
  });

  it('sees that connections are tracked by the count, with a connection of its own where it is 0', async () => {
    const files = {
      ...FILES,
      '/proc/sys/net/netfilter/nf_conntrack_max': '1000\n',
      '/proc/sys/net/netfilter/nf_conntrack_count': '3\n',
    };
    assert.equal((await takeReading(sources(files))).tracksConnections, true);
    for (const [during, expected] of [
      ['1\n', true],
      ['0\n', false],
    ] as const) {
      files['/proc/sys/net/netfilter/nf_conntrack_count'] = '0\n';
      const connected = async (look: () => void) => {
        files['/proc/sys/net/netfilter/nf_conntrack_count'] = during;
        look();
      };
      assert.equal((await takeReading(sources(files, connected))).tracksConnections, expected);
    }
  });

  it('of this machine has what every Linux has', async () => {
    const reading = await readMachine();
    assert.match(reading.kernel, /^\d+\.\d+/);
    assert(reading.memory.availableBytes > 0);
    assert(reading.descriptors.hard >= reading.descriptors.soft);
    for (const name of ['fs.nr_open', 'fs.file-max', 'fs.file-nr', 'net.core.somaxconn'] as const) {
      assert(reading.sysctls[name]![0] > 0, name);
    }
    assert.equal(reading.sysctls['net.ipv4.ip_local_port_range']!.length, 2);
  });
});
