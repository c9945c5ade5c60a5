/**
 * The accepting half of the portable reactor. Node accepts by itself and cannot be told to wait, so clients that nobody can
 * take yet wait here, accepted and not read, instead of in the kernel's queue: while accepting is paused, and at the capacity.
 * More than WAITING_MAX of them are turned away.
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

export class PortableListeners {
  readonly #events: ReactorEvents;
  readonly #owner: Owner;
  readonly #sources: ClientSource[] = [];
  #waiting: { socket: Socket; listener: number }[] = [];
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
    const source =
      typeof listener === 'number' ? new DescriptorSource(listener, (errno) => this.#failed(errno)) : listener;
    const number = this.#sources.push(source) - 1;
    source.open((socket) => this.#accepted(socket, number));
    source.setAccepting(!this.#paused && !this.#stopped);
    return number;
  }

  pause(): void {
    this.#paused = true;
    this.#tellSources();
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
    const waiting = this.#waiting;
    let accepted = 0;
    while (accepted < waiting.length && accepted < ACCEPTS_PER_TURN && !this.#paused && !this.#owner.isFull()) {
      const { socket, listener } = waiting[accepted++];
      this.#resumed();
      this.#events.accepted(this.#owner.take(socket), listener);
    }
    this.#waiting.splice(0, accepted);
    if (this.#owner.isFull()) this.#stop(0);
    else if (accepted === 0) this.#resumed();
    return accepted;
  }

  /** For good. */
  destroy(): void {
    for (const source of this.#sources.splice(0)) source.close();
    for (const { socket } of this.#waiting) socket.destroy();
    this.#waiting = [];
  }

  #accepted(socket: Socket, listener: number): void {
    // Whatever befalls it is found out when it is read.
    socket.on('error', () => {});
    if (this.#waiting.length >= WAITING_MAX || this.#sources.length === 0) {
      socket.destroy();
      return;
    }
    this.#waiting.push({ socket, listener });
    if (this.ready) this.#owner.wake();
  }

  #failed(errno: number): void {
    this.#errno = errno;
    this.#owner.wake();
  }

  #stop(errno: number): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#tellSources();
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

  open(take: (socket: Socket) => void): void {
    assert(this.#server === null, 'opened twice');
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, take);
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
