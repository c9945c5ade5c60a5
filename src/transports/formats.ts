/**
 * The wire formats: what one event looks like in each, as text. docs/protocol.md is their specification.
 *
 * Nothing that a publisher chose can end a line or an event: text becomes a JSON string, JSON is on one line whatever its
 * publisher put between its tokens, and bare data is split wherever a reader of the event stream would end a line.
 * Data of KIND_JSON was parsed and written anew when it was published, so it cannot end the object around it either.
 */

import { CR, LF } from '../http/characters.js';
import { adviceMembers, type DisconnectAdvice } from '../link/advice.js';
import { KIND_JSON } from '../link/frames.js';

/** Server-Sent Events, data as JSON. */
export const FORMAT_SSE = 0;
/** Server-Sent Events, `format=raw`. */
export const FORMAT_SSE_RAW = 1;
/** Lines of JSON, each a chunk. */
export const FORMAT_STREAM_CHUNKED = 2;
/** Lines of JSON for HTTP/1.0. */
export const FORMAT_STREAM = 3;
/** The text of a WebSocket message; who sends it adds the frame. */
export const FORMAT_WEBSOCKET = 4;
/** An element of a poll's `messages` or `gap`. */
export const FORMAT_POLL = 5;

/** What a publication has in common in all formats. */
export interface MessageParts {
  cursor: string;
  /** The channel's name, a JSON string. */
  channel: string;
  /** JSON text on one line; see `dataJson`. */
  data: string;
  /** Milliseconds since 1970. */
  timeMs: number;
}

const LINE_ENDS = /[\r\n]/g;
/** What ends a line of an event stream (HTML standard, section 9.2.5). */
const EVENT_LINE_ENDS = /\r\n|\r|\n/g;

/** Data as JSON on one line. Bytes that are not UTF-8 are replaced (U+FFFD). */
export function dataJson(kind: number, data: Buffer): string {
  const text = data.toString();
  if (kind !== KIND_JSON) return JSON.stringify(text);
  // In JSON these stand between tokens only, where a space says the same. Rarely: to look for a byte is quicker.
  return data.includes(LF) || data.includes(CR) ? text.replace(LINE_ENDS, ' ') : text;
}

/** A publication in any format but FORMAT_SSE_RAW. */
export function messageText(format: number, { cursor, channel, data, timeMs }: MessageParts): string {
  switch (format) {
    case FORMAT_SSE:
      return `id: ${cursor}\ndata: {"channel":${channel},"data":${data},"time":${timeMs}}\n\n`;
    case FORMAT_POLL:
      return `{"channel":${channel},"cursor":"${cursor}","data":${data},"time":${timeMs}}`;
    default:
      return typed(
        format,
        `{"type":"message","channel":${channel},"cursor":"${cursor}","data":${data},"time":${timeMs}}`,
      );
  }
}

/** A publication in FORMAT_SSE_RAW: each line of the data, whatever its kind, is a `data` line. */
export function rawEvent(cursor: string, data: Buffer): string {
  return `id: ${cursor}\ndata: ${data.toString().replace(EVENT_LINE_ENDS, '\ndata: ')}\n\n`;
}

/** What a gap says in all formats. */
export interface GapParts {
  /** The connection has everything up to here, or was told of it. */
  cursor: string;
  /** Absent: of all channels of the connection, since the log is another one. */
  channel?: string;
  /** With a channel: up to here its publications may be missing. */
  lost?: string;
}

export function gapText(format: number, { cursor, channel, lost }: GapParts): string {
  const members = JSON.stringify({ channel, cursor, lost }).slice(1, -1);
  switch (format) {
    case FORMAT_SSE:
    case FORMAT_SSE_RAW:
      return `event: gap\nid: ${cursor}\ndata: {${members}}\n\n`;
    case FORMAT_POLL:
      return `{${members}}`;
    default:
      return typed(format, `{"type":"gap",${members}}`);
  }
}

/**
 * The connection is live from the cursor on. An event stream gets a named event with data: the standard's EventSource would
 * remember the id of a block without data too, but the npm package `eventsource` does not, and a client that has seen no
 * message yet would come back without a cursor.
 */
export function subscribedText(format: number, cursor: string): string {
  if (format === FORMAT_SSE || format === FORMAT_SSE_RAW) {
    return `event: subscribed\nid: ${cursor}\ndata: {"cursor":"${cursor}"}\n\n`;
  }
  return typed(format, `{"type":"subscribed","cursor":"${cursor}"}`);
}

/**
 * The server ends the connection, and this is the last that is said on it. An event stream has `retry` too, for an EventSource that
 * knows no more, and the id, since some clients forget theirs at a block without one.
 *
 * @param cursor where the client stands
 */
export function disconnectText(format: number, advice: DisconnectAdvice, cursor: string): string {
  const members = adviceMembers(advice);
  if (format !== FORMAT_SSE && format !== FORMAT_SSE_RAW) return typed(format, `{"type":"disconnect",${members}}`);
  const retry = advice.afterMs === undefined ? '' : `retry: ${advice.afterMs}\n`;
  return `${retry}event: disconnect\nid: ${cursor}\ndata: {${members}}\n\n`;
}

/** An object with a type, which is a line of a stream or a message of a WebSocket. */
function typed(format: number, json: string): string {
  if (format === FORMAT_STREAM_CHUNKED) return chunk(`${json}\n`);
  return format === FORMAT_STREAM ? `${json}\n` : json;
}

/** RFC 9112 section 7.1. */
function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}
