/**
 * What this machine's kernel complains about while the server runs: lines of its log, where that may be read, and counters
 * of its network, since the first look. The counters are the whole network namespace's.
 */

import { type Complaint, findComplaints } from '../kernel/complaints.js';
import { type Counters, changesSince, readBacklogDrops, readNetworkCounters } from '../kernel/counters.js';
import { KernelLog, type KernelLogLine } from '../kernel/kernel-log.js';

/** Lines that are remembered: the latest. A kernel that complains for days must not fill the manager. */
const LINES_MAX = 200;
/** Complaints that are shown. */
const COMPLAINTS_MAX = 30;

/** Grow on every machine that serves the Internet, by peers that are slow or gone: an experiment's business, not an operator's. */
const ORDINARY = ['TcpExt.TCPTimeouts', 'TcpExt.TCPAbortOnTimeout', 'Tcp.AttemptFails'];

export interface KernelSources {
  /** Null where the log cannot be read. */
  openLog(): Pick<KernelLog, 'read' | 'close'> | null;
  /** All counters now. */
  counters(): Counters;
}

const THIS_MACHINE: KernelSources = {
  openLog: () => KernelLog.open(),
  counters: () => {
    try {
      return { ...readNetworkCounters('self'), backlogDrops: readBacklogDrops() };
    } catch (error) {
      // Another system than Linux, or a box that hides them.
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'EACCES') return {};
      throw error;
    }
  },
};

export class KernelWatch {
  readonly #sources: KernelSources;
  readonly #log: Pick<KernelLog, 'read' | 'close'> | null;
  readonly #before: Counters;
  #lines: KernelLogLine[] = [];

  constructor(sources: KernelSources = THIS_MACHINE) {
    this.#sources = sources;
    this.#log = sources.openLog();
    this.#before = sources.counters();
  }

  /** Everything complained about so far, most frequent first. */
  complaints(): Complaint[] {
    if (this.#log !== null) this.#lines = [...this.#lines, ...this.#log.read()].slice(-LINES_MAX);
    const changes = changesSince(this.#before, this.#sources.counters());
    for (const name of ORDINARY) delete changes[name];
    return findComplaints(this.#lines, changes)
      .sort((a, b) => b.count - a.count)
      .slice(0, COMPLAINTS_MAX);
  }

  close(): void {
    this.#log?.close();
  }
}
