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

/** Patterns for names as they come in requests: strings, or bytes of which no string is made. */
export class ChannelPatterns {
  /** Every name matches. */
  readonly all: boolean;
  /** No name does. */
  readonly none: boolean;
  readonly #patterns: readonly ChannelPattern[];
  readonly #prefixes: readonly Uint8Array[];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map(parsePattern);
    this.#prefixes = this.#patterns.map(({ prefix }) => Buffer.from(prefix));
    this.all = patterns.includes('*');
    this.none = patterns.length === 0;
  }

  has(channel: string): boolean {
    return this.#patterns.some((pattern) => matches(pattern, channel));
  }

  /** Whether the name bytes[start..end) matches. */
  hasBytes(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.all) return true;
    for (let i = 0; i < this.#prefixes.length; i++) {
      const prefix = this.#prefixes[i];
      const length = end - start;
      if (this.#patterns[i].exact ? length !== prefix.length : length < prefix.length) continue;
      let at = 0;
      while (at < prefix.length && bytes[start + at] === prefix[at]) at++;
      if (at === prefix.length) return true;
    }
    return false;
  }
}

/** Whether a channel's name matches one of the patterns. */
export function channelMatcher(patterns: readonly string[]): (channel: string) => boolean {
  const parsed = new ChannelPatterns(patterns);
  return (channel) => parsed.has(channel);
}
