/**
 * A client that checks what it is told: every publication of its channels after its cursor comes once, in order, or a
 * gap says that it may be lost; and a cursor is only given for what has come.
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
  /** What has been lost and is yet to be said: the gap that says it is farther on. */
  readonly #owed = new Map<string, number>();
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
    this.epoch = after.includes('-') ? after.split('-')[0]! : [...managers.keys()].at(-1)!;
  }

  /** The request, on a new connection or, for polls, on the one that persists. */
  request(timeout: number): string {
    this.#headRead = false;
    this.#bytes = Buffer.alloc(0);
    this.answered = false;
    this.live = false;
    this.#forgetOwed();
    const query = [...this.channels.map((channel) => `channel=${channel}`), `after=${this.after}`];
    if (this.transport === 'poll') query.push(`timeout=${timeout}`);
    const fields = this.transport === 'ws' ? HANDSHAKE : '';
    return `GET /v1/${this.transport}?${query.join('&')} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`;
  }

  /**
   * Its cursor says that it has everything up to there. A gap that was still owed for a channel lies farther on; whether it is
   * told depends on whether the next worker still has what follows the cursor.
   */
  #forgetOwed(): void {
    const manager = this.#managers.get(this.epoch);
    if (manager !== undefined && this.after.includes('-')) {
      const sequence = sequenceOf({ type: '', cursor: this.after });
      for (const channel of this.channels) {
        if (this.reached.get(channel)! >= 0) this.#complete(channel, sequence, manager);
        this.reached.set(channel, Math.max(sequence, this.reached.get(channel)!));
      }
    }
    this.#owed.clear();
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
      ...gap.map((one) => ({ ...one, type: 'gap' })),
      ...messages.map((one) => ({ ...one, type: 'message' })),
    ];
    const place = (event: ClientEvent) => sequenceOf(event) + (event.type === 'gap' ? 0 : 0.5);
    for (const event of events.sort((one, other) => place(one) - place(other))) this.#event(event);
    this.#event({ type: 'subscribed', cursor });
  }

  #event({ type, channel, cursor }: ClientEvent): void {
    if (cursor === undefined) return;
    const sequence = sequenceOf({ type, cursor });
    const [epoch] = cursor.split('-');
    const manager = this.#managers.get(epoch!)!;
    if (epoch !== this.epoch) {
      const isNew = !this.after.includes('-');
      assert(isNew || (type === 'gap' && channel === undefined), `${this.#about()}: ${cursor} without a gap`);
      this.epoch = epoch!;
    } else if (type === 'gap' && channel === undefined) {
      // A worker that has not heard of a new epoch yet takes its cursors for those of a lost one.
      assert(this.#highest > manager.last || this.#managers.size > 1, `${this.#about()}: a gap of all channels`);
    }
    if (type === 'message') {
      this.messages++;
      const before = this.reached.get(channel!)!;
      assert(before !== undefined, `${this.#about()}: ${channel} is not its channel`);
      assert(sequence > before, `${this.#about()}: ${cursor} of ${channel} came again`);
      assert.equal(manager.log[sequence - 1]!.channel, channel);
      if (before >= 0) this.#complete(channel!, sequence - 1, manager);
      assert(!this.#owed.has(channel!), `${this.#about()}: no gap at ${this.#owed.get(channel!)} of ${channel}`);
      this.reached.set(channel!, sequence);
    } else if (type === 'gap') {
      this.gaps++;
      for (const one of channel === undefined ? this.channels : [channel]) {
        const before = Math.min(this.reached.get(one)!, (this.#owed.get(one) ?? Number.POSITIVE_INFINITY) - 1);
        this.#owed.delete(one);
        // A manager that returns may repeat one.
        if (channel !== undefined && sequence > before) {
          // What the log has lost a worker may still have: then the gap ends where that begins.
          assert(
            manager.hasLost(one, before, manager.last),
            `${this.#about()}: a gap at ${cursor}, but nothing is lost`,
          );
        }
        if (channel === undefined || sequence > before) this.reached.set(one, sequence);
      }
    } else if (type === 'subscribed') {
      this.live = true;
      for (const one of this.channels) {
        if (this.reached.get(one)! >= 0) this.#complete(one, sequence, manager);
        this.reached.set(one, Math.max(sequence, this.reached.get(one)!));
      }
    }
    this.after = cursor;
  }

  /** Everything of the channel up to the sequence has come, or a gap farther on will say that it was lost. */
  #complete(channel: string, upTo: number, manager: ModelManager): void {
    const before = this.reached.get(channel)!;
    const missing = manager.log.slice(before, upTo).find((one) => one.channel === channel);
    if (missing === undefined) return;
    const { sequence } = missing;
    assert(
      manager.hasLost(channel, sequence - 1, sequence) && manager.hasLost(channel, upTo, manager.last),
      `${this.#about()}: ${sequence} of ${channel} is missing after ${before}`,
    );
    if (!this.#owed.has(channel)) this.#owed.set(channel, sequence);
  }

  /** Nothing is on its way any more: it has everything. */
  checkComplete(manager: ModelManager): void {
    // Who began at a place without an epoch may have had nothing to hear.
    if (this.after.includes('-')) assert.equal(this.epoch, manager.epoch, this.#about());
    for (const channel of this.channels) {
      if (this.reached.get(channel)! >= 0) this.#complete(channel, manager.last, manager);
    }
    assert.equal(this.#owed.size, 0);
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
