/**
 * What differs between operating systems, other than the sockets of clients: locks and limits. There are two of them: Linux, where
 * this process calls the kernel itself, and whatever Node runs on.
 */

import { ffiProblem } from '../linux/ffi.js';
import type { HolderSignal } from './socket-lock.js';

export interface Lock {
  release(): void;
}

export interface DescriptorLimit {
  /** How many descriptors this process may have: numbers below it are given out. */
  soft: number;
  /** How far the process may raise it by itself; Infinity where there is no limit. */
  hard: number;
}

export interface Platform {
  /**
   * Takes the lock that a path stands for. It is held until it is released or the process ends in whatever way, and it is never that of
   * a process that has ended.
   *
   * @param path in a directory that is this user's alone
   * @returns null where another process holds it
   * @throws Error of the operating system, for instance ENOENT or EACCES
   */
  lock(path: string): Promise<Lock | null>;

  /** Whether some process holds the lock, this one too. @throws as `lock` */
  isLocked(path: string): Promise<boolean>;

  /** Sends a signal to the process that holds the lock, unless it has just ended. */
  signalHolder(path: string, pid: number, signal: HolderSignal): Promise<void>;

  /** RLIMIT_NOFILE of this process. */
  descriptorLimit(): DescriptorLimit;

  /** Raises the soft limit to the hard one. @returns how many descriptors the process may now have */
  raiseDescriptorLimit(): number;
}

export const platform: Platform =
  ffiProblem === null ? (await import('./linux.js')).linux : (await import('./anywhere.js')).anywhere;
