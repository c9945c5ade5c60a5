/**
 * A world for a client in which the test is the network, the clock, chance and the page. Nothing happens by itself: time moves
 * by `pass`, and what the client sends waits for the test's answer.
 */

import { setImmediate } from 'node:timers/promises';
import { makeClient } from '../client.js';
import type { PageEvent, Platform } from '../platform.js';
import type { Client, ConnectOptions, WebSocketLike } from '../types.js';

/** A WebSocket of the client. */
export class FakeSocket implements WebSocketLike {
  readonly url: string;
  readonly protocols: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: messages are looked at by tests, member by member
  readonly sent: any[] = [];
  isClosed = false;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;

  constructor(url: string, protocols: readonly string[]) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.isClosed = true;
  }

  // ── What the test does ─────────────────────────────────────────────────────────────────────────────────────────────

  async open(): Promise<void> {
    this.onopen?.({} as never);
    await settled();
  }

  /** The server says something. */
  async says(...events: object[]): Promise<void> {
    for (const event of events) this.onmessage?.({ data: JSON.stringify(event) } as never);
    await settled();
  }

  /** Opens, and answers what is subscribed to. */
  async goLive(cursor = 'e-1'): Promise<void> {
    await this.open();
    for (const { type, channels, ref } of this.sent) {
      if (type === 'subscribe') await this.says({ type: 'subscribed', channels, cursor, ref });
    }
  }

  /** The connection ends; 1006: it broke. */
  async ends(code = 1006): Promise<void> {
    this.onerror?.({} as never);
    this.onclose?.({ code } as never);
    await settled();
  }
}

/** A request of the client. */
export class FakeRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: unknown;
  readonly signal: AbortSignal | undefined;
  #answer: ((response: Response) => void) | undefined;
  #fail: ((error: unknown) => void) | undefined;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  readonly response: Promise<Response>;

  constructor(url: URL, init: RequestInit) {
    this.url = url;
    this.method = init.method ?? 'GET';
    this.headers = init.headers as Record<string, string>;
    this.body = init.body === undefined ? undefined : JSON.parse(init.body as string);
    this.signal = init.signal ?? undefined;
    this.response = new Promise((resolve, reject) => {
      this.#answer = resolve;
      this.#fail = reject;
    });
    this.signal?.addEventListener('abort', () => this.breaks(this.signal!.reason));
  }

  get path(): string {
    return this.url.pathname;
  }

  get after(): string | null {
    return this.url.searchParams.get('after');
  }

  get channels(): string[] {
    return this.url.searchParams.getAll('channel');
  }

  // ── What the test does ─────────────────────────────────────────────────────────────────────────────────────────────

  async answers(status: number, body: unknown, headers: Record<string, string> = {}): Promise<void> {
    this.#answer!(new Response(JSON.stringify(body), { status, headers }));
    await settled();
  }

  /** The head of an event stream. */
  async streams(type = 'text/event-stream; charset=utf-8'): Promise<void> {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#stream = controller) });
    this.#answer!(new Response(body, { headers: { 'content-type': type } }));
    await settled();
  }

  async sends(text: string): Promise<void> {
    this.#stream!.enqueue(new TextEncoder().encode(text));
    await settled();
  }

  /** The stream ends in order. */
  async ends(): Promise<void> {
    this.#stream!.close();
    await settled();
  }

  /** The connection breaks, before the answer or in it. */
  async breaks(error: unknown = new TypeError('network error')): Promise<void> {
    this.#fail!(error);
    this.#stream?.error(error);
    await settled();
  }
}

/** Everything that follows from what has happened has happened too. */
export async function settled(): Promise<void> {
  // Streams take several turns of the loop.
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}

export class World implements Platform {
  readonly sockets: FakeSocket[] = [];
  readonly requests: FakeRequest[] = [];
  /** What `random` gives. */
  chance = 0.5;
  base: string | undefined = 'http://page.example/app/';
  #nowMs = 1_700_000_000_000;
  #timers: { atMs: number; action: () => void }[] = [];
  #listeners = new Set<(event: PageEvent) => void>();

  readonly now = (): number => this.#nowMs;
  readonly random = (): number => this.chance;
  readonly WebSocket: NonNullable<ConnectOptions['WebSocket']>;

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: readonly string[] = []) {
        super(url, protocols);
        sockets.push(this);
      }
    };
  }

  readonly fetch = ((url: URL, init: RequestInit) => {
    const request = new FakeRequest(url, init);
    this.requests.push(request);
    return request.response;
  }) as typeof fetch;

  delay(delayMs: number, action: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  onPage(listener: (event: PageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // ── What the test does ─────────────────────────────────────────────────────────────────────────────────────────────

  /** Timers that are running, and listeners of the page. */
  get timers(): number {
    return this.#timers.length;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  /** A client that is about to connect. */
  async client<Data = unknown>(options: ConnectOptions = {}, url = 'https://push.example'): Promise<Client<Data>> {
    const client = makeClient<Data>(url, options, this);
    await settled();
    return client;
  }

  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  get request(): FakeRequest {
    return this.requests.at(-1)!;
  }

  /** Time passes, and what is due happens when it is due. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#timers.splice(this.#timers.indexOf(next), 1);
      next.action();
      await settled();
    }
    this.#nowMs = endMs;
    await settled();
  }

  /** The machine sleeps: the clock goes on, and timers fire late. */
  sleep(ms: number): void {
    this.#nowMs += ms;
  }

  async page(event: PageEvent): Promise<void> {
    for (const listener of this.#listeners) listener(event);
    await settled();
  }
}
