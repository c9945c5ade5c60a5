/**
 * Clients of a server that is drained, very many in one process, over the project's own reactor: each listens to a channel, counts the
 * numbers that are published on it, and when it is told to come back goes to the second server with its cursor, at the time that it
 * was told. Entry point of a child process; protocol.ts is what its parent says.
 */

import { encodeSocketAddress } from '../../src/linux/socket-address.js';
import { platform } from '../../src/platform/platform.js';
import { decideReactor, makeReactor, sendBuffersFor } from '../../src/reactor/choose.js';
import type { Reactor, ReactorEvents } from '../../src/reactor/reactor.js';
import { runLoop } from '../../src/reactor/run-loop.js';
import type { SendBuffers } from '../../src/reactor/send-buffers.js';
import {
  type ClientEvent,
  readResponses,
  readSse,
  readStream,
  readWebSocket,
  splitHead,
} from '../../src/worker/testing/client-events.js';
import { HANDSHAKE } from '../../src/worker/testing/worker-rig.js';
import { channelOf, type FromHerd, type HerdConfig, type HerdReport, type ToHerd, type Transport } from './protocol.js';

/** Handshakes that are under way at one time, so that no queue of the kernel overflows. */
const CONNECTING_MAX = 200;
const TURN_WAIT_MS = 10;
/** One source address has some 28,000 ports for one target. */
const CLIENTS_PER_SOURCE = 10_000;
/** Who was not told when: after up to so long. */
const RETRY_MS = 1000;

interface Client {
  readonly number: number;
  readonly channel: string;
  readonly transport: Transport;
  port: number;
  cursor: string;
  /** The last number: all up to it have come. */
  last: number;
  listens: boolean;
  /** The handshake is over. */
  connected: boolean;
  headRead: boolean;
  rest: Buffer;
  /** When it was told to come back; NaN: it was not, or is back. */
  toldMs: number;
}

class Herd implements ReactorEvents {
  readonly #config: HerdConfig;
  readonly #buffers: SendBuffers;
  readonly #reactor: Reactor;
  readonly #byConnection = new Map<number, Client>();
  readonly #clients: Client[] = [];
  readonly #waiting: Client[] = [];
  #connecting = 0;
  #openedTold = false;
  #firstToldMs = Number.NaN;
  readonly #told: Record<string, number> = {};
  readonly #unadvised: Record<string, number> = {};
  #received = 0;
  #duplicates = 0;
  #lost = 0;
  #awayMsMax = 0;

  constructor(config: HerdConfig) {
    this.#config = config;
    const capacity = config.clients + 1000;
    const name = decideReactor(config.reactor, () => {});
    this.#buffers = sendBuffersFor(name);
    this.#reactor = makeReactor(name, { capacity, events: this, buffers: this.#buffers });
    for (let i = 0; i < config.clients; i++) {
      const number = config.first + i;
      this.#clients.push({
        number,
        channel: channelOf(number, config.channels),
        transport: config.transports[number % config.transports.length],
        port: config.from,
        cursor: '',
        last: 0,
        listens: false,
        connected: false,
        headRead: false,
        rest: Buffer.alloc(0),
        toldMs: Number.NaN,
      });
    }
    this.#waiting.push(...this.#clients);
  }

  async run(): Promise<void> {
    const afterTurn = () => {
      while (this.#connecting < CONNECTING_MAX && this.#waiting.length > 0) this.#connect(this.#waiting.pop()!);
      if (!this.#openedTold && this.#clients.every(({ listens }) => listens)) {
        this.#openedTold = true;
        tell({ kind: 'opened' });
      }
      return TURN_WAIT_MS;
    };
    await runLoop(this.#reactor, { turnWaitMs: TURN_WAIT_MS, afterTurn, stopped: () => false });
  }

  report(): HerdReport {
    const lowest: Record<string, number> = {};
    for (const { channel, last } of this.#clients) lowest[channel] = Math.min(lowest[channel] ?? last, last);
    const at = (port: number) => this.#clients.filter((client) => client.listens && client.port === port).length;
    return {
      atFirst: at(this.#config.from),
      atSecond: at(this.#config.to),
      told: this.#told,
      unadvised: this.#unadvised,
      received: this.#received,
      duplicates: this.#duplicates,
      lost: this.#lost,
      lowest,
      awayMsMax: this.#awayMsMax,
    };
  }

  // ── Events of the reactor ──────────────────────────────────────────────────────────────────────────────────────────

  accepted(): void {}
  acceptingStopped(): void {}
  acceptingResumed(): void {}
  sent(): void {}

  connected(connection: number): void {
    const client = this.#byConnection.get(connection)!;
    this.#connecting--;
    client.connected = true;
    this.#ask(connection, client);
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const client = this.#byConnection.get(connection);
    if (client === undefined) return;
    const chunk = Buffer.from(bytes.subarray(start, end));
    client.rest = client.rest.length === 0 ? chunk : Buffer.concat([client.rest, chunk]);
    if (client.transport === 'poll') this.#readPoll(connection, client);
    else this.#readStream(connection, client);
  }

  closed(connection: number, errno: number): void {
    const client = this.#byConnection.get(connection);
    if (client === undefined) return;
    if (!client.connected) this.#connecting--;
    this.#ended(connection, client, `errno ${errno}`);
  }

  // ── Clients ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #connect(client: Client): void {
    const source = `127.0.1.${1 + Math.floor(client.number / CLIENTS_PER_SOURCE)}`;
    const connection = this.#reactor.connect(
      encodeSocketAddress('127.0.0.1', client.port),
      encodeSocketAddress(source, 0),
    );
    if (connection < 0) {
      this.#comeBack(client, Math.random() * RETRY_MS);
      return;
    }
    this.#connecting++;
    client.headRead = false;
    client.connected = false;
    client.rest = Buffer.alloc(0);
    this.#byConnection.set(connection, client);
  }

  #ask(connection: number, client: Client): void {
    const after = client.cursor === '' ? 'start' : client.cursor;
    const timeout = client.transport === 'poll' ? '&timeout=300' : '';
    const target = `/v1/${client.transport}?channel=${client.channel}&after=${after}${timeout}`;
    const upgrade = client.transport === 'ws' ? HANDSHAKE : '';
    const buffer = this.#buffers.copyOf(Buffer.from(`GET ${target} HTTP/1.1\r\nHost: h\r\n${upgrade}\r\n`));
    const result = this.#reactor.send(connection, buffer);
    this.#buffers.release(buffer);
    if (result < 0) this.#ended(connection, client, `errno ${-result}`);
    else if (client.transport === 'poll') this.#listens(client);
  }

  #listens(client: Client): void {
    client.listens = true;
    if (Number.isNaN(client.toldMs)) return;
    this.#awayMsMax = Math.max(this.#awayMsMax, performance.now() - client.toldMs);
    client.toldMs = Number.NaN;
  }

  #readPoll(connection: number, client: Client): void {
    const { responses, rest } = readResponses(client.rest);
    client.rest = rest;
    for (const { status, body } of responses) {
      if (status !== 200) {
        this.#ended(connection, client, `status ${status}`, true);
        return;
      }
      const { cursor, messages, disconnect } = JSON.parse(body) as {
        cursor: string;
        messages: ClientEvent[];
        disconnect?: { afterMs: number };
      };
      for (const message of messages) this.#message(client, message);
      client.cursor = cursor;
      if (disconnect !== undefined) this.#advised(connection, client, disconnect.afterMs);
      else this.#ask(connection, client);
    }
  }

  #readStream(connection: number, client: Client): void {
    if (!client.headRead) {
      const split = splitHead(client.rest);
      if (split === null) return;
      client.headRead = true;
      if (split.status !== 200 && split.status !== 101) {
        this.#ended(connection, client, `status ${split.status}`, true);
        return;
      }
      client.rest = split.rest;
    }
    const { events, rest } =
      client.transport === 'sse'
        ? readSse(client.rest)
        : client.transport === 'ws'
          ? readWebSocket(client.rest)
          : readStream(client.rest, true);
    // What is left is often nothing, and must not keep the chunk that it is a part of.
    client.rest = Buffer.from(rest);
    for (const event of events) {
      if (event.type === 'disconnect') {
        this.#advised(connection, client, (event as unknown as { afterMs: number }).afterMs);
        return;
      }
      if (event.type === 'message') this.#message(client, event);
      if (event.type === 'subscribed') this.#listens(client);
      if (event.cursor !== undefined) client.cursor = event.cursor;
    }
  }

  #message(client: Client, { data }: ClientEvent): void {
    const number = data as number;
    this.#received++;
    if (number <= client.last) {
      this.#duplicates++;
      return;
    }
    this.#lost += number - client.last - 1;
    client.last = number;
  }

  /** The server has said when to come back: to whoever takes over. */
  #advised(connection: number, client: Client, afterMs: number): void {
    const nowMs = performance.now();
    if (Number.isNaN(this.#firstToldMs)) this.#firstToldMs = nowMs;
    const second = Math.floor((nowMs - this.#firstToldMs) / 1000);
    this.#told[second] = (this.#told[second] ?? 0) + 1;
    client.toldMs = nowMs;
    this.#leave(connection, client);
    this.#comeBack(client, afterMs);
  }

  #ended(connection: number, client: Client, why: string, open = false): void {
    this.#unadvised[why] = (this.#unadvised[why] ?? 0) + 1;
    if (open) this.#leave(connection, client);
    else this.#byConnection.delete(connection);
    client.listens = false;
    this.#comeBack(client, Math.random() * RETRY_MS);
  }

  #leave(connection: number, client: Client): void {
    this.#byConnection.delete(connection);
    this.#reactor.close(connection);
    client.listens = false;
    client.rest = Buffer.alloc(0);
  }

  #comeBack(client: Client, afterMs: number): void {
    if (this.#openedTold) client.port = this.#config.to;
    setTimeout(() => this.#waiting.push(client), afterMs);
  }
}

function tell(message: FromHerd): void {
  process.send!(message);
}

let herd: Herd | null = null;
process.on('disconnect', () => process.exit(0));
process.on('message', (message: ToHerd) => {
  if (message.kind === 'report') {
    tell({ kind: 'report', report: herd!.report() });
    return;
  }
  platform.raiseDescriptorLimit();
  herd = new Herd(message.config);
  void herd.run();
});
