import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createLogger } from './logger.js';
import { readWebhookSecret } from './webhook-secret.js';
import { type WebhookEvent, type WebhookOptions, Webhooks } from './webhooks.js';

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');

interface Delivery {
  id: string;
  events: WebhookEvent[];
  headers: IncomingMessage['headers'];
  body: string;
}

describe('webhooks', () => {
  let server: Server;
  let webhooks: Webhooks | null;
  let deliveries: Delivery[];
  let lines: string[];
  /** How the receiver answers; without it 204. */
  let answer: (response: ServerResponse, delivery: Delivery) => void;

  beforeEach(async () => {
    deliveries = [];
    lines = [];
    webhooks = null;
    answer = (response) => response.writeHead(204).end();
    server = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      const delivery = {
        ...(JSON.parse(body) as { id: string; events: WebhookEvent[] }),
        headers: request.headers,
        body,
      };
      deliveries.push(delivery);
      answer(response, delivery);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });

  afterEach(async () => {
    await webhooks?.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  function make(options: Partial<WebhookOptions> = {}): Webhooks {
    const { port } = server.address() as AddressInfo;
    const logger = createLogger((line) => lines.push(line));
    const times = { batchMs: 5, retryMs: 5, timeoutMs: 2000 };
    webhooks = new Webhooks({ url: `http://127.0.0.1:${port}/hook`, secret: SECRET, logger, ...times, ...options });
    return webhooks;
  }

  async function until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise(setImmediate);
  }

  const short = (event: WebhookEvent): string =>
    'client' in event ? `${event.type} ${event.client}` : 'count' in event ? `dropped ${event.count}` : event.type;
  const told = (): string[] => deliveries.flatMap(({ events }) => events.map(short));

  test('events come in batches, in order, beginning with that of the server', async () => {
    const hooks = make();
    hooks.connected('alice', ['news', 'chat']);
    hooks.connected('bob', []);
    await until(() => told().length === 3);
    assert.deepEqual(told(), ['started', 'connected alice', 'connected bob']);
    assert.equal(deliveries.length, 1);
    const [, alice] = deliveries[0].events;
    assert.deepEqual(
      { ...alice, time: 0 },
      { type: 'connected', client: 'alice', channels: ['news', 'chat'], time: 0 },
    );
    hooks.disconnected('alice', ['chat']);
    await until(() => told().length === 4);
    assert.deepEqual(told().slice(3), ['disconnected alice']);
    await until(() => hooks.counters.pending === 0);
    assert.deepEqual(hooks.counters, { pending: 0, sent: 4, dropped: 0, coalesced: 0, failures: 0, lastFailure: null });
  });

  test('each request is signed over its time and body', async () => {
    make();
    await until(() => deliveries.length === 1);
    const [{ headers, body, id }] = deliveries;
    const [, seconds, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['megacomet-signature']))!;
    assert(Math.abs(Number(seconds) - Date.now() / 1000) < 5);
    assert.equal(signature, createHmac('sha256', SECRET).update(`${seconds}.${body}`).digest('hex'));
    assert.equal(headers['megacomet-delivery'], id);
    assert.equal(headers['content-type'], 'application/json');
  });

  test('a batch is sent again until it is taken, under the same id, and nothing overtakes it', async () => {
    const hooks = make();
    let attempts = 0;
    answer = (response) => response.writeHead(++attempts < 4 ? 500 : 200).end();
    hooks.connected('alice', []);
    await until(() => deliveries.length === 1);
    hooks.connected('bob', []);
    await until(() => deliveries.length === 5);
    assert.equal(new Set(deliveries.slice(0, 4).map(({ id }) => id)).size, 1);
    assert.deepEqual(deliveries[4].events.map(short), ['connected bob']);
    await until(() => hooks.counters.pending === 0);
    assert.equal(hooks.counters.failures, 3);
    assert.equal(hooks.counters.lastFailure, null);
    assert.equal(lines.filter((line) => line.includes('a webhook is not taken')).length, 1, 'it is logged once');
  });

  test('a redirect is not followed', async () => {
    const hooks = make();
    answer = (response) => {
      answer = (again) => again.writeHead(204).end();
      response.writeHead(307, { location: '/elsewhere' }).end();
    };
    await until(() => deliveries.length === 2);
    assert.equal(hooks.counters.failures, 1);
    assert.equal(deliveries[0].id, deliveries[1].id);
  });

  test('a receiver that does not answer in time is tried again', async () => {
    const hooks = make({ timeoutMs: 1000 });
    answer = () => {
      answer = (response) => response.writeHead(204).end();
    };
    await until(() => deliveries.length === 2);
    assert.equal(hooks.counters.failures, 1);
  });

  test('what a client undid while its event waited is left out', async () => {
    const hooks = make();
    let release = () => {};
    answer = (response) => {
      answer = (again) => again.writeHead(204).end();
      release = () => response.writeHead(204).end();
    };
    await until(() => deliveries.length === 1);
    for (let i = 0; i < 100; i++) {
      hooks.connected('alice', []);
      hooks.disconnected('alice', []);
    }
    hooks.connected('bob', []);
    hooks.connected('alice', []);
    release();
    await until(() => told().length === 3);
    assert.deepEqual(told(), ['started', 'connected bob', 'connected alice']);
    assert.equal(hooks.counters.coalesced, 200);
  });

  test('more than fits is dropped from the oldest on, and the receiver is told how many', async () => {
    const hooks = make({ eventsMax: 3, batchMs: 1_000_000 });
    for (const client of ['a', 'b', 'c', 'd', 'e']) hooks.connected(client, []);
    assert.equal(hooks.counters.dropped, 3);
    assert.equal(hooks.counters.pending, 3);
    await hooks.close();
    webhooks = null;
    assert.deepEqual(told(), ['dropped 3', 'connected c', 'connected d', 'connected e', 'stopped']);
  });

  test('at its end a server sends what waits, and what was under way again', async () => {
    const hooks = make();
    answer = (response) => response.writeHead(503).end();
    hooks.connected('alice', []);
    await until(() => deliveries.length === 2);
    answer = (response) => response.writeHead(204).end();
    hooks.connected('bob', []);
    await hooks.close();
    webhooks = null;
    assert.deepEqual(deliveries.at(-1)!.events.map(short), ['started', 'connected alice', 'connected bob', 'stopped']);
  });

  test('nobody at the address is a failure like others', async () => {
    const hooks = make({ url: 'http://127.0.0.1:1/' });
    while (hooks.counters.failures < 2) await new Promise(setImmediate);
    assert.match(hooks.counters.lastFailure!, /ECONNREFUSED|bad port/);
  });
});

describe('the secret of webhooks', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'megacomet-secret-'));
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  const write = (text: string): string => {
    const path = join(directory, 'secret');
    writeFileSync(path, text);
    return path;
  };

  test('is what the file has, without the line end', () => {
    assert.equal(readWebhookSecret(write(`${SECRET}\r\n`)).secret.toString(), SECRET.toString());
  });

  test('that others may read is warned of', () => {
    const path = write(SECRET.toString());
    chmodSync(path, 0o644);
    assert.match(readWebhookSecret(path).warning!, /others may read .* chmod 600/);
    chmodSync(path, 0o600);
    assert.equal(readWebhookSecret(path).warning, null);
  });

  test('that is missing, empty or short is said to be so, and not shown', () => {
    assert.throws(() => readWebhookSecret(join(directory, 'none')), { code: 'EWEBHOOK', message: /no such file/ });
    assert.throws(() => readWebhookSecret(directory), { code: 'EWEBHOOK', message: /is a directory/ });
    assert.throws(() => readWebhookSecret(write(' \n')), { code: 'EWEBHOOK', message: /is empty/ });
    assert.throws(
      () => readWebhookSecret(write('short-secret\n')),
      (error: Error) => {
        assert.match(error.message, /has 12 bytes, and needs 32/);
        return !error.message.includes('short-secret');
      },
    );
  });
});
