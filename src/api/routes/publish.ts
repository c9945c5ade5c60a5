/**
 * POST /v1/publish: one publication or a batch, which is published whole or not at all. POST /v1/broadcast: one message to many
 * channels.
 */

import type { FastifyInstance } from 'fastify';
import { API_BODY_BYTES_MAX, BATCH_PUBLICATIONS_MAX } from '../../limits.js';
import type { Log } from '../../log/log.js';
import type { Audience } from '../../manager/audience.js';
import type { Publisher } from '../../manager/publisher.js';
import { checkChannel } from '../access.js';
import { ApiError } from '../errors.js';
import {
  batchSchema,
  encodePublication,
  type PublicationBody,
  publicationAnswerProperties,
  publicationAnswerSchema,
  publicationProperties,
  publicationSchema,
  publish,
} from '../publications.js';
import { answerSchema, channelSchema, describe } from '../schemas.js';

/** Channels of a page: a frame of the link holds so many of the longest names. */
const CHANNELS_PAGE = 2_500;

export interface PublishRoutesParts {
  publisher: Pick<Publisher, 'publish' | 'accept'>;
  log: Pick<Log, 'epoch'>;
  audience: Pick<Audience, 'channels'>;
}

interface BroadcastBody {
  channels?: string[];
  pattern?: string;
  data: unknown;
  id?: string;
  receipt: boolean;
}

const publishSchema = {
  ...describe('publish', 'Publish one message, or a batch', [
    'A batch is all or nothing: one that has an invalid publication publishes none. It is answered by an array in its order.',
  ]),
  body: {
    if: { type: 'array' },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: batchSchema,
    else: publicationSchema,
  },
  response: {
    200: {
      description: 'The log has it.',
      oneOf: [publicationAnswerSchema, { type: 'array', minItems: 1, items: publicationAnswerSchema }],
    },
  },
};

const broadcastSchema = {
  ...describe('publish', 'Publish one message to many channels', [
    `To \`channels\`, or to those that somebody is on now and that match \`pattern\` (and are the key's): at most ` +
      `${BATCH_PUBLICATIONS_MAX} channels. All or nothing, as a batch. An \`id\` counts for each channel by itself.`,
    `The data times the channels is at most ${API_BODY_BYTES_MAX} bytes: every channel has it in its history.`,
  ]),
  body: {
    type: 'object',
    required: ['data'],
    additionalProperties: false,
    properties: {
      channels: {
        type: 'array',
        minItems: 1,
        maxItems: BATCH_PUBLICATIONS_MAX,
        uniqueItems: true,
        items: channelSchema,
      },
      pattern: { type: 'string', format: 'channel-pattern' },
      ...publicationProperties,
    },
  },
  response: {
    200: answerSchema('The log has all of it.', ['publications'], {
      publications: {
        type: 'array',
        items: {
          ...publicationAnswerSchema,
          required: ['channel', 'cursor'],
          properties: { channel: channelSchema, ...publicationAnswerProperties },
        },
      },
      receivers: { type: 'integer', minimum: 0, description: 'Of all channels together. With a receipt.' },
    }),
  },
};

export function addPublishRoutes(app: FastifyInstance, { publisher, log, audience }: PublishRoutesParts): void {
  const config = { require: 'publish' } as const;

  app.post<{ Body: PublicationBody | PublicationBody[] }>(
    '/v1/publish',
    { schema: publishSchema, config },
    async (request) => {
      const { body } = request;
      const single = !Array.isArray(body);
      const batch = single ? [body] : body;
      const at = (i: number) => (single ? '' : `[${i}].`);
      for (const [i, { channel }] of batch.entries()) checkChannel(request, channel, `${at(i)}channel`);
      const publications = batch.map((publication, i) => encodePublication(publication, at(i)));
      // The defaults of schemas inside if, then and else are not filled in.
      const receipts = batch.map(({ receipt = true }) => receipt);
      const answers = await publish(publisher, log.epoch, publications, receipts);
      return single ? answers[0] : answers;
    },
  );

  app.post<{ Body: BroadcastBody }>('/v1/broadcast', { schema: broadcastSchema, config }, async (request) => {
    const { channels: named, pattern, data, id, receipt } = request.body;
    if ((named === undefined) === (pattern === undefined)) {
      throw new ApiError(400, 'invalid', 'either channels or pattern must be given', { field: 'channels' });
    }
    for (const [i, channel] of (named ?? []).entries()) checkChannel(request, channel, `channels[${i}]`);
    const channels = named ?? (await channelsOf(audience, request.apiKey.channels ?? ['*'], pattern!));
    if (channels.length === 0) return { publications: [], ...(receipt && { receivers: 0 }) };
    const first = encodePublication({ channel: channels[0], data, ...(id !== undefined && { id }) }, '');
    if (first.data.length * channels.length > API_BODY_BYTES_MAX) {
      const message = `data times channels must have at most ${API_BODY_BYTES_MAX} bytes, it has ${first.data.length} times ${channels.length}`;
      throw new ApiError(413, 'too_large', message, { field: 'data' });
    }
    const batch = channels.map((channel) => ({ ...first, channel }));
    const answers = await publish(publisher, log.epoch, batch, new Array(batch.length).fill(receipt));
    const receivers = answers.reduce((sum, answer) => sum + (answer.receivers ?? 0), 0);
    return {
      publications: answers.map((answer, i) => ({ channel: channels[i], ...answer })),
      ...(receipt && { receivers }),
    };
  });
}

/** The channels of a pattern that somebody is on. */
async function channelsOf(
  audience: Pick<Audience, 'channels'>,
  within: readonly string[],
  pattern: string,
): Promise<string[]> {
  const names: string[] = [];
  for (let after = ''; ; ) {
    const page = await audience.channels({ within, pattern, after, limit: CHANNELS_PAGE });
    if (page.incomplete)
      throw new ApiError(503, 'unavailable', 'a worker did not say which channels it has; try again');
    names.push(...page.channels.map(({ channel }) => channel));
    if (names.length > BATCH_PUBLICATIONS_MAX || (page.next !== null && names.length === BATCH_PUBLICATIONS_MAX)) {
      const message = `more than ${BATCH_PUBLICATIONS_MAX} channels match pattern`;
      throw new ApiError(413, 'too_large', message, { field: 'pattern' });
    }
    if (page.next === null) return names;
    after = page.next;
  }
}
