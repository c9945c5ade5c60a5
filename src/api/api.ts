/**
 * The HTTP API for applications and operators: the server, how it reads requests, and the list of its routes. Each subject has a
 * file of its own (routes/), with its schemas; who may ask for what is access.ts, how errors are answered errors.ts.
 *
 * Every answer is JSON unless its route says otherwise.
 */

import { isUtf8 } from 'node:buffer';
import Fastify, { type FastifyInstance } from 'fastify';
import { API_BODY_BYTES_MAX, CHANNEL_NAME_BYTES_MAX } from '../limits.js';
import { isLoopback } from '../loopback.js';
import type { Audience } from '../manager/audience.js';
import type { Logger } from '../manager/logger.js';
import type { Tracer } from '../manager/tracer.js';
import { Access, addAccessChecks } from './access.js';
import { ApiError, addErrorAnswers, answerFrameworkError, refuseConnection } from './errors.js';
import type { ApiKeys } from './keys.js';
import { addMethodAnswers } from './methods.js';
import { addDescription } from './openapi.js';
import { RequestCounts } from './request-counts.js';
import { addChannelRoutes, type ChannelRoutesParts } from './routes/channels.js';
import { addDisconnectRoutes } from './routes/disconnect.js';
import { addPublishRoutes, type PublishRoutesParts } from './routes/publish.js';
import { addStatusRoutes } from './routes/status.js';
import { addTraceRoutes } from './routes/trace.js';
import { FORMATS } from './schemas.js';
import { Strangers } from './strangers.js';

/** Time for a whole request to arrive, headers and body. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
/** How often Node looks for requests that take too long; its default is 30 s. */
const TIMEOUTS_LOOK_MS = 2_000;
/** Time without any traffic on a connection. */
const CONNECTION_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 30_000;

/**
 * Adds routes of one subject. Each route says which right it needs: `config: {require: 'admin'}` (access.ts); who asks is
 * `request.apiKey`, and `checkChannel` refuses a channel that is not the key's.
 *
 * @param access for routes that are shown a key in another way than the header
 */
export type Routes = (app: FastifyInstance, access: Access) => void;

export interface ApiOptions {
  publisher: PublishRoutesParts['publisher'];
  log: ChannelRoutesParts['log'];
  audience: Audience;
  tracer: Tracer;
  /** What GET /v1/status answers. */
  status: () => object;
  /** Where it will listen: decides whether Host is checked. */
  host: string;
  keys: ApiKeys;
  logger: Logger;
  /** Further routes: of the dashboard, the metrics … */
  routes?: readonly Routes[];
}

export interface Api {
  /** Resolves with the port that was bound. @throws Error of listen, for instance EADDRINUSE */
  listen(host: string, port: number): Promise<number>;
  /** Ends all connections. */
  close(): Promise<void>;
  /** What was asked for so far. */
  readonly requests: RequestCounts;
}

export function createApi({ status, host, keys, logger, routes = [], ...parts }: ApiOptions): Api {
  const app = Fastify({
    bodyLimit: API_BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUTS_LOOK_MS },
    forceCloseConnections: true,
    // A channel's name in a path: each byte of it may be escaped by three.
    routerOptions: { maxParamLength: 3 * CHANNEL_NAME_BYTES_MAX },
    clientErrorHandler: (error, socket) => refuseConnection(error as NodeJS.ErrnoException, socket),
    frameworkErrors: (error, _request, reply) => answerFrameworkError(error, reply as never),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, formats: FORMATS } },
  });
  const strangers = new Strangers();
  strangers.watch(app.server);
  // The schemas of answers are the description's; what is sent is what there is.
  app.setSerializerCompiler(() => JSON.stringify);
  const requests = new RequestCounts();
  requests.watch(app);
  readOnlyJson(app);
  readNumbers(app);
  addErrorAnswers(app, logger);
  const access = new Access(keys, logger);
  addAccessChecks(app, access, isLoopback(host), strangers);
  addMethodAnswers(app);

  // Routes come after what watches them, which is there only when it has been loaded.
  void app.register(async (scope) => {
    await addDescription(scope);
    addPublishRoutes(scope, parts);
    addChannelRoutes(scope, parts);
    addDisconnectRoutes(scope, parts.audience);
    addTraceRoutes(scope, parts.tracer, parts.log);
    addStatusRoutes(scope, status);
    for (const add of routes) add(scope, access);
  });

  return {
    listen: async (address, port) => {
      await app.listen({ host: address, port });
      return (app.server.address() as { port: number }).port;
    },
    close: () => app.close(),
    requests,
  };
}

/** Bodies are application/json in UTF-8, and nothing else is read. */
function readOnlyJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  // Data is passed on as JSON text and never merged into an object, so a key __proto__ in it does no harm.
  const parseJson = app.getDefaultJsonParser('ignore', 'ignore');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    // Decoded leniently, a wrong byte in a channel's name would make it another channel.
    if (isUtf8(body)) parseJson(request, body.toString(), done);
    else done(new ApiError(400, 'invalid', 'the body is not UTF-8'));
  });
}

/** A query has texts; where its schema wants a whole number, digits are one. Bodies are not touched: there "5" is no number. */
function readNumbers(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const { properties = {} } = (route.schema?.querystring ?? {}) as { properties?: Record<string, { type?: string }> };
    const numbers = Object.keys(properties).filter((name) => properties[name].type === 'integer');
    if (numbers.length === 0) return;
    const read = async ({ query }: { query: unknown }) => {
      const texts = query as Record<string, unknown>;
      for (const name of numbers) {
        const text = texts[name];
        if (typeof text === 'string' && /^\d{1,15}$/.test(text)) texts[name] = Number(text);
      }
    };
    route.preValidation = [read, ...[route.preValidation ?? []].flat()];
  });
}
