/** GET /v1/status: what the server holds. */

import type { FastifyInstance } from 'fastify';

export function addStatusRoutes(app: FastifyInstance, status: () => object): void {
  app.get('/v1/status', { config: { require: 'monitor' } }, async () => status());
}
