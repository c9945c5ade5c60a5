/** Whatever is sent, the answer is the API's own: no failure of the manager, and an error that names its code. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { ApiRig } from './testing/api-rig.js';

const EXPECTED = [200, 400, 404, 413];

describe('the API, whatever it is sent', () => {
  const rig = new ApiRig();
  before(() => rig.listen());
  after(() => rig.close());

  function check({ status, body }: { status: number; body: { error?: { code?: unknown; message?: unknown } } }): void {
    assert.ok(EXPECTED.includes(status), `${status} ${JSON.stringify(body)}`);
    if (status !== 200) assert.deepEqual([typeof body.error?.code, typeof body.error?.message], ['string', 'string']);
  }

  test('bodies of any JSON', async () => {
    const channel = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('a', 'b*', '*'));
    const member = fc.oneof(channel, fc.boolean(), fc.integer(), fc.array(channel, { maxLength: 3 }), fc.jsonValue());
    const names = [
      'channel',
      'channels',
      'pattern',
      'data',
      'id',
      'receipt',
      'client',
      'reason',
      'reconnect',
      'afterMs',
    ];
    const object = fc.dictionary(fc.constantFrom(...names, '__proto__'), member, { maxKeys: 5 });
    const body = fc.oneof(object, fc.array(object, { maxLength: 3 }), fc.jsonValue());
    const path = fc.constantFrom('/v1/publish', '/v1/broadcast', '/v1/disconnect');
    await fc.assert(
      fc.asyncProperty(path, body, async (to, value) => check(await rig.post(to, value))),
      { numRuns: 200 },
    );
  });

  test('queries and names of anything', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.constantFrom('1', 'start', 'e-1', '0', '-1'),
    );
    const query = fc.dictionary(fc.constantFrom('after', 'limit', 'pattern', 'cursor', 'client', 'x'), text);
    const path = fc.constantFrom('', '/{}', '/{}/presence', '/{}/history');
    await fc.assert(
      fc.asyncProperty(path, text, query, async (below, name, parameters) => {
        const channel = encodeURIComponent(name);
        const asked = new URLSearchParams(parameters);
        check(await rig.get(`/v1/channels${below.replace('{}', channel)}?${asked}`));
        check(await rig.get(`/v1/trace?${asked}`));
      }),
      { numRuns: 200 },
    );
  });
});
