/**
 * The bench's client process: opens long-polls or WebSockets, holds them, and checks every byte of what they receive.
 *
 * It uses the same reactor as MegaComet so that it costs little, and it is the same for every server. It runs only
 * while a request of the bench is being worked on: an idle client takes nothing from the servers.
 *
 * Invariant: `held` counts the connections in state HELD, `finished` those that ended as they should have.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoName } from '../src/linux/errno.js';
import { encodeSocketAddress } from '../src/linux/socket-address.js';
import { raiseDescriptorLimit } from '../src/linux/sockets.js';
import { EpollReactor } from '../src/reactor/epoll.js';
import type { ReactorEvents } from '../src/reactor/reactor.js';
import { SendBuffers } from '../src/reactor/send-buffers.js';
import type { ClientReply, ClientRequest, OpenRequest, Protocol } from './client-protocol.js';

const CAPACITY = 20_000;
const PHASE_TIMEOUT_MS = 60_000;
const TURN_MS = 1;
/** Source addresses: each has some 28,000 ports towards one server port. */
const SOURCES = Array.from({ length: 8 }, (_, i) => encodeSocketAddress(`127.0.1.${i + 1}`, 0));

const FREE = 0;
const CONNECTING = 1;
/** The upgrade was sent, its answer has not come. */
const UPGRADING = 2;
const HELD = 3;
/** A long-poll that has its message: the server has to close it. */
const ANSWERED = 4;

class Client implements ReactorEvents {
  private readonly buffers = new SendBuffers();
  private readonly reactor = new EpollReactor({ capacity: CAPACITY, events: this, buffers: this.buffers });
  private readonly state = new Uint8Array(CAPACITY);
  /** What has come of an answer that is not whole yet. */
  private readonly partial = new Map<number, Buffer>();
  private protocol: Protocol = 'long-poll';
  private channel: string | null = null;
  private nextId = 0;
  private connecting = 0;
  private held = 0;
  private finished = 0;
  private message: string | null = null;
  private failure: string | null = null;

  async handle(request: ClientRequest): Promise<void> {
    switch (request.type) {
      case 'open':
        return this.open(request);
      case 'expect':
        this.reactor.turn(0);
        this.message = request.message;
        this.finished = 0;
        return this.throwFailure();
      case 'receive':
        return this.receive();
      case 'abort':
        return this.abort();
    }
  }

  private async open({ port, protocol, channel, count, acceptQueueMax, connectingMax }: OpenRequest): Promise<void> {
    const target = encodeSocketAddress('127.0.0.1', port);
    const goal = this.held + count;
    this.protocol = protocol;
    this.channel = channel;
    let started = 0;
    await this.runUntil(
      () => this.held === goal,
      () => {
        if (acceptQueueLength(port) >= acceptQueueMax) return;
        while (started < count && this.connecting < connectingMax) {
          const connection = this.reactor.connect(target, SOURCES[started % SOURCES.length]);
          if (connection < 0) throw new Error(`connect failed: ${errnoName(-connection)}`);
          this.state[connection] = CONNECTING;
          this.connecting++;
          started++;
        }
      },
    );
  }

  private async receive(): Promise<void> {
    const goal = this.held;
    await this.runUntil(() => this.finished === goal);
    this.message = null;
  }

  private abort(): void {
    this.reactor.turn(0);
    for (let connection = 0; connection < CAPACITY; connection++) {
      if (this.state[connection] === FREE) continue;
      this.state[connection] = FREE;
      this.reactor.abort(connection);
    }
    this.held = this.connecting = this.nextId = 0;
    this.partial.clear();
    this.throwFailure();
  }

  /** Turns the reactor until `done`; `feed` runs before each turn. Fails after a minute, or with the first failure. */
  private async runUntil(done: () => boolean, feed?: () => void): Promise<void> {
    const deadline = performance.now() + PHASE_TIMEOUT_MS;
    while (!done()) {
      feed?.();
      this.reactor.turn(TURN_MS);
      this.throwFailure();
      if (performance.now() > deadline) {
        throw new Error(`after a minute: ${this.held} connections held, ${this.finished} finished`);
      }
      await nextTurn();
    }
  }

  private throwFailure(): void {
    const failure = this.failure;
    this.failure = null;
    if (failure !== null) throw new Error(failure);
  }

  private fail(connection: number, reason: string): void {
    this.failure ??= `connection ${connection}: ${reason}`;
  }

  connected(connection: number): void {
    this.connecting--;
    const head = this.protocol === 'websocket' ? upgradeHead() : pollHead(this.channel ?? `c${this.nextId++}`);
    const buffer = this.buffers.allocate(head.length);
    this.buffers.bytes(buffer).set(head);
    const result = this.reactor.send(connection, buffer);
    this.buffers.release(buffer);
    if (result < 0) this.fail(connection, `send: ${errnoName(-result)}`);
    else if (this.protocol === 'websocket') this.state[connection] = UPGRADING;
    else this.hold(connection);
  }

  private hold(connection: number): void {
    this.state[connection] = HELD;
    this.held++;
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const earlier = this.partial.get(connection);
    const fresh = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
    const all = earlier === undefined ? fresh : Buffer.concat([earlier, fresh]);
    const verdict = this.judge(connection, all.toString('latin1'));
    if (verdict === 'whole') this.partial.delete(connection);
    else if (verdict === 'partial') this.partial.set(connection, Buffer.from(all));
    else this.fail(connection, verdict);
  }

  /** Advances the state with all the bytes that have come. Returns 'whole', 'partial', or what is wrong. */
  private judge(connection: number, text: string): string {
    switch (this.state[connection]) {
      case UPGRADING:
        if (!text.includes('\r\n\r\n')) return 'partial';
        if (!text.startsWith('HTTP/1.1 101 ')) return `no upgrade: ${text.slice(0, 80)}`;
        this.hold(connection);
        return 'whole';
      case HELD: {
        if (this.message === null) return `unexpected bytes: ${text.slice(0, 80)}`;
        const verdict =
          this.protocol === 'websocket' ? judgeFrame(text, this.message) : judgeResponse(text, this.message);
        if (verdict !== 'whole') return verdict;
        if (this.protocol === 'websocket') {
          this.finished++; // and stays open, held
        } else {
          this.state[connection] = ANSWERED;
        }
        return 'whole';
      }
      default:
        return `bytes after the end: ${text.slice(0, 80)}`;
    }
  }

  closed(connection: number, errno: number): void {
    const state = this.state[connection];
    this.state[connection] = FREE;
    if (state === HELD || state === ANSWERED) this.held--;
    if (state === ANSWERED && errno === 0) {
      this.finished++;
    } else {
      this.fail(connection, `ended too early${errno === 0 ? '' : `: ${errnoName(errno)}`}`);
    }
  }

  sent(): void {}
  accepted(): void {}
  acceptingStopped(): void {}
  acceptingResumed(): void {}
}

function pollHead(id: string): Buffer {
  return Buffer.from(`GET /${id}.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
}

/** The handshake of RFC 6455 section 1.3, with its example key. */
function upgradeHead(): Buffer {
  const fields = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13';
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
  return Buffer.from(`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n${key}\r\n\r\n`);
}

/** A response must be 200 with the message as its body, framed by Content-Length, and announce the close. */
function judgeResponse(text: string, message: string): string {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0 || text.length < end + 4 + message.length) return 'partial';
  const head = text.slice(0, end + 2).toLowerCase();
  const right =
    head.startsWith('http/1.1 200 ') &&
    head.includes(`\r\ncontent-length: ${message.length}\r\n`) &&
    head.includes('\r\nconnection: close\r\n') &&
    text.slice(end + 4) === message;
  return right ? 'whole' : `wrong response: ${text.slice(0, 200)}`;
}

/** One unmasked text frame of less than 126 bytes (RFC 6455 section 5.2). */
function judgeFrame(text: string, message: string): string {
  const frame = `\x81${String.fromCharCode(message.length)}${message}`;
  if (text.length < frame.length && frame.startsWith(text)) return 'partial';
  return text === frame ? 'whole' : `wrong frame: ${text.slice(0, 120)}`;
}

const tcpTable = Buffer.alloc(8192);

/**
 * How many connections wait in the accept queue of 127.0.0.1:port (or of the port on all addresses), from
 * /proc/net/tcp, which lists listening sockets first: their rx_queue is this length. So one short read is enough.
 */
function acceptQueueLength(port: number): number {
  const file = openSync('/proc/net/tcp', 'r');
  const text = tcpTable.toString('latin1', 0, readSync(file, tcpTable));
  closeSync(file);
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const found = text.match(new RegExp(`:${hexPort} 00000000:0000 0A [0-9A-F]{8}:([0-9A-F]{8})`));
  if (found === null) throw new Error(`nothing listens on port ${port}`);
  return Number.parseInt(found[1], 16);
}

raiseDescriptorLimit();
const client = new Client();
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole group; the bench ends its client by disconnecting.
process.on('SIGINT', () => {});
process.on('message', async (request: ClientRequest) => {
  const start = performance.now();
  let reply: ClientReply;
  try {
    await client.handle(request);
    reply = { ok: true, seconds: (performance.now() - start) / 1000 };
  } catch (error) {
    reply = { ok: false, reason: (error as Error).message };
  }
  process.send?.(reply);
});
