/**
 * The API's description in OpenAPI 3.1, made of the schemas by which requests are checked: GET /v1/openapi.json, for everybody.
 */

import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { packageVersion } from '../version.js';
import type { Requirement } from './access.js';
import { RIGHTS } from './keys.js';
import { errorSchema } from './schemas.js';

const DESCRIPTION = `Publishing and administration of a MegaComet server.

Where the server has API keys (it must have where other machines reach the API), each request shows one:
\`Authorization: Bearer <key>\`. A key has rights (${RIGHTS.join(', ')}; admin includes the others) and, for publish and read,
channels.

Errors are \`{"error": {"code", "message", "field"?}}\`. More members may be added to every answer, and more codes.`;

/** Errors that every route may be answered with; a route's own come first. */
const ERRORS: Record<string, string> = {
  400: '`invalid`: the request is not as described; `field` names what is wrong.',
  401: '`key_required`, `key_invalid`: no key, or none that is known.',
  403: '`forbidden`: the key does not have the right, or the channel. `host_refused`: the API listens on loopback and `Host` is a name.',
  413: '`too_large`: the body, or what `field` names.',
  415: '`unsupported_media_type`: the body is not application/json.',
  429: '`too_many_attempts`: wrong keys came from this address; `Retry-After` says when to try again.',
  503: '`unavailable`, `log_failed`: not now; try again.',
};

/** Errors that only routes with a body have. */
const BODY_ERRORS = ['413', '415'];
/** … that only routes with a right have. */
const KEY_ERRORS = ['401', '429'];

/** Registers what watches the routes that follow. */
export async function addDescription(app: FastifyInstance): Promise<void> {
  app.addSchema(errorSchema);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'MegaComet',
        version: packageVersion(),
        description: DESCRIPTION,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'publish', description: 'Messages to channels.' },
        { name: 'channels', description: 'Who is on them, and what was published.' },
        { name: 'admin', description: 'Clients and the server.' },
        { name: 'operation', description: 'The server as a whole.' },
      ],
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'An API key.' } } },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema-${i}`) },
    hideUntagged: true,
    transform: ({ schema, url, route }) => ({
      schema: schema === undefined ? schema : describeRoute(schema, route.config?.require),
      url,
    }),
  });
  app.get('/v1/openapi.json', { config: { require: 'nothing' } }, async () => app.swagger());
}

/** A body of two forms is checked by a condition, which gives better messages; programs that read the description expect `oneOf`. */
function withoutCondition(body: object): object {
  const { if: condition, then, else: otherwise } = body as { if?: object; then?: object; else?: object };
  return condition === undefined ? body : { oneOf: [otherwise, then] };
}

function takesAnything({ body, querystring, params }: FastifySchema): boolean {
  return (body ?? querystring ?? params) !== undefined;
}

/** Adds what a route need not say itself: the right, and the errors that all have. */
function describeRoute(schema: FastifySchema, require: Requirement = 'nothing'): FastifySchema {
  const open = require === 'nothing';
  const { response = {}, description, ...rest } = schema as FastifySchema & { description?: string };
  const errors = Object.entries(ERRORS).filter(
    ([status]) =>
      !(status in (response as object)) &&
      (takesAnything(schema) || status !== '400') &&
      (schema.body !== undefined || !BODY_ERRORS.includes(status)) &&
      (!open || !KEY_ERRORS.includes(status)),
  );
  const right = open ? 'Needs no key.' : `Needs the right \`${require}\`.`;
  return {
    ...rest,
    ...(schema.body !== undefined && { body: withoutCondition(schema.body as object) }),
    description: description === undefined ? right : `${description}\n\n${right}`,
    security: open ? [] : [{ key: [] }],
    response: {
      ...(response as object),
      ...Object.fromEntries(errors.map(([status, text]) => [status, { description: text, $ref: 'Error#' }])),
    },
  } as FastifySchema;
}
