/** Any system that Node runs on, by what Node offers. */

import { endpoint } from './endpoint.js';
import type { DescriptorLimit, Platform } from './platform.js';
import { signal } from './signal.js';
import { answers, lockBySocket, tellHolder } from './socket-lock.js';

/** The part of a diagnostic report (Node's documentation, "Diagnostic report") that tells limits. */
interface Report {
  userLimits?: { open_files?: { soft: number | 'unlimited'; hard: number | 'unlimited' } };
}

let limit: DescriptorLimit | undefined;

export const anywhere: Platform = {
  lock: (path) => lockBySocket(lockEndpoint(path)),
  isLocked: (path) => answers(lockEndpoint(path)),

  async signalHolder(path, pid, name) {
    if (process.platform === 'win32') await tellHolder(lockEndpoint(path), name);
    else signal(pid, name);
  },

  /** Windows has no such limit. */
  descriptorLimit() {
    if (limit !== undefined) return limit;
    const files = (process.report.getReport() as Report).userLimits?.open_files;
    const count = (value: number | 'unlimited' | undefined) =>
      typeof value === 'number' ? value : Number.POSITIVE_INFINITY;
    limit = { soft: count(files?.soft), hard: count(files?.hard) };
    return limit;
  },

  /** Node itself raises it when it starts. */
  raiseDescriptorLimit: () => anywhere.descriptorLimit().soft,
};

/** Where whoever holds the lock listens. */
function lockEndpoint(path: string): string {
  return endpoint(`${path}.sock`);
}
