/**
 * A response that is a stream of server-sent events (WHATWG HTML, section 9.2), written as fast as its reader reads and no
 * faster: who leaves too much unread is ended, since nobody waits for him.
 */

import type { ServerResponse } from 'node:http';

/** Unread bytes in this process, beside what the kernel's socket buffer takes, above which a viewer is ended. */
export const VIEWER_BYTES_MAX = 1 << 20;

/** What is needed of the response. */
export type Output = Pick<ServerResponse, 'writeHead' | 'write' | 'end' | 'destroy' | 'writableLength' | 'on'>;

export class EventStream {
  readonly #response: Output;
  #open = true;

  /** @param ended called once, when the stream has ended in whatever way */
  constructor(response: Output, ended: () => void) {
    this.#response = response;
    response.on('close', () => {
      this.#open = false;
      ended();
    });
    // A reader that resets is one that ended.
    response.on('error', () => {});
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // For nginx, which would hold events back.
      'x-accel-buffering': 'no',
    });
  }

  get open(): boolean {
    return this.#open;
  }

  /** Bytes that the reader has not taken. */
  get unreadBytes(): number {
    return this.#response.writableLength;
  }

  /** Writes an event as {@link encodeEvent} makes it, unless the reader is too slow: then the stream ends. */
  send(event: string): void {
    if (!this.#open) return;
    if (this.unreadBytes > VIEWER_BYTES_MAX) this.#response.destroy();
    else this.#response.write(event);
  }

  end(): void {
    if (this.#open) this.#response.end();
  }
}

/** One event. JSON has no line breaks, so its data is one line. */
export function encodeEvent(name: string, data: unknown, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** A comment: keeps proxies and our own time limit from ending a stream on which nothing happens. */
export const HEARTBEAT = ':\n\n';
