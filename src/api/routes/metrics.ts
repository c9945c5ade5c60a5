/** GET /metrics: for Prometheus, in its text format. */

import type { Metrics } from '../../metrics/metrics.js';
import type { Routes } from '../api.js';

export function metricsRoutes(metrics: Metrics): Routes {
  return (app) => {
    app.get('/metrics', { config: { require: 'monitor' } }, async (_request, reply) => {
      reply.header('cache-control', 'no-store').type(metrics.contentType);
      return metrics.text();
    });
  };
}
