/**
 * What each client may do: the policy (src/link/policy.ts) as the last manager told it, the identities of clients that came with a
 * token, and verdicts on tokens. What anybody may, the holder of a token may too.
 */

import { ChannelPatterns } from '../channel-pattern.js';
import { type ClientPolicy, OPEN_POLICY } from '../link/policy.js';
import type { Grant } from '../tokens/grant.js';
import type { PublishRule } from '../transports/publishing.js';
import { Identities } from './identities.js';
import { Tokens } from './tokens.js';

/** Names of channels, one behind the other: that of channel i ends at `channelEnds[i]`, where the next one begins. */
export interface ChannelNames {
  readonly channels: Uint8Array;
  readonly channelEnds: Int32Array;
  readonly channelCount: number;
}

/** The way to the manager. */
export interface AccessReports {
  /** A token has a key that is unknown here; answered by a policy. @returns false where there is no manager */
  keyUnknown(): boolean;
}

export class Access {
  readonly identities: Identities;
  readonly tokens: Tokens;
  readonly #wallMs: () => number;
  #policy: ClientPolicy = OPEN_POLICY;
  #subscribe = new ChannelPatterns([]);
  #publish = new ChannelPatterns([]);

  /**
   * @param capacity connections are below this
   * @param wallMs milliseconds since 1970
   */
  constructor(capacity: number, reports: AccessReports, wallMs: () => number) {
    this.identities = new Identities(capacity);
    this.tokens = new Tokens(() => reports.keyUnknown(), wallMs);
    this.#wallMs = wallMs;
  }

  get policy(): ClientPolicy {
    return this.#policy;
  }

  /** Tokens are looked at. */
  get takesTokens(): boolean {
    return this.#policy.tokens !== null;
  }

  /** From now on. Connections that are there stay, whatever it says. */
  apply(policy: ClientPolicy): void {
    this.#policy = policy;
    this.#subscribe = new ChannelPatterns(policy.anonymous);
    this.#publish = new ChannelPatterns(policy.publish);
    this.tokens.apply(policy.tokens);
  }

  /** Whether somebody may publish on some channel. */
  get publishing(): boolean {
    return !this.#publish.none || this.takesTokens;
  }

  /** Whether somebody without a token may publish on some channel. */
  get anonymousPublishing(): boolean {
    return !this.#publish.none;
  }

  /** Whether a connection may subscribe to a channel, by its token or as anybody may. */
  maySubscribe(connection: number, channel: string): boolean {
    return this.#subscribe.has(channel) || this.identities.maySubscribe(connection, channel);
  }

  /**
   * The first of several channels that may not be subscribed to, by this token or as anybody may.
   *
   * @returns its name, or null where all may be
   */
  firstForbidden(names: ChannelNames, grant: Grant | null): string | null {
    if (this.#subscribe.all) return null;
    const { channels, channelEnds, channelCount } = names;
    const granted = new ChannelPatterns(grant?.subscribe ?? []);
    for (let i = 0, start = 0; i < channelCount; start = channelEnds[i++]) {
      const end = channelEnds[i];
      if (this.#subscribe.hasBytes(channels, start, end) || granted.hasBytes(channels, start, end)) continue;
      return Buffer.from(channels.subarray(start, end)).toString();
    }
    return null;
  }

  /** Whether a channel may be published on by this token, or as anybody may. */
  publishRule(grant: Grant | null): PublishRule {
    const granted = new ChannelPatterns(grant?.publish ?? []);
    return (channel) => this.#publish.has(channel) || granted.has(channel);
  }

  /** Whether a connection that listens may publish on a channel, by its token or as anybody may. */
  mayPublish(connection: number, channel: string): boolean {
    return this.#publish.has(channel) || this.identities.mayPublish(connection, channel);
  }

  /** Calls `expired` for listening connections whose token is over. Called at a steady pace. */
  sweep(expired: (connection: number) => void): void {
    if (this.identities.size === 0) return;
    const toleranceMs = (this.#policy.tokens?.toleranceSeconds ?? 0) * 1000;
    this.identities.sweep(this.#wallMs() - toleranceMs, expired);
  }
}
