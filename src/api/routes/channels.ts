/** GET /v1/channels and below: who is on which channel, and what the log has of it. */

import type { FastifyInstance } from 'fastify';
import { CURSOR_START, Cursor, formatCursor } from '../../cursor.js';
import { CHANNEL_NAME_BYTES_MAX } from '../../limits.js';
import type { Log } from '../../log/log.js';
import type { Audience } from '../../manager/audience.js';
import { dataJson, FORMAT_POLL, messageText } from '../../transports/formats.js';
import { checkChannel } from '../access.js';
import { invalid } from '../errors.js';
import {
  answerSchema,
  channelSchema,
  clientSchema,
  cursorSchema,
  describe,
  incompleteSchema,
  limitSchema,
  messageSchema,
  pageSchema,
} from '../schemas.js';

/** Data of one page of history, about. */
const HISTORY_BYTES = 1 << 20;
const LIMIT = 100;
const LIMIT_MAX = 1000;

export interface ChannelRoutesParts {
  audience: Audience;
  log: Pick<Log, 'epoch' | 'last' | 'read'>;
}

interface Page {
  after?: string;
  limit: number;
}

const occupancyProperties = {
  channel: channelSchema,
  subscribers: { type: 'integer', minimum: 0, description: 'Connections of all transports with cursors.' },
  waiting: { type: 'integer', minimum: 0, description: 'Connections that wait for a message of the classic queue.' },
};

const occupancySchema = {
  type: 'object',
  required: ['channel', 'subscribers', 'waiting'],
  properties: occupancyProperties,
};

const presentSchema = {
  type: 'object',
  required: ['client', 'connections'],
  properties: {
    client: clientSchema,
    connections: { type: 'integer', minimum: 0, description: 'Of this client, on the channel, now.' },
  },
};

const gapSchema = {
  type: 'object',
  required: ['cursor'],
  properties: { channel: channelSchema, cursor: cursorSchema, lost: cursorSchema },
};

const params = { type: 'object', required: ['channel'], properties: { channel: channelSchema } };

/** A query for a page. */
function pageQuery(properties: object): object {
  const limit = limitSchema(LIMIT, LIMIT_MAX);
  return { type: 'object', additionalProperties: false, properties: { ...properties, limit } };
}

const listSchema = {
  ...describe('channels', 'Channels that somebody is on, by name', [
    'Channels without a connection are not listed, whatever the log has of them. A key that has channels sees only these.',
  ]),
  querystring: pageQuery({
    pattern: { type: 'string', format: 'channel-pattern', default: '*' },
    after: { type: 'string', maxLength: CHANNEL_NAME_BYTES_MAX, description: '`next` of the page before.' },
  }),
  response: {
    200: answerSchema('A page.', ['channels'], {
      channels: { type: 'array', items: occupancySchema },
      ...pageSchema,
      ...incompleteSchema,
    }),
  },
};

const oneSchema = {
  ...describe('channels', 'How many connections are on a channel'),
  params,
  response: {
    200: answerSchema('Its occupancy, all 0 where nobody is there.', occupancySchema.required, {
      ...occupancyProperties,
      ...incompleteSchema,
    }),
  },
};

const presenceSchema = {
  ...describe('channels', 'Which clients are on a channel, by name', [
    'A client is the subject (`sub`) of a token; connections without one are only counted.',
    'A client that left less than the grace time ago (`--presence-grace-seconds`) is still there, with 0 connections: a long-poll ' +
      'leaves at every answer, and comes back.',
  ]),
  params,
  querystring: pageQuery({
    after: { type: 'string', maxLength: CHANNEL_NAME_BYTES_MAX, description: '`next` of the page before.' },
  }),
  response: {
    200: answerSchema('A page.', ['clients', 'connections'], {
      clients: { type: 'array', items: presentSchema },
      connections: { type: 'integer', minimum: 0, description: 'All connections on the channel.' },
      ...pageSchema,
      ...incompleteSchema,
    }),
  },
};

const historySchema = {
  ...describe('channels', 'What the log has of a channel'),
  params,
  querystring: pageQuery({
    after: { type: 'string', default: 'start', description: 'A cursor, or `start`: the oldest that is retained.' },
  }),
  response: {
    200: answerSchema('Messages in the order of the log.', ['cursor', 'messages'], {
      cursor: { ...cursorSchema, description: '`after` of the next page.' },
      messages: { type: 'array', items: messageSchema },
      more: { const: true, description: 'There may be more behind the cursor.' },
      gap: { type: 'array', description: 'Messages behind `after` are gone (as for clients).', items: gapSchema },
    }),
  },
};

export function addChannelRoutes(app: FastifyInstance, { audience, log }: ChannelRoutesParts): void {
  const config = { require: 'read' } as const;

  app.get<{ Querystring: Page & { pattern: string } }>(
    '/v1/channels',
    { schema: listSchema, config },
    async ({ query: { pattern, after = '', limit }, apiKey }) => {
      const within = apiKey.channels ?? ['*'];
      const question = { within, pattern, after, limit };
      const { channels, next, incomplete } = await audience.channels(question);
      return { channels, ...(next !== null && { next }), ...(incomplete && { incomplete }) };
    },
  );

  app.get<{ Params: { channel: string } }>('/v1/channels/:channel', { schema: oneSchema, config }, async (request) => {
    const { channel } = request.params;
    checkChannel(request, channel);
    const { subscribers, waiting, incomplete } = await audience.occupancy(channel);
    return { channel, subscribers, waiting, ...(incomplete && { incomplete }) };
  });

  app.get<{ Params: { channel: string }; Querystring: Page }>(
    '/v1/channels/:channel/presence',
    { schema: presenceSchema, config },
    async (request) => {
      const { channel } = request.params;
      const { after = '', limit } = request.query;
      checkChannel(request, channel);
      const { clients, next, connections, incomplete } = await audience.presence({ channel, after, limit });
      return {
        clients,
        connections,
        ...(next !== null && { next }),
        ...(incomplete && { incomplete }),
      };
    },
  );

  app.get<{ Params: { channel: string }; Querystring: Required<Page> }>(
    '/v1/channels/:channel/history',
    { schema: historySchema, config },
    async (request, reply) => {
      const { channel } = request.params;
      checkChannel(request, channel);
      const { after, limit } = request.query;
      return reply.type('application/json; charset=utf-8').send(await readHistory(log, channel, after, limit));
    },
  );
}

/** The answer as JSON text: the data of messages is passed on as it was published. */
async function readHistory(
  log: ChannelRoutesParts['log'],
  channel: string,
  text: string,
  limit: number,
): Promise<string> {
  const after = new Cursor();
  const bytes = Buffer.from(text);
  if (text === 'now' || !after.parse(bytes, 0, bytes.length)) {
    throw invalid('after', "after must be a cursor, or 'start'");
  }
  const start = after.position === CURSOR_START;
  // A cursor of another log, or one that this log has not come to: all of that history is lost.
  const foreign = !start && (!after.isOf(Buffer.from(log.epoch)) || after.position > log.last);
  const from = start || foreign ? 0 : after.position;
  const page = await log.read([channel], from, HISTORY_BYTES, limit);
  // What was dropped before somebody asks for the start is no gap.
  const lost = start || foreign ? undefined : page.gaps[0]?.sequence;
  const cursorAt = (sequence: number) => formatCursor(log.epoch, sequence);
  const answer = {
    cursor: cursorAt(page.upTo),
    ...(page.upTo < log.last && { more: true }),
    ...(foreign && { gap: [{ cursor: cursorAt(0) }] }),
    ...(lost !== undefined && { gap: [{ channel, cursor: cursorAt(from), lost: cursorAt(lost) }] }),
  };
  const name = JSON.stringify(channel);
  const messages = page.publications.map(({ sequence, kind, data, timeMs }) =>
    messageText(FORMAT_POLL, { cursor: cursorAt(sequence), channel: name, data: dataJson(kind, data), timeMs }),
  );
  return `{"messages":[${messages.join(',')}],${JSON.stringify(answer).slice(1)}`;
}
