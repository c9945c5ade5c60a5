/**
 * The worker's end of the link: dials the manager, says HELLO and what is waiting and subscribed, and from then on reports
 * every change in batches. While there is no manager nothing is recorded: the next HELLO is followed by the whole truth. The
 * link is a connection of the worker's reactor like any client's, since the worker blocks in that reactor.
 */

import { join } from 'node:path';
import { LINK_BATCH_BYTES, LINK_BATCH_MS, LINK_MUCH_BYTES, LINK_PENDING_BYTES_MAX } from '../limits.js';
import type { ClientChanges } from '../link/client-changes.js';
import { FrameReader, readJson, readSequence, readUint32 } from '../link/frame-reader.js';
import { FrameWriter } from '../link/frame-writer.js';
import {
  ADDRESSES,
  type AddressCounts,
  ANSWER,
  ASK,
  DELIVER,
  ELSEWHERE,
  EVENTS,
  FAN_OUT,
  GAP,
  GRANTED,
  HELLO,
  HELLO_END,
  type Hello,
  HISTORY,
  KEY_UNKNOWN,
  LISTENERS_SENT,
  NOT_WAITING,
  POLICY,
  POSITION,
  PUBLISHED,
  SEND_LISTENERS,
  STATS,
  STOP,
  SUBSCRIBED,
  type Tokens,
  UNSUBSCRIBED,
  WAITING,
  WANTED,
  WELCOME,
} from '../link/frames.js';
import type { ClientPolicy } from '../link/policy.js';
import type { WorkerStats } from '../link/stats.js';
import { encodeUnixAddress } from '../linux/socket-address.js';
import { endpoint } from '../platform/endpoint.js';
import type { Reactor } from '../reactor/reactor.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import type { AccessReports } from './access.js';
import type { CatchUps } from './catch-ups.js';
import type { CachedPublication } from './history.js';
import type { PublishReports } from './posts.js';
import type { QueueReports, QueueWaiters } from './queue-waiters.js';
import type { StreamReports, Streams } from './streams.js';

const SEQUENCE_BYTES = 6;
const NO_CONNECTION = -1;

/** Some 30 bytes each. */
const ADDRESSES_PER_FRAME = 10_000;

/** What the link asks of its worker. */
export interface LinkOrders {
  hello(): Hello;
  /** Report every channel that has somebody waiting or subscribed. */
  announce(): void;
  deliver: QueueWaiters['deliver'];
  welcome: Streams['welcome'];
  policy(policy: ClientPolicy): void;
  /** So many more clients may be accepted. */
  granted(tokens: number): void;
  /** What other workers have of some addresses. */
  elsewhere(counts: AddressCounts): void;
  fanOut: Streams['fanOut'];
  history: CatchUps['history'];
  gap: Streams['gap'];
  position(sequence: number): void;
  published(request: number, result: number, sequence: number): void;
  /** A question, as the JSON bytes[start..end). */
  asked(request: number, bytes: Uint8Array, start: number, end: number): void;
  sendListeners(receiverPath: string): void;
  stop(): void;
  /** There is no manager any more. */
  lost(): void;
}

export class ManagerLink implements QueueReports, StreamReports, PublishReports, AccessReports {
  readonly #reactor: Reactor;
  readonly #buffers: SendBuffers;
  readonly #orders: LinkOrders;
  readonly #runDirectory: string;
  readonly #address: Uint8Array;
  #reader = new FrameReader();
  readonly #writer = new FrameWriter();
  readonly #visit = (type: number, bytes: Uint8Array, start: number, end: number): void =>
    this.#frame(type, bytes, start, end);

  /** The reactor's connection to the manager; of no meaning to anyone but the dispatcher of events. */
  connection = NO_CONNECTION;
  #established = false;
  /** Something was reported that is waited for. */
  #urgent = false;
  /** Before this nothing is written, unless it is urgent or much. */
  #dueMs = 0;
  /** What is to be written next has waited since an earlier turn. */
  #gathering = false;

  constructor(reactor: Reactor, buffers: SendBuffers, runDirectory: string, orders: LinkOrders) {
    this.#reactor = reactor;
    this.#buffers = buffers;
    this.#orders = orders;
    this.#runDirectory = runDirectory;
    this.#address = encodeUnixAddress(endpoint(join(runDirectory, 'manager.sock')));
  }

  /** There is a manager to report to. */
  get established(): boolean {
    return this.#established;
  }

  /** Nothing is waiting to be sent. */
  get flushed(): boolean {
    return !this.#established || (this.#writer.length === 0 && this.#reactor.pendingBytes(this.connection) === 0);
  }

  /** Tries to reach a manager, unless there is one or a try is under way. That nobody listens is no error. */
  dial(): void {
    if (this.connection !== NO_CONNECTION) return;
    const connection = this.#reactor.connect(this.#address, null);
    if (connection >= 0) this.connection = connection;
  }

  connected(): void {
    this.#established = true;
    this.#reader = new FrameReader();
    this.#writer.json(HELLO, this.#orders.hello());
    this.#orders.announce();
    this.#writer.frame(HELLO_END);
    this.#urgent = true;
  }

  receivedBytes(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#reader.read(bytes.subarray(start, end), this.#visit)) this.#hangUp();
  }

  /** The connection is gone; the reactor has let go of it. */
  closed(): void {
    this.connection = NO_CONNECTION;
    this.#established = false;
    this.#urgent = false;
    this.#gathering = false;
    this.#writer.take();
    this.#orders.lost();
  }

  waiting(bytes: Uint8Array, start: number, end: number): void {
    if (this.#established) this.#writer.name(WAITING, bytes, start, end);
  }

  notWaiting(bytes: Uint8Array, start: number, end: number): void {
    if (this.#established) this.#writer.name(NOT_WAITING, bytes, start, end);
  }

  delivered(sequence: number, receivers: number): void {
    if (!this.#established) return;
    this.#writer.delivered(sequence, receivers);
    this.#urgent = true;
  }

  subscribed(bytes: Uint8Array, start: number, end: number): void {
    if (this.#established) this.#writer.name(SUBSCRIBED, bytes, start, end);
  }

  unsubscribed(bytes: Uint8Array, start: number, end: number): void {
    if (this.#established) this.#writer.name(UNSUBSCRIBED, bytes, start, end);
  }

  received(sequence: number, receivers: number): void {
    if (!this.#established) return;
    this.#writer.received(sequence, receivers);
    this.#urgent = true;
  }

  read(request: number, after: number, bytes: Uint8Array, start: number, end: number): void {
    this.#writer.read(request, after, bytes, start, end);
    this.#urgent = true;
  }

  publish(request: number, kind: number, id: Uint8Array, name: Uint8Array, data: Uint8Array): void {
    this.#writer.publish(request, kind, id, name, data);
    this.#urgent = true;
  }

  /** So many more clients will be accepted. */
  wanted(tokens: number): void {
    const wanted: Tokens = { tokens };
    this.#writer.json(WANTED, wanted);
    this.#urgent = true;
  }

  /** Connections of addresses have changed. */
  addresses(counts: AddressCounts): void {
    for (let at = 0; at < counts.length; at += ADDRESSES_PER_FRAME) {
      this.#writer.json(ADDRESSES, counts.slice(at, at + ADDRESSES_PER_FRAME));
    }
  }

  /** Clients have come and gone. */
  clientChanges(changes: ClientChanges): void {
    if (this.#established) this.#writer.json(EVENTS, changes);
  }

  /** Answers a question. */
  answer(request: number, answer: object): void {
    if (!this.#established) return;
    this.#writer.numberedJson(ANSWER, request, answer);
    this.#urgent = true;
  }

  keyUnknown(): boolean {
    if (this.#established) this.#writer.frame(KEY_UNKNOWN);
    this.#urgent = this.#established;
    return this.#established;
  }

  stats(stats: WorkerStats): void {
    if (this.#established) this.#writer.json(STATS, stats);
  }

  /**
   * Writes what was reported, so that in a flood of clients the manager is not woken for each of them: a little not oftener than
   * every LINK_BATCH_MS, but at once after a rest, and much when there is a pause. What a publisher waits for goes at once.
   *
   * @param more the flood goes on, as far as the reactor knows
   * @returns after how many ms to call again, or undefined when nothing is left
   */
  flush(nowMs: number, more: boolean): number | undefined {
    const bytes = this.#writer.length;
    if (bytes === 0) return undefined;
    if (!this.#urgent && bytes < LINK_BATCH_BYTES && (more || bytes < LINK_MUCH_BYTES)) {
      if (more && !this.#gathering) this.#dueMs = nowMs + LINK_BATCH_MS;
      this.#gathering = true;
      if (nowMs < this.#dueMs) return Math.ceil(this.#dueMs - nowMs);
    }
    this.#gathering = false;
    this.#dueMs = nowMs + LINK_BATCH_MS;
    this.#urgent = false;
    const buffer = this.#buffers.copyOf(this.#writer.take());
    const result = this.#reactor.send(this.connection, buffer);
    this.#buffers.release(buffer);
    if (result < 0) this.closed();
    // A manager that does not read: begin again with the whole truth, which is smaller than all that has changed.
    else if (this.#reactor.pendingBytes(this.connection) > LINK_PENDING_BYTES_MAX) this.#hangUp();
    return undefined;
  }

  #frame(type: number, bytes: Uint8Array, start: number, end: number): void {
    const orders = this.#orders;
    switch (type) {
      case FAN_OUT: {
        const nameStart = start + 2 * SEQUENCE_BYTES + 3;
        const nameEnd = nameStart + bytes[nameStart - 1];
        const timeMs = readSequence(bytes, start + SEQUENCE_BYTES);
        const kind = bytes[nameStart - 3];
        const flags = bytes[nameStart - 2];
        orders.fanOut(readSequence(bytes, start), timeMs, kind, flags, bytes, nameStart, nameEnd, end);
        return;
      }
      case DELIVER: {
        const nameStart = start + SEQUENCE_BYTES + 2;
        const nameEnd = nameStart + bytes[nameStart - 1];
        const kind = bytes[nameStart - 2];
        orders.deliver(readSequence(bytes, start), kind, bytes, nameStart, nameEnd, nameEnd, end);
        return;
      }
      case HISTORY: {
        const upTo = readSequence(bytes, start + 4);
        const gap = readSequence(bytes, start + 4 + SEQUENCE_BYTES);
        const publicationsAt = start + 4 + 2 * SEQUENCE_BYTES + 1;
        const rest = bytes[publicationsAt - 1];
        orders.history(readUint32(bytes, start), upTo, gap, rest, readPublications(bytes, publicationsAt, end));
        return;
      }
      case POSITION:
        orders.position(readSequence(bytes, start));
        return;
      case GAP:
        orders.gap(readSequence(bytes, start), bytes, start + SEQUENCE_BYTES, end);
        return;
      case PUBLISHED:
        orders.published(readUint32(bytes, start), bytes[start + 4], readSequence(bytes, start + 5));
        return;
      case ASK:
        orders.asked(readUint32(bytes, start), bytes, start + 4, end);
        return;
      case WELCOME:
        orders.welcome(Buffer.from(bytes.subarray(start + SEQUENCE_BYTES, end)).toString(), readSequence(bytes, start));
        return;
      case GRANTED:
        orders.granted((readJson(bytes, start, end) as Tokens).tokens);
        return;
      case ELSEWHERE:
        orders.elsewhere(readJson(bytes, start, end) as AddressCounts);
        return;
      case POLICY:
        orders.policy(readJson(bytes, start, end) as ClientPolicy);
        return;
      case STOP:
        orders.stop();
        return;
      case SEND_LISTENERS:
        orders.sendListeners(join(this.#runDirectory, 'listeners.sock'));
        this.#writer.frame(LISTENERS_SENT);
        this.#urgent = true;
        return;
      default:
        throw new Error(`the manager sent a frame of unknown type ${type}`);
    }
  }

  #hangUp(): void {
    this.#reactor.close(this.connection);
    this.closed();
  }
}

/** The publications of a HISTORY frame, copied. */
function readPublications(bytes: Uint8Array, start: number, end: number): CachedPublication[] {
  const publications: CachedPublication[] = [];
  for (let at = start; at < end; ) {
    const dataStart = at + 2 * SEQUENCE_BYTES + 5;
    const dataEnd = dataStart + readUint32(bytes, dataStart - 4);
    publications.push({
      sequence: readSequence(bytes, at),
      timeMs: readSequence(bytes, at + SEQUENCE_BYTES),
      kind: bytes[dataStart - 5],
      data: Buffer.from(bytes.subarray(dataStart, dataEnd)),
      encodings: null,
    });
    at = dataEnd;
  }
  return publications;
}
