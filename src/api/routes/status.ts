/** GET /v1/status: what the server holds. */

import type { FastifyInstance } from 'fastify';
import { describe } from '../schemas.js';

const statusSchema = {
  ...describe('admin', 'What the server holds', [
    'Figures of a worker are from its last report, at most a second old, and `null` before the first. docs/protocol.md has all of ' +
      'them.',
  ]),
  response: { 200: { description: 'The status.', type: 'object', additionalProperties: true } },
};

export function addStatusRoutes(app: FastifyInstance, status: () => object): void {
  app.get('/v1/status', { schema: statusSchema, config: { require: 'monitor' } }, async () => status());
}
