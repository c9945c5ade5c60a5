/**
 * The JSON messages of a WebSocket: what a client may say, and the answers that belong to it. What the server says by itself
 * (messages, gaps) is in formats.ts. docs/protocol.md has the whole of it.
 */

import { CHANNEL_NAME_RULE, isChannelName } from '../channel-name.js';
import type { Cursor } from '../cursor.js';
import { CHANNELS_PER_CONNECTION_MAX, REF_LENGTH_MAX } from '../limits.js';
import {
  type ClientPublication,
  invalid,
  isObject,
  isRefusal,
  type PublishRule,
  publicationOf,
  type Refusal,
} from './publishing.js';

/** What a client asks for. `ref` is the JSON of its mark, '' for none. */
export type ClientMessage =
  | { type: 'subscribe'; channels: string[]; ref: string }
  | { type: 'unsubscribe'; channels: string[]; ref: string }
  | { type: 'publish'; publication: ClientPublication; ref: string }
  | { type: 'token'; token: string; ref: string }
  | { type: 'ping'; ref: string }
  | { type: 'error'; refusal: Refusal; ref: string };

/** Members that each type may have, besides `type` and `ref`. */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  subscribe: ['channel', 'channels', 'after'],
  unsubscribe: ['channel', 'channels'],
  publish: ['channel', 'data', 'id'],
  token: ['token'],
  ping: [],
};

/**
 * Parses a text message.
 *
 * @param cursor after `subscribe`: where it begins
 * @param allowed where clients may publish
 */
export function parseClientMessage(text: string, cursor: Cursor, allowed: PublishRule): ClientMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // What V8 says quotes the text, and nothing of a token is repeated.
    const why = text.includes('"token"') ? '' : `: ${(error as SyntaxError).message}`;
    return refused(invalid(`no JSON${why}`), '');
  }
  if (!isObject(value)) return refused(invalid('a message must be a JSON object'), '');
  const ref = refOf(value['ref']);
  if (ref === undefined) {
    return refused(invalid(`ref must be an integer or a string of at most ${REF_LENGTH_MAX} characters`, 'ref'), '');
  }
  const { type } = value;
  const members = typeof type === 'string' && Object.hasOwn(MEMBERS, type) ? MEMBERS[type] : undefined;
  if (members === undefined) {
    return refused(invalid(`type must be one of ${Object.keys(MEMBERS).join(', ')}`, 'type'), ref);
  }
  const unknown = Object.keys(value).find((key) => key !== 'type' && key !== 'ref' && !members.includes(key));
  if (unknown !== undefined) return refused(invalid(`${unknown} is not known`, unknown), ref);
  switch (type) {
    case 'subscribe':
    case 'unsubscribe': {
      const channels = channelsOf(value);
      if (!Array.isArray(channels)) return refused(channels, ref);
      if (type === 'subscribe' && !readAfter(value['after'], cursor)) {
        return refused(invalid('after must be a cursor, now or start', 'after'), ref);
      }
      return { type, channels, ref };
    }
    case 'publish': {
      const publication = publicationOf(value, allowed);
      return isRefusal(publication) ? refused(publication, ref) : { type, publication, ref };
    }
    case 'token': {
      const { token } = value;
      if (typeof token === 'string' && token !== '') return { type, token, ref };
      return refused(invalid('token must be a string, and not empty', 'token'), ref);
    }
    default:
      return { type: 'ping', ref };
  }
}

/** Answer to `subscribe`, when the channels are live from the cursor on. */
export function subscribedAnswer(channels: readonly string[], cursor: string, ref: string): string {
  return `{"type":"subscribed","channels":${JSON.stringify(channels)},"cursor":"${cursor}"${refMember(ref)}}`;
}

export function unsubscribedAnswer(channels: readonly string[], ref: string): string {
  return `{"type":"unsubscribed","channels":${JSON.stringify(channels)}${refMember(ref)}}`;
}

export function publishedAnswer(cursor: string, duplicate: boolean, ref: string): string {
  return `{"type":"published","cursor":"${cursor}"${duplicate ? ',"duplicate":true' : ''}${refMember(ref)}}`;
}

/** Answer to `token`. @param expiresAtMs of the new one; Infinity: it does not expire */
export function tokenAnswer(expiresAtMs: number, ref: string): string {
  const expires = Number.isFinite(expiresAtMs) ? `,"expiresAt":${Math.round(expiresAtMs)}` : '';
  return `{"type":"token"${expires}${refMember(ref)}}`;
}

export function pongAnswer(ref: string): string {
  return `{"type":"pong"${refMember(ref)}}`;
}

export function refusedAnswer({ code, message }: Refusal, ref: string): string {
  return `{"type":"error","code":"${code}","message":${JSON.stringify(message)}${refMember(ref)}}`;
}

function refused(refusal: Refusal, ref: string): ClientMessage {
  return { type: 'error', refusal, ref };
}

/** Its JSON, '' where there is none, undefined where it is not allowed. */
function refOf(ref: unknown): string | undefined {
  if (ref === undefined) return '';
  const allowed = typeof ref === 'string' ? ref.length <= REF_LENGTH_MAX : Number.isSafeInteger(ref);
  return allowed ? JSON.stringify(ref) : undefined;
}

function refMember(ref: string): string {
  return ref === '' ? '' : `,"ref":${ref}`;
}

/** `channel` or `channels`, each name once. */
function channelsOf({ channel, channels }: Record<string, unknown>): string[] | Refusal {
  if ((channel === undefined) === (channels === undefined))
    return invalid('give either channel or channels', 'channel');
  if (channel !== undefined) {
    if (typeof channel === 'string' && isChannelName(channel)) return [channel];
    return invalid(`channel must be ${CHANNEL_NAME_RULE}`, 'channel');
  }
  if (!Array.isArray(channels) || channels.length === 0)
    return invalid('channels must be an array of names', 'channels');
  if (channels.length > CHANNELS_PER_CONNECTION_MAX) {
    const message = `a connection may have ${CHANNELS_PER_CONNECTION_MAX} channels at most`;
    return { code: 'too_many_channels', message, field: 'channels' };
  }
  const bad = channels.findIndex((name) => typeof name !== 'string' || !isChannelName(name));
  if (bad >= 0) return invalid(`channels[${bad}] must be ${CHANNEL_NAME_RULE}`, 'channels');
  return [...new Set(channels as string[])];
}

/** `now` where it is absent. */
function readAfter(after: unknown, cursor: Cursor): boolean {
  cursor.reset();
  if (after === undefined) return true;
  if (typeof after !== 'string') return false;
  const bytes = Buffer.from(after);
  return cursor.parse(bytes, 0, bytes.length);
}
