import assert from 'node:assert/strict';
import { test } from 'node:test';
import { channelMatcher, isChannelPattern } from './channel-pattern.js';

test('a pattern is a name, or the beginning of names and an asterisk', () => {
  for (const pattern of ['*', 'a', 'chat/*', 'é*', `${'a'.repeat(127)}*`]) assert(isChannelPattern(pattern), pattern);
  for (const pattern of ['', 'a\0', '\n*', 'a*b', '**', 'a'.repeat(129)]) assert(!isChannelPattern(pattern), pattern);
});

test('a name matches itself alone, a beginning all names with it', () => {
  const matches = channelMatcher(['lobby', 'chat/*']);
  for (const channel of ['lobby', 'chat/', 'chat/a', 'chat/a/b']) assert(matches(channel), channel);
  for (const channel of ['lobby/a', 'chat', 'Chat/a', 'a', 'xchat/a']) assert(!matches(channel), channel);
});

test('an asterisk alone matches all, no patterns match nothing', () => {
  assert(channelMatcher(['*'])('anything'));
  assert(!channelMatcher([])('anything'));
});
