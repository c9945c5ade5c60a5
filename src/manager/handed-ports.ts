/**
 * Client ports where sockets cannot be inherited: the manager accepts, and hands each client to a worker over the channel that Node
 * keeps to a child process. Everywhere that Node runs, and at the price of some work of the manager for each client.
 *
 * A worker says when it wants clients. It is handed some, in turn with the others that want any, and says of each that it has it, before
 * it reads from it, or that it cannot take it after all. Until then the manager keeps its own descriptor of the client, and hands it to
 * another worker where this one has ended. Clients whom nobody wants wait here, unread, up to WAITING_MAX; more are turned away.
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { TCP_KEEPALIVE_IDLE_S } from '../limits.js';
import type { HandedAnswer, HandedClient } from '../link/handed-clients.js';
import { type ClientPorts, formatAddress } from './client-ports.js';
import { atMostEvery, type Logger } from './logger.js';

/** As many as the queue of a listening socket may hold (src/linux/sockets.ts), if every client were to come at once. */
const WAITING_MAX = 16_384;
/** Clients on their way to one worker: enough to have it busy, few enough that another could take them soon. */
const HANDED_MAX = 32;
const TURNED_AWAY_LOG_MS = 10_000;

interface Receiver {
  readonly child: ChildProcess;
  wants: boolean;
  /** What it has been handed and has not answered for, by number. */
  readonly handed: Map<number, Waiting>;
}

interface Waiting {
  readonly socket: Socket;
  readonly listener: number;
}

export class HandedPorts implements ClientPorts {
  readonly stdio = ['ipc'] as const;
  readonly outliveManager = false;
  readonly addresses: string[] = [];
  readonly #servers: Server[] = [];
  /** In the order in which they are handed clients. */
  #receivers: Receiver[] = [];
  #waiting: Waiting[] = [];
  #closed = false;
  #handedCount = 0;

  /** The process is out of descriptors; the next client may fare better. */
  readonly #turnedAway: (error: Error) => void;

  /** Use {@link open}. */
  private constructor(logger: Logger) {
    this.#turnedAway = atMostEvery(TURNED_AWAY_LOG_MS, ({ message }: Error) =>
      logger.warn('clients are turned away', { reason: message }),
    );
  }

  /** @throws Error EADDRINUSE, EACCES, EADDRNOTAVAIL, EMFILE, with the port and the cure; then nothing is left open */
  static async open(host: string, clientPorts: readonly number[], logger: Logger): Promise<HandedPorts> {
    const ports = new HandedPorts(logger);
    try {
      for (const port of clientPorts) await ports.#open(host, port);
    } catch (error) {
      ports.close();
      throw error;
    }
    return ports;
  }

  spawned(child: ChildProcess): void {
    const receiver: Receiver = { child, wants: false, handed: new Map() };
    this.#receivers.push(receiver);
    // It is not for the channel that the manager lives.
    child.channel?.unref();
    child.on('message', (answer: HandedAnswer) => {
      if ('wanted' in answer) receiver.wants = answer.wanted;
      else this.#answered(receiver, answer.client, answer.taken);
      this.#hand();
    });
    // Not 'disconnect': Node leaves it out where a handle was under way.
    child.once('exit', () => {
      this.#receivers = this.#receivers.filter((other) => other !== receiver);
      for (const client of receiver.handed.values()) this.#accepted(client);
      receiver.handed.clear();
    });
  }

  close(): void {
    this.#closed = true;
    for (const server of this.#servers) server.close();
    for (const { socket } of this.#waiting) socket.destroy();
    this.#waiting = [];
    for (const { handed } of this.#receivers) for (const { socket } of handed.values()) socket.destroy();
  }

  async #open(host: string, port: number): Promise<void> {
    const listener = this.#servers.length;
    const server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_IDLE_S * 1000,
    });
    server.on('connection', (socket) => {
      // Whatever befalls it is found out by the worker.
      socket.on('error', () => {});
      this.#accepted({ socket, listener });
    });
    this.#servers.push(server);
    await listen(server, host, port);
    server.on('error', this.#turnedAway);
    this.addresses.push(formatAddress(host, (server.address() as { port: number }).port));
  }

  #accepted(client: Waiting): void {
    if (this.#closed || this.#waiting.length >= WAITING_MAX) client.socket.destroy();
    else this.#waiting.push(client);
    this.#hand();
  }

  #answered({ handed }: Receiver, number: number, taken: boolean): void {
    const client = handed.get(number);
    if (client === undefined) return;
    handed.delete(number);
    if (!taken) this.#accepted(client);
    // Only our descriptor is closed: the worker has one of its own.
    else client.socket.destroy();
  }

  #hand(): void {
    while (this.#waiting.length > 0) {
      const at = this.#receivers.findIndex(({ wants, handed }) => wants && handed.size < HANDED_MAX);
      if (at === -1) return;
      const [receiver] = this.#receivers.splice(at, 1);
      this.#receivers.push(receiver);
      const client = this.#waiting.shift()!;
      const message: HandedClient = { listener: client.listener, client: this.#handedCount++ };
      receiver.handed.set(message.client, client);
      // Where it fails the worker has ended, and 'exit' follows.
      receiver.child.send(message, client.socket, { keepOpen: true }, () => {});
    }
  }
}

/** @throws Error EADDRINUSE, EACCES, EADDRNOTAVAIL, with the port and the cure */
async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen({ host, port, ipv6Only: true, backlog: WAITING_MAX });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw explained(error as NodeJS.ErrnoException, host, port);
  }
}

function explained(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const cures: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is taken; stop the program that has it or choose another port`,
    EACCES: `port ${port} is for privileged programs; choose one from 1024 up`,
    EADDRNOTAVAIL: `no interface of this machine has the address ${host}`,
  };
  const cure = cures[error.code ?? ''] ?? `while opening ${formatAddress(host, port)}`;
  return Object.assign(new Error(`${error.message}: ${cure}`, { cause: error }), { code: error.code });
}
