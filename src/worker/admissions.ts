/**
 * Who is let in: judges what a request asks for by the policy, its token and its address, and keeps the requests that wait for a
 * verdict on their token.
 *
 * These are in PHASE_VERIFYING. All that came of such a request, and what comes meanwhile, is kept as it is and read again when the
 * verdict is there, so that nothing of it need be remembered in parsed form. It is bounded for each and for all together.
 */

import type { RequestHead } from '../http/request-head.js';
import { CLIENT_BODY_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, VERIFY_TIMEOUT_MS, VERIFYING_BYTES_MAX } from '../limits.js';
import type { Grant } from '../tokens/grant.js';
import type { TokenFailure, Verdict } from '../tokens/verifier.js';
import { type AccessRefusal, accessAnswer, statusOf, tokenRefusal } from '../transports/access.js';
import { TOKEN_MALFORMED, TOKEN_NONE, TOKEN_TWICE, TokenReader } from '../transports/tokens.js';
import type { Access, ChannelNames } from './access.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, PHASE_HEAD, PHASE_VERIFYING } from './connections.js';

/** `judge`: it may. */
export const ADMITTED = 0;
/** `judge`: nobody knows yet; hand the request to `wait`. */
export const UNDECIDED = 1;

const MALFORMED: TokenFailure = {
  code: 'token_invalid',
  message: 'it is too long, or encoded wrongly',
  final: true,
  keyUnknown: false,
  counts: true,
};
const TWICE: AccessRefusal = { code: 'invalid', message: 'a request has one token at most' };
const REQUIRED: AccessRefusal = { code: 'token_required', message: 'a token is needed for this' };
const TOO_MANY_FAILURES: AccessRefusal = {
  code: 'rate_limited',
  message: 'too many wrong tokens came from this address, try again later',
};
const BUSY: AccessRefusal = { code: 'unavailable', message: 'tokens cannot be verified now, try again later' };

/** 503 says when to come back, in seconds: at random, so that not all do at once. */
const RETRY_S_MAX = 10;

/** Wrong tokens by the address that they come from. */
export interface FailureLimits {
  /** Whether an address has had too many lately for another one to be verified. */
  isExhausted(connection: number): boolean;
  /** One more. */
  failed(connection: number): void;
}

interface WaitingRequest {
  chunks: Buffer[];
  bytes: number;
  bytesMax: number;
  readonly bodiless: boolean;
}

export interface AdmissionEvents {
  /** The verdict on a request is there: read it again, from bytes[0..length). The phase is PHASE_HEAD. */
  resumed(connection: number, bytes: Buffer): void;
}

export class Admissions {
  readonly #access: Access;
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #failures: FailureLimits;
  readonly #events: AdmissionEvents;
  readonly #reader = new TokenReader();
  readonly #waiting = new Map<number, WaitingRequest>();
  #waitingBytes = 0;
  /** Of the request that is read again now. */
  #verdict: Verdict | null = null;
  /** After ADMITTED: what its token allows; null: it has none. */
  grant: Grant | null = null;

  constructor(
    parts: { access: Access; connections: Connections; control: ConnectionControl; failures: FailureLimits },
    events: AdmissionEvents,
  ) {
    this.#access = parts.access;
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#failures = parts.failures;
    this.#events = events;
  }

  /**
   * Judges a request that was parsed from `bytes`.
   *
   * @param names what it wants to subscribe to; null: it wants to publish, on channels that its body will name
   * @returns ADMITTED, UNDECIDED or why it is refused
   */
  judge(
    connection: number,
    bytes: Uint8Array,
    head: RequestHead,
    names: ChannelNames | null,
  ): typeof ADMITTED | typeof UNDECIDED | AccessRefusal {
    this.grant = null;
    if (!this.#access.takesTokens) return this.#rights(names);
    const found = this.#reader.read(bytes, head);
    if (found === TOKEN_NONE) return this.#rights(names);
    if (found === TOKEN_TWICE) return TWICE;
    if (found === TOKEN_MALFORMED) return this.#failed(connection, MALFORMED);
    const verdict = this.#verdict ?? this.#access.tokens.known(this.#reader.token);
    if (verdict === undefined) return this.#failures.isExhausted(connection) ? TOO_MANY_FAILURES : UNDECIDED;
    if ('failure' in verdict) return this.#failed(connection, verdict.failure);
    this.grant = verdict.grant;
    return this.#rights(names);
  }

  #rights(names: ChannelNames | null): typeof ADMITTED | AccessRefusal {
    const { grant } = this;
    if (names === null) {
      const mayPublish = this.#access.anonymousPublishing || (grant !== null && grant.publish.length > 0);
      if (mayPublish) return ADMITTED;
      return grant === null && this.#access.takesTokens
        ? REQUIRED
        : { code: 'forbidden', message: 'the token does not allow to publish' };
    }
    const forbidden = this.#access.firstForbidden(names, grant);
    if (forbidden === null) return ADMITTED;
    if (grant === null && this.#access.takesTokens) return REQUIRED;
    const who = grant === null ? 'clients may not' : 'the token does not allow to';
    return { code: 'forbidden', message: `${who} subscribe to ${JSON.stringify(forbidden)}` };
  }

  #failed(connection: number, failure: TokenFailure): AccessRefusal {
    if (failure.counts) this.#failures.failed(connection);
    return tokenRefusal(failure);
  }

  /**
   * Keeps a request on which `judge` was undecided, bytes[start..end) and what will follow, until its token is verified.
   *
   * @param publishes its body may come
   * @param bodiless it is HEAD
   */
  wait(connection: number, bytes: Uint8Array, start: number, end: number, publishes: boolean, bodiless: boolean): void {
    const bytesMax = 2 * REQUEST_HEAD_BYTES_MAX + (publishes ? CLIENT_BODY_BYTES_MAX : 0);
    const request: WaitingRequest = { chunks: [], bytes: 0, bytesMax, bodiless };
    this.#connections.phase[connection] = PHASE_VERIFYING;
    this.#waiting.set(connection, request);
    this.#control.schedule(connection, VERIFY_TIMEOUT_MS);
    if (!this.received(connection, bytes, start, end)) return;
    const begun = this.#access.tokens.verify(this.#reader.token, (verdict) => {
      // Whoever asked may have gone, and another have its number.
      if (this.#waiting.get(connection) === request) this.#decided(connection, verdict);
    });
    if (!begun) this.refuse(connection, BUSY, bodiless);
  }

  /** Bytes for a connection in PHASE_VERIFYING. @returns false where they are too many, and it was refused */
  received(connection: number, bytes: Uint8Array, start: number, end: number): boolean {
    const request = this.#waiting.get(connection)!;
    request.chunks.push(Buffer.from(bytes.subarray(start, end)));
    request.bytes += end - start;
    this.#waitingBytes += end - start;
    if (request.bytes > request.bytesMax) this.#control.refuse(connection, 413, request.bodiless);
    else if (this.#waitingBytes > VERIFYING_BYTES_MAX) this.refuse(connection, BUSY, request.bodiless);
    else return true;
    return false;
  }

  /** The time of a connection in PHASE_VERIFYING is over. */
  timedOut(connection: number): void {
    this.refuse(connection, BUSY, this.#waiting.get(connection)!.bodiless);
  }

  /** A connection departs. */
  left(connection: number): void {
    this.#take(connection);
  }

  /** Refuses a request over HTTP. */
  refuse(connection: number, refusal: AccessRefusal, bodiless: boolean): void {
    const retryAfterS = 1 + Math.floor(Math.random() * RETRY_S_MAX);
    this.#control.countRejected(statusOf(refusal));
    this.#control.answer(connection, accessAnswer(refusal, bodiless, retryAfterS, Date.now()), false);
  }

  #decided(connection: number, verdict: Verdict | null): void {
    const { chunks, bodiless } = this.#take(connection)!;
    if (verdict === null) {
      this.refuse(connection, BUSY, bodiless);
      return;
    }
    this.#connections.phase[connection] = PHASE_HEAD;
    this.#verdict = verdict;
    this.#events.resumed(connection, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  }

  /** The verdict that a request was read again for has been used; what comes behind it is judged by itself. */
  used(): void {
    this.#verdict = null;
  }

  #take(connection: number): WaitingRequest | undefined {
    const request = this.#waiting.get(connection);
    if (request === undefined) return undefined;
    this.#waitingBytes -= request.bytes;
    this.#waiting.delete(connection);
    return request;
  }
}
