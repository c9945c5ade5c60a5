/** POST /v1/drain: ends all clients evenly, and then the server. GET /v1/status tells how it goes on. */

import type { FastifyInstance } from 'fastify';
import { DRAIN_SECONDS_MAX } from '../../limits.js';
import type { DrainOrder } from '../../link/questions.js';
import type { DrainStatus } from '../../manager/drain.js';

const seconds = { type: 'number', minimum: 0, maximum: DRAIN_SECONDS_MAX };

const drainSchema = {
  summary: 'End all clients evenly, with advice when to come back, and then the server',
  tags: ['operation'],
  body: {
    type: 'object',
    additionalProperties: false,
    properties: {
      seconds: { ...seconds, description: 'Over how long. Default: `--drain-seconds`, or 30.' },
      returnAfterSeconds: {
        ...seconds,
        description: 'Clients are told to come back so long after their end. Default 0: another server takes over now.',
      },
    },
  },
  response: {
    202: {
      description: 'It has begun, or had begun before: then that one goes on as it was.',
      type: 'object',
      required: ['seconds', 'returnAfterSeconds', 'startedAt', 'connections', 'remaining'],
      properties: {
        seconds: { type: 'number' },
        returnAfterSeconds: { type: 'number' },
        startedAt: { type: 'integer', description: 'Milliseconds since 1970.' },
        connections: { type: 'integer', description: 'Connections at the beginning.' },
        remaining: { type: 'integer', description: 'Connections that are left, as of the last reports.' },
      },
    },
  },
};

/** @param drain begins a drain, with the server's defaults for what is left out */
export function addDrainRoutes(
  app: FastifyInstance,
  drain: (order: Partial<DrainOrder>) => Promise<DrainStatus>,
): void {
  app.post<{ Body: Partial<DrainOrder> }>(
    '/v1/drain',
    { config: { require: 'admin' }, schema: drainSchema },
    async ({ body }, reply) => {
      reply.status(202);
      return drain(body);
    },
  );
}
