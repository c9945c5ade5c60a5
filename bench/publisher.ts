/** The two ends of bench/publish.ts: who publishes through the HTTP API, and who reads all of it. Both cost little. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { splitAnswers } from './wires.js';

const CATCH_UP_MS = 30_000;

export interface PublisherOptions {
  /** Kept alive; each has one request under way. */
  connections: number;
  /** c0, c1 … are published to in turn. */
  channels: number;
  /** Publications in a request. */
  batch: number;
  messageBytes: number;
}

export class Publisher {
  private readonly connections: Connection[];
  /** Ready-made, sent in turn. */
  private readonly requests: Buffer[];
  private readonly batch: number;
  private next = 0;

  /** @param api base address of the HTTP API */
  static async open(api: string, options: PublisherOptions): Promise<Publisher> {
    const { hostname, port } = new URL(api);
    const sockets = Array.from({ length: options.connections }, () => connect(Number(port), hostname));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    return new Publisher(sockets, options);
  }

  private constructor(sockets: Socket[], { channels, batch, messageBytes }: PublisherOptions) {
    this.connections = sockets.map((socket) => new Connection(socket));
    this.batch = batch;
    const data = 'x'.repeat(messageBytes);
    this.requests = Array.from({ length: channels }, (_, first) => {
      const publications = Array.from({ length: batch }, (_, n) => ({
        channel: `c${(first * batch + n) % channels}`,
        data,
      }));
      const body = JSON.stringify(publications);
      const fields = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
      return Buffer.from(`POST /v1/publish HTTP/1.1\r\n${fields}\r\n\r\n${body}`);
    });
  }

  /** Publishes for so long, until the last answer. Returns how many. */
  async run(seconds: number): Promise<number> {
    const deadline = performance.now() + seconds * 1000;
    let published = 0;
    await Promise.all(
      this.connections.map(async (connection) => {
        while (performance.now() < deadline) {
          const answer = await connection.ask(this.requests[this.next++ % this.requests.length]);
          if (!answer.startsWith('HTTP/1.1 200 ') || occurrences(answer, '"cursor":') !== this.batch) {
            throw new Error(`publish: ${answer.slice(0, 400)}`);
          }
          published += this.batch;
        }
      }),
    );
    return published;
  }

  end(): void {
    for (const connection of this.connections) connection.end();
  }
}

/** A connection with one request under way at a time. */
class Connection {
  private readonly socket: Socket;
  private text = '';
  private answered: ((answer: string) => void) | null = null;
  private failed: ((error: Error) => void) | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      const answers = splitAnswers(this.text + chunk);
      this.text = answers.pop()!;
      for (const answer of answers) this.answered?.(answer);
    });
    socket.on('error', (error) => this.failed?.(error));
    socket.on('close', () => this.failed?.(new Error('publish: the server has closed the connection')));
  }

  ask(request: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      this.answered = resolve;
      this.failed = reject;
      this.socket.write(request);
    });
  }

  end(): void {
    this.socket.destroy();
  }
}

function occurrences(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}

const BLOCK_END = Buffer.from('\n\n');
const DATA = Buffer.from('\ndata: {"channel":');

/** One event stream on all channels, which counts publications. */
export class Reader {
  private readonly socket: Socket;
  private count = 0;
  private rest: Buffer = Buffer.alloc(0);
  private failure: string | null = null;
  private live = false;

  static async open(port: number, channels: number): Promise<Reader> {
    const names = Array.from({ length: channels }, (_, n) => `channel=c${n}`).join('&');
    const reader = new Reader(port, names);
    await reader.waitFor('the stream to be live', () => reader.live);
    return reader;
  }

  private constructor(port: number, query: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', (error) => (this.failure ??= error.message));
    this.socket.on('close', () => (this.failure ??= 'the server has closed the stream'));
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.write(`GET /v1/sse?${query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  }

  /** Resolves when so many publications have come since the start. */
  until(count: number): Promise<void> {
    return this.waitFor(`${count} publications`, () => {
      if (this.count > count) this.failure ??= `${this.count} publications instead of ${count}`;
      return this.count === count;
    });
  }

  end(): void {
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let from = 0;
    for (let end: number; (end = bytes.indexOf(BLOCK_END, from)) >= 0; from = end + 2) {
      const data = bytes.indexOf(DATA, from);
      if (data >= 0 && data < end) this.count++;
      else this.takeOther(bytes.toString('latin1', from, end));
    }
    this.rest = bytes.subarray(from);
  }

  private takeOther(block: string): void {
    if (block.startsWith('event: gap')) this.failure ??= `a gap: ${block}`;
    else if (block.startsWith('HTTP/') && !block.startsWith('HTTP/1.1 200 ')) this.failure ??= block.slice(0, 80);
    else if (block.startsWith('event: subscribed')) this.live = true;
  }

  private async waitFor(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + CATCH_UP_MS;
    while (!condition()) {
      if (this.failure !== null) throw new Error(`reader: ${this.failure}, after ${this.count} publications`);
      if (performance.now() > deadline) throw new Error(`reader: waited in vain for ${what}, has ${this.count}`);
      await sleep(10);
    }
  }
}
