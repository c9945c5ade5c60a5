/** POST /v1/publish: one publication or a batch, which is published whole or not at all. */

import type { FastifyInstance } from 'fastify';
import { BATCH_PUBLICATIONS_MAX, MESSAGE_BYTES_MAX } from '../../limits.js';
import { KIND_JSON, KIND_TEXT } from '../../link/frames.js';
import type { NewPublication } from '../../log/log.js';
import type { Publisher } from '../../manager/publisher.js';
import type { Receipt } from '../../manager/receipts.js';
import { checkChannel } from '../access.js';
import { ApiError } from '../errors.js';
import { channelSchema } from '../schemas.js';

interface PublishBody {
  channel: string;
  data: unknown;
  id?: string;
}

const publicationSchema = {
  type: 'object',
  required: ['channel', 'data'],
  additionalProperties: false,
  properties: {
    channel: channelSchema,
    data: {},
    id: { type: 'string', format: 'publication-id' },
  },
};

const publishSchema = {
  body: {
    if: { type: 'array' },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { type: 'array', minItems: 1, maxItems: BATCH_PUBLICATIONS_MAX, items: publicationSchema },
    else: publicationSchema,
  },
};

export function addPublishRoutes(app: FastifyInstance, publisher: Pick<Publisher, 'publish'>): void {
  app.post<{ Body: PublishBody | PublishBody[] }>(
    '/v1/publish',
    { schema: publishSchema, config: { require: 'publish' } },
    async (request) => {
      const { body } = request;
      const single = !Array.isArray(body);
      const batch = single ? [body] : body;
      const at = (i: number) => (single ? '' : `[${i}].`);
      for (const [i, { channel }] of batch.entries()) checkChannel(request, channel, `${at(i)}channel`);
      const receipts = await publisher.publish(batch.map((publication, i) => encodePublication(publication, at(i))));
      return single ? toAnswer(receipts[0]) : receipts.map(toAnswer);
    },
  );
}

/**
 * A string is delivered as its text, anything else as its JSON.
 *
 * @param prefix where the publication stands in the request, for messages
 * @throws ApiError where it is too large, or nested too deeply
 */
export function encodePublication({ channel, data, id }: PublishBody, prefix: string): NewPublication {
  const text = typeof data === 'string';
  const encoded = Buffer.from(text ? data : jsonText(data, `${prefix}data`));
  if (encoded.length > MESSAGE_BYTES_MAX) {
    const message = `data must have at most ${MESSAGE_BYTES_MAX} bytes, it has ${encoded.length}`;
    throw new ApiError(413, 'too_large', message, { field: `${prefix}data` });
  }
  return { channel, kind: text ? KIND_TEXT : KIND_JSON, data: encoded, ...(id !== undefined && { id }) };
}

/** JSON.parse takes what is nested to any depth, JSON.stringify only what fits the stack. */
function jsonText(data: unknown, field: string): string {
  try {
    return JSON.stringify(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ApiError(400, 'invalid', `${field} is nested too deeply`, { field });
  }
}

function toAnswer({ cursor, status, receivers, duplicate }: Receipt): object {
  return { cursor, status, receivers, ...(duplicate && { duplicate }) };
}
