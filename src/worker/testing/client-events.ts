/** What a client makes of the bytes that a server has sent it, for tests: the events of each transport in one form. */

import { inflateMessage } from '../../websocket/deflate.js';
import { OPCODE_CLOSE, OPCODE_PING, OPCODE_TEXT, RSV1 } from '../../websocket/frame.js';

/** An event, or an answer: the members of its JSON object. `type` is `message`, `gap`, `subscribed`, `heartbeat` … */
export interface ClientEvent {
  type: string;
  channel?: string;
  channels?: string[];
  cursor?: string;
  /** Of a gap of one channel. */
  lost?: string;
  data?: unknown;
  time?: number;
  ref?: unknown;
  code?: string | number;
  message?: string;
  duplicate?: boolean;
  /** Of a disconnect. */
  reconnect?: boolean;
  /** Of a token. */
  expiresAt?: number;
}

/** Splits a response into its head and what follows; null while the head is not whole. */
export function splitHead(bytes: Buffer): { status: number; head: string; rest: Buffer } | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const head = bytes.toString('latin1', 0, end);
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]), head, rest: bytes.subarray(end + 4) };
}

/** Responses with a length that have come whole, and what follows them. */
export function readResponses(bytes: Buffer): {
  responses: { status: number; head: string; body: string }[];
  rest: Buffer;
} {
  const responses = [];
  for (;;) {
    const split = splitHead(bytes);
    const length = Number(/^content-length: (\d+)$/im.exec(split?.head ?? '')?.[1] ?? 0);
    if (split === null || split.rest.length < length) return { responses, rest: bytes };
    responses.push({ status: split.status, head: split.head, body: split.rest.toString('utf8', 0, length) });
    bytes = split.rest.subarray(length);
  }
}

/** Whole events of an event stream, without its head, and what follows them. `format=raw` leaves the data as text. */
export function readSse(bytes: Buffer, raw = false): { events: ClientEvent[]; rest: Buffer } {
  const events: ClientEvent[] = [];
  for (;;) {
    const end = bytes.indexOf('\n\n');
    if (end < 0) return { events, rest: bytes };
    const block = bytes.toString('utf8', 0, end);
    bytes = bytes.subarray(end + 2);
    const field = (name: string) =>
      block
        .split('\n')
        .filter((line) => line.startsWith(`${name}: `))
        .map((line) => line.slice(name.length + 2));
    const [cursor] = field('id');
    const data = field('data').join('\n');
    const [type = data === '' ? 'subscribed' : 'message'] = field('event');
    if (cursor === undefined) events.push({ type: block.startsWith('retry: ') ? 'retry' : 'heartbeat' });
    else if (raw && type === 'message') events.push({ type, cursor, data });
    else events.push({ type, cursor, ...(data === '' ? {} : (JSON.parse(data) as ClientEvent)) });
  }
}

/** Whole lines of an HTTP stream, without its head, and what follows them. */
export function readStream(bytes: Buffer, chunked: boolean): { events: ClientEvent[]; rest: Buffer } {
  const events: ClientEvent[] = [];
  for (;;) {
    let start = 0;
    let end = bytes.indexOf('\n') + 1;
    let next = end;
    if (chunked) {
      const sizeEnd = bytes.indexOf('\r\n');
      if (sizeEnd < 0) return { events, rest: bytes };
      start = sizeEnd + 2;
      end = start + Number.parseInt(bytes.toString('latin1', 0, sizeEnd), 16);
      next = end + 2;
    }
    if (next === 0 || bytes.length < next) return { events, rest: bytes };
    if (start === end) events.push({ type: 'end' });
    else events.push(JSON.parse(bytes.toString('utf8', start, end)) as ClientEvent);
    bytes = bytes.subarray(next);
  }
}

/** Whole frames of a WebSocket, without its head, and what follows them. A close frame is the event `close` with its code. */
export function readWebSocket(bytes: Buffer): { events: ClientEvent[]; rest: Buffer } {
  const events: ClientEvent[] = [];
  for (;;) {
    if (bytes.length < 2) return { events, rest: bytes };
    let start = 2;
    let length = bytes[1]!;
    if (length === 126 && bytes.length >= (start = 4)) length = bytes.readUInt16BE(2);
    else if (length === 127 && bytes.length >= (start = 10)) length = Number(bytes.readBigUInt64BE(2));
    if (bytes.length < start + length) return { events, rest: bytes };
    let payload = bytes.subarray(start, start + length);
    if (bytes[0]! & RSV1) payload = inflateMessage(payload, 16 << 20) as Buffer;
    const opcode = bytes[0]! & 0x0f;
    if (opcode === OPCODE_TEXT) events.push(JSON.parse(payload.toString()) as ClientEvent);
    else if (opcode === OPCODE_CLOSE)
      events.push({ type: 'close', code: payload.length < 2 ? 1005 : payload.readUInt16BE(0) });
    else events.push({ type: opcode === OPCODE_PING ? 'heartbeat' : `opcode ${opcode}` });
    bytes = bytes.subarray(start + length);
  }
}
