/** POST /v1/disconnect: ends the connections of a client, or of everybody on a channel. */

import type { FastifyInstance } from 'fastify';
import { ADVICE_REASON_BYTES_MAX } from '../../link/advice.js';
import type { Audience } from '../../manager/audience.js';
import { ApiError, invalid } from '../errors.js';
import { answerSchema, channelSchema, clientSchema, describe, incompleteSchema } from '../schemas.js';

const AFTER_MS_MAX = 24 * 3600 * 1000;

interface DisconnectBody {
  client?: string;
  channel?: string;
  reason: string;
  reconnect: boolean;
  afterMs?: number;
}

const disconnectSchema = {
  ...describe('admin', 'End the connections of a client, or of everybody on a channel', [
    'With `client` all connections of that client (the subject of a token), with `channel` everybody who is on it, with both the ' +
      'connections of the client that are on the channel. Each is told why, and whether to come back (`disconnected`).',
  ]),
  body: {
    type: 'object',
    additionalProperties: false,
    properties: {
      client: clientSchema,
      channel: channelSchema,
      reason: { type: 'string', default: 'ended by an administrator', description: 'For people; the client sees it.' },
      reconnect: { type: 'boolean', default: false, description: 'Whether the client is to come back.' },
      afterMs: {
        type: 'integer',
        minimum: 0,
        maximum: AFTER_MS_MAX,
        description: 'When to come back: each is told a time from this to twice this. Only with `reconnect`.',
      },
    },
  },
  response: {
    200: answerSchema('All that were found have been ended.', ['connections'], {
      connections: { type: 'integer', minimum: 0, description: 'How many.' },
      ...incompleteSchema,
    }),
  },
};

export function addDisconnectRoutes(app: FastifyInstance, audience: Pick<Audience, 'disconnect'>): void {
  app.post<{ Body: DisconnectBody }>(
    '/v1/disconnect',
    { schema: disconnectSchema, config: { require: 'admin' } },
    async ({ body: { client = null, channel = null, reason, reconnect, afterMs } }) => {
      if (client === null && channel === null) {
        throw new ApiError(400, 'invalid', 'client or channel must be given', { field: 'client' });
      }
      if (Buffer.byteLength(reason) > ADVICE_REASON_BYTES_MAX) {
        throw invalid('reason', `reason must have at most ${ADVICE_REASON_BYTES_MAX} bytes`);
      }
      if (afterMs !== undefined && !reconnect) throw invalid('afterMs', 'afterMs needs reconnect');
      const question = { client, channel, reason, reconnect, afterMs: afterMs ?? null };
      const { connections, incomplete } = await audience.disconnect(question);
      return { connections, ...(incomplete && { incomplete }) };
    },
  );
}
