import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { World } from './testing/world.js';
import { makeToken } from './token.js';

/** A JWT that expires at this time, in seconds. Nobody here looks at its signature. */
const jwt = (exp: unknown) =>
  ['{}', JSON.stringify({ sub: 'älice?>', exp }), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');

describe('a token', () => {
  test('that is a text is what it is, for ever', async () => {
    const token = makeToken('text', new World());
    assert.equal(await token.get(), 'text');
    assert.equal(token.drop(), false);
    assert.equal(await token.get(), 'text');
    assert.equal(await makeToken(undefined, new World()).get(), null);
  });

  test('is fetched once, and again after it was dropped', async () => {
    let fetched = 0;
    const token = makeToken(async () => `t${++fetched}`, new World());
    assert.deepEqual(await Promise.all([token.get(), token.get()]), ['t1', 't1']);
    assert.equal(token.drop(), true);
    assert.equal(await token.get(), 't2');
  });

  test('is to be renewed when 80 to 95 % of its time have passed', async () => {
    const world = new World();
    const exp = world.now() / 1000 + 1_000;
    for (const [chance, part] of [
      [0, 0.8],
      [1, 0.95],
    ] as const) {
      world.chance = chance;
      const token = makeToken(() => jwt(exp), world);
      assert.equal(token.renewAtMs, Number.POSITIVE_INFINITY);
      await token.get();
      assert.equal(Math.round(token.renewAtMs - world.now()), part * 1_000_000);
      token.drop();
      assert.equal(token.renewAtMs, Number.POSITIVE_INFINITY);
    }
  });

  test('whose expiry is past, absent or unreadable is renewed when the server says so', async () => {
    const world = new World();
    for (const text of [jwt(1), jwt(undefined), jwt('soon'), 'a.b.c', 'opaque', '', null]) {
      const token = makeToken(() => text, world);
      assert.equal(await token.get(), text);
      assert.equal(token.renewAtMs, Number.POSITIVE_INFINITY, String(text));
    }
  });

  test('that cannot be fetched is an error with its cause, and is asked for again half a minute later at most', async () => {
    const world = new World();
    const cause = new Error('no login');
    let fails = true;
    const token = makeToken(() => {
      if (fails) throw cause;
      return 't';
    }, world);
    await assert.rejects(token.get(), (error: Error & { code: string }) => {
      assert.deepEqual([error.code, error.cause], ['token_failed', cause]);
      return true;
    });
    assert.equal(token.renewAtMs, world.now() + 30_000);
    fails = false;
    assert.equal(await token.get(), 't');
  });
});
