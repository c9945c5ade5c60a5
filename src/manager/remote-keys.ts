/**
 * The keys of `--token-jwks-url`: a JSON Web Key Set that an issuer publishes, fetched now and then, and when a worker meets a token
 * with an unknown key. One that cannot be fetched, or is of no use, leaves the keys as they are.
 *
 * Whoever asks for a fetch waits for the one that is under way, and causes none within COOLDOWN_MS of the last: strangers
 * can make up names of keys as they like.
 */

import { TOKEN_KEYS_BYTES_MAX } from '../limits.js';
import type { TokenKey } from '../link/policy.js';
import { withinTime } from '../time-limit.js';
import { keysOfSet } from '../tokens/keys.js';

const FETCH_TIMEOUT_MS = 5000;
/** Between two fetches that tokens ask for. */
const COOLDOWN_MS = 5000;
/** How long a set is good for: unless its answer says (Cache-Control: max-age), at least, and at most. */
const FRESH_MS = 10 * 60_000;
const FRESH_MS_MIN = 60_000;
const FRESH_MS_MAX = 60 * 60_000;
/** After a failure: doubled each time. */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;

export interface RemoteKeysEvents {
  /** A set was fetched, the same as before or another one. */
  fetched(keys: TokenKey[]): void;
  /** It could not be fetched. */
  failed(reason: string): void;
}

export class RemoteKeys {
  readonly #url: string;
  readonly #events: RemoteKeysEvents;
  readonly #clock: () => number;
  #fetching: Promise<void> | null = null;
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #stopped = new AbortController();

  /** @param clock milliseconds; never goes back */
  constructor(url: string, events: RemoteKeysEvents, clock: () => number) {
    this.#url = url;
    this.#events = events;
    this.#clock = clock;
  }

  /** Fetches the set, for the first time or before its time, unless it was just now. Resolves when it is there, or has failed. */
  refresh(): Promise<void> {
    if (this.#fetching === null && this.#clock() - this.#fetchedMs < COOLDOWN_MS) return Promise.resolve();
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = null));
    return this.#fetching;
  }

  stop(): void {
    this.#stopped.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #fetch(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#fetchedMs = this.#clock();
    let nextMs: number;
    try {
      const { keys, freshMs } = await withinTime(FETCH_TIMEOUT_MS, this.#stopped.signal, (limit) => this.#get(limit));
      if (this.#stopped.signal.aborted) return;
      this.#failures = 0;
      nextMs = freshMs;
      this.#events.fetched(keys);
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      nextMs = Math.min(RETRY_MS * 2 ** this.#failures++, RETRY_MS_MAX);
      this.#events.failed(reasonOf(error));
    }
    this.#timer = setTimeout(() => void this.#again(), nextMs);
    this.#timer.unref();
  }

  #again(): Promise<void> {
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = null));
    return this.#fetching;
  }

  async #get(signal: AbortSignal): Promise<{ keys: TokenKey[]; freshMs: number }> {
    const headers = { accept: 'application/jwk-set+json, application/json' };
    // An address that leads elsewhere is not the one that the operator has trusted.
    const response = await fetch(this.#url, { headers, redirect: 'error', signal });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`it answers ${response.status}`);
    }
    const text = await textOf(response);
    let set: unknown;
    try {
      set = JSON.parse(text);
    } catch {
      throw new Error('its answer is no JSON');
    }
    const maxAge = /(?:^|[,\s])max-age=(\d{1,9})/i.exec(response.headers.get('cache-control') ?? '')?.[1];
    const freshMs = maxAge === undefined ? FRESH_MS : Number(maxAge) * 1000;
    return { keys: keysOfSet(set, 'usable'), freshMs: Math.min(Math.max(freshMs, FRESH_MS_MIN), FRESH_MS_MAX) };
  }
}

/** The body, which is refused as soon as it is too large. */
async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > TOKEN_KEYS_BYTES_MAX) throw new Error(`its answer has more than ${TOKEN_KEYS_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What fetch rejects with says only that it failed; why is in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause, name } = error as Error;
  if (name === 'TimeoutError') return `it does not answer within ${FETCH_TIMEOUT_MS / 1000} s`;
  return cause instanceof Error ? `${message}: ${cause.message || (cause as NodeJS.ErrnoException).code}` : message;
}
