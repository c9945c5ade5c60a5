/**
 * What clients publish, as JSON: the body of `POST /v1/publish` on the client port, and a WebSocket's `publish`. Data is
 * parsed and written anew, so what reaches the log as KIND_JSON is JSON, on one line.
 */

import { isUtf8 } from 'node:buffer';
import { CHANNEL_NAME_RULE, isChannelName } from '../channel-name.js';
import { jsonText } from '../json-text.js';
import { BATCH_PUBLICATIONS_MAX, MESSAGE_BYTES_MAX, PUBLICATION_ID_BYTES_MAX } from '../limits.js';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';

export interface ClientPublication {
  channel: string;
  kind: number;
  data: Buffer;
  /** Idempotency key; '' for none. */
  id: string;
}

/** Why a request is refused, for its answer. */
export interface Refusal {
  code:
    | 'invalid'
    | 'forbidden'
    | 'too_large'
    | 'too_many_channels'
    | 'unavailable'
    | 'token_required'
    | 'token_invalid'
    | 'token_expired'
    | 'rate_limited';
  message: string;
  /** Which part of a request is meant, as `channel` or `[3].data`. */
  field?: string;
}

/** The status that a refusal has over HTTP. */
export const REFUSAL_STATUS: Readonly<Record<Refusal['code'], number>> = {
  invalid: 400,
  forbidden: 403,
  too_large: 413,
  too_many_channels: 400,
  unavailable: 503,
  token_required: 401,
  token_invalid: 401,
  token_expired: 401,
  rate_limited: 503,
};

/** There is no manager, or its log could not keep the publication. */
export const UNAVAILABLE: Refusal = { code: 'unavailable', message: 'the publication could not be kept, try again' };

export function isRefusal(value: object): value is Refusal {
  return 'code' in value;
}

/** May clients publish on this channel? */
export type PublishRule = (channel: string) => boolean;

/** What a body asks to publish. */
export interface PublishRequest {
  publications: ClientPublication[];
  /** The body was an array, and so is the answer. */
  batch: boolean;
}

/** Parses the body of `POST /v1/publish`. */
export function parsePublishBody(body: Buffer, allowed: PublishRule): PublishRequest | Refusal {
  // Decoded leniently, a wrong byte in a channel's name would make it another channel.
  if (!isUtf8(body)) return invalid('the body is not UTF-8');
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch (error) {
    return invalid(`no JSON: ${(error as SyntaxError).message}`);
  }
  const batch = Array.isArray(value);
  const items: unknown[] = batch ? (value as unknown[]) : [value];
  if (items.length === 0 || items.length > BATCH_PUBLICATIONS_MAX) {
    return invalid(`an array must have 1 to ${BATCH_PUBLICATIONS_MAX} publications`);
  }
  const publications: ClientPublication[] = [];
  for (const [i, item] of items.entries()) {
    const prefix = batch ? `[${i}]` : '';
    if (!isObject(item)) return invalid(`${prefix || 'the body'} must be an object`, prefix);
    const unknown = Object.keys(item).find((key) => key !== 'channel' && key !== 'data' && key !== 'id');
    if (unknown !== undefined) return invalid(`${fieldOf(prefix, unknown)} is not known`, fieldOf(prefix, unknown));
    const publication = publicationOf(item, allowed, prefix);
    if (isRefusal(publication)) return publication;
    publications.push(publication);
  }
  return { publications, batch };
}

/**
 * The publication that the members channel, data and id of a JSON object describe.
 *
 * @param prefix of the names of its members in a refusal, as `[3]`
 */
export function publicationOf(
  { channel, data, id }: Record<string, unknown>,
  allowed: PublishRule,
  prefix = '',
): ClientPublication | Refusal {
  if (typeof channel !== 'string' || !isChannelName(channel)) {
    return invalid(`${fieldOf(prefix, 'channel')} must be ${CHANNEL_NAME_RULE}`, fieldOf(prefix, 'channel'));
  }
  if (data === undefined) return invalid(`${fieldOf(prefix, 'data')} is missing`, fieldOf(prefix, 'data'));
  if (id !== undefined && !isPublicationId(id)) {
    const field = fieldOf(prefix, 'id');
    return invalid(`${field} must be a string of 1 to ${PUBLICATION_ID_BYTES_MAX} bytes of UTF-8`, field);
  }
  if (!allowed(channel)) {
    const message = `clients may not publish on ${JSON.stringify(channel)}`;
    return { code: 'forbidden', message, field: fieldOf(prefix, 'channel') };
  }
  const isText = typeof data === 'string';
  const text = isText ? data : jsonText(data);
  // Parsed JSON is never undefined.
  if (text == null) return invalid(`${fieldOf(prefix, 'data')} is nested too deeply`, fieldOf(prefix, 'data'));
  const bytes = Buffer.from(text);
  if (bytes.length > MESSAGE_BYTES_MAX) {
    const field = fieldOf(prefix, 'data');
    return { code: 'too_large', message: `${field} must have at most ${MESSAGE_BYTES_MAX} bytes`, field };
  }
  return { channel, kind: isText ? KIND_TEXT : KIND_JSON, data: bytes, id: id ?? '' };
}

/** A lone surrogate has no UTF-8 and would become another id. */
function isPublicationId(id: unknown): id is string {
  if (typeof id !== 'string' || id === '' || id.length > PUBLICATION_ID_BYTES_MAX) return false;
  return Buffer.byteLength(id) <= PUBLICATION_ID_BYTES_MAX && !/\p{Surrogate}/u.test(id);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function invalid(message: string, field = ''): Refusal {
  return { code: 'invalid', message, ...(field !== '' && { field }) };
}

function fieldOf(prefix: string, member: string): string {
  return prefix === '' ? member : `${prefix}.${member}`;
}
