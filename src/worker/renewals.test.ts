import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Issuer } from '../tokens/testing/issuer.js';
import { NOTHING_LEFT, WorkerRig } from './testing/worker-rig.js';

const issuer = new Issuer('EdDSA');
const NOW_S = 1_769_947_200;

describe('a token that is renewed in a WebSocket', () => {
  let rig: WorkerRig;

  const tokenOf = (sub: string | undefined, subscribe: string[], exp = NOW_S + 60) =>
    issuer.sign({ ...(sub !== undefined && { sub }), exp, megacomet: { subscribe } });

  beforeEach(async () => {
    rig = new WorkerRig({ policy: { anonymous: ['public/*'], tokens: issuer.policy() } });
    rig.welcome('e', 7);
    rig.openWebSocket(1, `/v1/ws?channel=a&channel=b&channel=public/c&token=${await tokenOf('alice', ['a', 'b'])}`);
    await rig.verified();
    rig.confirm(7);
    rig.sent(1);
  });

  async function renew(token: unknown, connection = 1): Promise<Record<string, unknown>[]> {
    rig.say(connection, { type: 'token', token, ref: 'r' });
    await rig.verified();
    return rig.events(connection, 'ws').map(({ type, code, ref, expiresAt, channels }) => ({
      type,
      ...(code !== undefined && { code }),
      ...(ref !== undefined && { ref }),
      ...(expiresAt !== undefined && { expiresAt }),
      ...(channels !== undefined && { channels }),
    }));
  }

  const identitiesOf = () => rig.clients.access.identities;

  test('counts from then on', async () => {
    const answer = await renew(await tokenOf('alice', ['a', 'b', 'c'], NOW_S + 600));
    assert.deepEqual(answer, [{ type: 'token', ref: 'r', expiresAt: (NOW_S + 600) * 1000 }]);
    assert.equal(identitiesOf().expiresAtMs(1), (NOW_S + 600) * 1000);
    assert(identitiesOf().maySubscribe(1, 'c'));
    assert.equal(rig.subscribers.size, 3);
  });

  test('ends the subscriptions that it does not allow, and no others', async () => {
    assert.deepEqual(await renew(await tokenOf('alice', ['b'], NOW_S + 600)), [
      { type: 'unsubscribed', channels: ['a'] },
      { type: 'token', ref: 'r', expiresAt: (NOW_S + 600) * 1000 },
    ]);
    assert.equal(rig.reports(), 'unsubscribed a');
    assert.equal(rig.subscribers.size, 2);
  });

  test('that does not expire says so by saying nothing', async () => {
    const forever = await issuer.sign({ sub: 'alice', megacomet: { subscribe: ['a', 'b'] } });
    assert.deepEqual(await renew(forever), [{ type: 'token', ref: 'r' }]);
  });

  test('and is wrong, expired, or of somebody else leaves all as it was', async () => {
    for (const [token, code] of [
      [await new Issuer('EdDSA').sign({ sub: 'alice' }), 'token_invalid'],
      [await tokenOf('alice', ['*'], NOW_S), 'token_expired'],
      [await tokenOf('bob', ['*']), 'forbidden'],
      [await tokenOf(undefined, ['*']), 'forbidden'],
      ['', 'invalid'],
      [7, 'invalid'],
      [undefined, 'invalid'],
    ] as const) {
      assert.deepEqual(await renew(token), [{ type: 'error', code, ref: 'r' }]);
    }
    assert.equal(identitiesOf().subjectOf(1), 'alice');
    assert.equal(identitiesOf().expiresAtMs(1), (NOW_S + 60) * 1000);
    assert.deepEqual(rig.failures.counted, [1]);
  });

  test('may be the first one of a connection', async () => {
    rig.openWebSocket(2);
    rig.sent(2);
    assert.equal((await renew(await tokenOf('bob', ['b']), 2))[0].type, 'token');
    assert.equal(identitiesOf().subjectOf(2), 'bob');
  });

  test('is one at a time', async () => {
    const token = await tokenOf('alice', ['a', 'b'], NOW_S + 600);
    rig.say(1, { type: 'token', token });
    rig.say(1, { type: 'token', token: `${token}x`, ref: 2 });
    assert.equal(rig.events(1, 'ws')[0].code, 'invalid');
    await rig.verified();
    assert.equal(rig.events(1, 'ws')[0].type, 'token');
  });

  test('is nobody’s when its connection has gone meanwhile', async () => {
    rig.say(1, { type: 'token', token: await tokenOf('alice', ['a'], NOW_S + 600) });
    rig.clients.closed(1);
    rig.openWebSocket(1);
    rig.sent(1);
    await rig.verified();
    assert.equal(rig.sent(1), '');
    assert.equal(identitiesOf().size, 0);
    rig.clients.closed(1);
    assert.deepEqual(rig.leftovers(), NOTHING_LEFT);
  });

  test('is not verified for an address that has sent too many wrong ones', async () => {
    rig.failures.exhausted = true;
    assert.deepEqual(await renew(await tokenOf('alice', ['c'])), [{ type: 'error', code: 'rate_limited', ref: 'r' }]);
  });

  test('is refused where tokens are not taken, and never repeated', async () => {
    rig.setPolicy({ tokens: null });
    assert.deepEqual(await renew('secret'), [{ type: 'error', code: 'invalid', ref: 'r' }]);
    rig.say(1, '{"type":"token","token":"secret-token}');
    assert.doesNotMatch(rig.sent(1), /secret/);
  });
});
