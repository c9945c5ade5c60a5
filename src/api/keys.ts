/**
 * API keys: who may use which part of the API, on which channels.
 *
 * A key is `mk_` and 256 random bits. The file has only its SHA-256: nothing that anybody has chosen, and could be guessed, goes into
 * it, so that a slow hash would protect nothing. A key that is shown is compared with all, each in constant time, whether it is
 * known or not.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { channelMatcher } from '../channel-pattern.js';

/**
 * - publish: publish and broadcast on the channels
 * - read: lists, presence, history and trace of the channels
 * - monitor: status and metrics
 * - admin: everything, on all channels
 */
export const RIGHTS = ['publish', 'read', 'monitor', 'admin'] as const;
export type Right = (typeof RIGHTS)[number];

export const KEY_PREFIX = 'mk_';
const KEY_BYTES = 32;
/** Comparing with so many takes some 100 µs. */
export const API_KEYS_MAX = 256;

/** A key as the file has it. */
export interface ApiKeyEntry {
  readonly name: string;
  /** SHA-256 of the key's text. */
  readonly hash: Buffer;
  readonly rights: readonly Right[];
  /** Patterns of the channels for publish and read. */
  readonly channels: readonly string[];
}

/** Who makes a request. */
export class ApiKey {
  /** The name in the file; empty where the API has no keys. */
  readonly name: string;
  /** Patterns of the channels that it may use; null: all. */
  readonly channels: readonly string[] | null;
  readonly #rights: ReadonlySet<Right>;
  readonly #mayUse: (channel: string) => boolean;

  constructor({ name, rights, channels }: Pick<ApiKeyEntry, 'name' | 'rights' | 'channels'>) {
    this.name = name;
    this.#rights = new Set(rights);
    this.channels = this.#rights.has('admin') || channels.includes('*') ? null : channels;
    this.#mayUse = this.channels === null ? () => true : channelMatcher(this.channels);
  }

  has(right: Right): boolean {
    return this.#rights.has(right) || this.#rights.has('admin');
  }

  /** Whether the channel is one of the key's. */
  mayUse(channel: string): boolean {
    return this.#mayUse(channel);
  }
}

/** Where the API has no keys, everybody who reaches it may do everything. */
export const EVERYBODY = new ApiKey({ name: '', rights: ['admin'], channels: [] });

/** The keys that are valid now. */
export class ApiKeys {
  #entries: readonly { readonly hash: Buffer; readonly key: ApiKey }[] | null = null;

  /** @param entries null: the API has no keys, and is open */
  constructor(entries: readonly ApiKeyEntry[] | null) {
    this.set(entries);
  }

  /** False where everybody may do everything. */
  get required(): boolean {
    return this.#entries !== null;
  }

  /** Replaces all keys; requests from now on need one of these. */
  set(entries: readonly ApiKeyEntry[] | null): void {
    this.#entries = entries?.map((entry) => ({ hash: entry.hash, key: new ApiKey(entry) })) ?? null;
  }

  /** Whose key this is, or null. Takes the same time for each. */
  find(text: string): ApiKey | null {
    const hash = hashKey(text);
    let found: ApiKey | null = null;
    for (const entry of this.#entries ?? []) if (timingSafeEqual(entry.hash, hash)) found = entry.key;
    return found;
  }
}

export function generateKey(): string {
  return KEY_PREFIX + randomBytes(KEY_BYTES).toString('base64url');
}

export function hashKey(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
