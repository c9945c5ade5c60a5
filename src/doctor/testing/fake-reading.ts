/** A machine for tests: 4 cores, 16 GB, the defaults of Linux 6.18 under systemd, no container, io_uring usable. */

import type { Reading } from '../reading.js';

export type Difference = Partial<Reading>;

export function fakeReading(difference: Difference = {}): Reading {
  const { sysctls = {}, ...rest } = difference;
  return {
    kernel: '6.18.0',
    cores: 4,
    descriptors: { soft: 1024, hard: 524_288 },
    memory: { availableBytes: 15 * 2 ** 30, commitLimitBytes: 8 * 2 ** 30, committedBytes: 2 ** 30 },
    tcpPages: 10,
    tracksConnections: false,
    groups: { memory: null, tcpMemory: null, tasks: null },
    ioUring: null,
    ...rest,
    sysctls: {
      'fs.epoll.max_user_watches': [3_600_000],
      'fs.file-max': [9_223_372_036_854_776_000],
      'fs.file-nr': [2000, 0, 9_223_372_036_854_776_000],
      'fs.nr_open': [1_073_741_816],
      'kernel.io_uring_disabled': [0],
      'net.core.somaxconn': [4096],
      'net.ipv4.ip_local_port_range': [32_768, 60_999],
      'net.ipv4.tcp_max_syn_backlog': [1024],
      'net.ipv4.tcp_mem': [190_000, 253_000, 380_000],
      'net.ipv4.tcp_syncookies': [1],
      'vm.overcommit_memory': [0],
      ...sysctls,
    },
  };
}

/** Why a fake machine has no io_uring. */
export const NO_IO_URING = 'io_uring is forbidden by a seccomp filter, as in default containers';
