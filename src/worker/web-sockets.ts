/**
 * WebSocket connections: their frames in, and what clients say in them: JSON objects, one a message (docs/protocol.md).
 * Publications go out through streams.ts like those of every other subscriber.
 *
 * Nothing is kept of an idle connection. Of one whose frame or message is cut off there is a ReaderState, which together are
 * bounded.
 */

import { CHANNEL_NAME_RULE, isChannelName } from '../channel-name.js';
import { Cursor } from '../cursor.js';
import {
  CHANNELS_PER_CONNECTION_MAX,
  CLIENT_MESSAGE_BYTES_MAX,
  ECHO_BYTES_MAX,
  PARTIAL_MESSAGES_BYTES_MAX,
  REF_LENGTH_MAX,
} from '../limits.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import { deflateMessage } from '../websocket/deflate.js';
import {
  CLOSE_GOING_AWAY,
  CLOSE_NO_STATUS,
  CLOSE_NORMAL,
  CLOSE_TRY_AGAIN_LATER,
  CLOSE_UNSUPPORTED_DATA,
  closeFrame,
  frame,
  OPCODE_PONG,
  OPCODE_TEXT,
  textFrame,
} from '../websocket/frame.js';
import { type ReaderState, type WebSocketEvents, WebSocketReader } from '../websocket/reader.js';
import { SubscriptionGroup } from './catch-ups.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_ECHO, FORMAT_SHIFT } from './connections.js';
import { type Answerer, type Posts, RequestError } from './posts.js';
import type { Streams } from './streams.js';
import { FORMAT_WEBSOCKET_DEFLATE, inflates } from './wire.js';

/** What a client says: the fields that it may have, of whatever type until they are checked. */
interface Request {
  type?: unknown;
  channel?: unknown;
  channels?: unknown;
  after?: unknown;
  data?: unknown;
  id?: unknown;
  ref?: unknown;
}

export class WebSockets implements WebSocketEvents {
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #streams: Streams;
  readonly #posts: Posts;
  readonly #reader = new WebSocketReader(this, CLIENT_MESSAGE_BYTES_MAX);
  readonly #echoReader: WebSocketReader;
  readonly #states = new Map<number, ReaderState>();
  #statesBytes = 0;
  readonly #cursor = new Cursor();
  /** Messages that clients sent. */
  messagesReceived = 0;

  constructor(parts: {
    connections: Connections;
    control: ConnectionControl;
    streams: Streams;
    posts: Posts;
  }) {
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#streams = parts.streams;
    this.#posts = parts.posts;
    this.#echoReader = new WebSocketReader(this, ECHO_BYTES_MAX);
  }

  /** Bytes arrived on a WebSocket. */
  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const flags = this.#connections.flags[connection];
    const reader = flags & FLAG_ECHO ? this.#echoReader : this.#reader;
    const before = this.#states.get(connection);
    if (before !== undefined) this.left(connection);
    const after = reader.read(connection, before, inflates(flags >> FORMAT_SHIFT), bytes, start, end);
    if (after === undefined) return;
    this.#states.set(connection, after);
    this.#statesBytes += after.bufferedBytes;
    if (this.#statesBytes > PARTIAL_MESSAGES_BYTES_MAX) this.#close(connection, CLOSE_TRY_AGAIN_LATER, 'busy');
  }

  /** A WebSocket departs. */
  left(connection: number): void {
    const state = this.#states.get(connection);
    if (state === undefined) return;
    this.#statesBytes -= state.bufferedBytes;
    this.#states.delete(connection);
  }

  /** The server ends. */
  goAway(connection: number): void {
    this.#close(connection, CLOSE_GOING_AWAY, 'the server ends: reconnect and resume');
  }

  // ── Events of the reader ───────────────────────────────────────────────────────────────────────────────────────────

  message(connection: number, opcode: number, bytes: Uint8Array, start: number, end: number): boolean {
    this.messagesReceived++;
    const flags = this.#connections.flags[connection];
    if (flags & FLAG_ECHO) {
      return this.#echo(
        connection,
        opcode,
        bytes.subarray(start, end),
        flags >> FORMAT_SHIFT === FORMAT_WEBSOCKET_DEFLATE,
      );
    }
    if (opcode !== OPCODE_TEXT) {
      this.#close(connection, CLOSE_UNSUPPORTED_DATA, 'only text is spoken here');
      return false;
    }
    return this.#request(connection, Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString());
  }

  ping(connection: number, bytes: Uint8Array, start: number, end: number): boolean {
    return this.#send(connection, frame(OPCODE_PONG, bytes, start, end));
  }

  pong(): boolean {
    return true;
  }

  close(connection: number, code: number): void {
    this.#close(connection, code === CLOSE_NO_STATUS ? CLOSE_NORMAL : code, '');
  }

  failed(connection: number, code: number, why: string): void {
    this.#close(connection, code, why);
  }

  // ── Requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @returns false where the connection is gone */
  #request(connection: number, text: string): boolean {
    let ref: string | null = null;
    try {
      const request = parseRequest(text);
      ref = readRef(request.ref);
      switch (request.type) {
        case 'subscribe':
          return this.#subscribe(connection, request, ref);
        case 'unsubscribe':
          return this.#unsubscribe(connection, request, ref);
        case 'publish':
          this.#posts.publish(connection, [request], false, this.#answerer(ref));
          return true;
        case 'ping':
          return this.say(connection, withRef('{"type":"pong"', ref));
        default:
          throw new RequestError(400, 'invalid', 'type must be subscribe, unsubscribe, publish or ping');
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      return this.refuse(connection, error.code, error.message, ref);
    }
  }

  #subscribe(connection: number, request: Request, ref: string | null): boolean {
    const names = readChannels(request);
    if (!this.#readAfter(request.after))
      throw new RequestError(400, 'invalid', 'after must be a cursor, "now" or "start"');
    if (this.#streams.countOf(connection) + names.length > CHANNELS_PER_CONNECTION_MAX) {
      throw new RequestError(400, 'too_many', `a connection has at most ${CHANNELS_PER_CONNECTION_MAX} channels`);
    }
    const group = new SubscriptionGroup({ names, ref });
    for (const name of names) {
      const bytes = Buffer.from(name);
      if (this.#streams.add(connection, group, bytes, 0, bytes.length)) continue;
      this.#streams.abandon(connection, group);
      throw new RequestError(400, 'busy', 'the server has no room for more subscriptions');
    }
    this.#streams.start(connection, group, this.#cursor, null);
    return true;
  }

  #unsubscribe(connection: number, request: Request, ref: string | null): boolean {
    const names = readChannels(request);
    for (const name of names) {
      const bytes = Buffer.from(name);
      this.#streams.remove(connection, bytes, 0, bytes.length);
    }
    return this.say(connection, withRef(`{"type":"unsubscribed","channels":${JSON.stringify(names)}`, ref));
  }

  #answerer(ref: string | null): Answerer {
    return {
      published: (connection, [answer]) => void this.say(connection, withRef(`{"type":"published",${answer}`, ref)),
      failed: (connection, { code, message }) => void this.refuse(connection, code, message, ref),
    };
  }

  #readAfter(after: unknown): boolean {
    this.#cursor.reset();
    if (after === undefined) return true;
    if (typeof after !== 'string') return false;
    const bytes = Buffer.from(after);
    return this.#cursor.parse(bytes, 0, bytes.length);
  }

  // ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends a JSON object as a message. @returns false where the connection is gone */
  say(connection: number, json: string): boolean {
    return this.#send(connection, textFrame(json));
  }

  refuse(connection: number, code: string, message: string, ref: string | null): boolean {
    return this.say(connection, withRef(`{"type":"error","code":"${code}","message":${JSON.stringify(message)}`, ref));
  }

  #echo(connection: number, opcode: number, message: Uint8Array, deflate: boolean): boolean {
    const answer = deflate ? frameOf(opcode, deflateMessage(message), true) : frameOf(opcode, message, false);
    return this.#send(connection, answer);
  }

  #send(connection: number, bytes: Uint8Array): boolean {
    const result = this.#control.sendCopy(connection, bytes);
    if (result < 0) return false;
    return result !== SEND_PENDING || this.#streams.checkPace(connection);
  }

  /** Says why, and ends the connection when the client has read that. */
  #close(connection: number, code: number, reason: string): void {
    if (this.#control.sendCopy(connection, closeFrame(code, reason), true) >= 0) this.#control.linger(connection);
  }
}

function frameOf(opcode: number, payload: Uint8Array, compressed: boolean): Buffer {
  return frame(opcode, payload, 0, payload.length, compressed);
}

function parseRequest(text: string): Request {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RequestError(400, 'invalid', 'a message must be JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RequestError(400, 'invalid', 'a message must be a JSON object');
  }
  return value;
}

/** The reference as JSON, null where there is none. */
function readRef(ref: unknown): string | null {
  if (ref === undefined) return null;
  const fits = typeof ref === 'number' || (typeof ref === 'string' && ref.length <= REF_LENGTH_MAX);
  if (!fits)
    throw new RequestError(400, 'invalid', `ref must be a number or a string of at most ${REF_LENGTH_MAX} characters`);
  return JSON.stringify(ref);
}

function readChannels({ channel, channels }: Request): string[] {
  const named = channel !== undefined && channels === undefined ? [channel] : channels;
  if (channel !== undefined && channels !== undefined) {
    throw new RequestError(400, 'invalid', 'either channel or channels, not both');
  }
  if (!Array.isArray(named) || named.length === 0) {
    throw new RequestError(400, 'invalid', 'channel must be a name, or channels a list of names');
  }
  for (const name of named) {
    if (typeof name !== 'string' || !isChannelName(name)) {
      throw new RequestError(400, 'invalid', `a channel must be ${CHANNEL_NAME_RULE}`);
    }
  }
  return [...new Set(named as string[])];
}

/** Completes a JSON object that was begun, with the reference of the request that it answers. */
function withRef(begun: string, ref: string | null): string {
  return ref === null ? `${begun}}` : `${begun},"ref":${ref}}`;
}
