/**
 * What goes out to subscribers, as send buffers: joins the encoder of the formats (transports/encoder.ts) with WebSocket
 * frames and permessage-deflate. Each publication is encoded, framed and compressed once for each format, however many
 * connections have it.
 *
 * Two ways to use it, which may be nested in this order: `begin` … `buffer` … `end` for a publication that is fanned out, and
 * `collect` … `collected` for what one connection is sent at one time.
 */

import { formatCursor } from '../cursor.js';
import { CALLBACK_BYTES_MAX } from '../limits.js';
import type { DisconnectAdvice } from '../link/advice.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import { Encoder, encodePollAnswer, encodeTextFrame } from '../transports/encoder.js';
import {
  disconnectText,
  FORMAT_POLL,
  FORMAT_SSE,
  FORMAT_SSE_RAW,
  FORMAT_STREAM,
  FORMAT_STREAM_CHUNKED,
  FORMAT_WEBSOCKET,
  type GapParts,
  gapText,
  subscribedText,
} from '../transports/formats.js';
import { SSE_HEARTBEAT, STREAM_HEARTBEAT, STREAM_HEARTBEAT_CHUNK, STREAM_LAST_CHUNK } from '../transports/heads.js';
import { subscribedAnswer } from '../transports/messages.js';
import { COMPRESSION_BYTES_MIN, deflateMessage, WINDOW_BITS_MAX } from '../websocket/deflate.js';
import { closeFrame, frame, OPCODE_PING, OPCODE_TEXT } from '../websocket/frame.js';
import { NO_DEFLATE } from '../websocket/handshake.js';
import type { CachedPublication } from './history.js';
import type { SubscribeRequest } from './subscription-group.js';

// The format of a connection is one of transports/formats.ts, or one of these. It has 3 bits in the connection table.
/** A WebSocket whose messages are compressed where that is worth it. */
export const FORMAT_WEBSOCKET_DEFLATE = 6;
/** A WebSocket that may send compressed messages but wants a smaller window for those that it gets: it gets plain ones. */
export const FORMAT_WEBSOCKET_INFLATE = 7;
/** They are numbered from 0 to below this. */
export const FORMATS = 8;

/** The server closed the connection because its client did not read: reconnect, and resume from the cursor. */
export const CLOSE_SLOW_CONSUMER = 4008;

const NO_BUFFER = -1;

export function isWebSocket(format: number): boolean {
  return format === FORMAT_WEBSOCKET || format >= FORMAT_WEBSOCKET_DEFLATE;
}

/** @param windowBits as negotiated (src/websocket/handshake.ts) */
export function webSocketFormat(windowBits: number): number {
  if (windowBits === NO_DEFLATE) return FORMAT_WEBSOCKET;
  return windowBits === WINDOW_BITS_MAX ? FORMAT_WEBSOCKET_DEFLATE : FORMAT_WEBSOCKET_INFLATE;
}

/** Messages of such a client may come compressed. */
export function inflates(format: number): boolean {
  return format >= FORMAT_WEBSOCKET_DEFLATE;
}

export class Wire {
  readonly #buffers: SendBuffers;
  readonly #encoder: Encoder;
  /** For publications of the past, since these may be wanted while another one is fanned out. */
  readonly #catchUpEncoder: Encoder;
  #epochBytes = Buffer.alloc(0);
  readonly #heartbeats = new Int32Array(FORMATS).fill(NO_BUFFER);
  readonly #slowConsumerClose = closeFrame(CLOSE_SLOW_CONSUMER, 'slow consumer: reconnect and resume');
  /** Scratch: the name of a JSONP function. */
  readonly callback = new Uint8Array(CALLBACK_BYTES_MAX);

  // The publication between `begin` and `end`.
  #sequence = 0;
  #timeMs = 0;
  #kind = 0;
  #data: Uint8Array = this.callback;
  #copy: CachedPublication | null = null;
  #deflated = NO_BUFFER;
  #framed = NO_BUFFER;

  // What is collected.
  #format = FORMAT_SSE;
  #parts: Buffer[] = [];
  #messages: string[] = [];
  #gaps: string[] = [];

  constructor(buffers: SendBuffers) {
    this.#buffers = buffers;
    this.#encoder = new Encoder(buffers);
    this.#catchUpEncoder = new Encoder(buffers);
    this.#setHeartbeat(FORMAT_SSE, SSE_HEARTBEAT);
    this.#setHeartbeat(FORMAT_SSE_RAW, SSE_HEARTBEAT);
    this.#setHeartbeat(FORMAT_STREAM, STREAM_HEARTBEAT);
    this.#setHeartbeat(FORMAT_STREAM_CHUNKED, STREAM_HEARTBEAT_CHUNK);
    const ping = frame(OPCODE_PING, new Uint8Array(0));
    for (const format of [FORMAT_WEBSOCKET, FORMAT_WEBSOCKET_DEFLATE, FORMAT_WEBSOCKET_INFLATE]) {
      this.#setHeartbeat(format, ping);
    }
  }

  /** The epoch of the log; empty before it is known. */
  get epoch(): string {
    return this.#encoder.epoch;
  }

  set epoch(epoch: string) {
    this.#encoder.epoch = epoch;
    this.#epochBytes = Buffer.from(epoch);
  }

  get epochBytes(): Uint8Array {
    return this.#epochBytes;
  }

  cursor(sequence: number): string {
    return formatCursor(this.epoch, sequence);
  }

  /** The sequence of a cursor; 0 where it is of another log than this one. */
  sequenceOf(cursor: string): number {
    const hyphen = cursor.lastIndexOf('-');
    return cursor.slice(0, hyphen) === this.epoch ? Number(cursor.slice(hyphen + 1)) : 0;
  }

  /** A send buffer that stays this one's. */
  heartbeat(format: number): number {
    return this.#heartbeats[format];
  }

  slowConsumerClose(): Uint8Array {
    return this.#slowConsumerClose;
  }

  /** Bytes of a send buffer. */
  lengthOf(buffer: number): number {
    return this.#buffers.length(buffer);
  }

  release(buffer: number): void {
    this.#buffers.release(buffer);
  }

  // ── Fan-out ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Begins with a publication, borrowed until `end`: name bytes[nameStart..nameEnd), data bytes[nameEnd..dataEnd). */
  begin(
    sequence: number,
    timeMs: number,
    kind: number,
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    dataEnd: number,
  ): void {
    this.#encoder.begin(sequence, timeMs, kind, bytes, nameStart, nameEnd, nameEnd, dataEnd);
    this.#sequence = sequence;
    this.#timeMs = timeMs;
    this.#kind = kind;
    this.#data = bytes.subarray(nameEnd, dataEnd);
  }

  /** The publication in the format of a connection: a send buffer that stays this one's, until `end`. */
  buffer(format: number): number {
    if (!isWebSocket(format)) return this.#encoder.encoded(format);
    if (format === FORMAT_WEBSOCKET_DEFLATE) {
      if (this.#deflated === NO_BUFFER)
        this.#deflated = this.#buffers.copyOf(webSocketFrame(this.#encoder.text(FORMAT_WEBSOCKET), format));
      return this.#deflated;
    }
    if (this.#framed === NO_BUFFER) this.#framed = encodeTextFrame(this.#buffers, this.#encoder.text(FORMAT_WEBSOCKET));
    return this.#framed;
  }

  /** The answer to a poll that waited for the publication: a send buffer that stays this one's, until `end`. */
  pollBuffer(closes: boolean): number {
    return this.#encoder.encodedPoll(!closes);
  }

  /** The same as JSONP for the function `callback[0..length)`. */
  jsonpBuffer(closes: boolean, length: number): number {
    return this.#encoder.encodedJsonp(!closes, this.callback.subarray(0, length));
  }

  /** A copy of the publication, the same one at each call until `end`. */
  publication(): CachedPublication {
    this.#copy ??= {
      sequence: this.#sequence,
      timeMs: this.#timeMs,
      kind: this.#kind,
      data: Buffer.from(this.#data),
      encodings: null,
    };
    return this.#copy;
  }

  /** The publication was tried on everyone. */
  end(): void {
    this.#encoder.end();
    if (this.#framed !== NO_BUFFER) this.#buffers.release(this.#framed);
    if (this.#deflated !== NO_BUFFER) this.#buffers.release(this.#deflated);
    this.#framed = NO_BUFFER;
    this.#deflated = NO_BUFFER;
    this.#copy = null;
  }

  // ── One connection ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Begins to collect what a connection of this format is sent. */
  collect(format: number): void {
    this.#format = format;
    this.#parts = [];
    this.#messages = [];
    this.#gaps = [];
  }

  /** A publication of the log; its encoding is kept with it. */
  collectMessage(publication: CachedPublication, name: Buffer): void {
    const format = this.#format;
    publication.encodings ??= [];
    const encoding = publication.encodings[format] ?? this.#encode(publication, name);
    publication.encodings[format] = encoding;
    if (typeof encoding === 'string') this.#messages.push(encoding);
    else this.#parts.push(encoding);
  }

  /** Publications of the channel up to `lost` may be missing. @param sequence everything up to here was given or told */
  collectGap(sequence: number, name: Buffer, lost: number): void {
    this.#collectGap({ channel: name.toString(), cursor: this.cursor(sequence), lost: this.cursor(lost) });
  }

  /** The log is another one: it goes on from its beginning. */
  collectLost(): void {
    this.#collectGap({ cursor: this.cursor(0) });
  }

  #collectGap(gap: GapParts): void {
    const text = gapText(textFormat(this.#format), gap);
    if (this.#format === FORMAT_POLL) this.#gaps.push(text);
    else this.#collectText(text);
  }

  /** The connection is live from here on. */
  collectSubscribed(sequence: number, request: SubscribeRequest | null): void {
    const cursor = this.cursor(sequence);
    if (request === null) this.#collectText(subscribedText(textFormat(this.#format), cursor));
    else this.#collectText(subscribedAnswer(request.names, cursor, request.ref));
  }

  /** The connection ends: not for a poll, whose answer says it. @param cursor where the client stands */
  collectDisconnect(advice: DisconnectAdvice, cursor: string): void {
    this.#collectText(disconnectText(textFormat(this.#format), advice, cursor));
    if (this.#format === FORMAT_STREAM_CHUNKED) this.#parts.push(Buffer.from(STREAM_LAST_CHUNK));
  }

  /** The close frame that a WebSocket ends with. */
  collectClose(code: number, reason: string): void {
    this.#parts.push(closeFrame(code, reason));
  }

  /** All that was collected (something was): a send buffer, the caller's. */
  collected(): number {
    let bytes = 0;
    for (const part of this.#parts) bytes += part.length;
    const buffer = this.#buffers.allocate(bytes);
    const target = this.#buffers.bytes(buffer);
    let at = 0;
    for (const part of this.#parts) {
      target.set(part, at);
      at += part.length;
    }
    this.#parts = [];
    return buffer;
  }

  /** The answer of a poll with all that was collected: a send buffer, the caller's. */
  collectedAnswer(cursor: string, closes: boolean, callbackLength: number, disconnect?: DisconnectAdvice): number {
    const answer = { cursor, messages: this.#messages, gaps: this.#gaps, disconnect };
    const callback = callbackLength > 0 ? this.callback.subarray(0, callbackLength) : undefined;
    return encodePollAnswer(this.#buffers, answer, !closes, callback);
  }

  #collectText(text: string): void {
    this.#parts.push(bytesOf(text, this.#format));
  }

  #encode({ sequence, timeMs, kind, data }: CachedPublication, name: Buffer): Buffer | string {
    const bytes = Buffer.concat([name, data]);
    this.#catchUpEncoder.epoch = this.epoch;
    this.#catchUpEncoder.begin(sequence, timeMs, kind, bytes, 0, name.length, name.length, bytes.length);
    const text = this.#catchUpEncoder.text(textFormat(this.#format));
    return this.#format === FORMAT_POLL ? text : bytesOf(text, this.#format);
  }

  #setHeartbeat(format: number, bytes: Uint8Array): void {
    this.#heartbeats[format] = this.#buffers.copyOf(bytes);
  }
}

/** The format of the text that a connection's format is made of. */
function textFormat(format: number): number {
  return isWebSocket(format) ? FORMAT_WEBSOCKET : format;
}

/** A text as it is sent to a connection of this format. */
function bytesOf(text: string, format: number): Buffer {
  return isWebSocket(format) ? webSocketFrame(text, format) : Buffer.from(text);
}

function webSocketFrame(text: string, format: number): Buffer {
  const bytes = Buffer.from(text);
  if (format !== FORMAT_WEBSOCKET_DEFLATE || bytes.length < COMPRESSION_BYTES_MIN) return frame(OPCODE_TEXT, bytes);
  const deflated = deflateMessage(bytes);
  return frame(OPCODE_TEXT, deflated, 0, deflated.length, true);
}
