/**
 * What the manager writes to one worker: what is collected during one turn of the event loop leaves in one system call.
 *
 * A worker that does not read (stopped by a debugger, or overwhelmed) must not make the manager hold its messages.
 * Whoever has much to send looks at `backlogBytes`, and waits for `drained` before it reads the next part from the log.
 */

import type { Socket } from 'node:net';
import { FrameWriter } from '../link/frame-writer.js';

export class LinkOutlet {
  /** Frames go here; then `flushLater`. */
  readonly frames = new FrameWriter();
  readonly #socket: Socket;
  #flushing = false;
  #waiting: ((open: boolean) => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', () => this.#wake(true));
    socket.on('close', () => this.#wake(false));
  }

  /** Bytes that the worker has not read yet, as far as they are on this side of the socket. */
  get backlogBytes(): number {
    return this.#socket.writableLength + this.frames.length;
  }

  /** Sends what has been written, at the end of this turn. */
  flushLater(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Sends what has been written and waits until the kernel has taken (nearly) all. False when the link has ended. */
  drained(): Promise<boolean> {
    this.#flush();
    return new Promise((resolve) => {
      if (this.#socket.destroyed) resolve(false);
      else if (this.#socket.writableNeedDrain) this.#waiting.push(resolve);
      // Not at once, however fast the worker reads: others have a turn between two pages.
      else setImmediate(() => resolve(!this.#socket.destroyed));
    });
  }

  #flush(): void {
    if (this.frames.length > 0 && !this.#socket.destroyed) this.#socket.write(this.frames.take());
  }

  #wake(open: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(open);
  }
}
