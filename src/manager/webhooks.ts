/**
 * Webhooks: tells an application over HTTP which clients have come and gone (attendance.ts). docs/operations.md has the format.
 *
 *     event ──► queue, bounded ──► batch, at most one on its way ──► POST, signed ──► 2xx: the next one
 *                 │                                                    │
 *                 └─ one that takes back the last of its client        └─ anything else: again, later and later
 *
 * Order is kept: a batch is sent until it is taken, and nothing overtakes it. What a client did and undid while its event waited is left
 * out. Where more waits than fits, the oldest go, and the receiver is told how many: then it asks for the presence of its channels.
 */

import { createHmac, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  WEBHOOK_BATCH_EVENTS,
  WEBHOOK_BATCH_MS,
  WEBHOOK_EVENTS_MAX,
  WEBHOOK_RETRY_MS,
  WEBHOOK_RETRY_MS_MAX,
  WEBHOOK_TIMEOUT_MS,
} from '../limits.js';
import { withinTime } from '../time-limit.js';
import type { AttendanceEvents } from './attendance.js';
import { atMostEvery, type Logger } from './logger.js';
import { type ClientEvent, WebhookQueue } from './webhook-queue.js';

const FAILURE_LOG_MS = 30_000;
/** What is read of an answer, which nobody needs. */
const ANSWER_BYTES_MAX = 64 << 10;
/** For the last request of a server that ends. */
const LAST_MS = 800;
const LAST_EVENTS_MAX = 10 * WEBHOOK_BATCH_EVENTS;
const NEVER = new AbortController().signal;

export type WebhookEvent =
  /** The server begins: whoever it told of before is not here, unless it is told so again. */
  | { type: 'started'; time: number }
  | { type: 'connected' | 'disconnected'; client: string; channels: readonly string[]; time: number }
  /** So many events were dropped here. */
  | { type: 'dropped'; count: number; time: number }
  /** The server ends, and all of its clients are gone. */
  | { type: 'stopped'; time: number };

export interface WebhookCounters {
  /** Waiting, and on their way. */
  pending: number;
  sent: number;
  /** Since there was no room, or the server ended. */
  dropped: number;
  /** Left out, since the client undid it before it was sent. */
  coalesced: number;
  /** Requests that were not answered with 2xx. */
  failures: number;
  /** Why the last one failed, while the batch is being tried again; null when the receiver takes events. */
  lastFailure: string | null;
}

export interface WebhookOptions {
  url: string;
  secret: Buffer;
  logger: Logger;
  /** For tests: times in ms, and from 0 to below 1. */
  batchMs?: number;
  retryMs?: number;
  timeoutMs?: number;
  eventsMax?: number;
  random?: () => number;
}

export class Webhooks implements AttendanceEvents {
  readonly #url: string;
  #secret: Buffer;
  readonly #logger: Logger;
  readonly #batchMs: number;
  readonly #retryMs: number;
  readonly #timeoutMs: number;
  readonly #random: () => number;
  readonly #reportFailure: (reason: string) => void;
  readonly #queue: WebhookQueue;
  #inFlight = 0;
  /** A batch that was under way when the server ended. */
  #unsent: readonly WebhookEvent[] = [];
  /** Dropped, and not told yet. */
  #untold = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  readonly #closing = new AbortController();
  #sent = 0;
  #dropped = 0;
  #coalesced = 0;
  #failures = 0;
  #lastFailure: string | null = null;

  constructor(options: WebhookOptions) {
    this.#url = options.url;
    this.#secret = options.secret;
    this.#logger = options.logger;
    this.#batchMs = options.batchMs ?? WEBHOOK_BATCH_MS;
    this.#retryMs = options.retryMs ?? WEBHOOK_RETRY_MS;
    this.#timeoutMs = options.timeoutMs ?? WEBHOOK_TIMEOUT_MS;
    this.#queue = new WebhookQueue(options.eventsMax ?? WEBHOOK_EVENTS_MAX);
    this.#random = options.random ?? Math.random;
    this.#reportFailure = atMostEvery(FAILURE_LOG_MS, (reason) =>
      this.#logger.warn('a webhook is not taken, and is sent again', { reason, pending: this.counters.pending }),
    );
    this.#add({ type: 'started', time: Date.now() });
  }

  get counters(): WebhookCounters {
    return {
      pending: this.#queue.size + this.#inFlight,
      sent: this.#sent,
      dropped: this.#dropped,
      coalesced: this.#coalesced,
      failures: this.#failures,
      lastFailure: this.#lastFailure,
    };
  }

  /** From now on. */
  set secret(secret: Buffer) {
    this.#secret = secret;
  }

  connected(client: string, channels: readonly string[]): void {
    this.#change({ type: 'connected', client, channels, time: Date.now() });
  }

  disconnected(client: string, channels: readonly string[]): void {
    this.#change({ type: 'disconnected', client, channels, time: Date.now() });
  }

  /** Ends: what waits is sent in one last request, if that is quick. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#closing.abort();
    await this.#sending;
    const events = [...this.#unsent, ...this.#batch(LAST_EVENTS_MAX)];
    this.#dropped += this.#queue.size;
    events.push({ type: 'stopped', time: Date.now() });
    const lastMs = Math.min(LAST_MS, this.#timeoutMs);
    if (await withinTime(lastMs, NEVER, (limit) => this.#post(events, randomUUID(), limit))) return;
    this.#dropped += events.length;
    this.#logger.warn('webhooks were not delivered before the end', { events: events.length });
  }

  #change(event: ClientEvent): void {
    if (this.#queue.undo(event)) this.#coalesced += 2;
    else this.#add(event);
  }

  #add(event: WebhookEvent): void {
    const dropped = this.#queue.add(event);
    this.#dropped += dropped;
    this.#untold += dropped;
    if (this.#sending !== null || this.#timer !== null || this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#sending = this.#sendAll().finally(() => (this.#sending = null));
    }, this.#batchMs);
  }

  /** The first events that wait, and before them how many were dropped. */
  #batch(count: number): WebhookEvent[] {
    const events = this.#queue.take(count);
    if (this.#untold > 0) events.unshift({ type: 'dropped', count: this.#untold, time: Date.now() });
    this.#untold = 0;
    return events;
  }

  /** Until nothing waits, or the server ends. */
  async #sendAll(): Promise<void> {
    while (this.#queue.size > 0 && !this.#closing.signal.aborted) {
      const events = this.#batch(WEBHOOK_BATCH_EVENTS);
      this.#inFlight = events.length;
      if (!(await this.#deliver(events))) this.#unsent = events;
      this.#inFlight = 0;
    }
  }

  /** Sends a batch until it is taken. @returns false where the server ends before that */
  async #deliver(events: readonly WebhookEvent[]): Promise<boolean> {
    const id = randomUUID();
    const { signal } = this.#closing;
    for (let attempt = 0; !signal.aborted; attempt++) {
      if (await withinTime(this.#timeoutMs, signal, (limit) => this.#post(events, id, limit))) return true;
      const longestMs = Math.min(this.#retryMs * 2 ** attempt, WEBHOOK_RETRY_MS_MAX);
      // An end of the server ends the wait too.
      await delay(longestMs * (0.5 + this.#random() / 2), undefined, { signal }).catch(() => {});
    }
    return false;
  }

  /** @returns whether the receiver has taken it */
  async #post(events: readonly WebhookEvent[], id: string, signal: AbortSignal): Promise<boolean> {
    const body = JSON.stringify({ id, events });
    const seconds = Math.floor(Date.now() / 1000);
    let reason: string;
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'MegaComet',
          'megacomet-delivery': id,
          'megacomet-signature': `t=${seconds},v1=${signatureOf(this.#secret, seconds, body)}`,
        },
        body,
        // Another place is not the one that the operator has named, and may be inside his network.
        redirect: 'manual',
        signal,
      });
      await readPast(response);
      if (response.ok) {
        this.#sent += events.length;
        this.#lastFailure = null;
        return true;
      }
      reason = `it answered ${response.status}`;
    } catch (error) {
      reason = reasonOf(error, this.#timeoutMs);
    }
    this.#failures++;
    this.#lastFailure = reason;
    if (!this.#closing.signal.aborted) this.#reportFailure(reason);
    return false;
  }
}

/** HMAC-SHA256 over the time, a dot and the body, in hex. */
export function signatureOf(secret: Buffer, seconds: number, body: string): string {
  return createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
}

/** A connection is used again only when its answer was read; an answer without end is cut off. */
async function readPast(response: Response): Promise<void> {
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > ANSWER_BYTES_MAX) break;
  }
}

/** undici wraps the socket's error. What else is thrown is a bug. */
function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) throw error;
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
  if (error.name === 'AbortError') return 'the server ends';
  if (!(error instanceof TypeError)) throw error;
  const cause = error.cause instanceof AggregateError ? error.cause.errors[0] : error.cause;
  // Some of its errors say nothing.
  return (cause instanceof Error && cause.message) || error.message;
}
