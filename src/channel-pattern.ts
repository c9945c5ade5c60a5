/**
 * Patterns of channel names: a name, or the beginning of names and an asterisk behind it (`chat/*`, `*`). An asterisk stands
 * nowhere else in a pattern.
 */

import { CHANNEL_NAME_RULE, isChannelName } from './channel-name.js';

/** The rule, for messages. */
export const CHANNEL_PATTERN_RULE = `a channel's name (${CHANNEL_NAME_RULE}), or the beginning of names followed by '*'`;

/** A pattern, taken apart. */
export interface ChannelPattern {
  /** What names begin with; the name itself where the pattern is exact. */
  readonly prefix: string;
  readonly exact: boolean;
}

export function parsePattern(pattern: string): ChannelPattern {
  const exact = !pattern.endsWith('*');
  return { prefix: exact ? pattern : pattern.slice(0, -1), exact };
}

export function isChannelPattern(pattern: string): boolean {
  const { prefix } = parsePattern(pattern);
  return pattern === '*' || (isChannelName(prefix) && !prefix.includes('*'));
}

export function matches({ prefix, exact }: ChannelPattern, channel: string): boolean {
  return exact ? channel === prefix : channel.startsWith(prefix);
}

/** Whether a channel's name matches one of the patterns. */
export function channelMatcher(patterns: readonly string[]): (channel: string) => boolean {
  const parsed = patterns.map(parsePattern);
  return (channel) => parsed.some((pattern) => matches(pattern, channel));
}
