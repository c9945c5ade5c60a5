/**
 * The server's side of the opening handshake (RFC 6455 section 4.2) and the negotiation of permessage-deflate (RFC 7692
 * section 7.1): pure functions over a parsed request head and the bytes that it was parsed from.
 *
 * The fields Origin and Cookie are not judged here: whom a server wants to talk to is not the protocol's matter.
 */

import { createHash } from 'node:crypto';
import { ascii } from '../http/characters.js';
import { latin1, listField } from '../http/list-field.js';
import {
  HEADER_SEC_WEBSOCKET_EXTENSIONS,
  HEADER_SEC_WEBSOCKET_KEY,
  HEADER_SEC_WEBSOCKET_PROTOCOL,
  HEADER_SEC_WEBSOCKET_VERSION,
  type RequestHead,
} from '../http/request-head.js';
import { statusText } from '../http/template.js';
import { WINDOW_BITS_MAX, WINDOW_BITS_MIN } from './deflate.js';

const BAD_REQUEST = -400;
const UPGRADE_REQUIRED = -426;

/** Instead of a window: messages go uncompressed both ways. */
export const NO_DEFLATE = 0;

/** RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** 16 bytes in base64 (section 4.1). */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const VERSION = '13';

const EXTENSIONS_NAME = ascii('sec-websocket-extensions');
const PROTOCOL_NAME = ascii('sec-websocket-protocol');

function fieldValue(bytes: Uint8Array, head: RequestHead, header: number): string {
  return latin1(bytes, head.valueStart[header]!, head.valueEnd[header]!);
}

/** A handshake that succeeds. */
export interface Handshake {
  /** The whole 101 response. Frames may follow it at once. */
  answer: Buffer;
  /** The window in which messages to this client may be compressed (src/websocket/deflate.ts), or NO_DEFLATE. */
  windowBits: number;
}

/**
 * Answers a request for a WebSocket.
 *
 * @param bytes the bytes that `head` was parsed from
 * @param options.deflate whether to compress messages for clients who offer it
 * @param options.subprotocol is named in the answer to those who offer it, since browsers end a connection on which none of
 *   what they offered was chosen; without one, or for others, the answer has no Sec-WebSocket-Protocol (section 4.2.2)
 * @returns the handshake; or a status to refuse it with: -400 where the request is no handshake, its key is not 16 bytes of
 *   base64, a body follows (which would be taken for frames) or the extensions are malformed (RFC 6455 sections 4.2.1
 *   and 9.1); -426 where the client speaks another version of the protocol (section 4.4)
 */
export function openHandshake(
  bytes: Uint8Array,
  head: RequestHead,
  { deflate = true, subprotocol }: { deflate?: boolean; subprotocol?: string } = {},
): Handshake | number {
  if (!head.upgradeWebSocket || head.contentLength > 0 || head.chunked) return BAD_REQUEST;
  if (head.valueStart[HEADER_SEC_WEBSOCKET_VERSION] === 0) return BAD_REQUEST;
  if (fieldValue(bytes, head, HEADER_SEC_WEBSOCKET_VERSION) !== VERSION) return UPGRADE_REQUIRED;
  const key = fieldValue(bytes, head, HEADER_SEC_WEBSOCKET_KEY);
  if (!KEY.test(key)) return BAD_REQUEST;
  const offers = parseExtensions(listField(bytes, head, HEADER_SEC_WEBSOCKET_EXTENSIONS, EXTENSIONS_NAME));
  if (offers === undefined) return BAD_REQUEST;
  const { windowBits, response } = deflate ? chooseDeflate(offers) : DECLINED;
  const chosen =
    subprotocol !== undefined && subprotocolsOf(bytes, head).includes(subprotocol)
      ? `Sec-WebSocket-Protocol: ${subprotocol}\r\n`
      : '';
  const answer =
    `HTTP/1.1 101 ${statusText(101)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n${chosen}${response}\r\n`;
  return { answer: Buffer.from(answer, 'latin1'), windowBits };
}

/** Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2, step 5.4). */
function acceptKey(key: string): string {
  return createHash('sha1').update(key).update(GUID).digest('base64');
}

/** The subprotocols that a client offers, in its order (section 1.9). */
export function subprotocolsOf(bytes: Uint8Array, head: RequestHead): string[] {
  const list = listField(bytes, head, HEADER_SEC_WEBSOCKET_PROTOCOL, PROTOCOL_NAME);
  return list === '' ? [] : list.split(',').map((name) => name.trim());
}

interface Extension {
  name: string;
  parameters: Parameter[];
}

interface Parameter {
  name: string;
  value: string | undefined;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const WHITE = '[ \\t]*';
/** A quoted value must be a token once its quotes and backslashes are gone (RFC 6455 section 9.1). */
const QUOTED = `"((?:\\\\?${TOKEN.slice(0, -1)})+)"`;
const EXTENSION = new RegExp(`${WHITE}(${TOKEN})${WHITE}`, 'y');
const PARAMETER = new RegExp(`;${WHITE}(${TOKEN})${WHITE}(?:=${WHITE}(?:(${TOKEN})|${QUOTED})${WHITE})?`, 'y');
const SEPARATORS = /[ \t,]*/y;

/** RFC 6455 section 9.1; elements of a list may be empty (RFC 9110 section 5.6.1). Undefined where it is no such list. */
function parseExtensions(list: string): Extension[] | undefined {
  const extensions: Extension[] = [];
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(list);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  next(SEPARATORS);
  while (at < list.length) {
    const extension = next(EXTENSION);
    if (extension === null) return undefined;
    const parameters: Parameter[] = [];
    for (let match = next(PARAMETER); match !== null; match = next(PARAMETER)) {
      parameters.push({ name: match[1]!, value: match[2] ?? match[3]?.replaceAll('\\', '') });
    }
    extensions.push({ name: extension[1]!, parameters });
    if (at < list.length && list[at] !== ',') return undefined;
    next(SEPARATORS);
  }
  return extensions;
}

/** What of permessage-deflate was agreed upon. */
interface Deflate {
  windowBits: number;
  /** The field line of the response, with its CRLF; empty where nothing was. */
  response: string;
}

const DECLINED: Deflate = { windowBits: NO_DEFLATE, response: '' };

/**
 * Chooses the first offer of permessage-deflate that can be honoured.
 *
 * Offers whose parameters are unknown, repeated or out of range are declined (RFC 7692 section 7.1), and so are windows
 * that zlib does not have. The window of the client is not answered: we inflate with the largest one, which reads all.
 */
function chooseDeflate(offers: Extension[]): Deflate {
  for (const { name, parameters } of offers) {
    const windowBits = name === 'permessage-deflate' ? windowOf(parameters) : NO_DEFLATE;
    if (windowBits === NO_DEFLATE) continue;
    // Section 7.1.2.1: where the client names a maximum, the response must name one too.
    const named = parameters.some((parameter) => parameter.name === 'server_max_window_bits');
    const window = named ? `; server_max_window_bits=${windowBits}` : '';
    const agreed = `permessage-deflate; server_no_context_takeover; client_no_context_takeover${window}`;
    return { windowBits, response: `Sec-WebSocket-Extensions: ${agreed}\r\n` };
  }
  return DECLINED;
}

const WINDOW = /^(?:[89]|1[0-5])$/;

/** The window in which an offer lets the server compress, or NO_DEFLATE to decline it (RFC 7692 section 7.1). */
function windowOf(parameters: Parameter[]): number {
  let windowBits = WINDOW_BITS_MAX;
  const seen = new Set<string>();
  for (const { name, value } of parameters) {
    if (seen.has(name)) return NO_DEFLATE;
    seen.add(name);
    switch (name) {
      case 'server_no_context_takeover':
      case 'client_no_context_takeover':
        if (value !== undefined) return NO_DEFLATE;
        break;
      case 'client_max_window_bits':
        if (value !== undefined && !WINDOW.test(value)) return NO_DEFLATE;
        break;
      case 'server_max_window_bits':
        if (value === undefined || !WINDOW.test(value)) return NO_DEFLATE;
        windowBits = Number(value);
        break;
      default:
        return NO_DEFLATE;
    }
  }
  return windowBits >= WINDOW_BITS_MIN ? windowBits : NO_DEFLATE;
}
