/**
 * What requests and answers share: formats, with the rule of each in words, and the schemas that several routes use. All schemas
 * are JSON Schema as OpenAPI 3.1 has it; requests are checked by them, and the API's description is made of them.
 */

import { CHANNEL_NAME_RULE, isChannelName } from '../channel-name.js';
import { CHANNEL_PATTERN_RULE, isChannelPattern } from '../channel-pattern.js';
import { PUBLICATION_ID_BYTES_MAX } from '../limits.js';

/** Formats of strings, by name. */
export const FORMATS = {
  channel: isChannelName,
  'channel-pattern': isChannelPattern,
  'publication-id': isPublicationId,
};

export type FormatName = keyof typeof FORMATS;

/** Each format's rule in words. */
export const FORMAT_RULES: Record<FormatName, string> = {
  channel: CHANNEL_NAME_RULE,
  'channel-pattern': CHANNEL_PATTERN_RULE,
  'publication-id': `1 to ${PUBLICATION_ID_BYTES_MAX} bytes of UTF-8`,
};

export const channelSchema = { type: 'string', format: 'channel', description: `A channel: ${CHANNEL_NAME_RULE}.` };

/** The subject of a token; it keeps to the rule of channels. */
export const clientSchema = {
  type: 'string',
  format: 'channel',
  description: 'A client: the subject (`sub`) of its token.',
};

/** What an error is answered with. */
export const errorSchema = {
  $id: 'Error',
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: {
        code: { type: 'string', description: 'For programs; it never changes.' },
        message: { type: 'string', description: 'For people.' },
        field: { type: 'string', description: 'The field of the request that is to blame.' },
      },
    },
  },
};

/** A lone surrogate has no UTF-8: two such ids could become one. */
function isPublicationId(id: string): boolean {
  return id.length > 0 && Buffer.byteLength(id) <= PUBLICATION_ID_BYTES_MAX && !/\p{Surrogate}/u.test(id);
}

/** What a route is in the API's description. @param tag groups routes */
export function describe(tag: string, summary: string, description: readonly string[] = []): object {
  return { tags: [tag], summary, ...(description.length > 0 && { description: description.join('\n\n') }) };
}

/** The size of a page. */
export function limitSchema(fallback: number, maximum: number): object {
  return { type: 'integer', minimum: 1, maximum, default: fallback };
}

/** In pages. */
export const pageSchema = {
  next: { type: 'string', description: '`after` of the next page; absent on the last one.' },
};

/** In answers that were collected from all workers. */
export const incompleteSchema = {
  incomplete: { const: true, description: 'A worker did not answer in time: what it has is missing here.' },
};

export const cursorSchema = { type: 'string', description: 'A place in the log: `<epoch>-<sequence>`.' };

export const messageSchema = {
  type: 'object',
  required: ['channel', 'cursor', 'data', 'time'],
  properties: {
    channel: channelSchema,
    cursor: cursorSchema,
    data: { description: 'What was published: any JSON.' },
    time: { type: 'integer', description: 'When the log took it, in milliseconds since 1970, UTC.' },
  },
};

/**
 * Members of an answer, by the name of each; those in `required` are always there. More may come with a later version: clients ignore
 * what they do not know.
 */
export function answerSchema(description: string, required: readonly string[], properties: object): object {
  return { description, type: 'object', required, properties };
}
