/**
 * Network namespaces, network_namespaces(7): which one the sockets of this process belong to.
 *
 * A thread's namespace decides for the sockets that it opens, the programs that it starts and what it sees in
 * /proc/sys/net. Node opens sockets and starts programs on its main thread, which is also where these calls run; sockets
 * that are open already stay where they are.
 */

import { closeSync, openSync } from 'node:fs';
import { CLONE_NEWNET } from './constants.js';
import { SystemError } from './errno.js';
import * as libc from './libc.js';
import { closeDescriptor } from './sockets.js';

/**
 * Moves the main thread into a namespace.
 *
 * @param path of the namespace, such as /run/netns/NAME or /proc/PID/ns/net
 * @returns what moves it back, once
 * @throws Error ENOENT, SystemError EPERM without CAP_SYS_ADMIN
 */
export function enterNetwork(path: string): () => void {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const away = openSync(path, 'r');
  const entered = libc.setns(away, CLONE_NEWNET);
  const errno = libc.lastErrno();
  closeSync(away);
  if (entered === -1) {
    closeSync(home);
    throw new SystemError('setns', errno, 'only root may enter a network namespace');
  }
  return () => {
    if (libc.setns(home, CLONE_NEWNET) === -1) throw new SystemError('setns', libc.lastErrno());
    closeDescriptor(home);
  };
}

/** Runs `work`, which must not wait for anything, inside a namespace. @throws as enterNetwork, and what `work` throws */
export function inNetwork<T>(path: string, work: () => T): T {
  const leave = enterNetwork(path);
  try {
    return work();
  } finally {
    leave();
  }
}
