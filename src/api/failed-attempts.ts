/**
 * How often each address has shown a wrong key lately: a token bucket for each. Who has emptied it is refused unheard until a
 * token is back, so that guessing is slow, and costs this process little.
 *
 * Bounded: of more than ADDRESSES_MAX addresses, the one that failed the longest ago is forgotten. An address of IPv6 counts by
 * its first 64 bits, since whoever has one of them has all.
 */

import { isIPv6 } from 'node:net';

/** Attempts that may fail at once … */
export const ATTEMPTS = 10;
/** … and after how long another one may. */
export const ATTEMPT_MS = 6_000;
/** About 200 bytes each. */
export const ADDRESSES_MAX = 10_000;

export class FailedAttempts {
  /** When the bucket of an address will be full again; in the order of their last failures. */
  readonly #fullAtMs = new Map<string, number>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#fullAtMs.size;
  }

  /** How long the address has to wait, in ms; 0 where it may try. */
  waitMs(address: string): number {
    const key = bucketOf(address);
    const fullAtMs = this.#fullAtMs.get(key);
    if (fullAtMs === undefined) return 0;
    const missingMs = fullAtMs - this.#now();
    if (missingMs <= 0) this.#fullAtMs.delete(key);
    return Math.max(0, missingMs - (ATTEMPTS - 1) * ATTEMPT_MS);
  }

  /** The address has shown a wrong key. */
  failed(address: string): void {
    const key = bucketOf(address);
    const nowMs = this.#now();
    const fullAtMs = Math.max(nowMs, this.#fullAtMs.get(key) ?? 0) + ATTEMPT_MS;
    this.#fullAtMs.delete(key);
    if (this.#fullAtMs.size >= ADDRESSES_MAX) this.#fullAtMs.delete(this.#fullAtMs.keys().next().value!);
    this.#fullAtMs.set(key, fullAtMs);
  }
}

/** The address, or the /64 of an IPv6 one; `::ffff:1.2.3.4` is IPv4. */
function bucketOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head, tail] = address.split('%', 1)[0].split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...new Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':');
}
