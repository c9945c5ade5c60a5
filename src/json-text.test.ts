import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { jsonText } from './json-text.js';
import { DATA_NESTING_MAX } from './limits.js';

const nested = (depth: number, around: (inner: unknown) => unknown, inner: unknown = 'x') => {
  let data = inner;
  for (let i = 0; i < depth; i++) data = around(data);
  return data;
};

describe('data as JSON', () => {
  test('may be nested as deeply as the limit says, and no deeper', () => {
    const ways = [
      (inner: unknown) => [inner],
      (inner: unknown) => ({ a: inner }),
      (inner: unknown) => ['[', inner, '}'],
    ];
    for (const around of ways) {
      const data = nested(DATA_NESTING_MAX, around);
      assert.equal(jsonText(data), JSON.stringify(data));
      assert.equal(jsonText([data]), null);
    }
    assert.equal(jsonText(nested(100_000, ways[0]!)), null);
  });

  test('may have any number of brackets beside each other, and within strings', () => {
    const flat = Array(2 * DATA_NESTING_MAX).fill([]);
    const strings = ['['.repeat(4000), `"${'{'.repeat(4000)}`, `\\${'['.repeat(4000)}`, { ['{'.repeat(4000)]: '\\"[' }];
    for (const data of [flat, strings]) assert.equal(jsonText(data), JSON.stringify(data));
    assert.equal(jsonText([strings, nested(DATA_NESTING_MAX, (inner) => [inner])]), null);
  });

  test('is undefined where there is nothing to say', () => {
    assert.equal(jsonText({ toJSON: () => undefined }), undefined);
  });
});
