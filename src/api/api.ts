/**
 * The HTTP API for applications: POST /v1/publish, GET /v1/status.
 *
 * Every answer is JSON, errors are `{"error": {"code", "message", "field"?}}`. A batch is all or nothing: one that has an
 * invalid publication publishes none.
 *
 * The API has no authentication yet and listens on loopback, so it must not be reachable by way of a browser on the
 * same machine: only application/json is read, which a page of another origin cannot send without a preflight that
 * is never answered; and while it is bound to loopback, a request must name an IP address or localhost as its Host,
 * which a page whose name was made to point here (DNS rebinding) cannot.
 */

import { isUtf8 } from 'node:buffer';
import { isIP, type Socket } from 'node:net';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import { CHANNEL_NAME_RULE, isChannelName } from '../channel-name.js';
import { API_BODY_BYTES_MAX, BATCH_PUBLICATIONS_MAX, MESSAGE_BYTES_MAX, PUBLICATION_ID_BYTES_MAX } from '../limits.js';
import { KIND_JSON, KIND_TEXT } from '../link/frames.js';
import { LogError, type NewPublication } from '../log/log.js';
import type { Logger } from '../manager/logger.js';
import type { Publisher } from '../manager/publisher.js';
import type { Receipt } from '../manager/receipts.js';

/** Time for a whole request to arrive, headers and body. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
/** How often Node looks for requests that take too long; its default is 30 s. */
const TIMEOUTS_LOOK_MS = 2_000;
/** Time without any traffic on a connection. */
const CONNECTION_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 30_000;
const CONNECTIONS_MAX = 1024;

export interface ApiOptions {
  publisher: Pick<Publisher, 'publish'>;
  /** What GET /v1/status answers. */
  status: () => object;
  /** Where it will listen: decides whether Host is checked. */
  host: string;
  logger: Logger;
}

export interface Api {
  /** Resolves with the port that was bound. @throws Error of listen, for instance EADDRINUSE */
  listen(host: string, port: number): Promise<number>;
  /** Ends all connections. */
  close(): Promise<void>;
}

interface PublishBody {
  channel: string;
  data: unknown;
  id?: string;
}

/** An error that the client is told. */
class ApiError extends Error {
  readonly statusCode: number;
  readonly code: string;
  readonly field: string | undefined;

  constructor(statusCode: number, code: string, message: string, field?: string) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
    this.field = field;
  }
}

const publicationSchema = {
  type: 'object',
  required: ['channel', 'data'],
  additionalProperties: false,
  properties: {
    channel: { type: 'string', format: 'channel' },
    data: {},
    id: { type: 'string', format: 'publication-id' },
  },
};

/** The formats of publicationSchema, and each one's rule in words. */
const FORMATS = { channel: isChannelName, 'publication-id': isPublicationId };
const FORMAT_RULES: Record<string, string> = {
  channel: CHANNEL_NAME_RULE,
  'publication-id': `1 to ${PUBLICATION_ID_BYTES_MAX} bytes of UTF-8`,
};

const publishSchema = {
  body: {
    if: { type: 'array' },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { type: 'array', minItems: 1, maxItems: BATCH_PUBLICATIONS_MAX, items: publicationSchema },
    else: publicationSchema,
  },
};

/** Paths and what they take, for 405. */
const METHODS: Record<string, string> = { '/v1/publish': 'POST', '/v1/status': 'GET, HEAD' };

export function createApi({ publisher, status, host, logger }: ApiOptions): Api {
  const app = Fastify({
    bodyLimit: API_BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUTS_LOOK_MS },
    forceCloseConnections: true,
    clientErrorHandler: (error, socket) => refuseConnection(error as NodeJS.ErrnoException, socket),
    frameworkErrors: (error, _request, reply) => {
      const untyped: FastifyReply = reply as never;
      void untyped.status(error.statusCode ?? 400).send({ error: { code: 'invalid', message: error.message } });
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, formats: FORMATS } },
  });
  app.server.maxConnections = CONNECTIONS_MAX;
  app.removeAllContentTypeParsers();
  // Data is passed on as JSON text and never merged into an object, so a key __proto__ in it does no harm.
  const parseJson = app.getDefaultJsonParser('ignore', 'ignore');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    // Decoded leniently, a wrong byte in a channel's name would make it another channel.
    if (isUtf8(body)) parseJson(request, body.toString(), done);
    else done(new ApiError(400, 'invalid', 'the body is not UTF-8'));
  });
  if (isLoopback(host)) app.addHook('onRequest', async (request) => checkHost(request.headers.host));
  addErrorAnswers(app, logger);

  app.post<{ Body: PublishBody | PublishBody[] }>('/v1/publish', { schema: publishSchema }, async ({ body }) => {
    if (!Array.isArray(body)) return toAnswer((await publisher.publish([encode(body, '')]))[0]!);
    const receipts = await publisher.publish(body.map((publication, i) => encode(publication, `[${i}].`)));
    return receipts.map(toAnswer);
  });
  app.get('/v1/status', async () => status());

  return {
    listen: async (address, port) => {
      await app.listen({ host: address, port });
      return (app.server.address() as { port: number }).port;
    },
    close: () => app.close(),
  };
}

/** A string is delivered as its text, anything else as its JSON. */
function encode({ channel, data, id }: PublishBody, prefix: string): NewPublication {
  const text = typeof data === 'string';
  const encoded = Buffer.from(text ? data : jsonText(data, `${prefix}data`));
  if (encoded.length > MESSAGE_BYTES_MAX) {
    const message = `data must have at most ${MESSAGE_BYTES_MAX} bytes, it has ${encoded.length}`;
    throw new ApiError(413, 'too_large', message, `${prefix}data`);
  }
  return { channel, kind: text ? KIND_TEXT : KIND_JSON, data: encoded, ...(id !== undefined && { id }) };
}

/** JSON.parse takes what is nested to any depth, JSON.stringify only what fits the stack. */
function jsonText(data: unknown, field: string): string {
  try {
    return JSON.stringify(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ApiError(400, 'invalid', `${field} is nested too deeply`, field);
  }
}

function toAnswer({ cursor, status, receivers, duplicate }: Receipt): object {
  return { cursor, status, receivers, ...(duplicate && { duplicate }) };
}

/** A lone surrogate has no UTF-8: two such ids could become one. */
function isPublicationId(id: string): boolean {
  return id.length > 0 && Buffer.byteLength(id) <= PUBLICATION_ID_BYTES_MAX && !/\p{Surrogate}/u.test(id);
}

function addErrorAnswers(app: FastifyInstance, logger: Logger): void {
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const allowed = METHODS[path];
    if (allowed === undefined) throw new ApiError(404, 'not_found', `there is no ${path}`);
    reply.header('allow', allowed);
    throw new ApiError(405, 'method_not_allowed', `${path} takes ${allowed}, not ${request.method}`);
  });

  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const answer = toApiError(error);
    if (answer.statusCode === 500) logger.error('request failed', { url: request.url, stack: error.stack });
    // What is left of a body that was refused unread would be taken for the next request.
    if (answer.statusCode === 413) reply.header('connection', 'close');
    reply.status(answer.statusCode);
    const { code, message, field } = answer;
    return { error: { code, message, ...(field !== undefined && { field }) } };
  });
}

/** Answers what is no HTTP request, or came too slowly or too large for Node's parser, and closes. */
function refuseConnection({ code }: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const answers: Record<string, [status: string, code: string]> = {
    ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'timeout'],
    HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'too_large'],
  };
  const [status, name] = answers[code ?? ''] ?? ['400 Bad Request', 'invalid'];
  const body = JSON.stringify({ error: { code: name, message: status.slice(4) } });
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close`;
  socket.end(`${head}\r\n\r\n${body}`, () => socket.destroy());
}

function toApiError(error: FastifyError): ApiError {
  if (error instanceof ApiError) return error;
  // The manager says why, in its log; publishers may be strangers to its disks.
  if (error instanceof LogError)
    return new ApiError(503, 'log_failed', 'the log cannot keep publications now; try again');
  const problem = error.validation?.[0];
  if (problem !== undefined) {
    const at = fieldName(problem.instancePath);
    const { missingProperty, additionalProperty } = problem.params as Record<string, string | undefined>;
    const inner = missingProperty ?? additionalProperty;
    const field = inner === undefined ? at : at === '' ? inner : `${at}.${inner}`;
    const subject = field === '' ? 'the body' : field;
    let message = `${subject} ${problem.message}`;
    if (missingProperty !== undefined) message = `${subject} is missing`;
    else if (additionalProperty !== undefined) message = `${subject} is not known`;
    else if (problem.keyword === 'format')
      message = `${subject} must be ${FORMAT_RULES[(problem.params as { format: string }).format]}`;
    return new ApiError(400, 'invalid', message, field === '' ? undefined : field);
  }
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ApiError(415, 'unsupported_media_type', 'the content type must be application/json');
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError(413, 'too_large', `a request must have at most ${API_BODY_BYTES_MAX} bytes`);
  }
  const statusCode = error.statusCode ?? 500;
  if (statusCode >= 500) return new ApiError(500, 'internal', 'the manager failed; its log says why');
  return new ApiError(
    statusCode,
    'invalid',
    error instanceof SyntaxError ? `no JSON: ${error.message}` : error.message,
  );
}

/** `/3/channel` of a JSON pointer is `[3].channel`. */
function fieldName(pointer: string): string {
  return pointer
    .replace(/\/(\d+)/g, '[$1]')
    .replace(/^\//, '')
    .replace(/\//g, '.');
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function checkHost(header: string | undefined): void {
  const host = (header ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (host === 'localhost' || isIP(host) !== 0) return;
  throw new ApiError(403, 'host_refused', 'the Host of a request must be an IP address or localhost');
}
