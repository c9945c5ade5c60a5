/**
 * The accepting half of the portable reactor. Node accepts by itself and cannot be told to wait, so clients of a listening socket that
 * nobody can take yet wait here, accepted and not read, instead of in the kernel's queue: while accepting is paused, and at the
 * capacity. More than WAITING_MAX of them are turned away. Clients of another source are given back then.
 */

import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { errnoOf } from '../linux/errno.js';
import type { ClientSource, ReactorEvents } from './reactor.js';

/** As the queue of a listening socket is by default on Linux (net.core.somaxconn). */
const WAITING_MAX = 4096;
/** Clients accepted in one turn: those who are connected must not wait long for a flood. */
const ACCEPTS_PER_TURN = 128;

/** What the listeners need of their reactor. */
interface Owner {
  isFull(): boolean;
  /** Makes it a connection. @returns its slot */
  take(socket: Socket): number;
  /** There is something for the next turn. */
  wake(): void;
}

interface Waiting {
  readonly socket: Socket;
  readonly listener: number;
  /** Null where nobody else could take it. */
  readonly settle: ((taken: boolean) => void) | null;
}

export class PortableListeners {
  readonly #events: ReactorEvents;
  readonly #owner: Owner;
  readonly #sources: ClientSource[] = [];
  #waiting: Waiting[] = [];
  #paused = false;
  /** Stopped by itself, and reported. */
  #stopped = false;
  /** A failure to accept that has not been reported. */
  #errno = 0;

  constructor(events: ReactorEvents, owner: Owner) {
    this.#events = events;
    this.#owner = owner;
  }

  add(listener: number | ClientSource): number {
    const own = typeof listener === 'number';
    const source = own ? new DescriptorSource(listener, (errno) => this.#failed(errno)) : listener;
    const number = this.#sources.push(source) - 1;
    source.open((socket, settle) => this.#accepted({ socket, listener: number, settle: own ? null : settle }));
    source.setAccepting(!this.#paused && !this.#stopped);
    return number;
  }

  pause(): void {
    this.#paused = true;
    this.#tellSources();
    this.#giveBack();
  }

  resume(): void {
    this.#paused = false;
    this.#tellSources();
  }

  /** There is somebody to accept, or something to report. */
  get ready(): boolean {
    if (this.#errno !== 0) return true;
    return !this.#paused && (this.#stopped ? !this.#owner.isFull() : this.#waiting.length > 0);
  }

  connectionEnded(): void {
    if (this.#stopped) this.#owner.wake();
  }

  /** Inside a turn: takes who waits. @returns how many */
  accept(): number {
    if (this.#sources.length === 0 || this.#paused) return 0;
    if (this.#errno !== 0) this.#stop(this.#errno);
    this.#errno = 0;
    let accepted = 0;
    // An event may pause accepting, or destroy the reactor.
    while (this.#waiting.length > 0 && accepted < ACCEPTS_PER_TURN && !this.#paused && !this.#owner.isFull()) {
      const { socket, listener, settle } = this.#waiting.shift()!;
      accepted++;
      this.#resumed();
      settle?.(true);
      this.#events.accepted(this.#owner.take(socket), listener);
    }
    if (this.#sources.length === 0) return accepted;
    if (this.#owner.isFull()) this.#stop(0);
    else if (accepted === 0) this.#resumed();
    return accepted;
  }

  /** For good. */
  destroy(): void {
    for (const source of this.#sources.splice(0)) source.close();
    this.#giveBack();
    for (const { socket } of this.#waiting.splice(0)) socket.destroy();
  }

  #accepted(client: Waiting): void {
    const { socket, settle } = client;
    if (settle !== null && (this.#paused || this.#stopped)) {
      settle(false);
      return;
    }
    // Whatever befalls it is found out when it is read.
    socket.on('error', () => {});
    if (this.#waiting.length >= WAITING_MAX || this.#sources.length === 0) {
      socket.destroy();
      return;
    }
    this.#waiting.push(client);
    if (this.ready) this.#owner.wake();
  }

  /** Nobody is taken for some time: others may take them. */
  #giveBack(): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ settle }) => settle === null);
    for (const { settle } of waiting) settle?.(false);
  }

  #failed(errno: number): void {
    this.#errno = errno;
    this.#owner.wake();
  }

  #stop(errno: number): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#tellSources();
    this.#giveBack();
    this.#events.acceptingStopped(errno);
  }

  #resumed(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#tellSources();
    this.#events.acceptingResumed();
  }

  #tellSources(): void {
    for (const source of this.#sources) source.setAccepting(!this.#paused && !this.#stopped);
  }
}

/** A listening socket of our own. */
class DescriptorSource implements ClientSource {
  readonly #fd: number;
  readonly #failed: (errno: number) => void;
  #server: Server | null = null;

  constructor(fd: number, failed: (errno: number) => void) {
    this.#fd = fd;
    this.#failed = failed;
  }

  open(take: (socket: Socket, settle: () => void) => void): void {
    assert(this.#server === null, 'opened twice');
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true };
    this.#server = createServer(options, (socket) => take(socket, () => {}));
    // Out of descriptors: the system library has turned the client away.
    this.#server.on('error', (error) => this.#failed(errnoOf(error)));
    this.#server.listen({ fd: this.#fd });
  }

  setAccepting(): void {
    // Node goes on all the same.
  }

  close(): void {
    this.#server?.close();
  }
}
