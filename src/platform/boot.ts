/** Which boot of the machine this is: what was written before another one may not have reached the disk. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** How far the time of a boot may seem to move when the clock is set, in seconds. */
const CLOCK_SLACK_S = 30;

/**
 * Names this boot: by the kernel's own identifier where there is one (Linux: proc_sys_kernel(5); macOS: sysctl(8)), else by its time.
 */
export function readBootId(): string {
  try {
    if (process.platform === 'linux') return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    if (process.platform === 'darwin') {
      return execFileSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'latin1' }).trim();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Hidden, or not allowed (Node's permission model): the time has to do.
    if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ERR_ACCESS_DENIED') throw error;
  }
  return `time ${Math.round(Date.now() / 1000 - uptime())}`;
}

/**
 * Whether two names are of the same boot. Two times are where they differ by less than a clock is set: better a boot too many than one
 * that nobody notices, so no more slack than that.
 */
export function isSameBoot(one: string, other: string): boolean {
  if (one === other) return true;
  const [a, b] = [one, other].map((id) => /^time (\d+)$/.exec(id)?.[1]);
  return a !== undefined && b !== undefined && Math.abs(Number(a) - Number(b)) <= CLOCK_SLACK_S;
}
