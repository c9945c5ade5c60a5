/** Linux, with system calls. */

import { closeSync } from 'node:fs';
import { descriptorLimit, lockFile, raiseDescriptorLimit } from '../linux/sockets.js';
import type { Platform } from './platform.js';
import { signal } from './signal.js';

export const linux: Platform = {
  async lock(path) {
    const descriptor = lockFile(path);
    return descriptor === null ? null : { release: () => closeSync(descriptor) };
  },

  async isLocked(path) {
    const lock = await linux.lock(path);
    lock?.release();
    return lock === null;
  },

  async signalHolder(_path, pid, name) {
    signal(pid, name);
  },

  descriptorLimit,
  raiseDescriptorLimit,
};
