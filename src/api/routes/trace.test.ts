import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Outcome, WorkerTrace } from '../../link/questions.js';
import { ApiKeys, hashKey } from '../keys.js';
import { ApiRig } from '../testing/api-rig.js';

const KEYS = [
  { name: 'news', hash: hashKey('news'), rights: ['read' as const], channels: ['news/*'] },
  { name: 'ops', hash: hashKey('ops'), rights: ['admin' as const], channels: [] },
];

describe('a trace', () => {
  const rig = new ApiRig({ keys: new ApiKeys(KEYS) });
  const get = (query: string, key = 'ops') => rig.get(`/v1/trace?${query}`, key);
  let cursor: string;
  let timeMs: number;

  before(() => rig.listen());
  beforeEach(async () => {
    rig.reset();
    const data = Buffer.from('hello');
    const [appended] = await rig.log.append([{ channel: 'alice', kind: 0, data }]);
    ({ timeMs } = appended);
    cursor = `${rig.log.epoch}-1`;
    rig.records.begin({ sequence: 1, channel: 'alice', kind: 0, timeMs, data });
    rig.records.given(0, false);
    rig.records.given(1, true);
  });
  after(() => rig.close());

  const worker = (rest: Partial<WorkerTrace> = {}) => ({
    trace: { position: 1, delivery: null, sinceMs: null, visits: [], ...rest },
  });

  test('tells which workers had it, how, and how many took it', async () => {
    rig.workers = [worker({ delivery: { atMs: 1234, receivers: 3, slow: 1 } }), worker(), worker()];
    const { status, body } = await get(`cursor=${cursor}`);
    assert.deepEqual(
      [status, body],
      [
        200,
        {
          channel: 'alice',
          cursor,
          time: timeMs,
          bytes: 5,
          retained: true,
          workers: [
            { worker: 0, via: 'fan_out', receivers: 3, slowConsumers: 1, sent: 1234 },
            { worker: 1, via: 'log' },
          ],
          receivers: 3,
        },
      ],
    );
  });

  test('of a client says what says most, in words, and where it was seen', async () => {
    const visit = (outcome: Outcome) => ({ outcome, sinceMs: 5 });
    rig.workers = [
      worker({ visits: [visit('not_subscribed')] }),
      worker({ visits: [{ ...visit('sent'), sentMs: 6, leftMs: 7, reason: 'closed' }] }),
    ];
    const { body } = await get(`cursor=${cursor}&client=bob`);
    assert.equal(body.client.outcome, 'sent');
    assert.match(body.client.explanation, /^it was sent to the client/);
    assert.deepEqual(body.client.visits, [
      { worker: 0, outcome: 'not_subscribed', since: 5 },
      { worker: 1, outcome: 'sent', since: 5, sent: 6, left: 7, reason: 'closed' },
    ]);
  });

  test('tells a client that was not there from one that may be forgotten', async () => {
    const outcome = async () => (await get(`cursor=${cursor}&client=bob`)).body.client.outcome;
    rig.workers = [worker({ sinceMs: timeMs - 1 }), worker()];
    assert.equal(await outcome(), 'not_connected');
    rig.workers = [worker({ sinceMs: timeMs + 1 }), worker()];
    assert.equal(await outcome(), 'unknown');
    rig.workers = [worker(), null];
    const { body } = await get(`cursor=${cursor}&client=bob`);
    assert.deepEqual([body.client.outcome, body.incomplete], ['unknown', true]);
  });

  test('of what is unknown is 404, of a channel that is not the key’s 403, of no cursor 400', async () => {
    for (const [query, key, status, field] of [
      [`cursor=${rig.log.epoch}-2`, 'ops', 404, 'cursor'],
      ['cursor=other-1', 'ops', 404, 'cursor'],
      [`cursor=${cursor}`, 'news', 403, 'cursor'],
      ['cursor=start', 'ops', 400, 'cursor'],
      ['cursor=7', 'ops', 400, 'cursor'],
      ['client=bob', 'ops', 400, 'cursor'],
    ] as const) {
      const answer = await get(query, key);
      assert.deepEqual([answer.status, answer.body.error.field], [status, field], query);
    }
    assert.deepEqual(rig.asked, []);
  });
});
