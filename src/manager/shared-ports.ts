/** Listening sockets that workers inherit, all accepting from the same queues (docs/adr/0001-shared-listeners.md). */

import { join } from 'node:path';
import { TCP_KEEPALIVE_IDLE_S, TCP_KEEPALIVE_INTERVAL_S, TCP_KEEPALIVE_PROBES } from '../limits.js';
import { SEND_LISTENERS } from '../link/frames.js';
import { DescriptorReceiver } from '../linux/descriptors.js';
import { closeDescriptor, openListener } from '../linux/sockets.js';
import { type ClientPorts, formatAddress } from './client-ports.js';
import type { WorkerLink } from './worker-link.js';

/** How long a worker may take to send its sockets. */
const HANDOVER_MS = 1000;

const KEEP_ALIVE = {
  idleSeconds: TCP_KEEPALIVE_IDLE_S,
  intervalSeconds: TCP_KEEPALIVE_INTERVAL_S,
  probes: TCP_KEEPALIVE_PROBES,
};

export class SharedPorts implements ClientPorts {
  readonly outliveManager = true;
  readonly addresses: readonly string[];
  readonly stdio: readonly number[];

  private constructor(descriptors: readonly number[], addresses: readonly string[]) {
    this.stdio = descriptors;
    this.addresses = addresses;
  }

  /** @throws SystemError EADDRINUSE, EACCES, EADDRNOTAVAIL, EMFILE; then nothing is left open */
  static open(host: string, clientPorts: readonly number[]): SharedPorts {
    const descriptors: number[] = [];
    const addresses: string[] = [];
    try {
      for (const port of clientPorts) {
        const listener = openListener({ host, port, keepAlive: KEEP_ALIVE });
        descriptors.push(listener.fd);
        addresses.push(formatAddress(host, listener.port));
      }
    } catch (error) {
      descriptors.forEach(closeDescriptor);
      throw error;
    }
    return new SharedPorts(descriptors, addresses);
  }

  /** Asks each worker in turn for copies of its listening sockets. @returns null where none hands them over */
  static async takeOver(runDirectory: string, links: Iterable<WorkerLink>): Promise<SharedPorts | null> {
    const receiver = new DescriptorReceiver(join(runDirectory, 'listeners.sock'));
    try {
      for (const link of links) {
        link.command(SEND_LISTENERS);
        const received = await receiver.receiveWithin(HANDOVER_MS);
        if (received === null) continue;
        const { listeners } = link.hello;
        if (received.descriptors.length !== listeners.length) {
          received.descriptors.forEach(closeDescriptor);
          continue;
        }
        return new SharedPorts(received.descriptors, listeners);
      }
    } finally {
      receiver.close();
    }
    return null;
  }

  spawned(): void {
    // It has inherited all that it needs.
  }

  close(): void {
    this.stdio.forEach(closeDescriptor);
  }
}
