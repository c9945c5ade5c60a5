/**
 * The bench's client process: opens connections of one protocol (wires.ts), holds them, and checks what they receive.
 *
 * It uses the same reactor as MegaComet so that it costs little, and it is the same for every server. Between the requests
 * of the bench it looks at its connections only now and then: an idle client takes nothing from the servers.
 *
 * Invariants: `held` counts the connections in states HELD, RECEIVED and ANSWERED, `finished` those that have had the
 * expected message and all that follows from it.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoName } from '../src/linux/errno.js';
import { encodeSocketAddress } from '../src/linux/socket-address.js';
import { raiseDescriptorLimit } from '../src/linux/sockets.js';
import { sendBuffersFor } from '../src/reactor/choose.js';
import { EpollReactor } from '../src/reactor/epoll.js';
import type { ReactorEvents } from '../src/reactor/reactor.js';
import type { ClientReply, ClientRequest, OpenRequest } from './client-protocol.js';
import { AGAIN, MESSAGE, NOTHING, PING, pong, READY, WIRES, type Wire } from './wires.js';

const CAPACITY = 20_000;
const PHASE_TIMEOUT_MS = 60_000;
const TURN_MS = 1;
/** How often it answers pings, asks again and takes heartbeats out of the kernel while the bench wants nothing. */
const IDLE_MS = 200;
/** Source addresses: each has some 28,000 ports towards one server port. */
const SOURCES = Array.from({ length: 8 }, (_, i) => encodeSocketAddress(`127.0.1.${i + 1}`, 0));

const FREE = 0;
const CONNECTING = 1;
/** The request was sent; the server has not said yet that it listens for this connection. */
const OPENING = 2;
const HELD = 3;
/** It has the expected message, and stays. */
const RECEIVED = 4;
/** It has the expected message, and the server has to close it. */
const ANSWERED = 5;

class Client implements ReactorEvents {
  private readonly buffers = sendBuffersFor('epoll');
  private readonly reactor = new EpollReactor({ capacity: CAPACITY, events: this, buffers: this.buffers });
  private readonly state = new Uint8Array(CAPACITY);
  /** What has come of an answer that is not whole yet. */
  private readonly partial = new Map<number, string>();
  /** Number of each connection's channel. */
  private readonly channel = new Int32Array(CAPACITY);
  private wire: Wire = WIRES.classic;
  private channels = 1;
  private next = 0;
  private connecting = 0;
  private held = 0;
  private finished = 0;
  private goal = 0;
  private message: string | null = null;
  private failure: string | null = null;

  async handle(request: ClientRequest): Promise<void> {
    switch (request.type) {
      case 'open':
        return this.open(request);
      case 'expect':
        return this.expect(request.message);
      case 'receive':
        return this.receive();
      case 'abort':
        return this.abort();
    }
  }

  /** Lets what nobody waits for happen: heartbeats, pings, ends. */
  idle(): void {
    this.reactor.turn(0);
  }

  private async open({
    port,
    protocol,
    channels,
    count,
    first,
    acceptQueueMax,
    connectingMax,
  }: OpenRequest): Promise<void> {
    const target = encodeSocketAddress('127.0.0.1', port);
    const goal = this.held + count;
    this.wire = WIRES[protocol];
    this.channels = channels ?? Number.POSITIVE_INFINITY;
    this.next = first ?? this.next;
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

  private expect(message: string): void {
    this.reactor.turn(0);
    this.message = message;
    this.finished = 0;
    this.goal = this.held;
    for (let connection = 0; connection < CAPACITY; connection++) {
      if (this.state[connection] === RECEIVED) this.state[connection] = HELD;
    }
    this.throwFailure();
  }

  private async receive(): Promise<void> {
    await this.runUntil(() => this.finished === this.goal);
    this.message = null;
  }

  private abort(): void {
    this.reactor.turn(0);
    for (let connection = 0; connection < CAPACITY; connection++) {
      if (this.state[connection] === FREE) continue;
      this.state[connection] = FREE;
      this.reactor.abort(connection);
    }
    this.held = this.connecting = this.next = 0;
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
    this.channel[connection] = this.next++ % this.channels;
    this.send(connection, this.wire.request(this.channelOf(connection), null));
    if (this.wire.greets) this.state[connection] = OPENING;
    else this.hold(connection);
  }

  private hold(connection: number): void {
    this.state[connection] = HELD;
    this.held++;
  }

  private channelOf(connection: number): string {
    return `c${this.channel[connection]}`;
  }

  private send(connection: number, text: string): void {
    const buffer = this.buffers.allocate(text.length);
    this.buffers.bytes(buffer).set(Buffer.from(text, 'latin1'));
    const result = this.reactor.send(connection, buffer);
    this.buffers.release(buffer);
    if (result < 0) this.fail(connection, `send: ${errnoName(-result)}`);
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const fresh = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    const elements = this.wire.split((this.partial.get(connection) ?? '') + fresh);
    const rest = elements.pop()!;
    if (rest !== '') this.partial.set(connection, rest);
    else this.partial.delete(connection);
    for (const element of elements) this.take(connection, element);
  }

  private take(connection: number, element: string): void {
    const state = this.state[connection];
    const verdict = this.wire.judge(element, this.channelOf(connection), this.message);
    if (verdict === READY && state === OPENING) this.hold(connection);
    else if (verdict === MESSAGE && state === HELD) this.takeMessage(connection, element);
    else if (verdict === PING) this.send(connection, pong(element));
    else if (verdict === AGAIN) this.send(connection, this.wire.request(this.channelOf(connection), element));
    else if (verdict === MESSAGE) this.fail(connection, 'the message came twice');
    else if (verdict !== NOTHING && verdict !== READY) this.fail(connection, verdict);
  }

  private takeMessage(connection: number, element: string): void {
    if (this.wire.afterMessage === 'closed') {
      this.state[connection] = ANSWERED;
      return;
    }
    this.state[connection] = RECEIVED;
    this.finished++;
    if (this.wire.afterMessage === 'asks again') {
      this.send(connection, this.wire.request(this.channelOf(connection), element));
    }
  }

  closed(connection: number, errno: number): void {
    const state = this.state[connection];
    this.state[connection] = FREE;
    this.partial.delete(connection);
    if (state >= HELD) this.held--;
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
setInterval(() => client.idle(), IDLE_MS);
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
