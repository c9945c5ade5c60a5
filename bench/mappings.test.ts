import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { processMemory } from '../src/linux/proc.js';
import { byKind } from './mappings.js';

const mapping = (range: string, permissions: string, path: string, pss: number) =>
  `${range} ${permissions} 00000000 00:00 0 ${path}\nSize: 1 kB\nRss: 9 kB\nPss: ${pss} kB\nPss_Dirty: 7 kB\nVmFlags: rd\n`;

test('each mapping is of one kind, told from where it lies', () => {
  const smaps = [
    mapping('00400000-00500000', 'r-xp', '/usr/bin/node', 1),
    mapping('00500000-00600000', 'rw-p', '', 2),
    mapping('3d582000-3d9e5000', 'rw-p', '[heap]', 10),
    mapping('45aba800000-45aba840000', 'rw-p', '', 100),
    mapping('7f7500000000-7f7530000000', 'rw-p', '', 1000),
    mapping('7f7530000000-7f75300ac000', 'rw-p', '', 20),
    mapping('7f75300ac000-7f7534000000', '---p', '', 0),
    mapping('7f75d0003000-7f75d003f000', 'rwxp', '', 200),
    mapping('7f75f4092000-7f75f4097000', 'rw-s', 'anon_inode:[io_uring]', 5),
    mapping('7f75f4611000-7f75f4612000', '---p', '', 0),
    mapping('7f75f4612000-7f75f4e12000', 'rw-p', '', 24),
    mapping('7fff1d1f9000-7fff1d21a000', 'rw-p', '[stack]', 68),
    mapping('7fff1d2f9000-7fff1d2fa000', 'r-xp', '[vdso]', 0),
  ];
  assert.deepEqual(byKind(smaps.join('')), { tables: 1000, v8: 300, malloc: 30, rings: 5, stacks: 92, files: 3 });
});

test('nothing of a process is left out', { skip: process.platform !== 'linux' }, () => {
  const sums = byKind(readFileSync('/proc/self/smaps', 'latin1'));
  const together = Object.values(sums).reduce((total, each) => total + each, 0);
  const pss = processMemory(process.pid).pssBytes / 1024;
  assert(Math.abs(together - pss) < pss / 5, `${together} KiB of ${pss}`);
  assert(sums.v8 > 1024 && sums.files > 1024, JSON.stringify(sums));
});
