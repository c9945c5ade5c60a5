import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChannelPatterns, isChannelPattern } from './channel-pattern.js';

test('a pattern is a name, or the beginning of names and an asterisk', () => {
  for (const pattern of ['*', 'a', 'chat/*', 'é*', `${'a'.repeat(127)}*`]) assert(isChannelPattern(pattern), pattern);
  for (const pattern of ['', 'a\0', '\n*', 'a*b', '**', 'a'.repeat(129)]) assert(!isChannelPattern(pattern), pattern);
});

/** Whether it matches, as a string and as bytes within others. */
function matches(patterns: ChannelPatterns, channel: string): boolean {
  const bytes = Buffer.from(`x${channel}x`);
  const matched = patterns.hasBytes(bytes, 1, bytes.length - 1);
  assert.equal(patterns.has(channel), matched, channel);
  return matched;
}

test('a name matches itself alone, a beginning all names with it', () => {
  const patterns = new ChannelPatterns(['lobby', 'chat/*', 'é*']);
  for (const channel of ['lobby', 'chat/', 'chat/a', 'chat/a/b', 'é', 'été'.slice(0, 1)])
    assert(matches(patterns, channel), channel);
  for (const channel of ['lobby/a', 'chat', 'Chat/a', 'a', 'xchat/a', 'e', 'lobb'])
    assert(!matches(patterns, channel), channel);
});

test('an asterisk alone matches all, no patterns match nothing', () => {
  assert(matches(new ChannelPatterns(['a', '*']), 'anything'));
  assert(!matches(new ChannelPatterns([]), 'anything'));
  assert.equal(new ChannelPatterns(['a', '*']).all, true);
  assert.equal(new ChannelPatterns([]).none, true);
});
