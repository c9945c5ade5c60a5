/**
 * What clients send to the server: bodies of POST requests, and publications, by POST or WebSocket.
 *
 * A publication goes to the manager and is answered when it has its place in the log. Who publishes by POST waits for that in
 * PHASE_PUBLISHING; a WebSocket goes on meanwhile. When the link is lost nobody knows what became of it: all are told to
 * try again, and an `id` keeps a second try from being a second publication.
 */

import { formatCursor } from '../cursor.js';
import { BODY_COMPLETE, BODY_PARTIAL, BodyReader } from '../http/body.js';
import type { RequestHead } from '../http/request-head.js';
import { CONTINUE } from '../http/response.js';
import {
  CLIENT_BODY_BYTES_MAX,
  PARTIAL_BODIES_BYTES_MAX,
  PUBLISHES_PENDING_MAX,
  REQUEST_BODY_TIMEOUT_MS,
} from '../limits.js';
import { PUBLISHED_DUPLICATE, PUBLISHED_FAILED } from '../link/frames.js';
import type { Grant } from '../tokens/grant.js';
import { echoAnswer, type Published, publishAnswer, publishRefusal } from '../transports/answers.js';
import {
  type ClientPublication,
  isRefusal,
  parsePublishBody,
  type Refusal,
  UNAVAILABLE,
} from '../transports/publishing.js';
import type { Access } from './access.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_CLOSES, PHASE_BODY, PHASE_PUBLISHING } from './connections.js';

/** The way to the manager. */
export interface PublishReports {
  readonly established: boolean;
  /** Answered by `published`. */
  publish(request: number, kind: number, id: Uint8Array, name: Uint8Array, data: Uint8Array): void;
}

/** Sends the answer to whoever published. */
export interface Answerer {
  published(connection: number, published: readonly Published[]): void;
  refused(connection: number, refusal: Refusal): void;
}

/** Publications of one request. */
interface Publishing {
  readonly connection: number;
  readonly answerer: Answerer;
  readonly answers: Published[];
  /** Not answered by the manager yet. */
  pending: number;
  failed: boolean;
}

export class Posts {
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #reports: PublishReports;
  readonly #access: Access;
  readonly #bodies = new Map<number, { reader: BodyReader; echo: boolean; grant: Grant | null }>();
  #bodiesBytes = 0;
  readonly #byRequest = new Map<number, { publishing: Publishing; index: number }>();
  readonly #byConnection = new Map<number, Set<Publishing>>();
  #lastRequest = 0;
  /** Of the log. */
  epoch = '';

  constructor(parts: {
    connections: Connections;
    control: ConnectionControl;
    reports: PublishReports;
    access: Access;
  }) {
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#reports = parts.reports;
    this.#access = parts.access;
  }

  // ── Bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The head of a POST has been read.
   *
   * @param body.echo it is to be returned; else published
   * @param body.grant what its token allows; null: it came without
   * @param body.bodyFollows bytes of the body have come with it: nobody waits for `100 Continue` (RFC 9110 section 10.1.1)
   * @returns false where the connection is gone
   */
  begin(
    connection: number,
    head: RequestHead,
    { echo, grant, bodyFollows }: { echo: boolean; grant: Grant | null; bodyFollows: boolean },
  ): boolean {
    this.#connections.phase[connection] = PHASE_BODY;
    if (!head.keepAlive) this.#connections.flags[connection] |= FLAG_CLOSES;
    const reader = new BodyReader(head.chunked ? -1 : head.contentLength, CLIENT_BODY_BYTES_MAX);
    this.#bodies.set(connection, { reader, echo, grant });
    this.#bodiesBytes += reader.heldBytes;
    this.#control.schedule(connection, REQUEST_BODY_TIMEOUT_MS);
    return !head.expectContinue || bodyFollows || this.#control.sendCopy(connection, CONTINUE) >= 0;
  }

  /** Bytes for a connection in PHASE_BODY, maybe none. @returns where the next request begins */
  received(connection: number, bytes: Uint8Array, start: number, end: number): number {
    const { reader, echo, grant } = this.#bodies.get(connection)!;
    this.#bodiesBytes -= reader.heldBytes;
    const result = reader.feed(bytes, start, end);
    this.#bodiesBytes += reader.heldBytes;
    if (result === BODY_PARTIAL) {
      if (this.#bodiesBytes > PARTIAL_BODIES_BYTES_MAX) this.#control.refuse(connection, 503);
      return end;
    }
    if (result !== BODY_COMPLETE) {
      this.#control.refuse(connection, -result);
      return end;
    }
    const body = reader.bytes;
    this.#dropBody(connection);
    if (echo) this.#answer(connection, (keepAlive) => echoAnswer(body, keepAlive, Date.now()));
    else this.#publishBody(connection, body, grant);
    return start + reader.consumed;
  }

  #dropBody(connection: number): void {
    const body = this.#bodies.get(connection);
    if (body === undefined) return;
    this.#bodiesBytes -= body.reader.heldBytes;
    this.#bodies.delete(connection);
  }

  /** Sends an answer, after which the connection is asked again or ends. */
  #answer(connection: number, encode: (keepAlive: boolean) => Uint8Array): void {
    const keepAlive = this.#connections.persists(connection);
    if (this.#control.answer(connection, encode(keepAlive), keepAlive)) this.#control.idle(connection);
  }

  // ── Publishing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #publishBody(connection: number, body: Buffer, grant: Grant | null): void {
    this.#connections.phase[connection] = PHASE_PUBLISHING;
    const refused = (refusal: Refusal) =>
      this.#answer(connection, (keepAlive) => publishRefusal(refusal, keepAlive, Date.now()));
    const request = parsePublishBody(body, this.#access.publishRule(grant));
    if (isRefusal(request)) {
      refused(request);
      return;
    }
    const { publications, batch } = request;
    this.publish(connection, publications, {
      published: (_, published) =>
        this.#answer(connection, (keepAlive) => publishAnswer(published, batch, keepAlive, Date.now())),
      refused: (_, refusal) => refused(refusal),
    });
  }

  /** Publishes for a client. `answerer` is called now or later, unless the connection ends before. */
  publish(connection: number, publications: readonly ClientPublication[], answerer: Answerer): void {
    const others = this.#byConnection.get(connection);
    if (!this.#reports.established || (others !== undefined && others.size >= PUBLISHES_PENDING_MAX)) {
      answerer.refused(connection, UNAVAILABLE);
      return;
    }
    const publishing: Publishing = { connection, answerer, answers: [], pending: publications.length, failed: false };
    if (others === undefined) this.#byConnection.set(connection, new Set([publishing]));
    else others.add(publishing);
    for (const [index, { kind, id, channel, data }] of publications.entries()) {
      const request = this.#nextRequest();
      this.#byRequest.set(request, { publishing, index });
      this.#reports.publish(request, kind, Buffer.from(id), Buffer.from(channel), data);
    }
  }

  /** The manager's answer to one publication. */
  published(request: number, result: number, sequence: number): void {
    const entry = this.#byRequest.get(request);
    if (entry === undefined) return;
    this.#byRequest.delete(request);
    const { publishing, index } = entry;
    if (result === PUBLISHED_FAILED) publishing.failed = true;
    const cursor = formatCursor(this.epoch, sequence);
    publishing.answers[index] = { cursor, duplicate: result === PUBLISHED_DUPLICATE };
    if (--publishing.pending === 0) this.#settle(publishing);
  }

  /** The link is lost: what was under way may have been published or not. */
  managerLost(): void {
    const pending = new Set([...this.#byRequest.values()].map(({ publishing }) => publishing));
    this.#byRequest.clear();
    for (const publishing of pending) {
      publishing.failed = true;
      this.#settle(publishing);
    }
  }

  /** A connection departs. */
  left(connection: number): void {
    this.#dropBody(connection);
    this.#byConnection.delete(connection);
  }

  #settle(publishing: Publishing): void {
    const { connection, answerer, answers, failed } = publishing;
    const others = this.#byConnection.get(connection);
    // Whoever asked may have gone, and another have its number.
    if (others === undefined || !others.delete(publishing)) return;
    if (others.size === 0) this.#byConnection.delete(connection);
    if (failed) answerer.refused(connection, UNAVAILABLE);
    else answerer.published(connection, answers);
  }

  #nextRequest(): number {
    do this.#lastRequest = (this.#lastRequest + 1) >>> 0;
    while (this.#byRequest.has(this.#lastRequest));
    return this.#lastRequest;
  }
}
