/**
 * What each client may do: the policy (src/link/policy.ts) as the last manager told it, and the identities of clients that came with
 * a token. What anybody may, the holder of a token may too.
 */

import { ChannelPatterns } from '../channel-pattern.js';
import { type ClientPolicy, OPEN_POLICY } from '../link/policy.js';
import { Identities } from './identities.js';

export class Access {
  readonly identities: Identities;
  #policy: ClientPolicy = OPEN_POLICY;
  #subscribe = new ChannelPatterns([]);
  #publish = new ChannelPatterns([]);

  /** @param capacity connections are below this */
  constructor(capacity: number) {
    this.identities = new Identities(capacity);
  }

  get policy(): ClientPolicy {
    return this.#policy;
  }

  /** From now on. Connections that are there stay, whatever it says. */
  apply(policy: ClientPolicy): void {
    this.#policy = policy;
    this.#subscribe = new ChannelPatterns(policy.anonymous);
    this.#publish = new ChannelPatterns(policy.publish);
  }

  /** Whether somebody may publish on some channel. */
  get publishing(): boolean {
    return !this.#publish.none || this.#policy.tokens !== null;
  }

  /** Whether a connection may subscribe to a channel, by its token or as anybody may. */
  maySubscribe(connection: number, channel: string): boolean {
    return this.#subscribe.has(channel) || this.identities.maySubscribe(connection, channel);
  }

  /** Whether a connection may publish on a channel, by its token or as anybody may. */
  mayPublish(connection: number, channel: string): boolean {
    return this.#publish.has(channel) || this.identities.mayPublish(connection, channel);
  }
}
