import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { setImmediate as nodesTurn } from 'node:timers/promises';
import {
  KEY_UNKNOWN_MS,
  TOKENS_KEYLESS_MAX,
  TOKENS_KNOWN_MAX,
  TOKENS_REFUSED_MAX,
  VERIFICATIONS_WAITING_MAX,
} from '../limits.js';
import type { TokenPolicy } from '../link/policy.js';
import { Issuer } from '../tokens/testing/issuer.js';
import type { Verdict } from '../tokens/verifier.js';
import { Tokens } from './tokens.js';

const first = new Issuer('HS256', 'first');
const second = new Issuer('HS256', 'second');

describe('verdicts on tokens', () => {
  let tokens: Tokens;
  let wallMs: number;
  let asked: number;
  let managerThere: boolean;
  let told: string[];

  beforeEach(() => {
    wallMs = 1_769_947_200_000;
    asked = 0;
    managerThere = true;
    told = [];
    tokens = new Tokens(
      () => {
        asked++;
        return managerThere;
      },
      () => wallMs,
    );
    tokens.apply(first.policy());
  });

  const short = (verdict: Verdict | null): string => {
    if (verdict === null) return 'none';
    return 'grant' in verdict ? `${verdict.grant.subject}` : verdict.failure.code;
  };
  const verify = (name: string, token: string): boolean =>
    tokens.verify(token, (verdict) => told.push(`${name}: ${short(verdict)}`));

  async function settled(): Promise<void> {
    while (tokens.busy) {
      await nodesTurn();
      tokens.tick();
    }
  }

  test('are told in a tick, and turns must not wait until then', async () => {
    const token = await first.sign({ sub: 'alice' });
    assert.equal(tokens.known(token), undefined);
    assert.equal(tokens.busy, false);
    assert(verify('a', token) && verify('b', token));
    assert.equal(tokens.busy, true);
    for (let turn = 0; turn < 20; turn++) await nodesTurn();
    assert.deepEqual(told, []);
    await settled();
    assert.deepEqual(told, ['a: alice', 'b: alice']);
    assert.equal(short(tokens.known(token)!), 'alice');
  });

  test('are remembered as long as the keys are the same', async () => {
    const good = await first.sign({ sub: 'alice' });
    const bad = await second.sign({ sub: 'alice' }, { kid: 'first' });
    verify('good', good);
    verify('bad', bad);
    await settled();
    tokens.apply(first.policy());
    assert.deepEqual([short(tokens.known(good)!), short(tokens.known(bad)!)], ['alice', 'token_invalid']);
    tokens.apply(first.policy({ keys: second.keys }));
    assert.deepEqual([tokens.known(good), tokens.known(bad)], [undefined, undefined]);
  });

  test('that depend on the time are not remembered longer than they are right', async () => {
    const nowS = wallMs / 1000;
    tokens.apply(first.policy({ toleranceSeconds: 2 }));
    const early = await first.sign({ sub: 'early', nbf: nowS + 10 });
    const late = await first.sign({ sub: 'late', exp: nowS + 10 });
    verify('early', early);
    verify('late', late);
    await settled();
    assert.deepEqual(told, ['early: token_invalid', 'late: late']);
    assert.equal(tokens.known(early), undefined);
    wallMs += 11_999;
    assert.equal(short(tokens.known(late)!), 'late');
    wallMs += 1;
    assert.equal(short(tokens.known(late)!), 'token_expired');
  });

  test('of which there are too many push out those that were not used lately, bad ones no good ones', async () => {
    const good = await Promise.all(
      Array.from({ length: TOKENS_KNOWN_MAX + 1 }, (_, n) => first.sign({ sub: `s${n}` })),
    );
    for (const token of good.slice(0, TOKENS_KNOWN_MAX)) verify('', token);
    await settled();
    assert(tokens.known(good[0]) !== undefined);
    verify('', good[TOKENS_KNOWN_MAX]);
    for (let n = 0; n <= TOKENS_REFUSED_MAX; n++) verify('', `a.b.${n}`);
    await settled();
    // Verifications end in any order, so any of those that were not used since may be the oldest.
    const forgotten = (all: string[]) => all.filter((token) => tokens.known(token) === undefined);
    const [oldest, ...others] = forgotten(good);
    assert.deepEqual(others, []);
    assert(good.indexOf(oldest!) > 0 && oldest !== good[TOKENS_KNOWN_MAX]);
    assert.equal(forgotten(Array.from({ length: TOKENS_REFUSED_MAX + 1 }, (_, n) => `a.b.${n}`)).length, 1);
  });

  test('that too many wait for are not begun', async () => {
    for (let n = 0; n < VERIFICATIONS_WAITING_MAX; n++) assert(verify('', `a.b.${n}`));
    assert.equal(verify('', 'one more'), false);
    assert.equal(verify('', 'a.b.0'), true, 'the same one is no other');
    await settled();
    assert.equal(told.length, VERIFICATIONS_WAITING_MAX + 1);
    assert.equal(verify('', 'one more'), true);
    await settled();
  });

  test('by keys that have changed meanwhile count for nothing', async () => {
    const token = await second.sign({ sub: 'bob' });
    verify('a', token);
    tokens.apply(first.policy({ keys: second.keys }));
    await settled();
    assert.deepEqual(told, ['a: bob']);
  });

  test('there are none when tokens are no longer taken', async () => {
    verify('a', await first.sign({ sub: 'alice' }));
    tokens.apply(null);
    await settled();
    assert.deepEqual(told, ['a: none']);
  });

  describe('by keys that come from an address', () => {
    const rotating = (members: Partial<TokenPolicy> = {}) => first.policy({ rotates: true, ...members });
    const both = { keys: [...first.keys, ...second.keys] };
    let token: string;

    beforeEach(async () => {
      tokens.apply(rotating());
      token = await second.sign({ sub: 'bob' });
    });

    test('wait for the answer when a key is unknown, and are made anew then', async () => {
      verify('a', token);
      await settled();
      assert.deepEqual([told, asked], [[], 1]);
      tokens.apply(rotating(both));
      await settled();
      assert.deepEqual(told, ['a: bob']);
    });

    test('say so when the answer has no new keys, and the next token does not ask again at once', async () => {
      verify('a', token);
      await settled();
      tokens.apply(rotating());
      await settled();
      assert.deepEqual(told, ['a: token_invalid']);
      assert.equal(tokens.known(token), undefined, 'its key may come');
      verify('b', token);
      await settled();
      assert.deepEqual([told.at(-1), asked], ['b: token_invalid', 1]);
      wallMs += KEY_UNKNOWN_MS;
      verify('c', token);
      await settled();
      assert.deepEqual([told.length, asked], [2, 2]);
    });

    test('ask once for all who wait', async () => {
      verify('a', token);
      verify('b', await second.sign({ sub: 'carol' }));
      await settled();
      assert.equal(asked, 1);
      tokens.apply(rotating(both));
      await settled();
      assert.deepEqual(told.sort(), ['a: bob', 'b: carol']);
    });

    test('are made of known keys while as many with unknown ones wait as may', async () => {
      const unknown = (i: number) => `${Buffer.from('{"alg":"HS256","kid":"?"}').toString('base64url')}.e30.${i}`;
      for (let i = 0; i < TOKENS_KEYLESS_MAX + 10; i++) assert(verify('stranger', unknown(i)));
      await settled();
      assert.deepEqual([told.length, new Set(told)], [10, new Set(['stranger: none'])]);
      for (let i = 0; i < VERIFICATIONS_WAITING_MAX - TOKENS_KEYLESS_MAX; i++) verify('stranger', unknown(-i));
      await settled();
      assert(verify('a', await first.sign({ sub: 'alice' })));
      await settled();
      assert.equal(told.at(-1), 'a: alice');
    });

    test('are none without a manager, or when it is lost', async () => {
      managerThere = false;
      verify('a', token);
      await settled();
      assert.deepEqual(told, ['a: token_invalid']);
      managerThere = true;
      wallMs += KEY_UNKNOWN_MS;
      verify('b', token);
      await settled();
      tokens.managerLost();
      assert.deepEqual(told, ['a: token_invalid', 'b: none']);
    });

    test('are none, rather than wrong, as long as no keys have come', async () => {
      tokens.apply(rotating({ keys: [], complete: false }));
      verify('a', token);
      await settled();
      tokens.apply(rotating({ keys: [], complete: false }));
      await settled();
      assert.deepEqual(told, ['a: none']);
    });
  });
});
