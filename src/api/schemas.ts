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
