/**
 * The classic application port: TCP connections of application servers that speak classic-frames.ts.
 *
 * The protocol has no answers, so the only way to slow an application down is not to read: while very many publications
 * are in flight, or much is on its way into the log, its connection is paused, for a second at most (a stuck client must
 * not stop every application). Memory is bounded by the log's retention, by `CONNECTIONS_MAX` half-read messages, and by
 * one chunk for each connection. What the log cannot keep is dropped; the publisher counts it and says so.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { KIND_RAW } from '../link/frames.js';
import { LogError, type NewPublication } from '../log/log.js';
import { CLASSIC_OK, CLASSIC_REASONS, ClassicFrames } from './classic-frames.js';
import { atMostEvery, type Logger } from './logger.js';
import type { Publisher } from './publisher.js';
import type { Queue } from './queue.js';

/** Connections of applications, with a half-read message of 1 MiB each at worst. */
const CONNECTIONS_MAX = 256;
/** Publications in flight above which connections are paused. */
export const IN_FLIGHT_MAX = 10_000;
/** Bytes on their way into the log above which connections are paused. */
const PENDING_BYTES_MAX = 16 << 20;
/** An application that speaks something else dials again: it is said no oftener than this. */
const REFUSED_LOG_MS = 10_000;
const PAUSE_LOOK_MS = 5;
const PAUSE_MS = 1000;

type ClassicPublisher = Pick<Publisher, 'accept' | 'pendingBytes'>;
type ClassicQueue = Pick<Queue, 'inFlight'>;

export class ClassicPort {
  readonly #publisher: ClassicPublisher;
  readonly #queue: ClassicQueue;
  readonly #reportRefused: (peer: string, reason: string) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(publisher: ClassicPublisher, queue: ClassicQueue, logger: Logger) {
    this.#publisher = publisher;
    this.#queue = queue;
    this.#reportRefused = atMostEvery(REFUSED_LOG_MS, (peer, reason) =>
      logger.warn('classic connection closed', { peer, reason }),
    );
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Resolves with the port that was bound. @throws Error of listen, for instance EADDRINUSE */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as { port: number }).port);
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    const frames = new ClassicFrames();
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // Resets and the like: 'close' follows, and a half-read message of a vanished application is none.
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const batch: NewPublication[] = [];
      const result = frames.read(chunk, (clientId, message) => {
        batch.push({ channel: clientId.toString(), kind: KIND_RAW, data: Buffer.from(message) });
      });
      if (batch.length > 0) void this.#publish(batch);
      if (result !== CLASSIC_OK) {
        const peer = `${socket.remoteAddress}:${socket.remotePort}`;
        this.#reportRefused(peer, CLASSIC_REASONS[result]!);
        socket.destroy();
      } else if (this.#busier(1)) {
        this.#pause(socket);
      }
    });
  }

  async #publish(batch: readonly NewPublication[]): Promise<void> {
    try {
      await this.#publisher.accept(batch);
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
    }
  }

  /** More is under way than that part of the maximum. */
  #busier(part: number): boolean {
    return this.#queue.inFlight > IN_FLIGHT_MAX * part || this.#publisher.pendingBytes > PENDING_BYTES_MAX * part;
  }

  /** Reads no further until half of what is under way is decided, or a second has gone. */
  #pause(socket: Socket): void {
    const untilMs = performance.now() + PAUSE_MS;
    socket.pause();
    const timer = setInterval(() => {
      if (!socket.destroyed && this.#busier(1 / 2) && performance.now() < untilMs) return;
      clearInterval(timer);
      socket.resume();
    }, PAUSE_LOOK_MS);
  }
}
