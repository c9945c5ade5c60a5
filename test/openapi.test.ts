/** The API's description: valid as OpenAPI 3.1, complete, and true of what a real server answers. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import Fastify, { type FastifyInstance } from 'fastify';
import { formatEntry } from '../src/api/key-file.js';
import { hashKey } from '../src/api/keys.js';
import { FORMATS } from '../src/api/schemas.js';
import { API_BODY_BYTES_MAX } from '../src/limits.js';
import { rawClient, startServer, type TestServer } from './helpers.js';

interface Operation {
  summary?: string;
  description?: string;
  security?: object[];
  requestBody?: object;
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
}

/** A request that is answered with a status. */
interface Example {
  operation: string;
  path: string;
  status: number;
  body?: unknown;
  key?: string;
  type?: string;
}

const TOO_LARGE = '[';

const KEYS = ['admin', 'monitor', 'publish'] as const;

/** Where one answer stands for all routes: the same code answers for each. */
const EVERYWHERE = ['429', '503'];

describe('the description of the API', () => {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-openapi-'));
  let server: TestServer;
  let description: { openapi: string; paths: Record<string, Record<string, Operation>> };
  let checker: FastifyInstance;
  /** `POST /v1/publish` and what it may be answered with. */
  const operations = new Map<string, Operation>();

  before(async () => {
    const keys = KEYS.map((name) => formatEntry({ name, hash: hashKey(name), rights: [name], channels: ['*'] }));
    writeFileSync(join(folder, 'keys'), keys.join('\n'));
    server = await startServer(['--api-keys', join(folder, 'keys')]);
    description = (await (await fetch(`${server.api}/v1/openapi.json`)).json()) as typeof description;
    const validator = new Validator();
    assert.deepEqual(await validator.validate(structuredClone(description)), { valid: true });
    const { paths } = validator.resolveRefs() as typeof description;
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        operations.set(`${method.toUpperCase()} ${path}`, operation);
      }
    }
    // Fastify's own validator, which checks requests by these schemas, checks the answers too.
    checker = Fastify({ ajv: { customOptions: { removeAdditional: false, coerceTypes: false, formats: FORMATS } } });
    for (const [name, { responses }] of operations) {
      for (const [status, { content }] of Object.entries(responses)) {
        const schema = content?.['application/json']?.schema;
        assert.ok(schema !== undefined, `${name} ${status} has no schema`);
        checker.post(
          `/${encodeURIComponent(name)}/${status}`,
          { schema: { body: closed(schema) } },
          async () => 'valid',
        );
      }
    }
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  const channel = 'news%2F1';
  const examples: Example[] = [
    {
      operation: 'POST /v1/publish',
      path: '/v1/publish',
      status: 200,
      body: { channel: 'news/1', data: 'hi', id: 'a' },
    },
    {
      operation: 'POST /v1/publish',
      path: '/v1/publish',
      status: 200,
      body: [{ channel: 'news/1', data: 1, id: 'a' }],
    },
    {
      operation: 'POST /v1/publish',
      path: '/v1/publish',
      status: 200,
      body: { channel: 'n', data: 1, receipt: false },
    },
    { operation: 'POST /v1/publish', path: '/v1/publish', status: 400, body: { channel: '' } },
    { operation: 'POST /v1/broadcast', path: '/v1/broadcast', status: 200, body: { channels: ['a', 'b'], data: 1 } },
    { operation: 'POST /v1/broadcast', path: '/v1/broadcast', status: 200, body: { pattern: '*', data: 1 } },
    { operation: 'POST /v1/broadcast', path: '/v1/broadcast', status: 400, body: { channels: [] } },
    { operation: 'POST /v1/disconnect', path: '/v1/disconnect', status: 200, body: { channel: 'nobody' } },
    { operation: 'POST /v1/disconnect', path: '/v1/disconnect', status: 400, body: {} },
    { operation: 'GET /v1/channels', path: '/v1/channels?limit=1', status: 200 },
    { operation: 'GET /v1/channels', path: '/v1/channels?limit=0', status: 400 },
    { operation: 'GET /v1/channels/{channel}', path: `/v1/channels/${channel}`, status: 200 },
    { operation: 'GET /v1/channels/{channel}', path: `/v1/channels/${'x'.repeat(129)}`, status: 400 },
    { operation: 'GET /v1/channels/{channel}/presence', path: `/v1/channels/${channel}/presence`, status: 200 },
    { operation: 'GET /v1/channels/{channel}/presence', path: `/v1/channels/${channel}/presence?limit=x`, status: 400 },
    { operation: 'GET /v1/channels/{channel}/history', path: `/v1/channels/${channel}/history?limit=1`, status: 200 },
    { operation: 'GET /v1/channels/{channel}/history', path: `/v1/channels/${channel}/history?after=x-1`, status: 200 },
    { operation: 'GET /v1/channels/{channel}/history', path: `/v1/channels/${channel}/history?after=x`, status: 400 },
    { operation: 'GET /v1/trace', path: '/v1/trace?cursor={cursor}&client=alice', status: 200 },
    { operation: 'GET /v1/trace', path: '/v1/trace?cursor=other-1', status: 404 },
    { operation: 'GET /v1/trace', path: '/v1/trace', status: 400 },
    { operation: 'GET /v1/status', path: '/v1/status', status: 200 },
    { operation: 'POST /v1/drain', path: '/v1/drain', status: 400, body: { seconds: 'x' } },
  ];

  it('is true of every answer, and no documented one is untried', async () => {
    const two = [await rawClient(server.ports.client, 'GET /v1/sse?channel=news/1 HTTP/1.1\r\nHost: h\r\n\r\n')];
    two.push(await rawClient(server.ports.client, 'GET /v1/sse?channel=news/2 HTTP/1.1\r\nHost: h\r\n\r\n'));
    for (const client of two) await client.until('event: subscribed');
    const tried = new Set<string>();
    const ask = async ({ operation, path, status, body, key = 'admin', type = 'application/json' }: Example) => {
      const response = await send(
        operation.split(' ')[0],
        server.api + path,
        {
          ...(key !== '' && { authorization: `Bearer ${key}` }),
          ...(body !== undefined && { 'content-type': type }),
          // Of a body that is too large the head alone is sent: the answer does not wait for more.
          ...(body === TOO_LARGE && { 'content-length': API_BODY_BYTES_MAX + 1 }),
        },
        typeof body === 'object' ? JSON.stringify(body) : ((body as string | undefined) ?? ''),
      );
      const { text } = response;
      assert.equal(response.status, status, `${operation}: ${text}`);
      assert.ok(operations.has(operation), `${operation} is not described`);
      assert.ok(operations.get(operation)!.responses[status] !== undefined, `${operation} ${status} is not described`);
      const url = `/${encodeURIComponent(encodeURIComponent(operation))}/${status}`;
      const headers = { 'content-type': 'application/json' };
      const checked = await checker.inject({ method: 'POST', url, headers, payload: text });
      assert.equal(checked.body, 'valid', `${operation} ${status}: ${text.slice(0, 200)}`);
      tried.add(`${operation} ${status}`);
    };
    const headers = { authorization: 'Bearer admin', 'content-type': 'application/json' };
    const body = '{"channel":"news/1","data":1}';
    const { cursor } = (await (await fetch(`${server.api}/v1/publish`, { method: 'POST', headers, body })).json()) as {
      cursor: string;
    };
    for (const example of examples) await ask({ ...example, path: example.path.replace('{cursor}', cursor) });
    // Whatever the route, what is no key, has no right, or no JSON, is refused in the same way.
    for (const [operation, { security, requestBody }] of operations) {
      const path = examples.find((example) => example.operation === operation)!.path.split('?')[0];
      const body = requestBody === undefined ? {} : { body: {} };
      if (security?.length === 0) continue;
      await ask({ operation, path, status: 401, key: '', ...body });
      await ask({ operation, path, status: 403, key: operation === 'GET /v1/status' ? 'publish' : 'monitor', ...body });
      if (requestBody === undefined) continue;
      await ask({ operation, path, status: 415, body: '{}', type: 'text/plain' });
      await ask({ operation, path, status: 413, body: TOO_LARGE });
    }
    for (let i = 0; i < 10; i++) await fetch(`${server.api}/v1/status`, { headers: { authorization: 'Bearer guess' } });
    await ask({ operation: 'GET /v1/status', path: '/v1/status', status: 429 });
    for (const { socket } of two) socket.destroy();
    const described = [...operations].flatMap(([name, { responses }]) =>
      Object.keys(responses)
        .filter((status) => !EVERYWHERE.includes(status))
        .map((status) => `${name} ${status}`),
    );
    const untried = described.filter((name) => !tried.has(name) && name !== 'POST /v1/drain 202');
    assert.deepEqual(untried, []);
  });

  it('has a summary, and the right, of every operation', () => {
    assert.equal(description.openapi, '3.1.0');
    for (const [name, { summary, description: text, security }] of operations) {
      assert.ok(summary, name);
      assert.match(text!, /Needs (no key|the right `\w+`)\./, name);
      assert.ok(security !== undefined, name);
    }
  });
});

/** The schema, but that an object has no members that it does not name: the description leaves room for later versions. */
function closed<T>(schema: T): T {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(closed) as T;
  const members = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
  const isOpen = 'properties' in schema && !('additionalProperties' in schema);
  return (isOpen ? { ...members, additionalProperties: false } : members) as T;
}

async function send(
  method: string,
  url: string,
  headers: OutgoingHttpHeaders,
  body: string,
): Promise<{ status: number; text: string }> {
  const sent = request(url, { method, headers, agent: false });
  // Ends with the answer, or is cut off behind it.
  sent.on('error', () => {});
  if (body === TOO_LARGE) sent.write(body);
  else sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  sent.destroy();
  return { status: response.statusCode!, text };
}
