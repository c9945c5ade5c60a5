import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRetentionRule, RetentionRules } from './retention.js';

test('a rule names messages, age and bytes in any order, by their units', () => {
  assert.deepEqual(parseRetentionRule('news/*=1000/1h'), { pattern: 'news/*', messages: 1000, seconds: 3600 });
  assert.deepEqual(parseRetentionRule('a=10MiB/90s/5'), { pattern: 'a', messages: 5, seconds: 90, bytes: 10 << 20 });
  assert.deepEqual(parseRetentionRule('a=b=7d'), { pattern: 'a=b', seconds: 604_800 });
  assert.deepEqual(parseRetentionRule('*=500ms/64B'), { pattern: '*', seconds: 0.5, bytes: 64 });
  assert.deepEqual(parseRetentionRule('a=2m/1KiB'), { pattern: 'a', seconds: 120, bytes: 1024 });
});

test('what is no rule is refused with what is allowed', () => {
  for (const [text, problem] of [
    ['news/*', /names no channels/],
    ['=1h', /names no channels/],
    ['a*b=1h', /'\*' before its end/],
    ['a**=1h', /'\*' before its end/],
    ['a=', /is no limit/],
    ['a=0', /is no limit/],
    ['a=1h/', /is no limit/],
    ['a=1H', /is no limit/],
    ['a=-5', /is no limit/],
    ['a=1.5h', /is no limit/],
    ['a=toString', /is no limit/],
    ['a=1constructor', /is no limit/],
    ['a=1h/5/2m', /limits seconds twice/],
  ] as const) {
    assert.throws(() => parseRetentionRule(text), problem, text);
  }
});

test('the longest pattern that matches counts, alone, and a name before its prefix', () => {
  const rules = ['*=1', 'news/*=2/1h', 'news/sport/*=3', 'news/sport/=4', 'news/sport/ski=5'].map(parseRetentionRule);
  const retention = { seconds: 60, messages: 100, bytes: 1 << 20, totalBytes: 1 << 28 };
  const resolved = new RetentionRules({ ...retention, rules });
  const limits = (channel: string) => {
    const { messages, seconds, bytes } = resolved.resolve(channel);
    return [messages, seconds, bytes];
  };
  assert.deepEqual(limits('other'), [1, 60, 1 << 20]);
  assert.deepEqual(limits('news'), [1, 60, 1 << 20]);
  assert.deepEqual(limits('news/'), [2, 3600, 1 << 20]);
  assert.deepEqual(limits('news/sport/a'), [3, 60, 1 << 20]);
  assert.deepEqual(limits('news/sport/'), [4, 60, 1 << 20]);
  assert.deepEqual(limits('news/sport/ski'), [5, 60, 1 << 20]);
  assert.deepEqual(limits('news/sport/skiing'), [3, 60, 1 << 20]);
  assert.equal(new RetentionRules(retention).resolve('a').messages, 100);
  assert.throws(() => new RetentionRules({ ...retention, rules: [rules[0]!, rules[0]!] }), /has two rules/);
});
