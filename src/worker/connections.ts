/**
 * The connection table: what a worker knows about each client connection besides what it waits for (subscriptions.ts) and
 * its timer (timer-wheel.ts): a phase, some flags, and for the rare JSONP client the name of its function.
 *
 *     FREE ──accepted──► HEAD ──/<id>.js────► WAITING ──message──► SENDING ──┐
 *                        ▲ │ ▲                                               ├──► DONE ──► (closed by us), LINGERING
 *              first byte│ │ └──answer──── POLLING ◄──/v1/poll──┐            │
 *                        │ │                                    │            │
 *                 KEEP_ALIVE◄──HEAD, OPTIONS, an answer─────────┤            │
 *                          ├──/v1/sse, /v1/stream, /v1/ws──► STREAMING ──────┤
 *                          ├──a token that nobody knows──► VERIFYING ──► HEAD, read again
 *                          ├──POST──► BODY ──► PUBLISHING ──answer──► KEEP_ALIVE
 *                          └──refused──► LINGERING ──► (closed by the peer or by time)
 *     FREE ──accepted, one too many──► REFUSED ──first bytes──► LINGERING
 *
 * An idle client is in WAITING, POLLING or STREAMING, and has no JavaScript object; in WAITING and STREAMING it has no timer
 * either. Only a connection with a half-read request head has an object: its bytes, in `partial`, which together are bounded.
 */

import { CALLBACK_BYTES_MAX, EXCESS_BYTES_MAX, PARTIAL_HEADS_BYTES_MAX } from '../limits.js';
import { ByteCells, cellsFor } from './byte-cells.js';

export const PHASE_FREE = 0;
/** Reading a request head. */
export const PHASE_HEAD = 1;
/** The classic request was read; the answer is a message that has not come yet (queue-waiters.ts). */
export const PHASE_WAITING = 2;
/** A message is on its way and did not fit the socket buffer. */
export const PHASE_SENDING = 3;
/** The last answer and end of stream were sent; what the client still sends is thrown away. */
export const PHASE_LINGERING = 4;
/** Between two requests. */
export const PHASE_KEEP_ALIVE = 5;
/** A long-poll that waits for a publication or for its time to be over (streams.ts). */
export const PHASE_POLLING = 6;
/** Server-sent events, HTTP stream or WebSocket (streams.ts, web-sockets.ts). */
export const PHASE_STREAMING = 7;
/** Reading a request body (posts.ts). */
export const PHASE_BODY = 8;
/** A publication of the client's is with the manager; the answer is its place in the log (posts.ts). */
export const PHASE_PUBLISHING = 9;
/** Between two phases: in no table. */
export const PHASE_DONE = 10;
/** The token of a request is being verified; all of it is kept until that is done (admissions.ts). */
export const PHASE_VERIFYING = 11;
/** Accepted, and to be refused as soon as it asks for something (arrivals.ts). */
export const PHASE_REFUSED = 12;

/** The client waits for JSONP; `callback` has the name. */
export const FLAG_JSONP = 1;
/** The client sent bytes after its request: closing at once would reset the connection and could lose the answer. */
export const FLAG_EXCESS = 2;
/** The connection ends with its answer: the client asked for that, or speaks HTTP/1.0. */
export const FLAG_CLOSES = 4;
/** Some of the connection's channels are being caught up with, and are left out of the fan-out (catch-ups.ts). */
export const FLAG_CATCHING_UP = 8;
/** In PHASE_STREAMING: a WebSocket of which messages are returned as they come (--test-echo). */
export const FLAG_ECHO = 16;
/** In PHASE_POLLING: `timeout=0`, what there is now is the answer. */
export const FLAG_AT_ONCE = 16;

/** Where in the flags the wire format of a connection in PHASE_POLLING or PHASE_STREAMING begins: 3 bits (wire.ts). */
export const FORMAT_SHIFT = 5;

const EXCESS_UNIT_BYTES = EXCESS_BYTES_MAX / 250;

/** A request head of which the end has not come yet. */
export interface PartialHead {
  bytes: Uint8Array;
  length: number;
  /** Where the parser goes on. */
  resume: number;
}

export class Connections {
  /** Connection numbers are below this. */
  readonly capacity: number;
  readonly phase: Uint8Array;
  readonly flags: Uint8Array;
  /** What a client sent past its request, in units of EXCESS_UNIT_BYTES, rounded up. */
  readonly excess: Uint8Array;
  /** In PHASE_SENDING: the hand-out that the connection takes part in (hand-outs.ts). */
  readonly handOut: Int32Array;
  readonly #callback: Int32Array;
  readonly #callbacks: ByteCells;
  readonly #partial = new Map<number, PartialHead>();
  #partialBytes = 0;
  /** Clients held, in whatever phase. */
  held = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.phase = new Uint8Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.excess = new Uint8Array(capacity);
    this.handOut = new Int32Array(capacity);
    this.#callback = new Int32Array(capacity);
    this.#callbacks = new ByteCells(capacity * cellsFor(CALLBACK_BYTES_MAX));
  }

  get columnBytes(): number {
    const columns = [this.phase, this.flags, this.excess, this.handOut, this.#callback];
    return columns.reduce((sum, column) => sum + column.byteLength, 0);
  }

  get partialHeads(): number {
    return this.#partial.size;
  }

  open(connection: number): void {
    this.phase[connection] = PHASE_HEAD;
    this.held++;
  }

  /**
   * Counts bytes that a client sent past its request.
   *
   * @returns false where they have become too many
   */
  countExcess(connection: number, bytes: number): boolean {
    const units = this.excess[connection] + Math.ceil(bytes / EXCESS_UNIT_BYTES);
    this.flags[connection] |= FLAG_EXCESS;
    this.excess[connection] = Math.min(units, 255);
    return units * EXCESS_UNIT_BYTES <= EXCESS_BYTES_MAX;
  }

  /** Forgets all about a connection. */
  release(connection: number): void {
    if (this.flags[connection] & FLAG_JSONP) this.#callbacks.release(this.#callback[connection]);
    if (this.flags[connection] & FLAG_EXCESS) this.excess[connection] = 0;
    this.flags[connection] = 0;
    if (this.phase[connection] === PHASE_HEAD) this.dropPartial(connection);
    this.phase[connection] = PHASE_FREE;
    this.held--;
  }

  /** Whether the connection goes on after the answer to its request. What it has sent past that was not kept. */
  persists(connection: number): boolean {
    return (this.flags[connection] & (FLAG_CLOSES | FLAG_EXCESS)) === 0;
  }

  /** The answer to a request has been sent: what was remembered of it goes, and the next one may come. */
  endRequest(connection: number): void {
    if (this.flags[connection] & FLAG_JSONP) this.#callbacks.release(this.#callback[connection]);
    this.flags[connection] &= FLAG_EXCESS;
    this.phase[connection] = PHASE_KEEP_ALIVE;
  }

  setCallback(connection: number, bytes: Uint8Array, start: number, end: number): void {
    this.#callback[connection] = this.#callbacks.store(bytes, start, end);
    this.flags[connection] |= FLAG_JSONP;
  }

  /** Copies the JSONP function's name of a connection with FLAG_JSONP; returns its length. */
  copyCallback(connection: number, target: Uint8Array, at: number): number {
    return this.#callbacks.copyTo(this.#callback[connection], target, at);
  }

  partial(connection: number): PartialHead | undefined {
    return this.#partial.size === 0 ? undefined : this.#partial.get(connection);
  }

  /**
   * Appends to the half-read head of a connection.
   *
   * @returns the head, or undefined where all half-read heads of this worker together would be too large
   */
  appendPartial(connection: number, source: Uint8Array, start: number, end: number): PartialHead | undefined {
    const head = this.#partial.get(connection) ?? { bytes: new Uint8Array(0), length: 0, resume: 0 };
    const length = head.length + end - start;
    if (length > head.bytes.length) {
      const room = Math.max(256, 2 ** Math.ceil(Math.log2(length)));
      if (this.#partialBytes + room - head.bytes.length > PARTIAL_HEADS_BYTES_MAX) return undefined;
      this.#partialBytes += room - head.bytes.length;
      const bytes = new Uint8Array(room);
      bytes.set(head.bytes.subarray(0, head.length));
      head.bytes = bytes;
    }
    head.bytes.set(source.subarray(start, end), head.length);
    head.length = length;
    this.#partial.set(connection, head);
    return head;
  }

  dropPartial(connection: number): void {
    const head = this.partial(connection);
    if (head === undefined) return;
    this.#partialBytes -= head.bytes.length;
    this.#partial.delete(connection);
  }
}
