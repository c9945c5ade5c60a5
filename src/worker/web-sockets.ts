/**
 * WebSocket connections: their frames in, and what clients say in them: JSON objects, one a message (docs/protocol.md).
 * Publications go out through streams.ts like those of every other subscriber.
 *
 * Nothing is kept of an idle connection. Of one whose frame or message is cut off there is a ReaderState, which together are
 * bounded.
 */

import { Cursor } from '../cursor.js';
import {
  CHANNELS_PER_CONNECTION_MAX,
  CLIENT_MESSAGE_BYTES_MAX,
  ECHO_BYTES_MAX,
  PARTIAL_MESSAGES_BYTES_MAX,
  SUBSCRIBES_PENDING_MAX,
} from '../limits.js';
import { SEND_PENDING } from '../reactor/reactor.js';
import {
  parseClientMessage,
  pongAnswer,
  publishedAnswer,
  refusedAnswer,
  unsubscribedAnswer,
} from '../transports/messages.js';
import type { Refusal } from '../transports/publishing.js';
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
import type { Access } from './access.js';
import type { FailureLimits } from './admissions.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, FLAG_ECHO, FORMAT_SHIFT, PHASE_STREAMING } from './connections.js';
import type { Posts } from './posts.js';
import { Renewals } from './renewals.js';
import type { Streams } from './streams.js';
import { SubscriptionGroup } from './subscription-group.js';
import { FORMAT_WEBSOCKET_DEFLATE, inflates } from './wire.js';

export class WebSockets implements WebSocketEvents {
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #streams: Streams;
  readonly #posts: Posts;
  readonly #access: Access;
  readonly #renewals: Renewals;
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
    access: Access;
    failures: FailureLimits;
  }) {
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#streams = parts.streams;
    this.#posts = parts.posts;
    this.#access = parts.access;
    this.#renewals = new Renewals(parts, (connection, json) => this.#say(connection, json));
    this.#echoReader = new WebSocketReader(this, ECHO_BYTES_MAX);
  }

  /** Bytes arrived on a WebSocket. */
  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    const flags = this.#connections.flags[connection];
    const reader = flags & FLAG_ECHO ? this.#echoReader : this.#reader;
    const before = this.#states.get(connection);
    if (before !== undefined) this.#dropState(connection);
    const after = reader.read(connection, before, inflates(flags >> FORMAT_SHIFT), bytes, start, end);
    if (after === undefined) return;
    this.#states.set(connection, after);
    this.#statesBytes += after.bufferedBytes;
    if (this.#statesBytes > PARTIAL_MESSAGES_BYTES_MAX) this.failed(connection, CLOSE_TRY_AGAIN_LATER, 'busy');
  }

  /** A WebSocket departs. */
  left(connection: number): void {
    this.#renewals.left(connection);
    this.#dropState(connection);
  }

  #dropState(connection: number): void {
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
      this.failed(connection, CLOSE_UNSUPPORTED_DATA, 'only text is spoken here');
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
    this.#control.countEnd(`websocket_${code}`);
    this.#close(connection, code, why);
  }

  // ── Requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @returns false where the connection is gone */
  #request(connection: number, text: string): boolean {
    const message = parseClientMessage(text, this.#cursor, (channel) => this.#access.mayPublish(connection, channel));
    const { ref } = message;
    switch (message.type) {
      case 'subscribe':
        return this.#subscribe(connection, message.channels, ref);
      case 'unsubscribe':
        for (const name of message.channels) {
          const bytes = Buffer.from(name);
          this.#streams.remove(connection, bytes, 0, bytes.length);
        }
        return this.#say(connection, unsubscribedAnswer(message.channels, ref));
      case 'publish':
        this.#posts.publish(connection, [message.publication], {
          published: (_, [{ cursor, duplicate }]) => this.#say(connection, publishedAnswer(cursor, duplicate, ref)),
          refused: (_, refusal) => this.#say(connection, refusedAnswer(refusal, ref)),
        });
        return this.#connections.phase[connection] === PHASE_STREAMING;
      case 'token':
        return this.#renewals.renew(connection, message.token, ref);
      case 'ping':
        return this.#say(connection, pongAnswer(ref));
      case 'error':
        return this.#say(connection, refusedAnswer(message.refusal, ref));
    }
  }

  #subscribe(connection: number, names: string[], ref: string): boolean {
    const forbidden = names.find((name) => !this.#access.maySubscribe(connection, name));
    if (forbidden !== undefined)
      return this.#say(connection, refusedAnswer(this.#forbidden(connection, forbidden), ref));
    if (!this.#hasRoom(connection, names)) {
      const message = `a connection may have ${CHANNELS_PER_CONNECTION_MAX} channels at most`;
      return this.#say(connection, refusedAnswer({ code: 'too_many_channels', message }, ref));
    }
    if (this.#streams.catchUps.groupsOf(connection) >= SUBSCRIBES_PENDING_MAX) {
      const message = `${SUBSCRIBES_PENDING_MAX} requests to subscribe have no answer yet`;
      return this.#say(connection, refusedAnswer({ code: 'unavailable', message }, ref));
    }
    const group = new SubscriptionGroup({ names, ref });
    for (const name of names) {
      const bytes = Buffer.from(name);
      if (this.#streams.add(connection, group, bytes, 0, bytes.length)) continue;
      this.#streams.abandon(connection, group);
      const message = 'this server has no room for more subscriptions';
      return this.#say(connection, refusedAnswer({ code: 'unavailable', message }, ref));
    }
    this.#streams.start(connection, group, this.#cursor, null);
    return this.#connections.phase[connection] === PHASE_STREAMING;
  }

  #forbidden(connection: number, name: string): Refusal {
    if (this.#access.takesTokens && !this.#access.identities.has(connection)) {
      return { code: 'token_required', message: `a token is needed to subscribe to ${JSON.stringify(name)}` };
    }
    return { code: 'forbidden', message: `this connection may not subscribe to ${JSON.stringify(name)}` };
  }

  /** Whether the connection may have these channels too; those that it has already do not count. */
  #hasRoom(connection: number, names: string[]): boolean {
    const room = CHANNELS_PER_CONNECTION_MAX - this.#streams.countOf(connection);
    if (names.length <= room) return true;
    return new Set(names.filter((name) => !this.#streams.isOn(connection, Buffer.from(name)))).size <= room;
  }

  // ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends a JSON object as a message. @returns false where the connection is gone */
  #say(connection: number, json: string): boolean {
    return this.#send(connection, textFrame(json));
  }

  #echo(connection: number, opcode: number, message: Uint8Array, deflate: boolean): boolean {
    const answer = deflate ? frameOf(opcode, deflateMessage(message), true) : frameOf(opcode, message, false);
    return this.#send(connection, answer);
  }

  #send(connection: number, bytes: Uint8Array): boolean {
    const result = this.#control.sendCopy(connection, bytes);
    if (result < 0) return false;
    return result !== SEND_PENDING || this.#streams.checkPace(connection, bytes.length);
  }

  /** Says why, and ends the connection when the client has read that. */
  #close(connection: number, code: number, reason: string): void {
    if (this.#control.sendCopy(connection, closeFrame(code, reason), true) >= 0) this.#control.linger(connection);
  }
}

function frameOf(opcode: number, payload: Uint8Array, compressed: boolean): Buffer {
  return frame(opcode, payload, 0, payload.length, compressed);
}
