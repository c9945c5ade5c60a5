/** Answers requests that no route takes: 405 with `Allow` where the path is known, 404 where it is not. */

import type { FastifyInstance } from 'fastify';
import { ApiError, shortened } from './errors.js';

/** Register this before the routes, which it watches. */
export function addMethodAnswers(app: FastifyInstance): void {
  const paths = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ method, url }) => {
    const known = paths.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    for (const name of [method].flat()) known.methods.add(name);
    paths.set(url, known);
  });
  app.setNotFoundHandler(async (request) => {
    const path = request.url.split('?', 1)[0];
    for (const { pattern, methods } of paths.values()) {
      if (!pattern.test(path)) continue;
      const allow = [...methods].sort().join(', ');
      throw new ApiError(405, 'method_not_allowed', `${shortened(path)} takes ${allow}, not ${request.method}`, {
        headers: { allow },
      });
    }
    throw new ApiError(404, 'not_found', `there is no ${shortened(path)}`);
  });
}

/** `/v1/channels/:channel` matches any one segment there; an asterisk at the end matches anything. */
function patternOf(url: string): RegExp {
  const source = url
    .split('/')
    .map((segment) => (segment.startsWith(':') ? '[^/]+' : segment.replace(/[.+?^${}()|[\]\\]/g, '\\$&')))
    .join('/')
    .replace(/\*$/, '.*');
  return new RegExp(`^${source}$`);
}
