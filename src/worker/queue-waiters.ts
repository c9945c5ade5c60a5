/**
 * The classic queue at its clients' end: who waits on which channel for one message, and the hand-out of a message to all
 * of them. A connection is here exactly while it is in PHASE_WAITING, and, until the kernel has taken its message, in
 * PHASE_SENDING.
 */

import { SEND_BYTES_MAX, SEND_TIMEOUT_MS } from '../limits.js';
import { SEND_DONE, SEND_PENDING } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import type { ClassicTransport } from '../transports/classic.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_JSONP, PHASE_DONE, PHASE_SENDING, PHASE_WAITING } from './connections.js';
import { HandOuts } from './hand-outs.js';
import type { Identities } from './identities.js';
import { ADDED_FIRST, NONE, type Subscriptions } from './subscriptions.js';

/** What the manager is told of the queue. */
export interface QueueReports {
  /** `bytes[start..end)` is the name of a channel that has its first connection waiting. */
  waiting(bytes: Uint8Array, start: number, end: number): void;
  /** … and of one whose last connection has gone. */
  notWaiting(bytes: Uint8Array, start: number, end: number): void;
  delivered(sequence: number, receivers: number): void;
}

export class QueueWaiters {
  readonly #buffers: SendBuffers;
  readonly #connections: Connections;
  readonly #subscriptions: Subscriptions;
  readonly #control: ConnectionControl;
  readonly #identities: Identities;
  readonly #classic: ClassicTransport;
  readonly #reports: QueueReports;
  readonly #handOuts: HandOuts;
  readonly #name = new Uint8Array(256);
  messagesSent = 0;

  constructor(parts: {
    buffers: SendBuffers;
    connections: Connections;
    subscriptions: Subscriptions;
    control: ConnectionControl;
    identities: Identities;
    classic: ClassicTransport;
    reports: QueueReports;
  }) {
    this.#buffers = parts.buffers;
    this.#connections = parts.connections;
    this.#subscriptions = parts.subscriptions;
    this.#control = parts.control;
    this.#identities = parts.identities;
    this.#classic = parts.classic;
    this.#reports = parts.reports;
    this.#handOuts = new HandOuts((sequence, receivers) => this.#reports.delivered(sequence, receivers));
  }

  /** Connections that wait. */
  get size(): number {
    return this.#subscriptions.size;
  }

  /** Messages that are half-written to some connection. */
  get sending(): number {
    return this.#handOuts.open;
  }

  /** The request that `classic` has just read waits for its message. */
  wait(connection: number): void {
    const { id, idLength, callback, callbackLength } = this.#classic;
    this.#connections.phase[connection] = PHASE_WAITING;
    this.#control.unschedule(connection);
    if (callbackLength > 0) this.#connections.setCallback(connection, callback, 0, callbackLength);
    const added = this.#subscriptions.add(connection, id, 0, idLength);
    if (added === ADDED_FIRST) this.#reports.waiting(id, 0, idLength);
  }

  /** Hands a publication to all connections that wait on its channel, `bytes[nameStart..nameEnd)`. */
  deliver(
    sequence: number,
    kind: number,
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    const subscriptions = this.#subscriptions;
    const channel = subscriptions.find(bytes, nameStart, nameEnd);
    if (channel === NONE) {
      this.#reports.delivered(sequence, 0);
      return;
    }
    const classic = this.#classic;
    const control = this.#control;
    classic.begin(kind, bytes, dataStart, dataEnd);
    const handOut = this.#handOuts.next();
    let receivers = 0;
    let pending = 0;
    for (let connection = subscriptions.first(channel); connection !== NONE; ) {
      const following = subscriptions.next(connection);
      this.#stopWaiting(connection);
      const result = control.sendAnswer(connection, this.#encoded(connection), true);
      if (result === SEND_DONE) {
        receivers++;
        control.finish(connection);
      } else if (result === SEND_PENDING) {
        pending++;
        this.#connections.phase[connection] = PHASE_SENDING;
        this.#connections.handOut[connection] = handOut;
        control.schedule(connection, SEND_TIMEOUT_MS);
      } else {
        control.gone(connection);
      }
      connection = following;
    }
    classic.end();
    this.messagesSent += receivers;
    this.#handOuts.begun(handOut, sequence, receivers, pending);
  }

  /** The pending message of a connection in PHASE_SENDING is with the kernel, whole. */
  sent(connection: number): void {
    const handOut = this.#connections.handOut[connection];
    this.messagesSent++;
    this.#connections.phase[connection] = PHASE_DONE;
    this.#control.finish(connection);
    this.#handOuts.settled(handOut, true);
  }

  /** A connection in PHASE_WAITING or PHASE_SENDING ends. */
  left(connection: number): void {
    if (this.#connections.phase[connection] === PHASE_WAITING) this.#stopWaiting(connection);
    else this.#handOuts.settled(this.#connections.handOut[connection], false);
  }

  /** The manager is gone; another one will not know the publications that are being handed out. */
  managerLost(): void {
    this.#handOuts.forgetVerdicts();
  }

  /** Announces every channel that has somebody waiting. */
  announce(): void {
    this.#subscriptions.forEachChannel((channel) => {
      this.#reports.waiting(this.#name, 0, this.#subscriptions.copyName(channel, this.#name, 0));
    });
  }

  /** Called at a steady pace: decides on messages that slow clients hold up, and bounds the memory that these take. */
  sweep(): void {
    this.#handOuts.sweep();
    // Messages that are not read take too much memory together. Who is cut off loses none: it stays queued.
    const { phase, capacity } = this.#connections;
    for (let connection = 0; connection < capacity && this.#buffers.liveBytes > SEND_BYTES_MAX; connection++) {
      if (phase[connection] === PHASE_SENDING) this.#control.cut(connection, 'memory');
    }
  }

  #stopWaiting(connection: number): void {
    this.#identities.end(connection);
    const subscriptions = this.#subscriptions;
    const channel = subscriptions.channelOf(connection);
    const isLast = subscriptions.first(channel) === connection && subscriptions.next(connection) === NONE;
    const length = isLast ? subscriptions.copyName(channel, this.#name, 0) : 0;
    if (subscriptions.remove(connection, channel)) this.#reports.notWaiting(this.#name, 0, length);
    this.#connections.phase[connection] = PHASE_DONE;
  }

  #encoded(connection: number): number {
    if ((this.#connections.flags[connection] & FLAG_JSONP) === 0) return this.#classic.plain();
    const { callback } = this.#classic;
    return this.#classic.jsonp(this.#connections.copyCallback(connection, callback, 0));
  }
}
