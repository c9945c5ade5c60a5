/** A worker's end of the link, played by a test: it says what the test tells it to say, and shows what it is told. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { FrameReader, readSequence, readUint32 } from '../../src/link/frame-reader.js';
import { FrameWriter } from '../../src/link/frame-writer.js';
import {
  ASK,
  DELIVER,
  FAN_OUT,
  GAP,
  HELLO,
  HELLO_END,
  type Hello,
  HISTORY,
  LINK_VERSION,
  NOT_WAITING,
  POLICY,
  POSITION,
  PUBLISHED,
  STATS,
  SUBSCRIBED,
  UNSUBSCRIBED,
  WAITING,
  WELCOME,
} from '../../src/link/frames.js';
import type { ClientPolicy } from '../../src/link/policy.js';
import type { WorkerStats } from '../../src/link/stats.js';

/** A frame from the manager: what its type carries, the rest 0 or empty. */
export interface Told {
  type: number;
  /** In HISTORY: up to where it goes. */
  sequence: number;
  kind: number;
  channel: string;
  data: string;
  flags?: number;
  request?: number;
  result?: number;
  gap?: number;
  rest?: number;
  /** Of HISTORY. */
  publications?: { sequence: number; kind: number; timeMs: number; data: string }[];
}

export class FakeWorker {
  readonly socket: Socket;
  /** WELCOME, when it has come. */
  welcome: { last: number; epoch: string } | null = null;
  /** The last POLICY. */
  policy: ClientPolicy | null = null;
  /** The last POSITION. */
  position = -1;
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
        if (type === WELCOME) this.welcome = { last: readSequence(payload, 0), epoch: payload.toString('latin1', 6) };
        else if (type === POLICY) this.policy = JSON.parse(payload.toString()) as ClientPolicy;
        else if (type === POSITION) this.position = readSequence(payload, 0);
        else this.#told.push(decode(type, payload));
      });
      this.#wake?.();
    });
  }

  /** Dials and introduces itself; had subscribers of `channels` before. */
  static async dial(
    path: string,
    worker: number,
    hello: Partial<Hello> = {},
    channels: string[] = [],
  ): Promise<FakeWorker> {
    const socket = connect(path);
    await once(socket, 'connect');
    const fake = new FakeWorker(socket);
    fake.say((writer) => {
      const own: Hello = { version: LINK_VERSION, pid: process.pid, worker, capacity: 100, listeners: ['127.0.0.1:1'] };
      writer.json(HELLO, { ...own, ...hello });
      for (const channel of channels) writer.name(SUBSCRIBED, Buffer.from(channel), 0, Buffer.byteLength(channel));
      writer.frame(HELLO_END);
    });
    return fake;
  }

  say(write: (writer: FrameWriter) => void): void {
    write(this.#writer);
    this.socket.write(this.#writer.take());
  }

  /** Somebody waits for the queue's messages. */
  wait(...channels: string[]): void {
    this.#names(WAITING, channels);
  }

  stopWaiting(...channels: string[]): void {
    this.#names(NOT_WAITING, channels);
  }

  subscribe(...channels: string[]): void {
    this.#names(SUBSCRIBED, channels);
  }

  unsubscribe(...channels: string[]): void {
    this.#names(UNSUBSCRIBED, channels);
  }

  received(sequence: number, receivers: number): void {
    this.say((writer) => writer.received(sequence, receivers));
  }

  read(request: number, after: number, channel: string): void {
    const name = Buffer.from(channel);
    this.say((writer) => writer.read(request, after, name, 0, name.length));
  }

  publish(request: number, kind: number, channel: string, data: string, id = ''): void {
    this.say((writer) => writer.publish(request, kind, Buffer.from(id), Buffer.from(channel), Buffer.from(data)));
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

function decode(type: number, payload: Buffer): Told {
  const told: Told = { type, sequence: 0, kind: 0, channel: '', data: '' };
  switch (type) {
    case DELIVER: {
      const nameEnd = 8 + payload[7]!;
      const channel = payload.toString('utf8', 8, nameEnd);
      const data = payload.toString('utf8', nameEnd);
      return { ...told, sequence: readSequence(payload, 0), kind: payload[6]!, channel, data };
    }
    case FAN_OUT: {
      const nameEnd = 15 + payload[14]!;
      const channel = payload.toString('utf8', 15, nameEnd);
      const data = payload.toString('utf8', nameEnd);
      return { ...told, sequence: readSequence(payload, 0), kind: payload[12]!, flags: payload[13]!, channel, data };
    }
    case ASK:
      return { ...told, request: readUint32(payload, 0), data: payload.toString('utf8', 4) };
    case GAP:
      return { ...told, sequence: readSequence(payload, 0), channel: payload.toString('utf8', 6) };
    case PUBLISHED:
      return { ...told, request: readUint32(payload, 0), result: payload[4]!, sequence: readSequence(payload, 5) };
    case HISTORY: {
      const publications = [];
      for (let at = 17; at < payload.length; ) {
        const dataEnd = at + 17 + readUint32(payload, at + 13);
        publications.push({
          sequence: readSequence(payload, at),
          timeMs: readSequence(payload, at + 6),
          kind: payload[at + 12]!,
          data: payload.toString('utf8', at + 17, dataEnd),
        });
        at = dataEnd;
      }
      const rest = payload[16]!;
      const gap = readSequence(payload, 10);
      return { ...told, request: readUint32(payload, 0), sequence: readSequence(payload, 4), gap, rest, publications };
    }
    default:
      return told;
  }
}
