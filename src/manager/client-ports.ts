/**
 * The client ports of a server, and how its workers come by clients. There are two ways: workers inherit the listening sockets and
 * accept from them (shared-ports.ts), or the manager accepts and hands each client over (handed-ports.ts).
 */

import type { ChildProcess } from 'node:child_process';
import type { Logger } from './logger.js';
import type { WorkerLink } from './worker-link.js';

export interface ClientPorts {
  /** `host:port` of each, with the port that the kernel chose. */
  readonly addresses: readonly string[];

  /** What a worker gets beside its standard streams: the listening sockets, or a channel on which clients are handed over. */
  readonly stdio: readonly (number | 'ipc')[];

  /** Workers and their clients live on without this manager, and the next one takes them over. */
  readonly outliveManager: boolean;

  /** A worker was spawned. */
  spawned(child: ChildProcess): void;

  close(): void;
}

export interface ClientPortsOptions {
  host: string;
  /** 0 lets the kernel choose. */
  clientPorts: readonly number[];
  /** Whether workers can accept from sockets that they have inherited. */
  shared: boolean;
  logger: Logger;
}

/** @throws Error EADDRINUSE, EACCES, EADDRNOTAVAIL, EMFILE, with the port and the cure */
export async function openClientPorts({ host, clientPorts, shared, logger }: ClientPortsOptions): Promise<ClientPorts> {
  if (!shared) return (await import('./handed-ports.js')).HandedPorts.open(host, clientPorts, logger);
  return (await import('./shared-ports.js')).SharedPorts.open(host, clientPorts);
}

/**
 * The ports of a manager that has ended, from the workers that it left.
 *
 * @param links of these workers
 * @returns null where none of them hands over its sockets
 */
export async function takeOverClientPorts(
  runDirectory: string,
  links: Iterable<WorkerLink>,
): Promise<ClientPorts | null> {
  return (await import('./shared-ports.js')).SharedPorts.takeOver(runDirectory, links);
}

/** `127.0.0.1:8000`, `[::1]:8000`. */
export function formatAddress(host: string, port: number | string): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
