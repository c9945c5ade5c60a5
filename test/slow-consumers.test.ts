/**
 * Receivers that do not read: each costs a bounded number of bytes, is ended, resumes from its cursor and has everything; those
 * who read on the same channel get all of it meanwhile.
 */

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { SLOW_CONSUMER_BYTES_MAX } from '../src/limits.js';
import { processMemory } from '../src/linux/proc.js';
import { startServer, type TestServer, waitFor } from './helpers.js';

const READERS = 1000;
const SLOW = 50;
const MESSAGE_BYTES = 64 << 10;
/** Published at one time. */
const BATCH = 4;
/** The kernel takes some 4 MiB for a connection on loopback before the server sees that nobody reads. */
const MESSAGES_MAX = 300;
/** What the worker may need beside: heaps, and publications on their way. */
const WORKER_SLACK_BYTES = 48 << 20;
const PATIENCE_MS = 60_000;

type Transport = 'sse' | 'websocket';

/** Subscribes to `news` and checks that its messages, which are numbered, come whole, in order and once. */
class Subscriber {
  /** Number of the last message. */
  last: number;
  /** The last message's, or where the connection became live. */
  cursor = '';
  live = false;
  /** The server has ended the connection. */
  ended = false;
  /** Of a WebSocket. */
  closeCode = 0;
  failure: string | null = null;
  private readonly socket: Socket;
  private readonly transport: Transport;
  private rest: Buffer = Buffer.alloc(0);

  /** @param last number of the message that it has already, at the cursor `after` */
  constructor(port: number, transport: Transport, { after = 'now', last = 0 } = {}) {
    this.transport = transport;
    this.last = last;
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('error', (error) => (this.failure ??= error.message));
    const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n';
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const [path, fields] = transport === 'sse' ? ['sse', ''] : ['ws', upgrade + key];
    this.socket.write(`GET /v1/${path}?channel=news&after=${after} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  leave(): void {
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    let bytes: Buffer = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    for (let length: number; (length = this.elementLength(bytes)) <= bytes.length; bytes = bytes.subarray(length)) {
      this.take(bytes.subarray(0, length));
    }
    this.rest = bytes;
  }

  /** Length of the head, event or frame that the bytes begin with; infinite where its end cannot be seen. */
  private elementLength(bytes: Buffer): number {
    if (bytes.length < 2) return Number.POSITIVE_INFINITY;
    const isHead = bytes.toString('latin1', 0, 5) === 'HTTP/';
    if (isHead || this.transport === 'sse') {
      const blank = isHead ? '\r\n\r\n' : '\n\n';
      const end = bytes.indexOf(blank);
      return end < 0 ? Number.POSITIVE_INFINITY : end + blank.length;
    }
    // RFC 6455 section 5.2, without a mask.
    if (bytes[1] < 126) return 2 + bytes[1];
    const headerBytes = bytes[1] === 126 ? 4 : 10;
    if (bytes.length < headerBytes) return Number.POSITIVE_INFINITY;
    return headerBytes + (headerBytes === 4 ? bytes.readUInt16BE(2) : bytes.readUIntBE(4, 6));
  }

  private take(element: Buffer): void {
    if (this.transport === 'websocket' && element[0] === 0x88) this.closeCode = element.readUInt16BE(2);
    const start = element.toString('latin1', 0, 256);
    const cursor = /^id: (\S+)$/m.exec(start)?.[1] ?? /"cursor":"([^"]+)"/.exec(start)?.[1];
    const number = /"data":"(\d+) /.exec(start)?.[1];
    if (/^event: gap|"type":"gap"|^HTTP\/1\.1 [^12]/m.test(start)) this.failure ??= start;
    if (number !== undefined) {
      if (Number(number) !== this.last + 1) this.failure ??= `message ${number} after ${this.last}`;
      if (element.length < MESSAGE_BYTES) this.failure ??= `message ${number} has ${element.length} bytes`;
      this.last = Number(number);
    }
    if (cursor !== undefined) {
      this.cursor = cursor;
      this.live = true;
    }
  }
}

/** Resolves when the condition holds for all of them. */
async function waitForAll(what: string, who: Subscriber[], condition: (one: Subscriber) => boolean): Promise<void> {
  const count = (): number => who.reduce((sum, one) => sum + (condition(one) ? 1 : 0), 0);
  try {
    await waitFor(what, () => count() === who.length || who.some(({ failure }) => failure !== null), PATIENCE_MS);
  } catch (error) {
    throw new Error(`${count()} of ${who.length}`, { cause: error });
  }
  assert.equal(who.find(({ failure }) => failure !== null)?.failure, undefined);
}

async function slowConsumersOf(server: TestServer): Promise<number> {
  return (await server.status()).slowConsumers;
}

async function test1000Readers(transport: Transport): Promise<void> {
  const server = await startServer(['--workers', '1', '--log', 'memory', '--retain', 'news=1000/10m/100MiB']);
  const everybody: Subscriber[] = [];
  try {
    const [pid] = await server.workerPids();
    const subscribe = (count: number, options?: { after: string; last: number }): Subscriber[] => {
      const some = Array.from({ length: count }, () => new Subscriber(server.ports.client, transport, options));
      everybody.push(...some);
      return some;
    };
    const readers = subscribe(READERS);
    const slow = subscribe(SLOW);
    await waitForAll('all to be live', everybody, ({ live }) => live);
    for (const one of slow) one.pause();
    const before = processMemory(pid).privateBytes;

    let published = 0;
    let most = 0;
    const publish = async (): Promise<void> => {
      const batch = Array.from({ length: BATCH }, () => `${++published} `.padEnd(MESSAGE_BYTES, 'x'));
      await Promise.all(batch.map((data) => server.publish('news', data)));
      await waitForAll(`message ${published} to reach all who read`, readers, ({ last }) => last === published);
      most = Math.max(most, processMemory(pid).privateBytes - before);
    };
    while ((await slowConsumersOf(server)) < SLOW) {
      assert(published < MESSAGES_MAX, `${await slowConsumersOf(server)} of ${SLOW} were ended`);
      await publish();
    }
    await publish();
    assert.equal(await slowConsumersOf(server), SLOW, 'nobody who reads is slow');
    const bound = SLOW * (SLOW_CONSUMER_BYTES_MAX + 2 * MESSAGE_BYTES) + WORKER_SLACK_BYTES;
    assert(most < bound, `the worker took ${most} bytes more, for ${SLOW} slow consumers`);

    for (const one of slow) one.resume();
    await waitForAll('the slow ones to find their end', slow, ({ ended }) => ended);
    for (const one of slow) {
      assert(one.last > 0 && one.last < published, `it has ${one.last} of ${published} messages`);
      if (transport === 'websocket') assert.equal(one.closeCode, 4008);
    }
    const returned = slow.flatMap(({ cursor, last }) => subscribe(1, { after: cursor, last }));
    await waitForAll('the slow ones to have everything', returned, ({ last }) => last === published);
    await publish();
    await waitForAll('the slow ones to be live again', returned, ({ last }) => last === published);
    assert(readers.every(({ ended }) => !ended));
    assert.deepEqual(await server.workerPids(), [pid], 'the worker was not replaced');
  } finally {
    for (const one of everybody) one.leave();
    await server.stop();
  }
}

describe('slow consumers', () => {
  const title = `${SLOW} of ${READERS + SLOW} never read: they are ended and resume, the others get all`;
  test(`SSE: ${title}`, () => test1000Readers('sse'));
  test(`WebSocket: ${title}; a late reader finds close code 4008`, () => test1000Readers('websocket'));
});
