/**
 * The kernel's log from now on, read from /dev/kmsg (Documentation/ABI/testing/dev-kmsg):
 *
 *     4,1234,56789012,-;TCP: out of memory -- consider tuning tcp_mem
 *     │   │     │     └ flags
 *     │   │     └ microseconds since the machine started
 *     │   └ number of the record, without gaps
 *     └ facility × 8 + level
 *
 * One read gives one record. A reader that comes too late for some is told so (EPIPE) and goes on after them.
 */

import { closeSync, constants, openSync, readSync } from 'node:fs';

export interface KernelLogLine {
  /** Since the machine started. */
  uptimeSeconds: number;
  /** 0 emergency … 4 warning … 7 debug, syslog(2). */
  level: number;
  text: string;
}

/** Longer records do not exist (PRINTK_MESSAGE_MAX is less). */
const RECORD_BYTES_MAX = 8192;

export class KernelLog {
  private readonly fd: number;
  private readonly record = Buffer.alloc(RECORD_BYTES_MAX);

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Null where there is none, or it is not for us to read (kernel.dmesg_restrict). */
  static open(): KernelLog | null {
    let fd: number;
    try {
      fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM') return null;
      throw error;
    }
    const log = new KernelLog(fd);
    log.read();
    return log;
  }

  /** What was written since the last call. */
  read(): KernelLogLine[] {
    const lines: KernelLogLine[] = [];
    for (;;) {
      let length: number;
      try {
        length = readSync(this.fd, this.record);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN') return lines;
        if (code === 'EPIPE') continue;
        throw error;
      }
      lines.push(parseKernelRecord(this.record.toString('utf8', 0, length)));
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** The first line of a record; those that follow are its dictionary. */
export function parseKernelRecord(record: string): KernelLogLine {
  const [line] = record.split('\n', 1);
  const semicolon = line.indexOf(';');
  const [priority, , microseconds] = line.slice(0, semicolon).split(',');
  return {
    uptimeSeconds: Number(microseconds) / 1e6,
    level: Number(priority) & 7,
    text: line.slice(semicolon + 1),
  };
}
