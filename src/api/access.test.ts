import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Routes } from './api.js';
import { ATTEMPTS } from './failed-attempts.js';
import { ApiKeys, hashKey, type Right } from './keys.js';
import { ApiRig } from './testing/api-rig.js';

const entry = (name: string, rights: Right[], channels: string[] = []) => ({
  name,
  hash: hashKey(name),
  rights,
  channels,
});

/** The texts of the keys are their names. */
const ENTRIES = [entry('backend', ['publish'], ['news/*']), entry('prometheus', ['monitor']), entry('ops', ['admin'])];

describe('access to the API', () => {
  const keys = new ApiKeys(ENTRIES);
  const page: Routes = (app) => {
    app.get('/page', { config: { require: 'nothing' } }, async () => ({ page: true }));
  };
  const rig = new ApiRig({ keys, host: '10.0.0.1', routes: [page] });

  before(() => rig.listen());
  beforeEach(() => {
    rig.reset();
    keys.set(ENTRIES);
  });
  after(() => rig.close());

  async function ask(authorization: string | null, path = '/v1/status', body?: unknown) {
    const headers: Record<string, string> = { ...(authorization !== null && { authorization }) };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const method = body === undefined ? 'GET' : 'POST';
    const sent = { method, headers, body: body === undefined ? null : JSON.stringify(body) };
    const response = await fetch(rig.url + path, sent);
    // biome-ignore lint/suspicious/noExplicitAny: the tests look at what came
    const answer: any = await response.json();
    return { status: response.status, code: answer.error?.code, field: answer.error?.field, headers: response.headers };
  }

  const publish = (key: string, body: unknown) => ask(`Bearer ${key}`, '/v1/publish', body);

  test('without a key the answer is 401 and says which form it has', async () => {
    for (const authorization of [null, 'backend', 'Basic b3BzOm9wcw==', 'Bearer', 'Bearer a b']) {
      const { status, code, headers } = await ask(authorization);
      assert.deepEqual(
        [status, code, headers.get('www-authenticate')],
        [401, 'key_required', 'Bearer'],
        String(authorization),
      );
    }
    assert.equal((await ask('bearer  prometheus')).status, 200);
  });

  test('what needs nothing is open, and what is not there is 404 for everybody', async () => {
    assert.equal((await ask(null, '/page')).status, 200);
    assert.equal((await ask(null, '/v1/nothing')).status, 404);
    assert.equal((await ask(null, '/v1/publish')).status, 405);
  });

  test('a key does what its rights say, on its channels', async () => {
    assert.equal((await ask('Bearer backend')).code, 'forbidden');
    assert.equal((await publish('prometheus', { channel: 'news/1', data: 1 })).code, 'forbidden');
    assert.equal((await publish('backend', { channel: 'news/1', data: 1 })).status, 200);
    assert.equal((await publish('ops', { channel: 'alice', data: 1 })).status, 200);
    const { status, field } = await publish('backend', [
      { channel: 'news/1', data: 1 },
      { channel: 'alice', data: 1 },
    ]);
    assert.deepEqual([status, field], [403, '[1].channel']);
    assert.equal(rig.published.length, 2, 'nothing of the batch');
  });

  test('a key is looked at before the body is read', async () => {
    const response = await fetch(`${rig.url}/v1/publish`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'x',
    });
    assert.equal(response.status, 401);
  });

  test('keys that are replaced are refused from then on', async () => {
    keys.set([entry('new', ['admin'])]);
    assert.equal((await ask('Bearer ops')).code, 'key_invalid');
    assert.equal((await ask('Bearer new')).status, 200);
  });

  test('an address that shows wrong keys is refused unheard for a while, and no key gets into the log', async () => {
    await rig.close();
    await rig.listen();
    for (let i = 0; i < ATTEMPTS; i++) {
      const { status, code, headers } = await ask(`Bearer guess-${i}`);
      assert.deepEqual([status, code], [401, 'key_invalid']);
      assert.equal(headers.get('www-authenticate'), 'Bearer error="invalid_token"');
    }
    const { status, code, headers } = await ask('Bearer ops');
    assert.deepEqual([status, code], [429, 'too_many_attempts']);
    assert.match(headers.get('retry-after')!, /^[1-6]$/);
    assert.equal((await ask(null, '/page')).status, 200);
    const refused = rig.lines.filter((line) => line.includes('wrong API key'));
    assert.equal(refused.length, 2, 'one line for the many, each time that the API was started');
    assert.match(refused[1], /address=127\.0\.0\.1/);
    assert.doesNotMatch(rig.lines.join(''), /guess|Bearer/);
  });

  test('a route that does not say what it requires cannot be registered', async () => {
    const open: Routes = (app) => {
      app.get('/open', async () => ({}));
    };
    await assert.rejects(new ApiRig({ routes: [open] }).listen(), /GET \/open does not say/);
  });
});
