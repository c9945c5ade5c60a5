/** Requests of a WebSocket that come in one segment, before any of them has its answer. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SUBSCRIBES_PENDING_MAX } from '../src/limits.js';
import { clientFrames } from '../src/websocket/testing/client-frame.js';
import { rawClient, startServer, type TestServer, waitFor } from './helpers.js';

const HANDSHAKE =
  'GET /v1/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

interface Answer {
  type: string;
  ref?: number;
  code?: string;
}

describe('requests to subscribe in one segment', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer(['--workers', '1', '--log', 'memory']);
  });
  after(() => server.stop());

  /** All that comes until each of the requests, which have their place as `ref`, has its answer. */
  async function answersTo(requests: object[]): Promise<Answer[]> {
    const frames = requests.map((request, ref) => ({ opcode: 1, data: JSON.stringify({ ...request, ref }) }));
    const client = await rawClient(server.ports.client, Buffer.concat([Buffer.from(HANDSHAKE), clientFrames(frames)]));
    const answers = () =>
      [...client.received().matchAll(/\{"type":[^{}]*\}/g)].map(([json]) => JSON.parse(json) as Answer);
    await waitFor('all answers', () => answers().filter(({ ref }) => ref !== undefined).length >= requests.length);
    client.socket.destroy();
    return answers();
  }
  const placesOf = (answers: Answer[], type: string) =>
    answers.filter((answer) => answer.type === type).map(({ ref }) => ref);

  test('channels that are subscribed already, while the manager is asked for the end of the log', async () => {
    const subscribe = { type: 'subscribe', channel: 'a' };
    const answers = await answersTo([subscribe, subscribe, { type: 'subscribe', channels: ['a', 'a'] }, subscribe]);
    assert.deepEqual(placesOf(answers, 'subscribed'), [0, 1, 2, 3]);
  });

  test('a channel that is left while its history is on the way holds up nobody', async () => {
    await server.publish('b', 'old');
    for (const after of ['start', 'now']) {
      const answers = await answersTo([
        { type: 'subscribe', channel: 'b', after },
        { type: 'subscribe', channels: ['c', 'd'], after },
        { type: 'unsubscribe', channels: ['b', 'd'] },
        { type: 'subscribe', channel: 'e', after },
      ]);
      assert.deepEqual(placesOf(answers, 'unsubscribed'), [2]);
      assert.deepEqual(placesOf(answers, 'subscribed'), [0, 1, 3]);
      assert.deepEqual(placesOf(answers, 'message'), []);
    }
  });

  test('more than there may be channels are refused, and all are answered', async () => {
    const requests = Array.from({ length: 4 * SUBSCRIBES_PENDING_MAX }, () => ({ type: 'subscribe', channel: 'f' }));
    const answers = await answersTo(requests);
    const refused = answers.filter(({ code }) => code === 'unavailable');
    assert.equal(placesOf(answers, 'subscribed').length + refused.length, requests.length);
    assert.doesNotMatch(server.output(), /worker ended/);
  });
});
