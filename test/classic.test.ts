/** The classic protocol of 2011, end to end: raw bytes to a real server. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AF_INET, IPPROTO_TCP, SO_RCVBUF, SOCK_STREAM, SOL_SOCKET, TCP_MAXSEG } from '../src/linux/constants.js';
import * as libc from '../src/linux/libc.js';
import { mapNative } from '../src/linux/native-memory.js';
import { encodeSocketAddress } from '../src/linux/socket-address.js';
import { closeDescriptor, setSocketOption } from '../src/linux/sockets.js';
import { poll, rawClient, rawRequest, startServer, type TestServer, waitFor } from './helpers.js';

const frame = (id: string, message: string) => Buffer.from(`\x02${id}\0${message}\0`);
const bodyOf = (response: string) => response.slice(response.indexOf('\r\n\r\n') + 4);

/**
 * A client that never reads, with the smallest receive buffer and segments that there are, so that a message does not
 * fit what the kernel buffers for it. `vanish` resets it.
 */
function slowClient(port: number, request: string): { vanish(): void } {
  const fd = libc.socket(AF_INET, SOCK_STREAM, 0);
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, 4096);
  setSocketOption(fd, IPPROTO_TCP, TCP_MAXSEG, 536);
  const memory = mapNative(4096);
  memory.bytes.set(encodeSocketAddress('127.0.0.1', port));
  assert.equal(libc.connect(fd, memory.address, encodeSocketAddress('127.0.0.1', port).length), 0);
  memory.bytes.set(Buffer.from(request));
  assert.equal(libc.send(fd, memory.address, request.length, 0), request.length);
  // Unread bytes turn the close into a reset.
  return { vanish: () => closeDescriptor(fd) };
}

async function waiting(server: TestServer, count: number): Promise<void> {
  await waitFor(`${count} waiting connections`, async () => (await server.status()).connections === count);
}

async function classicWrite(server: TestServer, ...writes: Uint8Array[]): Promise<void> {
  const socket = connect(server.ports.classic, '127.0.0.1');
  socket.setNoDelay(true);
  await once(socket, 'connect');
  for (const bytes of writes) {
    await new Promise((resolve) => socket.write(bytes, resolve));
    await delay(5);
  }
  socket.end();
}

describe('the classic protocol', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer(['--client-ports', '0,0']);
  });
  after(async () => {
    assert.equal(await server.stop(), 0);
  });

  test('a poll is held until a message for its id comes, is answered with it and closed', async () => {
    const client = await poll(server.ports.client, 'alice', '?1234567');
    await delay(300);
    assert.equal(client.received(), '');
    const answer = await server.publish('alice', 'hello');
    assert.match(answer.cursor, /^[^-]+-\d+$/);
    assert.deepEqual([answer.status, answer.receivers], ['delivered', 1]);
    const { received, error } = await client.closed;
    assert.equal(error, null);
    assert.match(received, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(received, /\r\nContent-Length: 5\r\n/);
    assert.match(received, /\r\nConnection: close\r\n/);
    assert.match(received, /\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n/);
    assert.equal(bodyOf(received), 'hello');
  });

  test('any client port serves any client', async () => {
    assert.equal(server.ports.clients.length, 2);
    for (const port of server.ports.clients) {
      const client = await poll(port, 'ports');
      await waiting(server, 1);
      await server.publish('ports', 'm');
      assert.equal(bodyOf((await client.closed).received), 'm');
    }
  });

  test('all connections that wait on one id get the message, whichever worker holds them', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => poll(server.ports.client, 'shared')));
    await waiting(server, 20);
    const { receivers } = await server.publish('shared', { n: 1 });
    assert.equal(receivers, 20);
    for (const client of clients) assert.equal(bodyOf((await client.closed).received), '{"n":1}');
  });

  test('classic frames reach their clients, however they were split, and what came complete before a bad one', async () => {
    const ids = ['a', 'b', 'c'].map((id) => `frame-${id}`);
    const clients = await Promise.all(ids.map((id) => poll(server.ports.client, id)));
    await waiting(server, 3);
    const bytes = Buffer.concat([...ids.map((id) => frame(id, `to ${id}`)), Buffer.from('\x07never\0')]);
    await classicWrite(server, bytes.subarray(0, 3), bytes.subarray(3, 20), bytes.subarray(20));
    for (const [i, client] of clients.entries()) {
      assert.equal(bodyOf((await client.closed).received), `to ${ids[i]}`);
    }
    await waitFor('a log line', () => server.output().includes('classic connection closed'));
  });

  test('messages for an absent client wait in order, and each poll gets the oldest at once', async () => {
    for (let n = 0; n < 5; n++) {
      const answer = await server.publish('absent', `m${n}`);
      assert.deepEqual([answer.status, answer.receivers], ['queued', 0]);
    }
    for (let n = 0; n < 5; n++) {
      const client = await poll(server.ports.client, 'absent');
      assert.equal(bodyOf((await client.closed).received), `m${n}`);
    }
    const client = await poll(server.ports.client, 'absent');
    await delay(200);
    assert.equal(client.received(), '', 'each message was consumed once');
    client.socket.destroy();
  });

  test('JSONP calls the function that was asked for, and no other text is taken for a function', async () => {
    const client = await poll(server.ports.client, 'jsonp', '?_=1&callback=app.got');
    await waiting(server, 1);
    await server.publish('jsonp', { text: 'a\u2028b' });
    assert.equal(bodyOf((await client.closed).received), 'app.got({"text":"a\\u2028b"});');
    const refused = await rawRequest(
      server.ports.client,
      'GET /x.js?callback=alert(1)// HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
    );
    assert.match(refused, /^HTTP\/1\.1 400 /);
  });

  test('UTF-8 ids and messages come through', async () => {
    const client = await poll(server.ports.client, encodeURIComponent('zoë/☃'));
    await waiting(server, 1);
    await server.publish('zoë/☃', 'grüße ☃');
    const body = bodyOf((await client.closed).received);
    assert.equal(Buffer.from(body, 'latin1').toString('utf8'), 'grüße ☃');
  });

  test('a large message arrives whole', async () => {
    const client = await poll(server.ports.client, 'large');
    await waiting(server, 1);
    const text = 'x'.repeat(1_000_000);
    await server.publish('large', text);
    assert.equal(bodyOf((await client.closed).received), text);
  });

  test('a connection that dies with the message half-written does not consume it', async () => {
    const text = 'y'.repeat(1_000_000);
    const slow = slowClient(server.ports.client, 'GET /slow.js HTTP/1.1\r\nHost: h\r\n\r\n');
    await waiting(server, 1);
    const published = server.publish('slow', text);
    await waitFor('the message to be under way', async () => (await server.status()).queue.inFlight === 1);
    assert.deepEqual(
      [(await published).status, (await published).receivers],
      ['queued', 0],
      'not whole within a second',
    );
    slow.vanish();
    const next = await poll(server.ports.client, 'slow');
    assert.equal(bodyOf((await next.closed).received), text);
    await waitFor('it is consumed', async () => (await server.status()).log.queued === 0);
  });

  test('a half-closed poll is a client that has gone: its message waits for the next', async () => {
    const gone = await poll(server.ports.client, 'gone');
    await waiting(server, 1);
    gone.socket.end();
    await waiting(server, 0);
    assert.equal((await server.publish('gone', 'm')).status, 'queued');
    assert.equal(bodyOf((await (await poll(server.ports.client, 'gone')).closed).received), 'm');
  });

  test('HEAD and OPTIONS are answered at once on a connection that persists, and take no message', async () => {
    await server.publish('probe', 'kept');
    const client = await rawClient(server.ports.client);
    client.socket.write('HEAD /probe.js HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS /probe.js HTTP/1.1\r\nHost: h\r\n\r\n');
    await client.until(
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nHTTP\/1\.1 204 No Content\r\n[\s\S]*Allow: GET, HEAD, OPTIONS\r\n/,
    );
    client.socket.write('GET /probe.js HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.match((await client.closed).received, /kept$/);
  });

  test('an HTTP/1.0 client is served too', async () => {
    await server.publish('old', 'm');
    assert.equal(bodyOf(await rawRequest(server.ports.client, 'GET /old.js HTTP/1.0\r\n\r\n')), 'm');
  });

  test('a message is delivered at once through the queue when the next poll is pipelined behind the last answer', async () => {
    const client = await poll(server.ports.client, 'order');
    await waiting(server, 1);
    await classicWrite(server, Buffer.concat(Array.from({ length: 50 }, (_, n) => frame('order', `${n}`))));
    const got = [bodyOf((await client.closed).received)];
    while (got.length < 50) got.push(bodyOf((await (await poll(server.ports.client, 'order')).closed).received));
    assert.deepEqual(
      got,
      Array.from({ length: 50 }, (_, n) => `${n}`),
    );
  });
});

describe('the queue for absent clients', () => {
  test('keeps so many messages and so many seconds, drops the oldest first, and counts what it dropped', async () => {
    const server = await startServer(['--retain-messages', '3', '--retain-seconds', '2']);
    try {
      for (let n = 0; n < 5; n++) await server.publish('q', `m${n}`);
      assert.equal(bodyOf((await (await poll(server.ports.client, 'q')).closed).received), 'm2');
      assert.equal((await server.status()).log.evicted, 2);
      await waitFor('expiry', async () => (await server.status()).log.publications === 0, 5000);
      assert.equal((await server.status()).log.expired, 3, 'the one that was delivered too');
    } finally {
      await server.stop();
    }
  });

  test('has a byte limit for each id and one for all', async () => {
    const server = await startServer(['--retain-bytes', '1MiB', '--retain-total-bytes', '2MiB']);
    try {
      const text = 'z'.repeat(400_000);
      for (let n = 0; n < 3; n++) await server.publish('one', text);
      assert.equal((await server.status()).log.publications, 2);
      for (let n = 0; n < 10; n++) await server.publish(`other${n}`, text);
      const { log } = await server.status();
      assert(log.bytes <= 2 << 20 && log.publications === 5, JSON.stringify(log));
      assert.equal(log.evicted, 13 - log.publications);
    } finally {
      await server.stop();
    }
  });
});
