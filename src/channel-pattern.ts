/**
 * Patterns of channel names: a name, or the beginning of names and an asterisk at its end (`chat/*`, `*`).
 */

import { isChannelName } from './channel-name.js';

/** The rule, for messages. */
export const CHANNEL_PATTERN_RULE = "a channel's name, or the beginning of names with a * at its end, such as chat/*";

export function isChannelPattern(pattern: string): boolean {
  return pattern === '*' || isChannelName(pattern.endsWith('*') ? pattern.slice(0, -1) : pattern);
}

/** Whether a channel's name matches one of the patterns. */
export function channelMatcher(patterns: readonly string[]): (channel: string) => boolean {
  const names = new Set(patterns.filter((pattern) => !pattern.endsWith('*')));
  const prefixes = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1));
  return (channel) => names.has(channel) || prefixes.some((prefix) => channel.startsWith(prefix));
}
