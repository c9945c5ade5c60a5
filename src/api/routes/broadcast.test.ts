import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { API_BODY_BYTES_MAX, BATCH_PUBLICATIONS_MAX, MESSAGE_BYTES_MAX } from '../../limits.js';
import { ApiKeys, hashKey } from '../keys.js';
import { ApiRig } from '../testing/api-rig.js';

const KEYS = [
  { name: 'news', hash: hashKey('news'), rights: ['publish' as const], channels: ['news/*'] },
  { name: 'ops', hash: hashKey('ops'), rights: ['admin' as const], channels: [] },
];

describe('broadcast and disconnect', () => {
  const rig = new ApiRig({ keys: new ApiKeys(KEYS) });
  const broadcast = (body: unknown, key = 'ops') => rig.post('/v1/broadcast', body, key);
  const disconnect = (body: unknown, key = 'ops') => rig.post('/v1/disconnect', body, key);
  const cursor = (sequence: number) => `${rig.log.epoch}-${sequence}`;

  before(() => rig.listen());
  beforeEach(() => rig.reset());
  after(() => rig.close());

  test('one message goes to many channels, and each has its place', async () => {
    rig.receivers = { a: 2, b: 3 };
    const { status, body } = await broadcast({ channels: ['a', 'b', 'c'], data: { x: 1 }, id: 'm1' });
    assert.deepEqual(
      [status, body],
      [
        200,
        {
          publications: [
            { channel: 'a', cursor: cursor(1), status: 'delivered', receivers: 2 },
            { channel: 'b', cursor: cursor(2), status: 'delivered', receivers: 3 },
            { channel: 'c', cursor: cursor(3), status: 'queued', receivers: 0 },
          ],
          receivers: 5,
        },
      ],
    );
    const again = await broadcast({ channels: ['c', 'd'], data: 1, id: 'm1', receipt: false });
    assert.deepEqual(again.body, {
      publications: [
        { channel: 'c', cursor: cursor(3), duplicate: true },
        { channel: 'd', cursor: cursor(4) },
      ],
    });
  });

  test('a pattern stands for the channels that somebody is on now, as far as the key has them', async () => {
    const channels = ['news/1', 'news/2'].map((channel) => ({ channel, subscribers: 1, waiting: 0 }));
    rig.workers = [{ channels: { channels, more: false } }];
    const { body } = await broadcast({ pattern: '*', data: 'hi', receipt: false }, 'news');
    assert.deepEqual(
      body.publications.map(({ channel }: { channel: string }) => channel),
      ['news/1', 'news/2'],
    );
    assert.deepEqual(rig.asked[0].question, {
      within: ['news/*'],
      pattern: '*',
      after: '',
      limit: 2500,
    });
    rig.workers = [{ channels: { channels: [], more: false } }];
    assert.deepEqual((await broadcast({ pattern: 'x*', data: 1 })).body, { publications: [], receivers: 0 });
    const all = Array.from({ length: 2500 }, (_, i) => ({ channel: `x${i}`, subscribers: 1, waiting: 0 }));
    rig.workers = [{ channels: { channels: all, more: true } }];
    const { status, body: refusal } = await broadcast({ pattern: 'x*', data: 1 });
    assert.deepEqual([status, refusal.error.field, rig.published.length], [413, 'pattern', 2]);
    assert.equal(BATCH_PUBLICATIONS_MAX, 4 * all.length, 'the pages that were read');
    rig.workers = [{ channels: { channels, more: false } }, null];
    assert.equal((await broadcast({ pattern: 'x*', data: 1 })).status, 503, 'nobody is left out silently');
  });

  test('what is wrong is refused whole, with its name', async () => {
    const many = Array.from({ length: 9 }, (_, i) => `c${i}`);
    for (const [body, status, field] of [
      [{ data: 1 }, 400, 'channels'],
      [{ data: 1, channels: ['a'], pattern: '*' }, 400, 'channels'],
      [{ data: 1, channels: [] }, 400, 'channels'],
      [{ data: 1, channels: ['a', 'a'] }, 400, 'channels'],
      [{ data: 1, channels: ['a', ''] }, 400, 'channels[1]'],
      [{ channels: ['a'] }, 400, 'data'],
      [{ data: 'm'.repeat(MESSAGE_BYTES_MAX), channels: many }, 413, 'data'],
    ] as const) {
      const answer = await broadcast(body);
      assert.deepEqual([answer.status, answer.body.error.field], [status, field], JSON.stringify(body).slice(0, 60));
    }
    const forbidden = await broadcast({ data: 1, channels: ['news/1', 'a'] }, 'news');
    assert.deepEqual([forbidden.status, forbidden.body.error.field], [403, 'channels[1]']);
    assert.equal(rig.published.length, 0);
    assert.ok(API_BODY_BYTES_MAX < 9 * MESSAGE_BYTES_MAX);
  });

  test('an administrator ends connections of a client, of a channel, or of a client on a channel', async () => {
    rig.workers = [{ disconnect: { connections: 2 } }, { disconnect: { connections: 1 } }];
    const { status, body } = await disconnect({ client: 'alice', channel: 'news', reconnect: true, afterMs: 500 });
    assert.deepEqual([status, body], [200, { connections: 3 }]);
    assert.deepEqual(rig.asked[0].question, {
      client: 'alice',
      channel: 'news',
      reason: 'ended by an administrator',
      reconnect: true,
      afterMs: 500,
    });
    rig.workers = [{ disconnect: { connections: 2 } }, null];
    assert.deepEqual((await disconnect({ channel: 'news' })).body, { connections: 2, incomplete: true });
  });

  test('disconnecting everybody by an empty request is refused, and so is what makes no sense', async () => {
    for (const [body, field] of [
      [{}, 'client'],
      [{ reason: 'x' }, 'client'],
      [{ client: '' }, 'client'],
      [{ client: 'a', reason: 'ü'.repeat(62) }, 'reason'],
      [{ client: 'a', afterMs: 5 }, 'afterMs'],
      [{ client: 'a', reconnect: true, afterMs: -1 }, 'afterMs'],
    ] as const) {
      const answer = await disconnect(body);
      assert.deepEqual([answer.status, answer.body.error.field], [400, field], JSON.stringify(body));
    }
    assert.equal((await disconnect({ client: 'a' }, 'news')).status, 403);
    assert.deepEqual(rig.asked, []);
  });
});
