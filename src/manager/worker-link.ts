/**
 * The manager's end of one worker's link: frames in, frames out, in batches.
 *
 * What is written during one turn of the event loop leaves in one system call. A worker that does not read (stopped by
 * a debugger, or overwhelmed) must not make the manager hold its messages: above `BACKLOG_BYTES_MAX` the link keeps
 * only the sequences that are to be sent, and asks the log for them when the socket has drained. Those that the log has
 * dropped meanwhile are reported as reaching nobody.
 */

import type { Socket } from 'node:net';
import { FrameReader, type FrameVisitor } from '../link/frame-reader.js';
import { FrameWriter } from '../link/frame-writer.js';
import type { Hello, WorkerStats } from '../link/frames.js';
import type { Log, Publication } from '../log/log.js';
import type { WorkerChannel } from './routes.js';

/** Bytes written and not taken by the kernel above which a link defers what it should send. */
export const BACKLOG_BYTES_MAX = 8 << 20;

export class WorkerLink implements WorkerChannel {
  /** What the worker said of itself. */
  readonly hello: Hello;
  /** Its last STATS. */
  stats: WorkerStats | null = null;
  /** For how long it has said nothing, as the supervisor counts. */
  silentMs = 0;
  readonly #socket: Socket;
  readonly #writer = new FrameWriter();
  readonly #log: Log;
  readonly #missed: (sequence: number) => void;
  #flushing = false;
  /** Sequence and name of what waits for the socket to drain, in order. */
  #deferred: { sequence: number; channel: string; name: Buffer }[] = [];

  /** @param missed told of each publication that was deferred and is gone */
  constructor(socket: Socket, hello: Hello, log: Log, missed: (sequence: number) => void) {
    this.#socket = socket;
    this.hello = hello;
    this.#log = log;
    this.#missed = missed;
    socket.on('drain', () => this.#sendDeferred());
  }

  deliver(publication: Publication, name: Buffer): void {
    if (this.#deferred.length > 0 || this.backlogBytes > BACKLOG_BYTES_MAX) {
      this.#deferred.push({ sequence: publication.sequence, channel: publication.channel, name });
      return;
    }
    this.#writer.deliver(publication.sequence, publication.kind, name, publication.data);
    this.#flushLater();
  }

  /** Sends a frame without a payload (STOP, SEND_LISTENERS). */
  command(type: number): void {
    this.#writer.frame(type);
    this.#flushLater();
  }

  /** Ends the link; the worker dials again unless it was told to stop. */
  end(): void {
    this.#socket.destroy();
  }

  /** Bytes that the worker has not read yet, as far as they are on this side of the socket. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.#writer.length;
  }

  #flushLater(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (!this.#socket.destroyed) this.#socket.write(this.#writer.take());
    });
  }

  #sendDeferred(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const [i, { sequence, channel, name }] of deferred.entries()) {
      if (this.backlogBytes > BACKLOG_BYTES_MAX) {
        this.#deferred = deferred.slice(i);
        return;
      }
      // In flight means oldest of its channel, so it is the oldest that the log still has, or it is gone.
      const publication = this.#log.oldest(channel);
      if (publication?.sequence === sequence) this.deliver(publication, name);
      else this.#missed(sequence);
    }
  }
}

/** What a frame visitor throws about a peer that does not keep to the protocol; other errors are our own bugs. */
export class LinkError extends Error {}

/** Reads frames from a socket. A peer that sends anything else, or that the visitor refuses, is cut off. */
export function readFrames(socket: Socket, visit: FrameVisitor, refused: (reason: string) => void): void {
  const reader = new FrameReader();
  socket.on('data', (chunk) => {
    try {
      if (reader.read(chunk, visit)) return;
      refused('not a stream of frames');
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      refused(error.message);
    }
    socket.destroy();
  });
}
