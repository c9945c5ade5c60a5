/** What the status says of connections, against connections that are there. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import type { ManagerStatus } from '../src/manager/status.js';
import { poll, rawClient, startServer, type TestServer, waitFor } from './helpers.js';

let server: TestServer;
before(async () => {
  server = await startServer(['--log', 'memory']);
});
after(() => server.stop());

/** Workers report once a second. */
function statusWhere(what: string, holds: (status: ManagerStatus) => boolean): Promise<ManagerStatus> {
  return waitFor(what, async () => {
    const status = (await server.status()) as ManagerStatus;
    return holds(status) ? status : null;
  });
}

test('connections are counted by transport, and no longer when they have ended', async () => {
  const { client } = server.ports;
  const get = (path: string) => rawClient(client, `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`);
  const socket = new WebSocket(`ws://127.0.0.1:${client}/v1/ws?channel=a`);
  const clients = [
    await poll(client, 'alice'),
    await get('/v1/sse?channel=a'),
    await get('/v1/sse?channel=a&format=raw'),
    await get('/v1/stream?channel=a'),
    await get('/v1/poll?channel=a&after=now'),
    await rawClient(client),
  ];
  const expected = { classic: 1, poll: 1, sse: 2, stream: 1, websocket: 1, other: 1 };
  const is = (counts: object) => (status: ManagerStatus) =>
    Object.entries(counts).every(([name, count]) => status.connectionsByTransport[name as 'sse'] === count);
  const held = await statusWhere('one of each', is(expected));
  assert.equal(held.connections, 7);

  // The poll is answered, and its connection persists between two requests.
  await server.publish('a', 'hello');
  const isAnswered = is({ ...expected, poll: 0, other: 2 });
  const delivered = await statusWhere(
    'the poll to be over, and five messages to be counted',
    (status) => isAnswered(status) && status.messagesSent === 5,
  );
  const counted = delivered.workers.flatMap(({ delivery }) => delivery!.counts).reduce((a, b) => a + b, 0);
  assert.equal(counted, 5, 'each message is in the histogram');
  assert.ok(delivered.deliveryMs.p99! < 5000);

  for (const { socket: open } of clients) open.destroy();
  socket.close();
  const none = { classic: 0, poll: 0, sse: 0, stream: 0, websocket: 0, other: 0 };
  await statusWhere('all have gone', is(none));
});

test('what the server ended is counted by reason', async () => {
  const client = await rawClient(
    server.ports.client,
    'GET /v1/ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await client.until('101');
  // RFC 6455 section 5.1: a frame without a mask.
  client.socket.write(Buffer.from([0x81, 0x01, 0x61]));
  await client.closed;
  const { ended } = await statusWhere('an unmasked frame', (status) => Object.keys(status.ended).length > 0);
  assert.deepEqual(ended, { websocket_1002: 1 });
});

test('each worker tells of its memory and CPU', async () => {
  // A first report may be from before the worker listens.
  const { workers } = await statusWhere('two reports', (status) =>
    status.workers.every(({ cpuUserSeconds, startMemoryBytes }) => cpuUserSeconds && startMemoryBytes),
  );
  for (const { memoryBytes, startMemoryBytes, rssBytes } of workers) {
    assert.ok(
      startMemoryBytes! > 1 << 20 && memoryBytes! < rssBytes!,
      `${startMemoryBytes} ${memoryBytes} ${rssBytes}`,
    );
  }
});
