/**
 * Addresses of the dashboard on the API port.
 *
 * The page itself has nothing in it that is secret, and is given to anybody: it asks for a key where one is needed. What it
 * shows comes by GET /v1/events and GET /v1/tail, which need the right `admin`. The page reads them with fetch and an
 * Authorization header, not with EventSource, which cannot send one. There is no cookie, so a page of another origin has
 * nothing that a browser would add to its requests; and where there are no keys, it could read no answer, but it could take
 * the places of all viewers: so streams are refused to requests of which the browser says that another site made them.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Routes } from '../api/api.js';
import { ApiError } from '../api/errors.js';
import { channelSchema } from '../api/schemas.js';
import { Cursor } from '../cursor.js';
import { ASSET_HEADERS, ASSET_PATHS, readAsset } from './assets.js';
import type { Dashboard } from './dashboard.js';

const RETRY_AFTER_S = 10;

/** Without a tag: the API's description leaves the page's own streams out. */
const tailSchema = {
  querystring: {
    type: 'object',
    required: ['channel'],
    additionalProperties: false,
    properties: {
      channel: channelSchema,
      after: { type: 'string', default: 'now', description: 'A cursor, `now` or `start`.' },
    },
  },
};

export const dashboardRoutes =
  (dashboard: Dashboard): Routes =>
  (app) => {
    for (const path of ASSET_PATHS) {
      app.get(path, { config: { require: 'nothing' } }, async (request, reply) =>
        sendAsset(reply, path, request.headers['if-none-match']),
      );
    }

    // A HEAD would be a stream without an end.
    app.get('/v1/events', { exposeHeadRoute: false, config: { require: 'admin' } }, (request, reply) => {
      refuseOtherSites(request);
      if (!dashboard.viewers.add(reply.raw)) throw tooMany('too many dashboards are open');
      return reply.hijack();
    });

    app.get<{ Querystring: { channel: string; after: string } }>(
      '/v1/tail',
      { exposeHeadRoute: false, config: { require: 'admin' }, schema: tailSchema },
      (request, reply) => {
        refuseOtherSites(request);
        const { channel, after } = request.query;
        const cursor = new Cursor();
        const bytes = Buffer.from(after);
        if (!cursor.parse(bytes, 0, bytes.length)) {
          throw new ApiError(400, 'invalid', 'after must be a cursor, now or start', { field: 'after' });
        }
        if (!dashboard.tails.add(reply.raw, channel, cursor)) throw tooMany('too many tails are open');
        return reply.hijack();
      },
    );
  };

function sendAsset(reply: FastifyReply, path: string, known: string | undefined): FastifyReply {
  const { bytes, type, etag } = readAsset(path);
  reply.headers({ ...ASSET_HEADERS, etag });
  return known === etag ? reply.status(304).send() : reply.type(type).send(bytes);
}

/** Fetch Metadata, which every browser of today sends: https://www.w3.org/TR/fetch-metadata/. */
function refuseOtherSites({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return;
  throw new ApiError(403, 'site_refused', 'the request was made by a page of another site');
}

function tooMany(message: string): ApiError {
  return new ApiError(503, 'too_many_viewers', message, { headers: { 'retry-after': String(RETRY_AFTER_S) } });
}
