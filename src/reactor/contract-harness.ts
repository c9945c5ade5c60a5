/**
 * What the contract suite drives a reactor with: a recorder of events that also checks, in every test, that events come in
 * an order that the contract allows; and peers, which are ordinary sockets of Node in the same process.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as yieldToNode } from 'node:timers/promises';
import { ffiProblem } from '../linux/ffi.js';
import { sendBuffersFor } from './choose.js';
import type { ClientSource, Reactor, ReactorEvents } from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

export type MakeReactor = (options: { capacity: number; events: ReactorEvents; buffers: SendBuffers }) => Reactor;

/** An event as the recorder keeps it: name, connection or errno, and what else was told. */
export type RecordedEvent = [name: keyof ReactorEvents, subject: number, detail?: number | string];

/** Null where there are no system calls. */
const sockets = ffiProblem === null ? await import('../linux/sockets.js') : null;

/** No expectation of a test takes longer on a busy machine. */
const PATIENCE_MS = 10_000;

export class Harness implements ReactorEvents {
  readonly buffers: SendBuffers;
  readonly reactor: Reactor;
  readonly recorded: RecordedEvent[] = [];
  /** What a test does inside an event, after it was recorded. */
  readonly on: Partial<ReactorEvents> = {};
  /** Connections that are established and have not ended, as far as was told. */
  readonly live = new Set<number>();
  /** Connections that `connect` returned and of which nothing was told yet. */
  readonly connecting = new Set<number>();
  readonly #peers: Peer[] = [];
  readonly #fromSources: boolean;
  readonly #sources: ServerSource[] = [];
  #accepting = true;

  /** @param fromSources the reactor is given sources of clients instead of listening sockets */
  constructor(makeReactor: MakeReactor, capacity = 4096, buffers = sendBuffersFor('epoll'), fromSources = false) {
    this.#fromSources = fromSources;
    this.buffers = buffers;
    this.reactor = makeReactor({ capacity, events: this, buffers: this.buffers });
  }

  accepted(connection: number, listener: number): void {
    assert(connection >= 0 && connection < this.reactor.capacity, `connection ${connection} is outside the capacity`);
    assert(!this.live.has(connection) && !this.connecting.has(connection), `slot ${connection} is in use`);
    this.live.add(connection);
    this.recorded.push(['accepted', connection, listener]);
    this.on.accepted?.(connection, listener);
  }

  connected(connection: number): void {
    assert(this.connecting.delete(connection), `nobody asked for connection ${connection}`);
    this.live.add(connection);
    this.recorded.push(['connected', connection]);
    this.on.connected?.(connection);
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    assert(this.live.has(connection), `bytes for connection ${connection}, which is not live`);
    assert(end > start, 'no bytes were received');
    this.recorded.push(['received', connection, Buffer.from(bytes.subarray(start, end)).toString('latin1')]);
    this.on.received?.(connection, bytes, start, end);
  }

  sent(connection: number): void {
    assert(this.live.has(connection), `connection ${connection} is not live`);
    assert.equal(this.reactor.pendingBytes(connection), 0);
    this.recorded.push(['sent', connection]);
    this.on.sent?.(connection);
  }

  closed(connection: number, errno: number): void {
    assert(this.live.delete(connection) || this.connecting.delete(connection), `${connection} had ended before`);
    this.recorded.push(['closed', connection, errno]);
    this.on.closed?.(connection, errno);
  }

  acceptingStopped(errno: number): void {
    assert(this.#accepting, 'acceptingStopped was reported twice');
    this.#accepting = false;
    this.recorded.push(['acceptingStopped', errno]);
    this.on.acceptingStopped?.(errno);
  }

  acceptingResumed(): void {
    assert(!this.#accepting, 'acceptingResumed without acceptingStopped');
    this.#accepting = true;
    this.recorded.push(['acceptingResumed', 0]);
    this.on.acceptingResumed?.();
  }

  /** Events of one name, oldest first. */
  named(name: keyof ReactorEvents): RecordedEvent[] {
    return this.recorded.filter((event) => event[0] === name);
  }

  /** All bytes that a connection has received. */
  bytesOf(connection: number): string {
    return this.named('received')
      .filter((event) => event[1] === connection)
      .map((event) => event[2])
      .join('');
  }

  /** Opens a listener and gives it to the reactor. @returns its port */
  async listen(host = '127.0.0.1'): Promise<number> {
    if (sockets !== null && !this.#fromSources) {
      const { fd, port } = sockets.openListener({ host, port: 0 });
      this.reactor.listen(fd);
      return port;
    }
    const source = new ServerSource();
    this.#sources.push(source);
    const port = await source.listen(host);
    this.reactor.listen(source);
    return port;
  }

  connect(target: Uint8Array, source: Uint8Array | null = null): number {
    const connection = this.reactor.connect(target, source);
    if (connection >= 0) {
      assert(!this.live.has(connection), `slot ${connection} is in use`);
      this.connecting.add(connection);
    }
    return connection;
  }

  adopt(fd: number): number {
    const connection = this.reactor.adopt(fd);
    assert(connection >= 0);
    this.live.add(connection);
    return connection;
  }

  /** Sends a text or bytes; the caller's reference is given back at once. */
  send(connection: number, data: string | Uint8Array): number {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const buffer = this.buffers.copyOf(bytes);
    const result = this.reactor.send(connection, buffer);
    this.buffers.release(buffer);
    if (result < 0) this.live.delete(connection);
    return result;
  }

  /** Sends a text or bytes to many. @returns the results, of which `done` are SEND_DONE */
  sendAll(connections: readonly number[], data: string | Uint8Array): { done: number; results: number[] } {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const buffer = this.buffers.copyOf(bytes);
    const results = new Int32Array(connections.length);
    const done = this.reactor.sendAll(Int32Array.from(connections), connections.length, buffer, results);
    this.buffers.release(buffer);
    for (const [i, connection] of connections.entries()) if (results[i] < 0) this.live.delete(connection);
    return { done, results: [...results] };
  }

  close(connection: number): void {
    this.live.delete(connection);
    this.reactor.close(connection);
  }

  abort(connection: number): void {
    this.live.delete(connection);
    this.reactor.abort(connection);
  }

  /** Runs turns, and Node's loop between them, until a condition holds. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + PATIENCE_MS;
    while (!holds()) {
      if (performance.now() > deadlineMs) {
        assert.fail(`waited in vain until ${what}; the last events: ${JSON.stringify(this.recorded.slice(-20))}`);
      }
      await this.turn(2);
      await yieldToNode();
    }
  }

  /** A turn, after the wait of a reactor that does not wait in it. @returns how many events there were */
  async turn(timeoutMs: number): Promise<number> {
    await this.reactor.wait?.(timeoutMs);
    return this.reactor.turn(timeoutMs);
  }

  /** Runs some turns in which nothing that is forbidden may happen. */
  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) {
      await this.turn(2);
      await yieldToNode();
    }
  }

  /** A client of the reactor that is connected, as far as the kernel is concerned. */
  async peer(port: number): Promise<Peer> {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.pause();
    const peer = this.peerOf(socket);
    await this.until('a peer is connected', () => !socket.connecting);
    return peer;
  }

  /** A client and the reactor's side of it. */
  async pair(port: number): Promise<{ peer: Peer; connection: number }> {
    const before = this.named('accepted').length;
    const peer = await this.peer(port);
    await this.until('a client is accepted', () => this.named('accepted').length > before);
    return { peer, connection: this.named('accepted')[before][1] };
  }

  peerOf(socket: net.Socket): Peer {
    const peer = new Peer(socket);
    this.#peers.push(peer);
    return peer;
  }

  destroy(): void {
    this.reactor.destroy();
    for (const { socket } of this.#peers) socket.destroy();
    for (const source of this.#sources) source.close();
  }
}

/** Runs Node's loop alone until a condition holds. */
export async function nodeUntil(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadlineMs) assert.fail(`waited in vain until ${what}`);
    await yieldToNode();
  }
}

/** Clients that Node has accepted in this process. Those that are given back wait until others are wanted. */
class ServerSource implements ClientSource {
  readonly #server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#offer(socket));
  readonly #waiting: net.Socket[] = [];
  #accepting = false;
  #take: Parameters<ClientSource['open']>[0] | null = null;

  async listen(host: string): Promise<number> {
    this.#server.listen(0, host);
    await once(this.#server, 'listening');
    return (this.#server.address() as net.AddressInfo).port;
  }

  open(take: Parameters<ClientSource['open']>[0]): void {
    this.#take = take;
  }

  setAccepting(accepting: boolean): void {
    this.#accepting = accepting;
    // Not from inside a call of the reactor, as any other source would not.
    if (accepting) setImmediate(() => this.#offerAll());
  }

  close(): void {
    if (this.#server.listening) this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
  }

  #offerAll(): void {
    for (const socket of this.#waiting.splice(0)) this.#offer(socket);
  }

  #offer(socket: net.Socket): void {
    if (!this.#accepting) this.#waiting.push(socket);
    else this.#take!(socket, (taken) => void (taken || this.#waiting.push(socket)));
  }
}

/** The other end of a connection. It begins to read with `read`. */
export class Peer {
  readonly socket: net.Socket;
  readonly #chunks: Buffer[] = [];
  byteLength = 0;
  /** The end of stream has been read. */
  ended = false;
  /** Code of the error that ended it, 'ECONNRESET' for instance. */
  error: string | undefined;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code;
    });
  }

  read(): this {
    this.socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.byteLength += chunk.length;
    });
    this.socket.resume();
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
