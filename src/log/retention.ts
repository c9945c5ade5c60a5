/**
 * Rules of retention: how much of a channel is kept, by its name.
 *
 *     news/*=1000/1h            at most 1,000 messages, each for an hour
 *     news/sport/*=1h/10MiB     an hour, at most 10 MiB; messages as for all channels
 *     alerts=1                  the last one, as long as all channels keep theirs
 *
 * Left of the last `=` stands a channel's name, or a prefix followed by `*`. Right of it stand limits separated by `/`, in any
 * order, each at most once; their units tell them apart:
 *
 *     1000                   messages
 *     500ms 90s 5m 12h 7d    age
 *     64B 100KiB 10MiB 1GiB  bytes of data
 *
 * What a rule does not name is as for all channels. The rule with the longest pattern that matches a channel counts, alone; a
 * name counts as longer than the same prefix with `*`.
 */

import { type ChannelPattern, matches, parsePattern } from '../channel-pattern.js';
import type { ChannelLimits, Retention, RetentionRule } from './log.js';

const AGE_SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };
const SIZE_BYTES: Record<string, number> = { B: 1, KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30 };

/**
 * Reads one rule.
 *
 * @throws Error with what is wrong and what is allowed
 */
export function parseRetentionRule(text: string): RetentionRule {
  const equals = text.lastIndexOf('=');
  const pattern = text.slice(0, equals);
  if (equals < 1) throw new Error(`'${text}' names no channels: write <pattern>=<limits>, as in 'news/*=1000/1h'`);
  if (parsePattern(pattern).prefix.includes('*')) {
    throw new Error(`'${pattern}' has a '*' before its end: a pattern is a name, or a prefix followed by '*'`);
  }
  const limits: { seconds?: number; messages?: number; bytes?: number } = {};
  for (const part of text.slice(equals + 1).split('/')) {
    const [name, value] = parseLimit(part);
    if (limits[name] !== undefined) throw new Error(`'${text}' limits ${name} twice`);
    limits[name] = value;
  }
  return { pattern, ...limits };
}

function parseLimit(text: string): ['seconds' | 'messages' | 'bytes', number] {
  const [, digits, unit] = /^([1-9][0-9]{0,14})([A-Za-z]*)$/.exec(text) ?? [];
  if (digits !== undefined && unit !== undefined) {
    const count = Number(digits);
    if (unit === '') return ['messages', count];
    if (Object.hasOwn(AGE_SECONDS, unit)) return ['seconds', count * AGE_SECONDS[unit]!];
    if (Object.hasOwn(SIZE_BYTES, unit)) return ['bytes', count * SIZE_BYTES[unit]!];
  }
  throw new Error(
    `'${text}' is no limit: write a number of messages (1000), an age (500ms, 90s, 5m, 12h, 7d) or a size (64B, 100KiB, 10MiB, 1GiB)`,
  );
}

/** One set of limits, and its number among those of the log. */
export interface LimitClass extends ChannelLimits {
  readonly number: number;
}

/** The rules, ready to be asked. */
export class RetentionRules {
  /** Number 0 has the limits of channels without a rule. */
  readonly classes: readonly LimitClass[];
  /** Longest first. */
  readonly #patterns: (ChannelPattern & { readonly limits: LimitClass })[];

  /** @throws Error where two rules have the same pattern */
  constructor(retention: Retention) {
    const { seconds, messages, bytes, rules = [] } = retention;
    const classes: LimitClass[] = [{ seconds, messages, bytes, number: 0 }];
    this.#patterns = rules.map(({ pattern, ...limits }, i) => {
      if (rules.findIndex((rule) => rule.pattern === pattern) !== i) throw new Error(`'${pattern}' has two rules`);
      classes.push({ seconds, messages, bytes, ...limits, number: i + 1 });
      return { ...parsePattern(pattern), limits: classes[i + 1]! };
    });
    this.#patterns.sort((a, b) => b.prefix.length - a.prefix.length || Number(b.exact) - Number(a.exact));
    this.classes = classes;
  }

  /** The limits of a channel. Asked when its first publication comes, not for each. */
  resolve(channel: string): LimitClass {
    return this.#patterns.find((pattern) => matches(pattern, channel))?.limits ?? this.classes[0]!;
  }
}
