/**
 * The classic protocol of the 2011 server: `GET /<clientId>.js[?anything]` is held until a message for that id comes, is
 * answered with it, and is closed. `?callback=name` makes the answer JSONP. docs/protocol.md has the whole of it.
 *
 * Joins the HTTP functions with channels: reads from a request what it asks for, and encodes a publication once for all
 * who get the same bytes. It knows no connection: worker/clients.ts does the rest.
 */

import { validChannelName } from '../channel-name.js';
import { validCallbackName } from '../http/callback-name.js';
import { jsonpLength, scriptJson, writeJsonp } from '../http/jsonp.js';
import { PARAMETER_ABSENT, parameterName, percentDecode, queryParameter } from '../http/query.js';
import { METHOD_GET, METHOD_HEAD, METHOD_OPTIONS, type RequestHead } from '../http/request-head.js';
import { classicHeadLength, headAnswer, optionsAnswer, refusal, writeClassicHead } from '../http/response.js';
import { CALLBACK_BYTES_MAX, CHANNEL_NAME_BYTES_MAX } from '../limits.js';
import { KIND_JSON, KIND_RAW } from '../link/frames.js';
import type { SendBuffers } from '../reactor/send-buffers.js';

/** `route`: hold the connection until a message comes for `id`. */
export const POLL = 0;
/** `route`: send `answer` now. */
export const ANSWER = 1;
// `route`: anything from 400 is a status to refuse with.

const NO_BUFFER = -1;
const NO_DATA = Buffer.alloc(0);
const SPACE = 0x20;
const PERCENT = 0x25;
const DOT = 0x2e;
const DEL = 0x7f;
const SUFFIX = Buffer.from('.js');
const CALLBACK = parameterName('callback');

export class ClassicTransport {
  readonly #buffers: SendBuffers;

  /** After POLL: the client id, `id[0..idLength)`. */
  readonly id = new Uint8Array(CHANNEL_NAME_BYTES_MAX);
  idLength = 0;
  /** After POLL: the name of the JSONP function; `callbackLength` 0 means plain. */
  readonly callback = new Uint8Array(CALLBACK_BYTES_MAX);
  callbackLength = 0;
  /** After ANSWER: the response, borrowed until the next call of `route` or `refusal`. */
  answer: Uint8Array = new Uint8Array(0);

  // The publication that is being handed out.
  #kind = 0;
  #data: Buffer = NO_DATA;
  #plain = NO_BUFFER;
  #jsonp = NO_BUFFER;
  #jsonpCallback = '';
  #json: Buffer | undefined;

  constructor(buffers: SendBuffers) {
    this.#buffers = buffers;
  }

  /** What a request asks for: POLL, ANSWER or a status. Offsets in `head` are into `bytes`. */
  route(bytes: Uint8Array, head: RequestHead): number {
    const { method, pathStart, pathEnd } = head;
    if (method === METHOD_OPTIONS) {
      this.answer = optionsAnswer(head.keepAlive, Date.now());
      return head.contentLength > 0 || head.chunked ? 400 : ANSWER;
    }
    const nameEnd = pathEnd - SUFFIX.length;
    if (nameEnd <= pathStart + 1 || !endsWithSuffix(bytes, nameEnd)) return 404;
    if (method !== METHOD_GET && method !== METHOD_HEAD) return 405;
    // A body would be taken for the next request by whoever did not read this one's head: refuse it.
    if (head.contentLength > 0 || head.chunked) return 400;
    const status = this.#readId(bytes, pathStart + 1, nameEnd) || this.#readCallback(bytes, head);
    if (status !== 0) return status;
    if (method === METHOD_GET) return POLL;
    this.answer = headAnswer(head.keepAlive, Date.now());
    return ANSWER;
  }

  /** The whole response for a refused request. Borrowed like `answer`. */
  refusal(status: number, bodiless: boolean): Uint8Array {
    return refusal(status, Date.now(), bodiless);
  }

  /** Begins to hand out a publication; `plain` and `jsonp` encode it, each form once, until `end`. */
  begin(kind: number, bytes: Uint8Array, start: number, end: number): void {
    this.#kind = kind;
    this.#data = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  }

  /** The response with the bare message: a send buffer that stays this transport's. */
  plain(): number {
    if (this.#plain === NO_BUFFER) {
      const bodyBytes = this.#data.length;
      this.#plain = this.#buffers.allocate(classicHeadLength(bodyBytes) + bodyBytes);
      const target = this.#buffers.bytes(this.#plain);
      target.set(this.#data, writeClassicHead(target, 0, bodyBytes, Date.now()));
    }
    return this.#plain;
  }

  /** The response that calls the function `callback[0..length)`: a send buffer that stays this transport's. */
  jsonp(length: number): number {
    const callback = Buffer.from(this.callback.buffer, 0, length);
    const name = callback.toString('latin1');
    if (this.#jsonp !== NO_BUFFER && name === this.#jsonpCallback) return this.#jsonp;
    if (this.#jsonp !== NO_BUFFER) this.#buffers.release(this.#jsonp);
    // Every client may have a name of its own for its function: for each there is one copy to make, and no more.
    this.#json ??= Buffer.from(scriptJson(jsonOf(this.#kind, this.#data)));
    const bodyBytes = jsonpLength(length, this.#json.length);
    this.#jsonp = this.#buffers.allocate(classicHeadLength(bodyBytes) + bodyBytes);
    const target = this.#buffers.bytes(this.#jsonp);
    writeJsonp(target, writeClassicHead(target, 0, bodyBytes, Date.now()), callback, this.#json);
    this.#jsonpCallback = name;
    return this.#jsonp;
  }

  /** The publication was tried on everyone. */
  end(): void {
    if (this.#plain !== NO_BUFFER) this.#buffers.release(this.#plain);
    if (this.#jsonp !== NO_BUFFER) this.#buffers.release(this.#jsonp);
    this.#plain = NO_BUFFER;
    this.#jsonp = NO_BUFFER;
    this.#json = undefined;
    this.#data = NO_DATA;
  }

  /** Decodes the client id from the path. Returns 0 or the status to refuse with. */
  #readId(bytes: Uint8Array, start: number, end: number): number {
    const { id } = this;
    if (end - start <= id.length && copyPlain(bytes, start, end, id)) {
      this.idLength = end - start;
      return 0;
    }
    const length = percentDecode(bytes, start, end, id);
    if (length < 0) return end - start > id.length ? 414 : 400;
    if (id.subarray(0, length).includes(DOT)) return 404;
    if (!validChannelName(id, 0, length)) return 400;
    this.idLength = length;
    return 0;
  }

  #readCallback(bytes: Uint8Array, head: RequestHead): number {
    this.callbackLength = 0;
    if (head.queryStart === head.queryEnd) return 0;
    const length = queryParameter(bytes, head.queryStart, head.queryEnd, CALLBACK, this.callback);
    if (length === PARAMETER_ABSENT) return 0;
    if (length <= 0 || !validCallbackName(this.callback, 0, length)) return 400;
    this.callbackLength = length;
    return 0;
  }
}

/**
 * Copies bytes[start..end), at least one, to `target` if they are visible ASCII but `%` and `.`: most ids are, and of these there is
 * nothing to decode or to judge.
 *
 * @returns false where they are not; then `target` may have some of them
 */
function copyPlain(bytes: Uint8Array, start: number, end: number, target: Uint8Array): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte <= SPACE || byte >= DEL || byte === PERCENT || byte === DOT) return false;
    target[at - start] = byte;
  }
  return true;
}

function endsWithSuffix(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === SUFFIX[0] && bytes[at + 1] === SUFFIX[1] && bytes[at + 2] === SUFFIX[2];
}

/**
 * The JSON to hand to a JSONP function. Nobody has said what bytes of the classic port are: an object or an array is
 * passed as such, as the applications of 2011 meant it; everything else is text.
 */
function jsonOf(kind: number, data: Buffer): string {
  const text = data.toString('utf8');
  if (kind === KIND_JSON) return text;
  if (kind === KIND_RAW && /^\s*[[{]/.test(text)) {
    try {
      JSON.parse(text);
      return text;
    } catch {
      // Not JSON after all: text like any other.
    }
  }
  return JSON.stringify(text);
}
