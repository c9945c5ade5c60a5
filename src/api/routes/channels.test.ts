import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { KIND_JSON, KIND_RAW, KIND_TEXT } from '../../link/frames.js';
import { ApiKeys, hashKey } from '../keys.js';
import { ApiRig } from '../testing/api-rig.js';

const KEYS = [
  { name: 'news', hash: hashKey('news'), rights: ['read' as const], channels: ['news/*'] },
  { name: 'all', hash: hashKey('all'), rights: ['read' as const], channels: ['*'] },
  { name: 'writer', hash: hashKey('writer'), rights: ['publish' as const], channels: ['*'] },
];

describe('channels', () => {
  const rig = new ApiRig({ keys: new ApiKeys(KEYS) });
  const get = (path: string, key = 'all') => rig.get(path, key);

  before(() => rig.listen());
  beforeEach(() => rig.reset());
  after(() => rig.close());

  const page = (names: string[], more = false) => ({
    channels: { channels: names.map((channel) => ({ channel, subscribers: 2, waiting: 1 })), more },
  });

  test('are those of all workers together, by name, page by page', async () => {
    rig.workers = [page(['a', 'c']), page(['b', 'c', 'd'], true)];
    const { status, body } = await get('/v1/channels?limit=3&pattern=*&after=0');
    assert.deepEqual(
      [status, body],
      [
        200,
        {
          channels: [
            { channel: 'a', subscribers: 2, waiting: 1 },
            { channel: 'b', subscribers: 2, waiting: 1 },
            { channel: 'c', subscribers: 4, waiting: 2 },
          ],
          next: 'c',
        },
      ],
    );
    assert.deepEqual(rig.asked, [{ op: 'channels', question: { within: ['*'], pattern: '*', after: '0', limit: 3 } }]);
    rig.workers = [page(['a']), page([])];
    assert.deepEqual(Object.keys((await get('/v1/channels')).body), ['channels']);
  });

  test('of a key are those that it may read', async () => {
    rig.workers = [page(['news/1'])];
    await get('/v1/channels?pattern=user/*', 'news');
    assert.deepEqual(rig.asked[0].question, { within: ['news/*'], pattern: 'user/*', after: '', limit: 100 });
    assert.equal((await get('/v1/channels', 'writer')).status, 403);
    for (const path of ['/v1/channels/user', '/v1/channels/user/presence', '/v1/channels/user/history']) {
      const { status, body } = await get(path, 'news');
      assert.deepEqual([status, body.error.code, body.error.field], [403, 'forbidden', 'channel'], path);
    }
  });

  test('of a worker that does not answer are missing, and the answer says so', async () => {
    rig.workers = [page(['a']), null];
    const { body } = await get('/v1/channels');
    assert.deepEqual([body.channels.length, body.incomplete], [1, true]);
  });

  test('have any name in a path', async () => {
    rig.workers = [{ occupancy: { subscribers: 3, waiting: 0 } }, { occupancy: { subscribers: 4, waiting: 1 } }];
    for (const channel of ['news/1', 'a b?c', 'ü'.repeat(64), '%', '..']) {
      const { status, body } = await get(`/v1/channels/${encodeURIComponent(channel).replace(/^\.\.$/, '%2e%2e')}`);
      if (channel === '..') continue; // Clients resolve it before they send it.
      assert.deepEqual([status, body], [200, { channel, subscribers: 7, waiting: 1 }], channel);
    }
    const long = await get(`/v1/channels/${'x'.repeat(129)}`);
    assert.deepEqual([long.status, long.body.error.field], [400, 'channel']);
  });

  test('a query that is not as described is refused with the name of what is wrong', async () => {
    for (const [query, field] of [
      ['limit=0', 'limit'],
      ['limit=1001', 'limit'],
      ['limit=x', 'limit'],
      ['limit=1&limit=2', 'limit'],
      ['limit=1.5', 'limit'],
      ['pattern=*a', 'pattern'],
      ['other=1', 'other'],
    ]) {
      const { status, body } = await get(`/v1/channels?${query}`);
      assert.deepEqual([status, body.error.code, body.error.field], [400, 'invalid', field], query);
    }
  });

  test('presence is that of all workers together', async () => {
    const clients = (...names: string[]) => names.map((client) => ({ client, connections: 1 }));
    rig.workers = [
      { presence: { clients: clients('alice', 'bob'), more: false, connections: 5 } },
      { presence: { clients: [...clients('bob'), { client: 'carol', connections: 0 }], more: false, connections: 1 } },
    ];
    const { status, body } = await get('/v1/channels/news%2f1/presence?limit=2', 'news');
    assert.deepEqual(
      [status, body],
      [
        200,
        {
          clients: [
            { client: 'alice', connections: 1 },
            { client: 'bob', connections: 2 },
          ],
          connections: 6,
          next: 'bob',
        },
      ],
    );
    assert.deepEqual(rig.asked[0].question, { channel: 'news/1', after: '', limit: 2 });
  });

  test('history is what the log has, as it was published, page by page', async () => {
    const { epoch } = rig.log;
    const publish = (channel: string, kind: number, text: string) =>
      rig.log.append([{ channel, kind, data: Buffer.from(text) }]);
    await publish('news', KIND_TEXT, 'hello "you"');
    await publish('other', KIND_TEXT, 'x');
    await publish('news', KIND_JSON, '{"big":9223372036854775808}');
    await publish('news', KIND_RAW, 'raw');
    const first = await get('/v1/channels/news/history?limit=2');
    assert.deepEqual(
      [first.status, first.body.cursor, first.body.more, first.body.gap],
      [200, `${epoch}-3`, true, undefined],
    );
    assert.deepEqual(
      // biome-ignore lint/suspicious/noExplicitAny: what came
      first.body.messages.map(({ channel, cursor, data, time }: any) => [channel, cursor, data, typeof time]),
      [
        ['news', `${epoch}-1`, 'hello "you"', 'number'],
        ['news', `${epoch}-3`, { big: 2 ** 63 }, 'number'],
      ],
    );
    const response = await fetch(`${rig.url}/v1/channels/news/history?after=${epoch}-1`, {
      headers: { authorization: 'Bearer all' },
    });
    assert.match(await response.text(), /"data":\{"big":9223372036854775808\}/, 'digit by digit');
    const rest = await get(`/v1/channels/news/history?after=${first.body.cursor}`);
    assert.deepEqual([rest.body.cursor, rest.body.more], [`${epoch}-4`, undefined]);
    assert.deepEqual((await get('/v1/channels/nobody/history')).body, { messages: [], cursor: `${epoch}-4` });
  });

  test('history tells of what is gone', async () => {
    const { epoch } = rig.log;
    for (let i = 1; i <= 105; i++) await rig.log.append([{ channel: 'news', kind: 0, data: Buffer.from(`${i}`) }]);
    const lost = await get(`/v1/channels/news/history?after=${epoch}-2&limit=1`);
    assert.deepEqual(lost.body.gap, [{ channel: 'news', cursor: `${epoch}-2`, lost: `${epoch}-5` }]);
    assert.equal(lost.body.messages[0].data, '6');
    assert.equal((await get('/v1/channels/news/history')).body.gap, undefined, 'from the start nothing is');
    for (const foreign of ['other-7', `${epoch}-106`]) {
      const { body } = await get(`/v1/channels/news/history?after=${foreign}&limit=1`);
      assert.deepEqual([body.gap, body.messages.length], [[{ cursor: `${epoch}-0` }], 1], foreign);
    }
    for (const wrong of ['now', '7', 'x-', '']) {
      const { status, body } = await get(`/v1/channels/news/history?after=${wrong}`);
      assert.deepEqual([status, body.error.field], [400, 'after'], wrong);
    }
  });
});
