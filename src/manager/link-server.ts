/**
 * The Unix socket that workers dial: who they are, and what they report to the routes.
 *
 * A link is in `links` from its worker's HELLO until its end. A worker has one link: when it dials again before its old
 * link was seen to end, the new one counts. A second process under the number of a living worker is told to stop, and
 * so is a worker that speaks another version of the protocol.
 */

import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { CHANNEL_NAME_BYTES_MAX, WORKERS_MAX } from '../limits.js';
import { readJson, readSequence, readUint32 } from '../link/frame-reader.js';
import { FrameWriter } from '../link/frame-writer.js';
import {
  DELIVERED,
  HELLO,
  HELLO_END,
  type Hello,
  LINK_VERSION,
  LISTENERS_SENT,
  STATS,
  STOP,
  SUBSCRIBED,
  UNSUBSCRIBED,
  type WorkerStats,
} from '../link/frames.js';
import type { Log } from '../log/log.js';
import type { Logger } from './logger.js';
import type { Routes } from './routes.js';
import { LinkError, readFrames, WorkerLink } from './worker-link.js';

/** A connection that has not said HELLO by then is cut off. */
const HELLO_TIMEOUT_MS = 5000;

/** What the supervisor hears of links. */
export interface LinkEvents {
  /** A worker has dialled; it is in `links`. */
  linked(link: WorkerLink): void;
  /** A worker's link has ended; it is no longer in `links`. */
  unlinked(link: WorkerLink): void;
  /** A worker speaks another version of the link and was told to stop. */
  outdated(hello: Hello): void;
}

export class LinkServer {
  /** By worker number. */
  readonly links = new Map<number, WorkerLink>();
  readonly #path: string;
  readonly #routes: Routes;
  readonly #log: Log;
  readonly #logger: Logger;
  readonly #events: LinkEvents;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(path: string, routes: Routes, log: Log, logger: Logger, events: LinkEvents) {
    this.#path = path;
    this.#routes = routes;
    this.#log = log;
    this.#logger = logger;
    this.#events = events;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Listens, in the place of a socket that an ended manager left behind. The caller holds the run directory's lock. */
  listen(): Promise<void> {
    rmSync(this.#path, { force: true });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#path, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  /** Ends all links and removes the socket. Workers that were not told to stop go on and dial for a next manager. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Forgets a worker at once: its process has ended. */
  drop(worker: number): void {
    const link = this.links.get(worker);
    if (link === undefined) return;
    link.end();
    this.links.delete(worker);
    this.#routes.workerLeft(worker);
    this.#events.unlinked(link);
  }

  #accept(socket: Socket): void {
    let link: WorkerLink | null = null;
    let refused = false;
    this.#sockets.add(socket);
    socket.setTimeout(HELLO_TIMEOUT_MS, () => socket.destroy());
    // An error is followed by 'close', which says all that matters: the worker dials again or is found dead.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (link !== null && this.links.get(link.hello.worker) === link) this.drop(link.hello.worker);
    });
    readFrames(
      socket,
      (type, bytes, start, end) => {
        if (link !== null) {
          if (this.links.get(link.hello.worker) === link) this.#frame(link, type, bytes, start, end);
        } else if (!refused) {
          if (type !== HELLO) throw new LinkError('the first frame is not HELLO');
          socket.setTimeout(0);
          link = this.#hello(socket, parseHello(readObject(bytes, start, end)));
          refused = link === null;
        }
      },
      (reason) => this.#logger.warn('link refused', { reason, worker: link?.hello.worker }),
    );
  }

  /** Lets a worker in, or tells it to stop. */
  #hello(socket: Socket, hello: Hello): WorkerLink | null {
    const { worker, pid } = hello;
    const other = this.links.get(worker);
    const outdated = hello.version !== LINK_VERSION;
    if (outdated || (other !== undefined && other.hello.pid !== pid)) {
      const reason = outdated ? `link version ${hello.version}, not ${LINK_VERSION}` : 'its number is taken';
      this.#logger.warn('worker told to stop', { worker, pid, reason });
      const writer = new FrameWriter();
      writer.frame(STOP);
      socket.write(writer.take());
      if (outdated) this.#events.outdated(hello);
      return null;
    }
    this.drop(worker);
    const link = new WorkerLink(socket, hello, this.#log, (sequence) => this.#routes.unsent(worker, sequence));
    this.links.set(worker, link);
    this.#routes.workerJoined(worker, link);
    this.#events.linked(link);
    return link;
  }

  #frame(link: WorkerLink, type: number, bytes: Uint8Array, start: number, end: number): void {
    const { worker } = link.hello;
    link.silentMs = 0;
    switch (type) {
      case SUBSCRIBED:
      case UNSUBSCRIBED:
        if (end === start || end - start > CHANNEL_NAME_BYTES_MAX)
          throw new LinkError('a channel name too long or empty');
        if (type === SUBSCRIBED) this.#routes.subscribed(worker, bytes, start, end);
        else this.#routes.unsubscribed(worker, bytes, start, end);
        return;
      case DELIVERED:
        if (end - start !== 10) throw new LinkError('DELIVERED of a wrong length');
        this.#routes.delivered(worker, readSequence(bytes, start), readUint32(bytes, start + 6));
        return;
      case STATS:
        link.stats = readObject(bytes, start, end) as WorkerStats;
        return;
      case HELLO_END:
      case LISTENERS_SENT:
        // Both only mark a place in the stream; the descriptors themselves are awaited where they arrive.
        return;
      default:
        throw new LinkError(`a frame of unknown type ${type}`);
    }
  }
}

function readObject(bytes: Uint8Array, start: number, end: number): object {
  try {
    const value = readJson(bytes, start, end);
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new LinkError('a payload that is no JSON object');
}

function parseHello(value: object): Hello {
  const hello = value as Partial<Hello>;
  const count = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!count(hello.version) || !count(hello.pid) || !count(hello.worker) || hello.worker! >= WORKERS_MAX) {
    throw new LinkError('a HELLO without version, pid or worker number');
  }
  // Another version may tell less or more; it is only told to stop.
  if (hello.version !== LINK_VERSION) return hello as Hello;
  if (!Array.isArray(hello.listeners) || hello.listeners.some((address) => typeof address !== 'string')) {
    throw new LinkError('a HELLO without listeners');
  }
  return hello as Hello;
}
