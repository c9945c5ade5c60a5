import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiKey, ApiKeys, EVERYBODY, generateKey, hashKey, KEY_PREFIX } from './keys.js';

const entry = (text: string, name: string) => ({
  name,
  hash: hashKey(text),
  rights: ['publish' as const],
  channels: ['a'],
});

test('a key is found by its text alone, until it is replaced', () => {
  const [one, other] = [generateKey(), generateKey()];
  const keys = new ApiKeys([entry(one, 'one'), entry(other, 'other')]);
  assert.equal(keys.find(one)?.name, 'one');
  assert.equal(keys.find(other)?.name, 'other');
  for (const wrong of ['', one.slice(0, -1), `${one}x`, one.toUpperCase(), hashKey(one).toString('hex')]) {
    assert.equal(keys.find(wrong), null, wrong);
  }
  keys.set([entry(other, 'renamed')]);
  assert.equal(keys.find(one), null);
  assert.equal(keys.find(other)?.name, 'renamed');
  assert.deepEqual([keys.required, new ApiKeys(null).required, new ApiKeys([]).required], [true, false, true]);
});

test('keys are 256 random bits', () => {
  const made = new Set(Array.from({ length: 100 }, generateKey));
  assert.equal(made.size, 100);
  for (const key of made) {
    assert.ok(key.startsWith(KEY_PREFIX));
    assert.equal(Buffer.from(key.slice(KEY_PREFIX.length), 'base64url').length, 32);
  }
});

test('rights are for the channels of the key; admin has all rights on all channels', () => {
  const backend = new ApiKey({ name: 'b', rights: ['publish'], channels: ['news/*', 'lobby'] });
  assert.deepEqual([backend.has('publish'), backend.has('read'), backend.has('admin')], [true, false, false]);
  assert.deepEqual(['news/1', 'lobby', 'lobby2', 'new'].map(backend.mayUse.bind(backend)), [true, true, false, false]);
  for (const admin of [EVERYBODY, new ApiKey({ name: 'a', rights: ['admin'], channels: ['x'] })]) {
    assert.deepEqual(
      [admin.has('publish'), admin.has('monitor'), admin.mayUse('any'), admin.channels],
      [true, true, true, null],
    );
  }
});
