/** Limits of open files, of epoll and of io_uring. */

import { WORKERS_MAX } from '../limits.js';
import { type Check, count, roundUp, sysctlCheck } from './check.js';
import { descriptorsNeeded, type Plan, ringsNeeded } from './plan.js';
import type { Reading } from './reading.js';

/** Descriptors that something else on the machine may want. */
const FILES_OF_OTHERS = 10_000;

/** getrlimit(2). `serve` raises the soft limit to the hard one by itself, so the hard one counts. */
export function descriptorLimit(reading: Reading, plan: Plan): Check {
  const { soft, hard } = reading.descriptors;
  const needed = descriptorsNeeded(plan);
  const ok = hard >= needed;
  const rings = ringsNeeded(plan.perWorker, Math.max(hard, needed));
  const why =
    plan.backend === 'epoll'
      ? `with epoll a client is a descriptor of its worker (${count(plan.perWorker)} for each of ${plan.workers}); ` +
        'serve raises the soft limit to the hard one by itself'
      : `with io_uring clients are direct descriptors: the limit bounds the table of one ring, and a worker opens several ` +
        `(${count(rings)} for ${count(plan.perWorker)} clients), each of which is one descriptor`;
  const check = { name: 'RLIMIT_NOFILE', ok, is: `soft ${limitText(soft)}, hard ${limitText(hard)}`, why };
  if (ok) return { ...check, needs: `hard ${needed}`, fix: '' };
  const value = comfortableDescriptors(reading, plan, needed);
  return {
    ...check,
    needs: `hard ${needed}`,
    fix:
      `LimitNOFILE=${value} in the systemd unit, or the line "* hard nofile ${value}" in ` +
      '/etc/security/limits.d/90-megacomet.conf and a new login',
    setting: { kind: 'limit', item: 'nofile', value },
  };
}

/** fs.nr_open: what RLIMIT_NOFILE may be raised to, Documentation/admin-guide/sysctl/fs.rst. */
export function filesOfOneProcess(reading: Reading, plan: Plan): Check {
  const is = value(reading, 'fs.nr_open');
  const needed = descriptorsNeeded(plan);
  return sysctlCheck(
    {
      name: 'fs.nr_open',
      ok: is >= needed,
      is: String(is),
      needs: String(needed),
      why: 'no process can raise RLIMIT_NOFILE above it',
    },
    String(roundUp(needed)),
  );
}

/** fs.file-max and fs.file-nr: open files of the whole machine, Documentation/admin-guide/sysctl/fs.rst. */
export function filesOfAllProcesses(reading: Reading, plan: Plan): Check {
  const is = value(reading, 'fs.file-max');
  const inUse = reading.sysctls['fs.file-nr']?.[0] ?? 0;
  const needed = plan.ends + inUse + FILES_OF_OTHERS;
  return sysctlCheck(
    {
      name: 'fs.file-max',
      ok: is >= needed,
      is: String(is),
      needs: String(needed),
      why:
        `every connection is an open file, with io_uring too; ${count(inUse)} are open now (fs.file-nr). ` +
        'Processes with CAP_SYS_ADMIN may go past it, others then get ENFILE',
    },
    String(roundUp(needed)),
  );
}

/** fs.epoll.max_user_watches: by default a user's watches may take 4 % of the memory, epoll(7). */
export function epollWatches(reading: Reading, plan: Plan): Check {
  const is = value(reading, 'fs.epoll.max_user_watches');
  const needed = plan.backend === 'epoll' ? plan.ends : 0;
  return sysctlCheck(
    {
      name: 'fs.epoll.max_user_watches',
      ok: is >= needed,
      is: String(is),
      needs: String(needed),
      why:
        plan.backend === 'epoll'
          ? 'epoll watches every connection, and a user may have so many watches in all processes together, root too'
          : 'io_uring watches connections without it',
    },
    String(roundUp(needed)),
  );
}

/** kernel.io_uring_disabled, Documentation/admin-guide/sysctl/kernel.rst; and whether it works, by trying. */
export function ioUring(reading: Reading, plan: Plan): Check {
  const disabled = reading.sysctls['kernel.io_uring_disabled']?.[0];
  const usable = reading.ioUring === null;
  const ok = usable || plan.reactor !== 'io-uring';
  const check = {
    name: 'kernel.io_uring_disabled',
    ok,
    is: `${disabled ?? 'no such sysctl'}; Linux ${reading.kernel}; ${usable ? 'usable' : `not usable: ${reading.ioUring}`}`,
    needs: plan.reactor === 'io-uring' ? '0, Linux 6.13 or newer, and no seccomp filter against it' : 'nothing',
    why: usable
      ? 'io_uring holds more clients than RLIMIT_NOFILE says, and opens them with fewer system calls'
      : plan.reactor === 'io-uring'
        ? '--reactor io-uring was asked for'
        : 'epoll holds as many, within RLIMIT_NOFILE for each worker',
  };
  if (ok) return { ...check, fix: '' };
  if (disabled !== undefined && disabled !== 0) return sysctlCheck(check, '0');
  const fix = `--reactor auto; or mend this: ${reading.ioUring}`;
  return { ...check, fix: /seccomp/.test(fix) ? `${fix} (docker run --security-opt seccomp=PROFILE)` : fix };
}

/** A limit with which one worker a core suffices, unless fs.nr_open is against it. */
function comfortableDescriptors(reading: Reading, plan: Plan, needed: number): number {
  const workers = Math.min(plan.workers, Math.max(1, reading.cores), WORKERS_MAX);
  const few = roundUp(descriptorsNeeded({ ...plan, workers, perWorker: Math.ceil(plan.connections / workers) }));
  const most = value(reading, 'fs.nr_open');
  return few <= most ? few : Math.max(roundUp(needed), most);
}

function limitText(limit: number): string {
  return limit === Number.POSITIVE_INFINITY ? 'unlimited' : String(limit);
}

/** The first number of a sysctl; one that the kernel does not have limits nothing. */
function value(reading: Reading, name: keyof Reading['sysctls']): number {
  return reading.sysctls[name]?.[0] ?? Number.POSITIVE_INFINITY;
}
