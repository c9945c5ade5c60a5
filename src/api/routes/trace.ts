/** GET /v1/trace: what became of one publication, and why a given client did or did not get it. */

import type { FastifyInstance } from 'fastify';
import { Cursor } from '../../cursor.js';
import type { Log } from '../../log/log.js';
import type { ClientOutcome, Tracer } from '../../manager/tracer.js';
import { checkChannel } from '../access.js';
import { ApiError, invalid } from '../errors.js';
import { answerSchema, channelSchema, clientSchema, cursorSchema, describe, incompleteSchema } from '../schemas.js';

/** Each outcome in words, for people. */
const EXPLANATIONS: Record<ClientOutcome, string> = {
  sent: 'it was sent to the client; `unreadBytes` tells what the client has not read yet',
  had_it: 'the client came with a cursor behind it, and has it by its own account',
  asked_for_later: 'the client asked only for what comes later',
  catching_up: 'the client is still being sent what came before',
  on_its_way: 'the worker of the client has not been sent it yet',
  left_while_catching_up:
    'the client left before it had been sent so much; it is sent it when it resumes, while it is retained',
  not_subscribed: 'the client was connected, but not on the channel',
  not_connected:
    'the client was not connected; it is sent it when it resumes from an earlier cursor, while it is retained',
  unknown: 'whether the client was connected is not known any more',
};

const time = { type: 'number', description: 'Milliseconds since 1970, UTC.' };
const count = { type: 'integer', minimum: 0 };

const visitSchema = {
  type: 'object',
  required: ['worker', 'outcome', 'since'],
  properties: {
    worker: count,
    outcome: { enum: Object.keys(EXPLANATIONS) },
    since: { ...time, description: 'When it asked for the channel, or came.' },
    left: { ...time, description: 'Absent: it is there.' },
    reason: {
      type: 'string',
      description: 'Why it left: `answered`, `closed`, or the code of the advice that it was given.',
    },
    sent: { ...time, description: 'Absent where it was sent from the log.' },
    unreadBytes: { ...count, description: 'What waits in the server until the client reads.' },
  },
};

const traceSchema = {
  ...describe('channels', 'What became of one publication', [
    'The manager remembers the last 32,768 publications since it began, each worker its last 8,192 and the last 8,192 comings and ' +
      'goings of clients with a token. With `client` (the subject of a token): whether that client got it, and why not.',
  ]),
  querystring: {
    type: 'object',
    required: ['cursor'],
    additionalProperties: false,
    properties: {
      cursor: { ...cursorSchema, description: 'Of the publication, as its publisher was told.' },
      client: clientSchema,
    },
  },
  response: {
    200: answerSchema('Its way.', ['channel', 'cursor', 'time', 'bytes', 'retained', 'workers', 'receivers'], {
      channel: channelSchema,
      cursor: cursorSchema,
      time,
      bytes: { ...count, description: 'Of its data.' },
      retained: { type: 'boolean', description: 'The log has it now.' },
      workers: {
        type: 'array',
        description: 'Workers that had somebody for it, in each way by itself.',
        items: {
          type: 'object',
          required: ['worker', 'via'],
          properties: {
            worker: count,
            via: {
              enum: ['fan_out', 'log', 'queue'],
              description:
                'At once; from the log, since the worker was behind; or out of the classic queue, to whoever took it there.',
            },
            sent: { ...time, description: 'When it was handed out; absent where that is not remembered.' },
            receivers: { ...count, description: 'Connections that it was handed to at once.' },
            slowConsumers: { ...count, description: 'Connections ended with it, which had not read what came before.' },
          },
        },
      },
      receivers: { ...count, description: 'Of all these workers, as far as they remember, and of the classic queue.' },
      client: {
        type: 'object',
        required: ['client', 'outcome', 'explanation', 'visits'],
        properties: {
          client: clientSchema,
          outcome: { enum: Object.keys(EXPLANATIONS) },
          explanation: { type: 'string', description: 'The outcome in words.' },
          visits: { type: 'array', items: visitSchema },
        },
      },
      ...incompleteSchema,
    }),
    404: {
      description: '`not_found`: of the publication nothing is known any more.',
      $ref: 'Error#',
    },
  },
};

export function addTraceRoutes(app: FastifyInstance, tracer: Tracer, log: Pick<Log, 'epoch'>): void {
  app.get<{ Querystring: { cursor: string; client?: string } }>(
    '/v1/trace',
    { schema: traceSchema, config: { require: 'read' } },
    async (request) => {
      const { cursor, client = null } = request.query;
      const sequence = sequenceOf(cursor, log.epoch);
      const record = tracer.find(sequence);
      if (record === null)
        throw new ApiError(404, 'not_found', 'of this publication nothing is known any more', { field: 'cursor' });
      checkChannel(request, record.channel, 'cursor');
      const trace = await tracer.trace(sequence, record, client);
      const { channel, timeMs, bytes, retained, workers, receivers, incomplete } = trace;
      return {
        channel,
        cursor,
        time: timeMs,
        bytes,
        retained,
        workers: workers.map(({ sentMs, ...rest }) => ({ ...rest, ...(sentMs !== undefined && { sent: sentMs }) })),
        receivers,
        ...(trace.client !== null && { client: toClient(trace.client) }),
        ...(incomplete && { incomplete }),
      };
    },
  );
}

/** 0, which is nobody's, where the cursor is of another log. */
function sequenceOf(text: string, epoch: string): number {
  const cursor = new Cursor();
  const bytes = Buffer.from(text);
  if (!cursor.parse(bytes, 0, bytes.length) || cursor.position < 0) {
    throw invalid('cursor', 'cursor must be that of a publication: <epoch>-<sequence>');
  }
  return cursor.isOf(Buffer.from(epoch)) ? cursor.position : 0;
}

function toClient({ client, outcome, visits }: NonNullable<Awaited<ReturnType<Tracer['trace']>>['client']>): object {
  return {
    client,
    outcome,
    explanation: EXPLANATIONS[outcome],
    visits: visits.map(({ sinceMs, leftMs, sentMs, ...rest }) => ({
      ...rest,
      since: sinceMs,
      ...(leftMs !== undefined && { left: leftMs }),
      ...(sentMs !== undefined && { sent: sentMs }),
    })),
  };
}
