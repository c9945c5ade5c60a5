/**
 * What clients send to the server: bodies of POST requests, and publications, by POST or WebSocket.
 *
 * A publication goes to the manager and is answered when it has its place in the log. Who publishes by POST waits for that in
 * PHASE_PUBLISHING; a WebSocket goes on meanwhile. When the link is lost nobody knows what became of it: all are told to
 * try again, and an `id` keeps a second try from being a second publication.
 */

import { CHANNEL_NAME_RULE, isChannelName } from '../channel-name.js';
import { formatCursor } from '../cursor.js';
import { BODY_COMPLETE, BODY_PARTIAL, BodyReader } from '../http/body.js';
import type { RequestHead } from '../http/request-head.js';
import { CONTINUE } from '../http/response.js';
import {
  CLIENT_BATCH_PUBLICATIONS_MAX,
  CLIENT_BODY_BYTES_MAX,
  ECHO_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  PARTIAL_BODIES_BYTES_MAX,
  PUBLICATION_ID_BYTES_MAX,
  PUBLISHES_PENDING_MAX,
  REQUEST_BODY_TIMEOUT_MS,
} from '../limits.js';
import { KIND_JSON, KIND_TEXT, PUBLISHED_DUPLICATE, PUBLISHED_FAILED } from '../link/frames.js';
import { echoAnswer, errorAnswer, jsonAnswer } from '../transports/heads.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_CLOSES, FLAG_EXCESS, PHASE_BODY, PHASE_PUBLISHING } from './connections.js';

/** The way to the manager. */
export interface PublishReports {
  readonly established: boolean;
  /** Answered by `published`. */
  publish(request: number, kind: number, id: Uint8Array, name: Uint8Array, data: Uint8Array): void;
}

/** A request that is answered with an error. */
export class RequestError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Sends the answer to whoever published. */
export interface Answerer {
  /** @param answer JSON members without braces: `"cursor":"…"` */
  published(connection: number, answers: string[], isBatch: boolean): void;
  failed(connection: number, error: RequestError): void;
}

/** Publications of one request. */
interface Publishing {
  readonly connection: number;
  readonly answerer: Answerer;
  readonly isBatch: boolean;
  readonly answers: string[];
  /** Not answered by the manager yet. */
  pending: number;
  failed: boolean;
}

interface Encoded {
  kind: number;
  id: Buffer;
  name: Buffer;
  data: Buffer;
}

const NO_ID = Buffer.alloc(0);

export class Posts {
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #reports: PublishReports;
  readonly #mayPublish: (channel: string) => boolean;
  readonly #bodies = new Map<number, { reader: BodyReader; echo: boolean }>();
  #bodiesBytes = 0;
  readonly #byRequest = new Map<number, { publishing: Publishing; index: number }>();
  readonly #byConnection = new Map<number, Set<Publishing>>();
  #lastRequest = 0;
  /** Of the log. */
  epoch = '';

  readonly #byPost: Answerer = {
    published: (connection, answers, isBatch) => {
      const json = isBatch ? `[${answers.map((answer) => `{${answer}}`).join(',')}]` : `{${answers[0]}}`;
      this.#answer(connection, (keepAlive) => jsonAnswer(200, json, keepAlive, Date.now()));
    },
    failed: (connection, { status, code, message }) =>
      this.#answer(connection, (keepAlive) => errorAnswer(status, code, message, undefined, keepAlive, Date.now())),
  };

  constructor(parts: {
    connections: Connections;
    control: ConnectionControl;
    reports: PublishReports;
    /** Whether clients may publish to the channel. */
    mayPublish: (channel: string) => boolean;
  }) {
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#reports = parts.reports;
    this.#mayPublish = parts.mayPublish;
  }

  // ── Bodies ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The head of a POST has been read.
   *
   * @param bodyFollows bytes of the body have come with it: nobody waits for `100 Continue` (RFC 9110 section 10.1.1)
   * @returns false where the connection is gone
   */
  begin(connection: number, head: RequestHead, echo: boolean, bodyFollows: boolean): boolean {
    this.#connections.dropPartial(connection);
    this.#connections.phase[connection] = PHASE_BODY;
    if (!head.keepAlive) this.#connections.flags[connection] |= FLAG_CLOSES;
    const bytesMax = echo ? ECHO_BYTES_MAX : CLIENT_BODY_BYTES_MAX;
    const reader = new BodyReader(head.chunked ? -1 : head.contentLength, bytesMax);
    this.#bodies.set(connection, { reader, echo });
    this.#bodiesBytes += reader.heldBytes;
    this.#control.schedule(connection, REQUEST_BODY_TIMEOUT_MS);
    return !head.expectContinue || bodyFollows || this.#control.sendCopy(connection, CONTINUE) >= 0;
  }

  /** Bytes for a connection in PHASE_BODY, maybe none. @returns where the next request begins */
  received(connection: number, bytes: Uint8Array, start: number, end: number): number {
    const { reader, echo } = this.#bodies.get(connection)!;
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
    else this.#publishBody(connection, body);
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
    const keepAlive = (this.#connections.flags[connection] & (FLAG_CLOSES | FLAG_EXCESS)) === 0;
    const result = this.#control.sendCopy(connection, encode(keepAlive), !keepAlive);
    if (result < 0) return;
    if (keepAlive) this.#control.idle(connection);
    else this.#control.linger(connection);
  }

  // ── Publishing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #publishBody(connection: number, body: Buffer): void {
    this.#connections.phase[connection] = PHASE_PUBLISHING;
    try {
      const value = parseJson(body);
      const publications = Array.isArray(value) ? value : [value];
      this.publish(connection, publications, Array.isArray(value), this.#byPost);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#byPost.failed(connection, error);
    }
  }

  /**
   * Publishes for a client. `answerer` is called later, unless the connection ends before.
   *
   * @throws RequestError where nothing was published
   */
  publish(connection: number, publications: unknown[], isBatch: boolean, answerer: Answerer): void {
    if (publications.length === 0 || publications.length > CLIENT_BATCH_PUBLICATIONS_MAX) {
      throw new RequestError(400, 'invalid', `a batch has 1 to ${CLIENT_BATCH_PUBLICATIONS_MAX} publications`);
    }
    const encoded = publications.map((publication) => this.#encode(publication));
    if (!this.#reports.established) throw unavailable();
    const others = this.#byConnection.get(connection);
    if (others !== undefined && others.size >= PUBLISHES_PENDING_MAX) {
      throw new RequestError(503, 'busy', `at most ${PUBLISHES_PENDING_MAX} requests to publish may be under way`);
    }
    const pending = encoded.length;
    const publishing: Publishing = { connection, answerer, isBatch, answers: [], pending, failed: false };
    if (others === undefined) this.#byConnection.set(connection, new Set([publishing]));
    else others.add(publishing);
    for (const [index, { kind, id, name, data }] of encoded.entries()) {
      const request = this.#nextRequest();
      this.#byRequest.set(request, { publishing, index });
      this.#reports.publish(request, kind, id, name, data);
    }
  }

  /** The manager's answer to one publication. */
  published(request: number, result: number, sequence: number): void {
    const entry = this.#byRequest.get(request);
    if (entry === undefined) return;
    this.#byRequest.delete(request);
    const { publishing, index } = entry;
    if (result === PUBLISHED_FAILED) publishing.failed = true;
    const duplicate = result === PUBLISHED_DUPLICATE ? ',"duplicate":true' : '';
    publishing.answers[index] = `"cursor":"${formatCursor(this.epoch, sequence)}"${duplicate}`;
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
    const { connection, answerer, answers, isBatch, failed } = publishing;
    const others = this.#byConnection.get(connection);
    // Whoever asked may have gone, and another have its number.
    if (others === undefined || !others.delete(publishing)) return;
    if (others.size === 0) this.#byConnection.delete(connection);
    if (failed) answerer.failed(connection, unavailable());
    else answerer.published(connection, answers, isBatch);
  }

  #encode(publication: unknown): Encoded {
    if (typeof publication !== 'object' || publication === null || Array.isArray(publication)) {
      throw new RequestError(400, 'invalid', 'a publication must be an object');
    }
    const { channel, data, id } = publication as { channel?: unknown; data?: unknown; id?: unknown };
    if (typeof channel !== 'string' || !isChannelName(channel)) {
      throw new RequestError(400, 'invalid', `channel must be ${CHANNEL_NAME_RULE}`);
    }
    if (data === undefined) throw new RequestError(400, 'invalid', 'data is missing');
    if (!this.#mayPublish(channel)) {
      throw new RequestError(403, 'forbidden', `clients may not publish to ${JSON.stringify(channel)}`);
    }
    const isText = typeof data === 'string';
    const bytes = Buffer.from(isText ? data : jsonText(data));
    if (bytes.length > MESSAGE_BYTES_MAX) {
      throw new RequestError(413, 'too_large', `data must have at most ${MESSAGE_BYTES_MAX} bytes`);
    }
    return { kind: isText ? KIND_TEXT : KIND_JSON, id: encodeId(id), name: Buffer.from(channel), data: bytes };
  }

  #nextRequest(): number {
    do this.#lastRequest = (this.#lastRequest + 1) >>> 0;
    while (this.#byRequest.has(this.#lastRequest));
    return this.#lastRequest;
  }
}

function unavailable(): RequestError {
  return new RequestError(503, 'unavailable', 'the log cannot be reached: try again, with the same id');
}

function encodeId(id: unknown): Buffer {
  if (id === undefined) return NO_ID;
  const bytes = typeof id === 'string' && !/\p{Surrogate}/u.test(id) ? Buffer.from(id) : NO_ID;
  if (bytes.length > 0 && bytes.length <= PUBLICATION_ID_BYTES_MAX) return bytes;
  throw new RequestError(400, 'invalid', `id must be a string of 1 to ${PUBLICATION_ID_BYTES_MAX} bytes`);
}

function parseJson(body: Buffer): unknown {
  try {
    // Decoded leniently, a wrong byte in a channel's name would make it another channel.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    throw new RequestError(400, 'invalid', 'the body is not JSON in UTF-8');
  }
}

/** JSON.parse takes what is nested to any depth, JSON.stringify only what fits the stack. */
function jsonText(data: unknown): string {
  try {
    return JSON.stringify(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RequestError(400, 'invalid', 'data is nested too deeply');
  }
}
