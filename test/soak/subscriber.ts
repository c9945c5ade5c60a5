/** Subscribers that are cut and return at random, each with the cursor that it was given last. */

import { type Book, type ChannelLedger, Follower } from './ledger.js';
import type { Random } from './random.js';
import { type Connection, classic, type Events, type Transport } from './transports.js';

/** What a subscriber does besides listening. Times in milliseconds, as means. */
export interface Habits {
  /** How long it stays. */
  stayMs: number;
  /** How long it is away. */
  awayMs: number;
  /** The part of its stays in which it stops reading for a while. */
  pauses: number;
}

/** What both kinds have. */
export interface Participant {
  readonly transport: string;
  /** Connections that it made. */
  connections: number;
  /** Messages that it got, repeated ones too. */
  messages: number;
  /** Comes and goes until `settle`. */
  start(): void;
  /** From now on it stays connected. */
  settle(): void;
  /** Has all that it should have. */
  readonly complete: boolean;
  readonly followers: readonly Follower[];
  stop(): void;
}

/** Where the server is: it may move when it returns. */
export interface Place {
  readonly port: number;
}

const RETRY_MS = 100;

export class Subscriber implements Participant {
  readonly transport: string;
  readonly followers: readonly Follower[];
  connections = 0;
  messages = 0;
  readonly #byChannel: Map<string, Follower>;
  readonly #book: Book;
  readonly #random: Random;
  readonly #habits: Habits;
  readonly #place: Place;
  readonly #connect: Transport;
  #cursor = 'start';
  #epoch = '';
  #position = 0;
  #connection: Connection | null = null;
  #timer: NodeJS.Timeout | undefined;
  #settled = false;
  #stopped = false;

  constructor(parts: {
    name: string;
    transport: string;
    connect: Transport;
    channels: readonly ChannelLedger[];
    book: Book;
    random: Random;
    habits: Habits;
    place: Place;
  }) {
    this.transport = parts.transport;
    this.#connect = parts.connect;
    this.#book = parts.book;
    this.#random = parts.random;
    this.#habits = parts.habits;
    this.#place = parts.place;
    this.followers = parts.channels.map((ledger) => new Follower(parts.book, ledger, parts.name));
    this.#byChannel = new Map(this.followers.map((follower) => [follower.ledger.name, follower]));
  }

  start(): void {
    this.#open();
  }

  settle(): void {
    this.#settled = true;
    if (this.#connection !== null) clearTimeout(this.#timer);
  }

  get complete(): boolean {
    return this.followers.every((follower) => follower.complete);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#connection?.cut();
  }

  #open(): void {
    this.connections++;
    const { exponential, chance, between } = this.#random;
    const connection = this.#connect(
      { port: this.#place.port, channels: [...this.#byChannel.keys()], after: this.#cursor },
      this.#events(),
    );
    this.#connection = connection;
    if (this.#settled) return;
    const stayMs = exponential(this.#habits.stayMs);
    this.#timer = setTimeout(() => connection.cut(), stayMs);
    if (chance(this.#habits.pauses)) setTimeout(() => connection.pause(between(100, 2000)), stayMs / 2).unref();
  }

  /** Of one connection. */
  #events(): Events {
    let reached = 0;
    return {
      message: (channel, cursor, data) => {
        this.messages++;
        this.#begin();
        const follower = this.#byChannel.get(channel);
        const { n } = data as { n: number };
        const sequence = this.#parse(cursor);
        if (follower === undefined) {
          this.#book.wrong(`${this.followers[0].subscriber}: got a message of ${channel}, which it did not ask for`);
        } else if (sequence <= reached) {
          this.#book.wrong(`${follower.title}: ${sequence} after ${reached} on one connection`);
        } else if (sequence <= this.#position) {
          this.#book.repeated++;
        } else {
          follower.got(n, sequence);
        }
        reached = Math.max(reached, sequence);
        this.#moveTo(cursor, sequence);
      },
      gap: (channel, cursor, lost) => {
        this.#begin();
        const sequence = this.#parse(cursor);
        const follower = channel === undefined ? undefined : this.#byChannel.get(channel);
        if (sequence < reached) {
          this.#book.wrong(`${this.followers[0].subscriber}: a gap at ${cursor} after ${reached} on one connection`);
        }
        if (follower !== undefined && lost !== undefined) follower.lost(this.#parse(lost));
        else this.#book.wrong(`${this.followers[0].subscriber}: a gap of ${channel ?? 'all channels'} at ${cursor}`);
        this.#moveTo(cursor, sequence);
      },
      position: (cursor) => {
        this.#begin();
        this.#moveTo(cursor, this.#parse(cursor));
      },
      ended: () => {
        this.#connection = null;
        clearTimeout(this.#timer);
        if (this.#stopped) return;
        const awayMs = this.#settled ? RETRY_MS : RETRY_MS + this.#random.exponential(this.#habits.awayMs);
        this.#timer = setTimeout(() => this.#open(), awayMs);
      },
    };
  }

  /** Something has come: what was dropped before it asked for the start of the log is nothing that it misses. */
  #begin(): void {
    if (this.#cursor === 'start') for (const follower of this.followers) follower.begin();
  }

  #parse(cursor: string): number {
    const dash = cursor.lastIndexOf('-');
    const epoch = cursor.slice(0, dash);
    if (this.#epoch === '') this.#epoch = epoch;
    if (this.#epoch !== epoch) this.#book.wrong(`${this.followers[0].subscriber}: the epoch has changed to ${epoch}`);
    return Number(cursor.slice(dash + 1));
  }

  #moveTo(cursor: string, sequence: number): void {
    if (sequence < this.#position) return;
    this.#position = sequence;
    this.#cursor = cursor;
  }
}

/** A client of 2011: each message of its channel is handed to some poll at least once, and the oldest first. */
export class ClassicClient implements Participant {
  readonly transport = 'classic';
  readonly followers: readonly Follower[] = [];
  connections = 0;
  messages = 0;
  readonly #ledger: ChannelLedger;
  readonly #book: Book;
  readonly #random: Random;
  readonly #habits: Habits;
  readonly #place: Place;
  readonly #got = new Set<number>();
  /** All up to this number were got. */
  #upTo = 0;
  #connection: Connection | null = null;
  #timer: NodeJS.Timeout | undefined;
  #settled = false;
  #stopped = false;

  constructor(parts: { ledger: ChannelLedger; book: Book; random: Random; habits: Habits; place: Place }) {
    this.#ledger = parts.ledger;
    this.#book = parts.book;
    this.#random = parts.random;
    this.#habits = parts.habits;
    this.#place = parts.place;
  }

  start(): void {
    this.#open();
  }

  settle(): void {
    this.#settled = true;
    if (this.#connection !== null) clearTimeout(this.#timer);
  }

  get complete(): boolean {
    this.#advance();
    return this.#upTo === this.#ledger.last;
  }

  /** Numbers that should have come and have not. */
  get missing(): number[] {
    const { last, givenUp } = this.#ledger;
    const missing: number[] = [];
    for (let number = this.#upTo + 1; number <= last; number++) {
      if (!this.#got.has(number) && !givenUp.has(number)) missing.push(number);
    }
    return missing;
  }

  get title(): string {
    return `classic client ${this.#ledger.name}`;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#connection?.cut();
  }

  #open(): void {
    this.connections++;
    const connection = classic(this.#place.port, this.#ledger.name, {
      body: (text) => this.#body(text),
      ended: () => {
        this.#connection = null;
        clearTimeout(this.#timer);
        if (this.#stopped) return;
        const isAway = !this.#settled && this.#random.chance(0.1);
        this.#timer = setTimeout(() => this.#open(), isAway ? this.#random.exponential(this.#habits.awayMs) : 5);
      },
    });
    this.#connection = connection;
    if (!this.#settled) this.#timer = setTimeout(() => connection.cut(), this.#random.exponential(this.#habits.stayMs));
  }

  #body(text: string): void {
    this.messages++;
    const { n } = JSON.parse(text) as { n: number };
    if (n <= this.#upTo || this.#got.has(n)) {
      this.#book.repeated++;
      return;
    }
    this.#book.delivered++;
    this.#got.add(n);
    this.#advance();
  }

  #advance(): void {
    const { givenUp, last } = this.#ledger;
    for (let next = this.#upTo + 1; next <= last && (this.#got.delete(next) || givenUp.has(next)); next++) {
      this.#upTo = next;
    }
  }
}
