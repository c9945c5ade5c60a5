/** A worker's end of the link, played by a test: it says what the test tells it to say, and shows what it is told. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { FrameReader, readSequence } from '../../src/link/frame-reader.js';
import { FrameWriter } from '../../src/link/frame-writer.js';
import {
  DELIVER,
  HELLO,
  HELLO_END,
  type Hello,
  LINK_VERSION,
  NOT_WAITING,
  STATS,
  WAITING,
  type WorkerStats,
} from '../../src/link/frames.js';

export interface Told {
  type: number;
  /** The rest is of DELIVER alone. */
  sequence: number;
  kind: number;
  channel: string;
  data: string;
}

export class FakeWorker {
  readonly socket: Socket;
  readonly #writer = new FrameWriter();
  readonly #told: Told[] = [];
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader();
    // The other end may go at any time, as a worker must bear.
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      reader.read(chunk, (type, bytes, start, end) => {
        const payload = Buffer.from(bytes.subarray(start, end));
        const nameEnd = type === DELIVER ? 8 + payload[7]! : 0;
        this.#told.push({
          type,
          sequence: type === DELIVER ? readSequence(payload, 0) : 0,
          kind: type === DELIVER ? payload[6]! : 0,
          channel: payload.toString('utf8', 8, nameEnd),
          data: payload.toString('utf8', nameEnd),
        });
      });
      this.#wake?.();
    });
  }

  /** Dials and introduces itself. */
  static async dial(path: string, worker: number, hello: Partial<Hello> = {}): Promise<FakeWorker> {
    const socket = connect(path);
    await once(socket, 'connect');
    const fake = new FakeWorker(socket);
    fake.say((writer) => {
      const own: Hello = { version: LINK_VERSION, pid: process.pid, worker, capacity: 100, listeners: ['127.0.0.1:1'] };
      writer.json(HELLO, { ...own, ...hello });
      writer.frame(HELLO_END);
    });
    return fake;
  }

  say(write: (writer: FrameWriter) => void): void {
    write(this.#writer);
    this.socket.write(this.#writer.take());
  }

  subscribe(...channels: string[]): void {
    this.#names(WAITING, channels);
  }

  unsubscribe(...channels: string[]): void {
    this.#names(NOT_WAITING, channels);
  }

  verdict(sequence: number, receivers: number): void {
    this.say((writer) => writer.delivered(sequence, receivers));
  }

  stats(stats: WorkerStats): void {
    this.say((writer) => writer.json(STATS, stats));
  }

  /** The next frame that the manager sends, in order. */
  async next(): Promise<Told> {
    while (this.#told.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#told.shift()!;
  }

  /** Frames that have arrived and were not asked for. */
  get untaken(): number {
    return this.#told.length;
  }

  end(): void {
    this.socket.destroy();
  }

  #names(type: number, channels: string[]): void {
    this.say((writer) => {
      for (const channel of channels) {
        const name = Buffer.from(channel);
        writer.name(type, name, 0, name.length);
      }
    });
  }
}
