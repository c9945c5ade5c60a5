/**
 * A client that checks what it is told: every publication of its channels after its cursor comes once, in order, or a
 * gap has said before that it may be lost; and a cursor is only given for what has come, of all channels.
 */

import assert from 'node:assert/strict';
import { type ClientEvent, readResponses, readSse, readStream, readWebSocket, splitHead } from './client-events.js';
import type { ModelManager } from './model-manager.js';
import { HANDSHAKE } from './worker-rig.js';

export type Transport = 'poll' | 'sse' | 'stream' | 'ws';

export class ModelClient {
  readonly transport: Transport;
  readonly channels: readonly string[];
  /** Where its next request begins. */
  after: string;
  /** Up to where it has everything of each channel, in `epoch`; -1: it does not know where it began. */
  readonly reached = new Map<string, number>();
  epoch = '';
  /** How far the gaps reach that it was told of. */
  readonly #told = new Map<string, number>();
  /** It begins with what is retained, of whatever log, and has been given nothing yet. */
  #fromStart: boolean;
  /** Bytes that it has not understood yet. */
  #bytes = Buffer.alloc(0);
  #headRead = false;
  /** A poll's answer has come: it asks again. */
  answered = false;
  messages = 0;
  gaps = 0;
  /** All channels have caught up. */
  live = false;

  readonly #managers: ReadonlyMap<string, ModelManager>;

  /** @param managers by their epochs; the last one is there now */
  constructor(
    transport: Transport,
    channels: readonly string[],
    after: string,
    managers: ReadonlyMap<string, ModelManager>,
  ) {
    this.transport = transport;
    this.channels = channels;
    this.after = after;
    this.#managers = managers;
    if (after === 'now') this.#setAll(-1);
    else this.#setAll(after === 'start' ? 0 : Number(after.split('-')[1]));
    this.#fromStart = after === 'start';
    this.epoch = after.includes('-') ? after.split('-')[0]! : [...managers.keys()].at(-1)!;
  }

  /** The request, on a new connection or, for polls, on the one that persists. */
  request(timeout: number): string {
    this.#headRead = false;
    this.#bytes = Buffer.alloc(0);
    this.answered = false;
    this.live = false;
    const query = [...this.channels.map((channel) => `channel=${channel}`), `after=${this.after}`];
    if (this.transport === 'poll') query.push(`timeout=${timeout}`);
    const fields = this.transport === 'ws' ? HANDSHAKE : '';
    return `GET /v1/${this.transport}?${query.join('&')} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`;
  }

  /** Bytes arrive. */
  receive(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (this.transport === 'poll') {
      const { responses, rest } = readResponses(this.#bytes);
      this.#bytes = Buffer.from(rest);
      for (const { status, body } of responses) this.#answer(status, body);
      return;
    }
    if (!this.#headRead) {
      const split = splitHead(this.#bytes);
      if (split === null) return;
      assert.equal(split.status, this.transport === 'ws' ? 101 : 200);
      this.#headRead = true;
      this.#bytes = Buffer.from(split.rest);
    }
    const { transport } = this;
    const { events, rest } =
      transport === 'sse'
        ? readSse(this.#bytes)
        : transport === 'stream'
          ? readStream(this.#bytes, true)
          : readWebSocket(this.#bytes);
    this.#bytes = Buffer.from(rest);
    for (const event of events) this.#event(event);
  }

  #answer(status: number, body: string): void {
    assert.equal(status, 200);
    const {
      cursor,
      messages,
      gap = [],
    } = JSON.parse(body) as {
      cursor: string;
      messages: ClientEvent[];
      gap?: ClientEvent[];
    };
    this.answered = true;
    // A gap comes before the messages above its cursor.
    const events = [
      ...messages.map((one) => ({ ...one, type: 'message' })),
      ...gap.map((one) => ({ ...one, type: 'gap' })),
    ];
    for (const event of events.sort((one, other) => sequenceOf(one) - sequenceOf(other))) this.#event(event);
    this.#event({ type: 'subscribed', cursor });
  }

  #event({ type, channel, cursor, lost }: ClientEvent): void {
    if (cursor === undefined) return;
    const sequence = sequenceOf({ type, cursor });
    const [epoch] = cursor.split('-');
    const manager = this.#managers.get(epoch!);
    if (manager === undefined) {
      assert.equal(cursor, this.after, 'without a manager a poll gets its own cursor back, whatever that is');
      return;
    }
    if (type === 'gap' && channel === undefined) this.#begunAnew(epoch!, manager);
    else if (epoch !== this.epoch) {
      assert(!this.after.includes('-'), `${this.#about()}: ${cursor} without a gap`);
      this.epoch = epoch!;
    }
    if (this.#fromStart) this.#excuseDropped(manager);
    if (this.after.includes('-')) {
      const before = sequenceOf({ type, cursor: this.after });
      assert(sequence >= before || this.#isOther(epoch!), `${this.#about()}: goes back to ${cursor}`);
    }
    if (type === 'message') this.#message(channel!, sequence, manager);
    if (type === 'gap') this.gaps++;
    if (type === 'gap' && channel !== undefined)
      this.#gap(channel, sequence, sequenceOf({ type, cursor: lost! }), manager);
    if (type === 'subscribed') this.live = true;
    // The cursor is good for all channels.
    for (const one of this.channels) {
      if (this.reached.get(one)! >= 0) this.#complete(one, sequence, manager);
      this.reached.set(one, Math.max(sequence, this.reached.get(one)!));
    }
    this.#fromStart &&= sequence === 0;
    this.after = cursor;
  }

  #isOther(epoch: string): boolean {
    return !this.after.startsWith(`${epoch}-`);
  }

  /** Its cursor is of another log, or above the end of this one. */
  #begunAnew(epoch: string, manager: ModelManager): void {
    assert(epoch !== this.epoch || this.#highest > manager.last, `${this.#about()}: a gap of all channels`);
    this.epoch = epoch;
    this.after = 'start';
    this.#fromStart = true;
    this.#setAll(0);
    this.#told.clear();
  }

  #message(channel: string, sequence: number, manager: ModelManager): void {
    this.messages++;
    const before = this.reached.get(channel)!;
    assert(before !== undefined, `${this.#about()}: ${channel} is not its channel`);
    assert(sequence > before, `${this.#about()}: ${sequence} of ${channel} came again`);
    assert.equal(manager.log[sequence - 1]!.channel, channel);
    if (before >= 0) this.#complete(channel, sequence - 1, manager);
    this.reached.set(channel, sequence);
  }

  #gap(channel: string, sequence: number, lost: number, manager: ModelManager): void {
    assert(lost > sequence, `${this.#about()}: a gap from ${sequence} to ${lost}`);
    // A worker may still have what lies behind `lost`, and the log may not.
    const isTrue = manager.hasLost(channel, sequence, manager.last);
    assert(isTrue, `${this.#about()}: a gap of ${channel} up to ${lost}, but nothing is lost`);
    this.#told.set(channel, Math.max(lost, this.#told.get(channel) ?? 0));
  }

  /** What was dropped before it began is nothing that it misses. */
  #excuseDropped(manager: ModelManager): void {
    for (const channel of this.channels) this.#told.set(channel, manager.lastLost(channel, 0, manager.last));
  }

  /** Everything of the channel up to the sequence has come, or it was told that it may be lost. */
  #complete(channel: string, upTo: number, manager: ModelManager): void {
    const before = this.reached.get(channel)!;
    const told = this.#told.get(channel) ?? 0;
    const missing = manager.log.slice(before, upTo).filter((one) => one.channel === channel);
    for (const { sequence } of missing) {
      const isLost = sequence <= told && manager.hasLost(channel, sequence - 1, sequence);
      assert(isLost, `${this.#about()}: ${sequence} of ${channel} is missing after ${before}, told up to ${told}`);
    }
  }

  /** Nothing is on its way any more: it has everything. */
  checkComplete(manager: ModelManager): void {
    // Who began at a place without an epoch may have had nothing to hear.
    if (this.after.includes('-')) assert.equal(this.epoch, manager.epoch, this.#about());
    if (this.#fromStart) this.#excuseDropped(manager);
    for (const channel of this.channels) {
      if (this.reached.get(channel)! >= 0) this.#complete(channel, manager.last, manager);
    }
  }

  get #highest(): number {
    return Math.max(...this.reached.values());
  }

  #setAll(sequence: number): void {
    for (const channel of this.channels) this.reached.set(channel, sequence);
  }

  #about(): string {
    return `${this.transport} of ${this.channels} after ${this.after}`;
  }
}

function sequenceOf({ cursor }: ClientEvent): number {
  return Number(cursor!.split('-')[1]);
}
