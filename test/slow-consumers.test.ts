/**
 * Receivers that do not read: each costs a bounded number of bytes, is ended, resumes from its cursor and has everything; those
 * who read on the same channel get all of it meanwhile.
 */

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { SLOW_CONSUMER_BYTES_MAX } from '../src/limits.js';
import { processMemory } from '../src/linux/proc.js';
import { startServer, type TestServer, waitFor } from './helpers.js';

const READERS = 1000;
const SLOW = 50;
const MESSAGE_BYTES = 64 << 10;
/** Published at one time. */
const BATCH = 4;
/**
 * The kernel takes some 4 MiB for a connection on loopback before the server sees that nobody reads. These messages fill it on
 * a channel that only the slow ones are on.
 */
const FIRST_MESSAGES = 60;
const MESSAGES_MAX = 300;
const PATIENCE_MS = 60_000;

type Transport = 'sse' | 'websocket';

/** Subscribes to channels and checks that their messages, numbered all together, come whole, in order and once. */
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

  /**
   * @param channels as in the query
   * @param last number of the message before the first that it must get, at the cursor `after`
   */
  constructor(port: number, transport: Transport, channels: string, last: number, after = 'now') {
    this.transport = transport;
    this.last = last;
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk) => this.read(chunk));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('error', (error) => (this.failure ??= error.message));
    const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n';
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const [path, fields] = transport === 'sse' ? ['sse', ''] : ['ws', upgrade + key];
    this.socket.write(`GET /v1/${path}?${channels}&after=${after} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);
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

async function test1000Readers(transport: Transport, t: TestContext): Promise<void> {
  const server = await startServer(['--workers', '1', '--log', 'memory', '--retain', '*=1000/10m/100MiB']);
  const everybody: Subscriber[] = [];
  try {
    const [pid] = await server.workerPids();
    const subscribe = (channels: string, last: number, after?: string): Subscriber => {
      const one = new Subscriber(server.ports.client, transport, channels, last, after);
      everybody.push(one);
      return one;
    };
    const readers = Array.from({ length: READERS }, () => subscribe('channel=news', FIRST_MESSAGES));
    const slow = Array.from({ length: SLOW }, () => subscribe('channel=first&channel=news', 0));
    await waitForAll('all to be live', everybody, ({ live }) => live);
    for (const one of slow) one.pause();
    const before = processMemory(pid).privateBytes;

    let published = 0;
    let most = 0;
    const publish = async (channel: string, count: number): Promise<void> => {
      const batch = Array.from({ length: count }, () => `${++published} `.padEnd(MESSAGE_BYTES, 'x'));
      for (const data of batch) await server.publish(channel, data);
      if (channel === 'news') await waitForAll(`message ${published}`, readers, ({ last }) => last === published);
      most = Math.max(most, processMemory(pid).privateBytes - before);
    };
    await publish('first', FIRST_MESSAGES);
    while ((await slowConsumersOf(server)) < SLOW) {
      assert(published < MESSAGES_MAX, `${await slowConsumersOf(server)} of ${SLOW} were ended`);
      await publish('news', BATCH);
    }
    await publish('news', BATCH);
    assert.equal(await slowConsumersOf(server), SLOW, 'nobody who reads is slow');
    t.diagnostic(`${published} messages, ${most} bytes more in the worker`);
    // Each is ended by the message that passes the limit. All share one copy of a message, so it is far less.
    const bound = SLOW * (SLOW_CONSUMER_BYTES_MAX + MESSAGE_BYTES);
    assert(most < bound, `the worker took ${most} bytes more, for ${SLOW} slow consumers`);

    for (const one of slow) one.resume();
    await waitForAll('the slow ones to find their end', slow, ({ ended }) => ended);
    for (const one of slow) {
      assert(one.last > 0 && one.last < published, `it has ${one.last} of ${published} messages`);
      if (transport === 'websocket') assert.equal(one.closeCode, 4008);
    }
    const returned = slow.map(({ cursor, last }) => subscribe('channel=first&channel=news', last, cursor));
    await waitForAll('the slow ones to have everything', returned, ({ last }) => last === published);
    await publish('news', BATCH);
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
  test(`SSE: ${title}`, (t) => test1000Readers('sse', t));
  test(`WebSocket: ${title}; a late reader finds close code 4008`, (t) => test1000Readers('websocket', t));
});
