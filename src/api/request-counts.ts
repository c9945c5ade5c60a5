/** How many requests of each route were answered with which status, for the metrics. Who asks for what is in no label. */

import type { FastifyInstance } from 'fastify';

export interface RequestCount {
  /** As it was registered: `/v1/channels/:channel`; empty where no route took the request. */
  route: string;
  status: number;
  requests: number;
}

export class RequestCounts {
  readonly #counts = new Map<string, Map<number, number>>();

  /** Counts every answer from now on. */
  watch(app: FastifyInstance): void {
    app.addHook('onResponse', async ({ routeOptions }, { statusCode }) => {
      const route = routeOptions.url ?? '';
      const statuses = this.#counts.get(route) ?? new Map<number, number>();
      this.#counts.set(route, statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1));
    });
  }

  all(): RequestCount[] {
    return [...this.#counts].flatMap(([route, statuses]) =>
      [...statuses].map(([status, requests]) => ({ route, status, requests })),
    );
  }
}
