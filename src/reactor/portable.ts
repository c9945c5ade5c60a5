/**
 * The reactor over Node's `net`: for macOS and Windows, and where a process may not call the kernel itself. It keeps the
 * contract and not the price: each connection is a net.Socket and what that drags along, some kilobytes.
 *
 * What Node reports is queued and delivered by `turn`; `wait` resolves when there is something. A connection's slot is
 * released when its end is delivered or when its user ends it, and what was queued for it until then is dropped: an event is
 * for whom it was queued, or for nobody. Its listeners are shared functions that find the connection by the socket.
 *
 * Node writes at once what the kernel takes at once, so that a send is mostly SEND_DONE here too. A longer buffer is handed
 * over piece by piece, which shows how far a slow peer has read. While Node holds a piece, the buffer has a reference for it,
 * until Node calls back, even if the connection has ended: an overlapped write of Windows reads the memory until then.
 *
 * Invariants: #connections[c] is null exactly while the slot is free; a connection's `pending` is set from SEND_PENDING until
 * `sent`, and its `bytes` are 0 from when the kernel has all of them.
 */

import assert from 'node:assert/strict';
import { connect, Socket } from 'node:net';
import { setImmediate as yieldToNode } from 'node:timers/promises';
import { ECONNABORTED, ECONNRESET, EMFILE, errnoOf } from '../linux/errno.js';
import { decodeSocketAddress, encodeSocketAddress } from '../linux/socket-address.js';
import { PortableListeners } from './portable-listeners.js';
import {
  type ClientSource,
  PEER_BYTES,
  type Reactor,
  type ReactorEvents,
  type ReactorOptions,
  SEND_DONE,
  SEND_PENDING,
  sendToEach,
} from './reactor.js';
import type { SendBuffers } from './send-buffers.js';

/** A buffer is handed to Node in pieces of so many bytes. */
const PIECE_BYTES = 16384;
/** Received bytes that wait for `turn`; above it who brings more is not read before the next one. */
const QUEUED_BYTES_MAX = 1 << 20;

const CONNECTED = 0;
const RECEIVED = 1;
const SENT = 2;
const CLOSED = 3;

/** What `turn` delivers, in the order in which it happened. */
interface QueuedEvent {
  kind: typeof CONNECTED | typeof RECEIVED | typeof SENT | typeof CLOSED;
  connection: Connection;
  /** Of RECEIVED. */
  bytes: Uint8Array | null;
  /** Of CLOSED. */
  errno: number;
}

/** Sends that are not all with the kernel. */
interface Pending {
  /** Handles, each with a reference; the first `head` of them are sent and released. */
  readonly handles: number[];
  head: number;
  /** Bytes of the handle at `head` that were handed to Node, and how many of these it still holds. */
  offset: number;
  held: number;
  /** Bytes of all of them that the kernel has not taken. */
  bytes: number;
}

interface Connection {
  readonly slot: number;
  readonly socket: ConnectionSocket;
  connecting: boolean;
  /** `shutdown` was called. */
  shut: boolean;
  /** The end of stream came while a send was pending. */
  readEnded: boolean;
  pending: Pending | null;
}

/** A listener finds its connection by the socket that it is called on, so none needs a closure. */
interface ConnectionSocket extends Socket {
  reactor: PortableReactor;
  connection: Connection;
}

export class PortableReactor implements Reactor {
  readonly name = 'portable';
  readonly unfinished = false;
  readonly capacity: number;

  peerAddresses = false;
  readonly peer = new Uint8Array(PEER_BYTES);

  readonly #events: ReactorEvents;
  readonly #buffers: SendBuffers;
  readonly #connections: (Connection | null)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #listeners: PortableListeners;
  #open = 0;

  #queue: QueuedEvent[] = [];
  #queuedBytes = 0;
  /** Sockets that are not read before the queue has been delivered. */
  #heldBack: Socket[] = [];
  /** Ends the wait that is under way. */
  #wake: (() => void) | null = null;
  #inTurn = false;
  #destroyed = false;

  constructor({ capacity, events, buffers }: ReactorOptions) {
    this.capacity = capacity;
    this.#events = events;
    this.#buffers = buffers;
    this.#listeners = new PortableListeners(events, {
      isFull: () => this.#open >= capacity,
      take: (socket) => this.#takeAccepted(socket),
      wake: () => this.#wake?.(),
    });
  }

  get open(): number {
    return this.#open;
  }

  listen(listener: number | ClientSource): number {
    return this.#listeners.add(listener);
  }

  pauseAccepting(): void {
    this.#listeners.pause();
  }

  resumeAccepting(): void {
    this.#listeners.resume();
  }

  stopListening(): void {
    this.#listeners.destroy();
  }

  connect(target: Uint8Array, source: Uint8Array | null): number {
    if (this.#open >= this.capacity) return -EMFILE;
    const to = decodeSocketAddress(target);
    if ('path' in to) return this.#take(connect({ path: to.path, allowHalfOpen: true }), true).slot;
    const from = source === null ? null : decodeSocketAddress(source);
    assert(from === null || 'host' in from, 'a TCP socket has a TCP source');
    const options = { ...to, ...(from !== null && { localAddress: from.host, localPort: from.port }) };
    return this.#take(connect({ ...options, allowHalfOpen: true, noDelay: true }), true).slot;
  }

  /** The descriptor is Node's from now on. */
  adopt(fd: number): number {
    if (this.#open >= this.capacity) return -EMFILE;
    return this.#take(new Socket({ fd, allowHalfOpen: true }), false).slot;
  }

  send(slot: number, buffer: number): number {
    const connection = this.#connections[slot];
    if (!connection || connection.connecting || connection.shut) throw misuse('send', slot);
    const { pending, socket } = connection;
    if (socket.destroyed) return this.#broken(connection);
    const length = this.#buffers.length(buffer);
    if (pending !== null) {
      this.#buffers.retain(buffer);
      pending.handles.push(buffer);
      pending.bytes += length;
      if (pending.held === 0) this.#flush(connection, pending);
      return SEND_PENDING;
    }
    let offset = 0;
    let held = 0;
    while (held === 0 && offset < length) {
      const end = Math.min(offset + PIECE_BYTES, length);
      held = this.#hand(connection, buffer, offset, end);
      if (socket.errored !== null) return this.#broken(connection);
      offset = end;
    }
    if (held === 0) return SEND_DONE;
    this.#buffers.retain(buffer);
    connection.pending = { handles: [buffer], head: 0, offset, held, bytes: held + length - offset };
    return SEND_PENDING;
  }

  sendAll(connections: Int32Array, count: number, buffer: number, results: Int32Array): number {
    return sendToEach(this, connections, count, buffer, results);
  }

  pendingBytes(slot: number): number {
    return this.#connections[slot]?.pending?.bytes ?? 0;
  }

  shutdown(slot: number): void {
    const connection = this.#connections[slot];
    if (!connection || connection.connecting) throw misuse('shutdown', slot);
    if (connection.shut) return;
    connection.shut = true;
    if (connection.pending === null) connection.socket.end();
  }

  close(slot: number): void {
    const connection = this.#connections[slot];
    if (!connection) throw misuse('close', slot);
    this.#release(connection);
    connection.socket.destroy();
  }

  abort(slot: number): void {
    const connection = this.#connections[slot];
    if (!connection) throw misuse('abort', slot);
    this.#release(connection);
    // Only TCP has a reset, and only what is established.
    if (connection.connecting || connection.socket.remoteAddress === undefined) connection.socket.destroy();
    else connection.socket.resetAndDestroy();
  }

  turn(_timeoutMs: number): number {
    assert(!this.#inTurn && !this.#destroyed, 'turn inside a turn, or after destroy');
    this.#inTurn = true;
    const queue = this.#queue;
    const heldBack = this.#heldBack;
    this.#queue = [];
    this.#heldBack = [];
    this.#queuedBytes = 0;
    try {
      let count = this.#listeners.accept();
      for (const event of queue) {
        if (this.#destroyed) break;
        if (this.#connections[event.connection.slot] !== event.connection) continue;
        count++;
        this.#deliver(event);
      }
      for (const socket of heldBack) socket.resume();
      return count;
    } finally {
      this.#inTurn = false;
    }
  }

  async wait(timeoutMs: number): Promise<void> {
    if (this.#queue.length === 0 && !this.#listeners.ready && timeoutMs > 0) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, timeoutMs);
      });
      clearTimeout(timer);
      this.#wake = null;
    }
    // Whatever else this pass of Node's loop brings, and the next one: there comes an end of stream that is right behind.
    await yieldToNode();
    if (this.#queue.length > 0) await yieldToNode();
  }

  destroy(): void {
    assert(!this.#destroyed, 'destroyed twice');
    this.#destroyed = true;
    this.#listeners.destroy();
    for (const connection of this.#connections) {
      if (connection === null) continue;
      this.#release(connection);
      connection.socket.destroy();
    }
    this.#wake?.();
  }

  /** For the sockets' listeners. */
  happened(kind: QueuedEvent['kind'], connection: Connection, bytes: Uint8Array | null, errno: number): void {
    if (this.#connections[connection.slot] !== connection) return;
    this.#queue.push({ kind, connection, bytes, errno });
    if (bytes !== null) {
      this.#queuedBytes += bytes.length;
      if (this.#queuedBytes > QUEUED_BYTES_MAX) {
        connection.socket.pause();
        this.#heldBack.push(connection.socket);
      }
    }
    this.#wake?.();
  }

  #deliver({ kind, connection, bytes, errno }: QueuedEvent): void {
    const { slot, socket } = connection;
    switch (kind) {
      case CONNECTED:
        connection.connecting = false;
        this.#events.connected(slot);
        return;
      case RECEIVED:
        this.#events.received(slot, bytes!, 0, bytes!.length);
        return;
      case SENT:
        // Something was sent since, and is pending.
        if (connection.pending!.bytes > 0) return;
        connection.pending = null;
        if (connection.shut) socket.end();
        if (connection.readEnded) this.happened(CLOSED, connection, null, 0);
        this.#events.sent(slot);
        return;
      case CLOSED:
        connection.readEnded = errno === 0 && connection.pending !== null;
        if (connection.readEnded) return;
        this.#release(connection);
        socket.destroy();
        this.#events.closed(slot, errno);
    }
  }

  #takeAccepted(socket: Socket): number {
    this.peer.fill(0);
    // One that has gone since has none any more.
    const { remoteAddress, remotePort } = socket;
    if (this.peerAddresses && remoteAddress !== undefined) {
      this.peer.set(encodeSocketAddress(remoteAddress.replace(/%.*/, ''), remotePort!));
    }
    return this.#take(socket, false).slot;
  }

  #take(accepted: Socket, connecting: boolean): Connection {
    const socket = accepted as ConnectionSocket;
    const slot = this.#freeSlots.pop() ?? this.#connections.length;
    const connection = { slot, socket, connecting, shut: false, readEnded: false, pending: null };
    this.#connections[slot] = connection;
    this.#open++;
    socket.reactor = this;
    socket.connection = connection;
    // One that came with an open descriptor was made for whoever has not heard of half-open connections.
    socket.allowHalfOpen = true;
    if (connecting) socket.once('connect', onConnect);
    socket.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
    socket.resume();
    return connection;
  }

  /**
   * Hands a piece to Node.
   *
   * @returns how many bytes of it Node keeps, because the kernel has not taken them at once: none or all
   */
  #hand(connection: Connection, buffer: number, start: number, end: number): number {
    const { socket } = connection;
    const piece = this.#buffers.bytes(buffer).subarray(start, end);
    let held = 0;
    socket.write(piece, () => {
      if (held === 0) return;
      this.#buffers.release(buffer);
      this.#written(connection);
    });
    if (socket.errored === null) held = socket.writableLength;
    if (held > 0) this.#buffers.retain(buffer);
    return held;
  }

  /** The kernel has the piece that Node held, or never will. */
  #written(connection: Connection): void {
    const { pending, socket } = connection;
    if (pending === null || socket.destroyed || this.#connections[connection.slot] !== connection) return;
    pending.bytes -= pending.held;
    pending.held = 0;
    this.#flush(connection, pending);
  }

  /** Hands over what there is, until the kernel does not take it at once. */
  #flush(connection: Connection, pending: Pending): void {
    const buffers = this.#buffers;
    for (;;) {
      const handle = pending.handles[pending.head];
      const length = buffers.length(handle);
      if (pending.offset === length) {
        buffers.release(handle);
        pending.head++;
        pending.offset = 0;
        if (pending.head < pending.handles.length) continue;
        pending.handles.length = pending.head = 0;
        this.happened(SENT, connection, null, 0);
        return;
      }
      const end = Math.min(pending.offset + PIECE_BYTES, length);
      pending.held = this.#hand(connection, handle, pending.offset, end);
      // 'error' follows.
      if (connection.socket.errored !== null) return;
      pending.bytes -= end - pending.offset - pending.held;
      pending.offset = end;
      if (pending.held > 0) return;
    }
  }

  /** A send has found out. @returns -errno */
  #broken(connection: Connection): number {
    const { socket } = connection;
    const errno = socket.errored === null ? ECONNRESET : errnoOf(socket.errored);
    this.#release(connection);
    socket.destroy();
    return -errno;
  }

  #release(connection: Connection): void {
    const { slot, pending } = connection;
    this.#connections[slot] = null;
    this.#freeSlots.push(slot);
    this.#open--;
    if (pending !== null) for (const handle of pending.handles.slice(pending.head)) this.#buffers.release(handle);
    connection.pending = null;
    this.#listeners.connectionEnded();
  }
}

function onConnect(this: Socket): void {
  const { reactor, connection } = this as ConnectionSocket;
  reactor.happened(CONNECTED, connection, null, 0);
}

function onData(this: Socket, bytes: Buffer): void {
  const { reactor, connection } = this as ConnectionSocket;
  reactor.happened(RECEIVED, connection, bytes, 0);
}

function onEnd(this: Socket): void {
  const { reactor, connection } = this as ConnectionSocket;
  reactor.happened(CLOSED, connection, null, 0);
}

function onError(this: Socket, error: Error): void {
  const { reactor, connection } = this as ConnectionSocket;
  reactor.happened(CLOSED, connection, null, errnoOf(error));
}

/** After an error or an end it is only the last of them; alone it says that Node has given the socket up. */
function onClose(this: Socket): void {
  const { reactor, connection } = this as ConnectionSocket;
  reactor.happened(CLOSED, connection, null, ECONNABORTED);
}

function misuse(method: string, slot: number): Error {
  return new Error(`${method} on connection ${slot}, which is not in a state for it: a bug of the caller`);
}
