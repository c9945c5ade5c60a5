/**
 * The policy of clients (src/link/policy.ts) at the manager: what it is now, and who has to be told when it changes. Each part of
 * the manager that decides something of it changes its own members.
 */

import type { ClientPolicy } from '../link/policy.js';
import type { ServeOptions } from './options.js';

export class Policies {
  #current: ClientPolicy;
  readonly #takers: ((policy: ClientPolicy) => void)[] = [];

  constructor(policy: ClientPolicy) {
    this.#current = policy;
  }

  get current(): ClientPolicy {
    return this.#current;
  }

  /** Changes these members and leaves the others. All links are told, unless it is the same as before. */
  change(members: Partial<ClientPolicy>): void {
    const next = { ...this.#current, ...members };
    if (JSON.stringify(next) === JSON.stringify(this.#current)) return;
    this.#current = next;
    for (const taker of this.#takers) taker(next);
  }

  /** `taker` hears of every change from now on. */
  subscribe(taker: (policy: ClientPolicy) => void): void {
    this.#takers.push(taker);
  }
}

/** What the options say of limits, presence and webhooks. */
export function stormPolicy({ storms, workers }: Pick<ServeOptions, 'storms' | 'workers'>): Partial<ClientPolicy> {
  return {
    connectionsPerAddress: storms.connectionsPerAddress,
    acceptRate: storms.acceptRate,
    workers,
    trustedProxies: storms.trustedProxies,
    events: storms.webhook !== null,
    presenceGraceMs: storms.presenceGraceSeconds * 1000,
  };
}
