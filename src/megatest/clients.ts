/**
 * The clients of one process: every one of them holds a long-poll, and after each message begins the next.
 *
 * A client is a number, `firstClient <= client < firstClient + clientCount`, and its id is the prefix and that number. All
 * that is known of a connection is two numbers in typed arrays: its state and its client.
 *
 *               connected            whole answer          closed by the server
 *     CONNECTING ────────▶ WAITING ────────────▶ ANSWERED ────────▶ the client polls again
 *         │ failed            │ dropped             │ not closed within the time-out: closed by us, polls again
 *         ▼                   ▼
 *       counted, and with `reopen` (drops only) the client polls again
 *
 * Invariants: connecting, waiting and answered are the numbers of connections in these states; a client has at most one
 * connection or one place in the queue of re-polls.
 */

import { ETIMEDOUT, errnoName } from '../linux/errno.js';
import { encodeSocketAddress } from '../linux/socket-address.js';
import type { Reactor, ReactorEvents } from '../reactor/reactor.js';
import { TimerWheel } from '../reactor/timer-wheel.js';
import type { OpenReactor } from './backend.js';
import type { ChildReport, ClientsConfig } from './child-protocol.js';
import { decodeMarker, monotonicUs } from './marker.js';
import { NumberList } from './number-list.js';
import { RequestBuffers } from './request-buffers.js';
import { parseResponse, RESPONSE_MALFORMED, RESPONSE_PARTIAL, type Response } from './response-parser.js';

const FREE = 0;
const CONNECTING = 1;
const WAITING = 2;
const ANSWERED = 3;

/** The longest wait for the kernel: timers and messages from the parent are looked at as often. */
const TURN_WAIT_MS = 100;
/** Descriptors are slots: those of Node itself, and of connections that end while others begin, come on top. */
const SPARE_SLOTS = 256;

/** The beginning of a response, copied, of a connection whose response did not come in one piece. */
interface Partial {
  bytes: Uint8Array;
  length: number;
}

export class Clients implements ReactorEvents {
  private readonly config: ClientsConfig;
  private reopen: boolean;
  private readonly reactor: Reactor;
  private readonly requests: RequestBuffers;
  private readonly timeouts: TimerWheel;
  private readonly targets: Uint8Array[];
  private readonly sources: Uint8Array[];

  private readonly stateOf: Uint8Array;
  private readonly clientOf: Uint32Array;
  private readonly partials = new Map<number, Partial>();
  private readonly response: Response = { status: 0, bodyStart: 0, bodyEnd: 0 };

  /** One bit of news for each client: its first poll is decided. */
  private readonly decidedOf: Uint8Array;
  /** Ring of clients that are to poll again, oldest at `repollHead`. */
  private readonly repollRing: Uint32Array;
  private repollHead = 0;
  private repollCount = 0;

  /** Clients that have not yet begun their first poll come from here on, as an offset. */
  private next = 0;
  private startMs = Number.NaN;
  private stopped = false;

  private connecting = 0;
  private repolling = 0;
  private waiting = 0;
  private answered = 0;
  private opened = 0;
  private decided = 0;
  private repolls = 0;
  private lastOpenedUs = 0;
  private lastPolledUs = 0;
  private misdelivered = 0;
  private strays = 0;
  private readonly failed: Record<string, number> = {};
  private readonly dropped: Record<string, number> = {};
  private readonly sequences = new NumberList();
  private readonly latenciesUs = new NumberList();

  constructor(config: ClientsConfig, openReactor: OpenReactor) {
    this.config = config;
    this.reopen = config.reopen;
    const capacity = config.clientCount + SPARE_SLOTS;
    const { reactor, buffers } = openReactor(capacity, this);
    this.reactor = reactor;
    this.requests = new RequestBuffers(buffers, config.targets, config.prefix);
    this.timeouts = new TimerWheel();
    this.targets = config.targets.map(({ host, port }) => encodeSocketAddress(host, port));
    this.sources = config.sources.map((source) => encodeSocketAddress(source, 0));
    this.stateOf = new Uint8Array(capacity);
    this.clientOf = new Uint32Array(capacity);
    this.decidedOf = new Uint8Array(config.clientCount);
    this.repollRing = new Uint32Array(config.clientCount);
  }

  /**
   * One round: begins the connections that are due, waits for the kernel, handles what happened.
   *
   * @returns a promise where the reactor does not block: then the round is over when it resolves
   */
  turn(): Promise<void> | undefined {
    const nowMs = performance.now();
    if (Number.isNaN(this.startMs)) this.startMs = nowMs;
    this.timeouts.advance(nowMs, this.expired);
    const waitMs = this.beginPolls(nowMs);
    if (this.reactor.wait !== undefined) return this.reactor.wait(waitMs).then(() => this.deliver());
    this.reactor.turn(waitMs);
    return undefined;
  }

  /** After a wait, in which the test may have been stopped. */
  private deliver(): void {
    if (!this.stopped) this.reactor.turn(0);
  }

  /** What happened so far; the receipts since the last report. */
  report(): ChildReport {
    return {
      opened: this.opened,
      repolls: this.repolls,
      decided: this.decided,
      waiting: this.waiting,
      turning: this.repollCount + this.repolling + this.answered,
      reopening: this.reopen ? 1 : 0,
      failed: this.failed,
      dropped: this.dropped,
      misdelivered: this.misdelivered,
      strays: this.strays,
      lastOpenedUs: this.lastOpenedUs,
      lastPolledUs: this.lastPolledUs,
      sequences: this.sequences.take(),
      latenciesUs: this.latenciesUs.take(),
    };
  }

  /** Whether clients whose connection is lost from now on connect again. */
  setReopen(reopen: boolean): void {
    this.reopen = reopen;
  }

  /** Ends every connection with a reset, which leaves no TIME_WAIT on either side. */
  stop(): void {
    this.stopped = true;
    for (let connection = 0; connection < this.stateOf.length; connection++) {
      if (this.stateOf[connection] !== FREE) this.reactor.abort(connection);
    }
    this.reactor.destroy();
  }

  /** Begins what is due. @returns how long the kernel may be waited for, until the next one is due */
  private beginPolls(nowMs: number): number {
    const { rate, clientCount, connectingMax, firstClient } = this.config;
    while (this.repollCount > 0 && this.connecting < connectingMax) this.poll(this.takeRepoll());
    if (this.next === clientCount) return TURN_WAIT_MS;
    const elapsedMs = nowMs - this.startMs;
    const due = Math.min(clientCount, rate === Number.POSITIVE_INFINITY ? clientCount : 1 + (elapsedMs * rate) / 1000);
    while (this.next + 1 <= due && this.connecting < connectingMax) this.poll(firstClient + this.next++);
    if (this.next === clientCount || this.connecting >= connectingMax) return TURN_WAIT_MS;
    return Math.min(TURN_WAIT_MS, Math.max(1, Math.ceil((this.next * 1000) / rate - elapsedMs)));
  }

  private poll(client: number): void {
    const { targets, sources } = this;
    const target = targets[client % targets.length];
    // Divided first, so that every source goes to every target.
    const source = sources.length === 0 ? null : sources[Math.floor(client / targets.length) % sources.length];
    const connection = this.reactor.connect(target, source);
    if (connection < 0) {
      this.fail(client, errnoName(-connection));
      return;
    }
    this.stateOf[connection] = CONNECTING;
    this.clientOf[connection] = client;
    this.connecting++;
    if (this.hasPolled(client)) this.repolling++;
    this.timeouts.schedule(connection, this.config.timeoutMs, performance.now());
  }

  connected(connection: number): void {
    const client = this.clientOf[connection];
    this.leaveConnecting(connection);
    const result = this.requests.send(this.reactor, connection, client);
    if (result < 0) {
      this.stateOf[connection] = FREE;
      this.fail(client, errnoName(-result));
      return;
    }
    this.stateOf[connection] = WAITING;
    this.waiting++;
    this.lastPolledUs = monotonicUs();
    if (this.hasPolled(client)) {
      this.repolls++;
    } else {
      this.decide(client);
      this.opened++;
      this.lastOpenedUs = this.lastPolledUs;
    }
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.stateOf[connection] !== WAITING) {
      // An answered connection may only be closed.
      this.reject(connection, 'EXCESS BYTES');
      return;
    }
    const partial = this.partials.get(connection);
    if (partial === undefined) {
      this.answer(connection, bytes, start, end);
      return;
    }
    append(partial, bytes.subarray(start, end));
    this.answer(connection, partial.bytes, 0, partial.length);
  }

  /** Looks at all the bytes that a connection has received. */
  private answer(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const { response } = this;
    const responseEnd = parseResponse(bytes, start, end, response);
    if (responseEnd === RESPONSE_PARTIAL) {
      if (!this.partials.has(connection)) {
        this.partials.set(connection, { bytes: bytes.slice(start, end), length: end - start });
      }
      return;
    }
    const fault = faultOf(responseEnd, end, response.status);
    if (fault !== null) {
      this.reject(connection, fault);
      return;
    }
    const body = Buffer.from(
      bytes.buffer,
      bytes.byteOffset + response.bodyStart,
      response.bodyEnd - response.bodyStart,
    );
    this.take(this.clientOf[connection], body.toString('latin1'));
    this.partials.delete(connection);
    this.stateOf[connection] = ANSWERED;
    this.waiting--;
    this.answered++;
    this.timeouts.schedule(connection, this.config.timeoutMs, performance.now());
  }

  /** A client has received a message. */
  private take(client: number, text: string): void {
    const marker = decodeMarker(text, this.config.messageBytes);
    if (marker === null || marker.run !== this.config.run) {
      this.strays++;
    } else if (marker.id !== this.config.prefix + client) {
      this.misdelivered++;
    } else {
      this.sequences.push(marker.sequence);
      this.latenciesUs.push(Math.max(0, monotonicUs() - marker.sentUs));
    }
  }

  closed(connection: number, errno: number): void {
    const client = this.clientOf[connection];
    const reason = errno === 0 ? 'FIN' : errnoName(errno);
    switch (this.stateOf[connection]) {
      case CONNECTING:
        this.leaveConnecting(connection);
        this.fail(client, reason);
        break;
      case WAITING:
        this.waiting--;
        this.partials.delete(connection);
        count(this.dropped, reason);
        if (this.reopen) this.queueRepoll(client);
        break;
      case ANSWERED:
        this.answered--;
        this.timeouts.cancel(connection);
        this.queueRepoll(client);
        break;
      default:
        throw new Error(`connection ${connection} ended, but it was not open`);
    }
    this.stateOf[connection] = FREE;
  }

  /** A connection was not established, or not closed after its answer, in time. */
  private readonly expired = (connection: number): void => {
    const client = this.clientOf[connection];
    if (this.stateOf[connection] === CONNECTING) {
      this.leaveConnecting(connection);
      this.fail(client, errnoName(ETIMEDOUT));
    } else {
      this.answered--;
      this.queueRepoll(client);
    }
    this.reactor.abort(connection);
    this.stateOf[connection] = FREE;
  };

  /** An answer that no server should give: the connection is ended, its client does not come back. */
  private reject(connection: number, reason: string): void {
    if (this.stateOf[connection] === WAITING) {
      this.waiting--;
    } else {
      this.answered--;
      this.timeouts.cancel(connection);
    }
    this.partials.delete(connection);
    this.reactor.abort(connection);
    this.stateOf[connection] = FREE;
    this.fail(this.clientOf[connection], reason);
  }

  private leaveConnecting(connection: number): void {
    this.timeouts.cancel(connection);
    this.connecting--;
    if (this.hasPolled(this.clientOf[connection])) this.repolling--;
  }

  private fail(client: number, reason: string): void {
    count(this.failed, reason);
    if (!this.hasPolled(client)) this.decide(client);
  }

  /** True once the first poll of a client was established or has failed. */
  private hasPolled(client: number): boolean {
    return this.decidedOf[client - this.config.firstClient] === 1;
  }

  private decide(client: number): void {
    this.decidedOf[client - this.config.firstClient] = 1;
    this.decided++;
  }

  private queueRepoll(client: number): void {
    this.repollRing[(this.repollHead + this.repollCount++) % this.repollRing.length] = client;
  }

  private takeRepoll(): number {
    const client = this.repollRing[this.repollHead];
    this.repollHead = (this.repollHead + 1) % this.repollRing.length;
    this.repollCount--;
    return client;
  }

  sent(): void {
    // A request that took a while to be sent needs nothing more: the connection waits already.
  }

  accepted(): never {
    throw new Error('megatest listens nowhere');
  }

  acceptingStopped(): never {
    throw new Error('megatest listens nowhere');
  }

  acceptingResumed(): never {
    throw new Error('megatest listens nowhere');
  }
}

/** What is wrong with a response, or null. */
function faultOf(responseEnd: number, end: number, status: number): string | null {
  if (responseEnd === RESPONSE_MALFORMED) return 'MALFORMED';
  if (status !== 200) return `HTTP ${status}`;
  return responseEnd < end ? 'EXCESS BYTES' : null;
}

function count(counters: Record<string, number>, reason: string): void {
  counters[reason] = (counters[reason] ?? 0) + 1;
}

function append(partial: Partial, bytes: Uint8Array): void {
  const length = partial.length + bytes.length;
  if (length > partial.bytes.length) {
    const larger = new Uint8Array(Math.max(length, 2 * partial.bytes.length));
    larger.set(partial.bytes.subarray(0, partial.length));
    partial.bytes = larger;
  }
  partial.bytes.set(bytes, partial.length);
  partial.length = length;
}
