import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClientPolicy, OPEN_POLICY } from '../link/policy.js';
import { Policies } from './policies.js';

test('a change leaves the other members, and is told once', () => {
  const policies = new Policies(OPEN_POLICY);
  const told: ClientPolicy[] = [];
  policies.subscribe((policy) => told.push(policy));
  policies.change({ publish: ['chat/*'] });
  policies.change({ acceptRate: 100 });
  assert.deepEqual(policies.current, { ...OPEN_POLICY, publish: ['chat/*'], acceptRate: 100 });
  assert.deepEqual(told, [{ ...OPEN_POLICY, publish: ['chat/*'] }, policies.current]);
});

test('what is the same as before is told to nobody', () => {
  const policies = new Policies(OPEN_POLICY);
  let told = 0;
  policies.subscribe(() => told++);
  policies.change({ anonymous: ['*'], origins: null });
  assert.equal(told, 0);
});
