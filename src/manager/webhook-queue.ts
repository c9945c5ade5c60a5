/**
 * Webhook events that wait to be sent, in their order. One that undoes another which still waits takes it back: neither is sent.
 *
 * Bounded: of more than `eventsMax` the oldest go. What was taken back leaves its place behind, until such places are most of the
 * queue; so a receiver that hangs for days, while clients come and go, costs no more than its events.
 */

import type { WebhookEvent } from './webhooks.js';

/** Fewer empty places than this are let be. */
const EMPTY_MIN = 1000;

/** One of a client. */
export type ClientEvent = Extract<WebhookEvent, { client: string }>;

export class WebhookQueue {
  readonly #eventsMax: number;
  /** Null: taken back, or taken. */
  #places: (WebhookEvent | null)[] = [];
  /** Those before it are empty. */
  #next = 0;
  /** Where the waiting event of a client is. */
  readonly #byClient = new Map<string, number>();
  #size = 0;

  constructor(eventsMax: number) {
    this.#eventsMax = eventsMax;
  }

  /** Events that wait. */
  get size(): number {
    return this.#size;
  }

  /** What it takes in memory: a place for each event, and the empty ones. */
  get places(): number {
    return this.#places.length;
  }

  /** @returns how many of the oldest had to go for it */
  add(event: WebhookEvent): number {
    const dropped = this.#size < this.#eventsMax ? 0 : this.take(1).length;
    if ('client' in event) this.#byClient.set(event.client, this.#places.length);
    this.#places.push(event);
    this.#size++;
    return dropped;
  }

  /**
   * Takes back the event that waits of the same client. Of one client events come in turn: so it is of the other kind.
   *
   * @returns false where none waits
   */
  undo({ client }: ClientEvent): boolean {
    const place = this.#byClient.get(client);
    if (place === undefined) return false;
    this.#places[place] = null;
    this.#byClient.delete(client);
    this.#size--;
    this.#close();
    return true;
  }

  /** Removes the first events, so many at most. */
  take(count: number): WebhookEvent[] {
    const events: WebhookEvent[] = [];
    while (events.length < count && this.#next < this.#places.length) {
      const event = this.#places[this.#next];
      this.#places[this.#next++] = null;
      if (event === null) continue;
      if ('client' in event!) this.#byClient.delete(event.client);
      this.#size--;
      events.push(event!);
    }
    this.#close();
    return events;
  }

  /** Closes the gaps, when most of it is gaps. */
  #close(): void {
    if (this.#places.length - this.#size <= Math.max(EMPTY_MIN, this.#size)) return;
    this.#places = this.#places.filter((event) => event !== null);
    this.#next = 0;
    for (const [place, event] of this.#places.entries()) {
      if ('client' in event!) this.#byClient.set(event.client, place);
    }
  }
}
