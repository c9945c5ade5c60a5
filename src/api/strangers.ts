/**
 * How many connections the API has at one time, and who goes when there are more: the oldest stranger. A stranger is a connection over
 * which no request with a right has been allowed yet. So whoever opens as many connections as he can takes no place from those who
 * have a key, and those who come have theirs for as long as it takes so many others to come.
 */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';

export const CONNECTIONS_MAX = 1024;

export class Strangers {
  /** In the order in which they came. */
  readonly #strangers = new Set<Socket>();
  #connections = 0;

  /** Bounds the connections of a server from now on. */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.#connections++;
      this.#strangers.add(socket);
      socket.once('close', () => {
        this.#connections--;
        this.#strangers.delete(socket);
      });
      // Where everybody else is known, that is the one who has just come.
      if (this.#connections > CONNECTIONS_MAX) this.#endOldest();
    });
  }

  /** A request of this connection was allowed. */
  allowed(socket: Socket): void {
    this.#strangers.delete(socket);
  }

  #endOldest(): void {
    const oldest = this.#strangers.values().next().value!;
    this.#strangers.delete(oldest);
    oldest.destroy();
  }
}
