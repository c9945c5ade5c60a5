import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EMFILE, ENOMEM, EPERM, SystemError } from '../linux/errno.js';
import { EINVAL, ENOSYS } from '../linux/io-uring.js';
import { openDescriptors } from '../linux/proc.js';
import { probeIoUring } from './io-uring-probe.js';
import { Ring } from './io-uring-ring.js';

/** What the probe says when io_uring_setup(2) fails with this. */
function probeFailing(errno: number): string | null {
  return probeIoUring(() => {
    throw new SystemError('io_uring_setup', errno);
  });
}

test('each way in which a kernel refuses io_uring has a reason of its own', () => {
  assert.equal(probeFailing(ENOSYS), 'the kernel has no io_uring');
  assert.match(probeFailing(EINVAL)!, /older than Linux 6\.13/);
  assert.match(probeFailing(ENOMEM)!, /RLIMIT_MEMLOCK/);
  assert.match(probeFailing(EMFILE)!, /RLIMIT_NOFILE/);
  assert.equal(probeFailing(5), 'io_uring_setup failed: EIO');
});

test('a kernel that keeps what is closed while something waits is refused', { skip: probeIoUring() ?? false }, () => {
  const descriptors = openDescriptors('self');
  const ring = new Ring({ submissions: 8, completions: 16, waiting: 8, files: 2 });
  ring.enter = () => 0;
  assert.match(probeIoUring(() => ring)!, /older than Linux 6\.13: its io_uring does not close/);
  assert.equal(openDescriptors('self'), descriptors);
});

test('a refusal is laid to the sysctl if that is set, else to a seccomp filter', () => {
  let disabled = '0';
  try {
    disabled = readFileSync('/proc/sys/kernel/io_uring_disabled', 'latin1').trim();
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT'); // older than 6.6
  }
  const expected = disabled === '0' ? /seccomp/ : new RegExp(`kernel.io_uring_disabled = ${disabled}`);
  assert.match(probeFailing(EPERM)!, expected);
});

test('a bug is not taken for a kernel without io_uring', () => {
  const bug = (): never => {
    throw new TypeError('a bug');
  };
  assert.throws(() => probeIoUring(bug), TypeError);
});
