import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Grant, grantOf } from './grant.js';

const NOTHING: Grant = { subject: null, expiresAtMs: Number.POSITIVE_INFINITY, subscribe: [], publish: [] };

test('claims that are absent allow nothing', () => {
  assert.deepEqual(grantOf({}), NOTHING);
  assert.deepEqual(grantOf({ megacomet: {}, other: 1 }), NOTHING);
  assert.deepEqual(grantOf({ megacomet: { publish: ['a'], later: true } }), { ...NOTHING, publish: ['a'] });
});

const wrong: [unknown, RegExp][] = [
  [{ sub: 7 }, /^sub must be a string/],
  [{ sub: '' }, /^sub must be a string/],
  [{ sub: 'a\n' }, /^sub must be a string/],
  [{ sub: 'a'.repeat(129) }, /^sub must be a string/],
  [{ sub: null }, /^sub must be a string/],
  [{ megacomet: null }, /^megacomet must be an object/],
  [{ megacomet: [] }, /^megacomet must be an object/],
  [{ megacomet: '*' }, /^megacomet must be an object/],
  [{ megacomet: { subscribe: '*' } }, /^megacomet\.subscribe must be an array/],
  [{ megacomet: { publish: {} } }, /^megacomet\.publish must be an array/],
  [{ megacomet: { publish: ['a', 7] } }, /^megacomet\.publish\[1\] must be a channel's name/],
  [{ megacomet: { subscribe: ['a*b'] } }, /^megacomet\.subscribe\[0\] must be a channel's name/],
  [{ megacomet: { subscribe: [''] } }, /^megacomet\.subscribe\[0\] must be a channel's name/],
];

for (const [claims, message] of wrong) {
  test(`${JSON.stringify(claims).slice(0, 60)} is refused`, () => {
    const grant = grantOf(claims as Record<string, unknown>);
    assert.equal(typeof grant, 'string');
    assert.match(grant as string, message);
  });
}
