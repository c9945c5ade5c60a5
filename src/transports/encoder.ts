/**
 * Encodes publications for the connections that want them: each of them once for a wire format, however many receive it.
 *
 * Fan-out:    begin(…);  send(connection, encoded(format)) …;  end()
 * Catch-up:   begin(…);  batch += text(format);  …  and `SendBuffers` of the whole by `encodeText`
 */

import { formatCursor } from '../cursor.js';
import { jsonpLength, scriptJson, writeJsonp } from '../http/jsonp.js';
import { adviceMembers, type DisconnectAdvice, retryAfterSeconds } from '../link/advice.js';
import type { SendBuffers } from '../reactor/send-buffers.js';
import { frameHeadLength, OPCODE_TEXT, writeFrameHead } from '../websocket/frame.js';
import { dataJson, FORMAT_POLL, FORMAT_SSE_RAW, type MessageParts, messageText, rawEvent } from './formats.js';
import { NO_RETRY_AFTER, pollHeadLength, writePollHead } from './heads.js';

const NO_BUFFER = -1;
const FORMATS = 6;
const NO_DATA = Buffer.alloc(0);
const textEncoder = new TextEncoder();

/** A send buffer with the text in UTF-8, of which the caller holds the one reference. The text must not be empty. */
export function encodeText(buffers: SendBuffers, text: string): number {
  const buffer = buffers.allocate(Buffer.byteLength(text));
  textEncoder.encodeInto(text, buffers.bytes(buffer));
  return buffer;
}

/** The same as a whole WebSocket message. */
export function encodeTextFrame(buffers: SendBuffers, text: string): number {
  const bytes = Buffer.byteLength(text);
  const buffer = buffers.allocate(frameHeadLength(bytes) + bytes);
  const target = buffers.bytes(buffer);
  textEncoder.encodeInto(text, target.subarray(writeFrameHead(target, 0, OPCODE_TEXT, false, bytes)));
  return buffer;
}

/** What a poll is answered with. */
export interface PollAnswer {
  /** From where the next poll goes on. */
  cursor: string;
  /** Texts of FORMAT_POLL, in the order of the log. */
  messages: readonly string[];
  /** Texts of `gapText` with FORMAT_POLL. */
  gaps: readonly string[];
  /** The connection ends with the answer, and why. */
  disconnect?: DisconnectAdvice | undefined;
}

/**
 * The whole answer of a poll, head and body: a send buffer of which the caller holds the one reference.
 *
 * @param callback a name that `validCallbackName` has accepted; absent for JSON
 */
export function encodePollAnswer(
  buffers: SendBuffers,
  { cursor, messages, gaps, disconnect }: PollAnswer,
  keepAlive: boolean,
  callback?: Uint8Array,
): number {
  const gap = gaps.length === 0 ? '' : `,"gap":[${gaps.join(',')}]`;
  const end = disconnect === undefined ? '' : `,"disconnect":{${adviceMembers(disconnect)}}`;
  const retryAfterS = disconnect?.reconnect ? retryAfterSeconds(disconnect.afterMs) : NO_RETRY_AFTER;
  const json = `{"cursor":"${cursor}","messages":[${messages.join(',')}]${gap}${end}}`;
  const script = callback !== undefined;
  const body = Buffer.from(script ? scriptJson(json) : json);
  const bodyBytes = script ? jsonpLength(callback.length, body.length) : body.length;
  const headBytes = pollHeadLength(cursor, bodyBytes, keepAlive, script, retryAfterS);
  const buffer = buffers.allocate(headBytes + bodyBytes);
  const target = buffers.bytes(buffer);
  const at = writePollHead(target, 0, cursor, bodyBytes, keepAlive, script, Date.now(), retryAfterS);
  if (script) writeJsonp(target, at, callback, body);
  else target.set(body, at);
  return buffer;
}

export class Encoder {
  readonly #buffers: SendBuffers;
  /** Of the log, from WELCOME. */
  epoch = '';

  // The publication between `begin` and `end`.
  #cursor = '';
  #data: Buffer = NO_DATA;
  #kind = 0;
  #name = '';
  #timeMs = 0;
  #parts: MessageParts | undefined;
  readonly #encoded = new Int32Array(FORMATS).fill(NO_BUFFER);
  // Whole answers of polls: of this publication alone, by keepAlive, and the last JSONP.
  readonly #polls = new Int32Array(2).fill(NO_BUFFER);
  #jsonp = NO_BUFFER;
  #jsonpKey = '';

  constructor(buffers: SendBuffers) {
    this.#buffers = buffers;
  }

  /** Begins with a publication: its name is bytes[nameStart..nameEnd), its data, borrowed until `end`, bytes[dataStart..dataEnd). */
  begin(
    sequence: number,
    timeMs: number,
    kind: number,
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    this.#cursor = formatCursor(this.epoch, sequence);
    this.#timeMs = timeMs;
    this.#kind = kind;
    this.#name = Buffer.from(bytes.buffer, bytes.byteOffset + nameStart, nameEnd - nameStart).toString();
    this.#data = Buffer.from(bytes.buffer, bytes.byteOffset + dataStart, dataEnd - dataStart);
    this.#parts = undefined;
  }

  /** The cursor of the publication. */
  get cursor(): string {
    return this.#cursor;
  }

  /** The publication in a format. Not kept: to encode it for many, call `encoded`. */
  text(format: number): string {
    if (format === FORMAT_SSE_RAW) return rawEvent(this.#cursor, this.#data);
    this.#parts ??= {
      cursor: this.#cursor,
      channel: JSON.stringify(this.#name),
      data: dataJson(this.#kind, this.#data),
      timeMs: this.#timeMs,
    };
    return messageText(format, this.#parts);
  }

  /** The publication in a format: a send buffer that stays this encoder's, until `end`. */
  encoded(format: number): number {
    if (this.#encoded[format] === NO_BUFFER) this.#encoded[format] = encodeText(this.#buffers, this.text(format));
    return this.#encoded[format];
  }

  /** The answer to a poll that waited for this publication: a send buffer that stays this encoder's, until `end`. */
  encodedPoll(keepAlive: boolean): number {
    const index = keepAlive ? 1 : 0;
    if (this.#polls[index] === NO_BUFFER)
      this.#polls[index] = encodePollAnswer(this.#buffers, this.#alone(), keepAlive);
    return this.#polls[index];
  }

  /** The same as JSONP. Every client may have a name of its own for its function: the last one's answer is kept. */
  encodedJsonp(keepAlive: boolean, callback: Uint8Array): number {
    const key = `${keepAlive} ${Buffer.from(callback).toString('latin1')}`;
    if (this.#jsonp !== NO_BUFFER && key === this.#jsonpKey) return this.#jsonp;
    if (this.#jsonp !== NO_BUFFER) this.#buffers.release(this.#jsonp);
    this.#jsonp = encodePollAnswer(this.#buffers, this.#alone(), keepAlive, callback);
    this.#jsonpKey = key;
    return this.#jsonp;
  }

  /** The publication was tried on everyone. */
  end(): void {
    this.#releaseAll(this.#encoded);
    this.#releaseAll(this.#polls);
    if (this.#jsonp !== NO_BUFFER) this.#buffers.release(this.#jsonp);
    this.#jsonp = NO_BUFFER;
    this.#parts = undefined;
    this.#data = NO_DATA;
  }

  #alone(): PollAnswer {
    return { cursor: this.#cursor, messages: [this.text(FORMAT_POLL)], gaps: [] };
  }

  #releaseAll(handles: Int32Array): void {
    for (let i = 0; i < handles.length; i++) {
      if (handles[i] !== NO_BUFFER) this.#buffers.release(handles[i]);
      handles[i] = NO_BUFFER;
    }
  }
}
