/**
 * What the options say of clients' access, as a policy (policies.ts): who may listen without a token, the keys of those who come
 * with one, and the origins of pages. Keys come from files, which whoever changes the options has read, and from an
 * address, whose set may change at any time.
 */

import type { ClientPolicy, TokenKey } from '../link/policy.js';
import type { Logger } from './logger.js';
import type { AccessOptions } from './options.js';
import type { Policies } from './policies.js';
import { RemoteKeys } from './remote-keys.js';
import type { TokenFiles } from './token-files.js';

export class ClientAccess {
  readonly #policies: Policies;
  readonly #logger: Logger;
  readonly #clock: () => number;
  #options: AccessOptions;
  #fileKeys: readonly TokenKey[] = [];
  #remote: RemoteKeys | null = null;
  /** Null: none were fetched yet. */
  #remoteKeys: readonly TokenKey[] | null = null;

  /**
   * @param files what the files of the options have
   * @param clock milliseconds; never goes back
   */
  constructor(
    policies: Policies,
    logger: Logger,
    options: AccessOptions,
    files: TokenFiles,
    clock: () => number = () => performance.now(),
  ) {
    this.#policies = policies;
    this.#logger = logger;
    this.#clock = clock;
    this.#options = options;
    this.#apply(options, files);
  }

  /** Takes other options, with what their files have. Keys of an address that stays the same stay until it has others. */
  change(options: AccessOptions, files: TokenFiles): void {
    this.#apply(options, files);
    void this.refresh();
  }

  /** Looks for new keys, where these come from an address. Resolves when they are there, or nobody knows of any. */
  async refresh(): Promise<void> {
    await this.#remote?.refresh();
  }

  stop(): void {
    this.#remote?.stop();
  }

  #apply(options: AccessOptions, { keys, warnings }: TokenFiles): void {
    for (const warning of warnings) this.#logger.warn(warning);
    if (options.tokenJwksUrl !== this.#options.tokenJwksUrl || this.#remote === null)
      this.#fetchFrom(options.tokenJwksUrl);
    this.#options = options;
    this.#fileKeys = keys;
    this.#policies.change(this.#policy());
  }

  #fetchFrom(url: string | null): void {
    this.#remote?.stop();
    this.#remote = null;
    this.#remoteKeys = null;
    if (url === null) return;
    if (url.startsWith('http:')) {
      this.#logger.warn('keys of tokens come over http: whoever is on the way can make tokens', { url });
    }
    const events = {
      fetched: (keys: TokenKey[]) => this.#fetched(url, keys),
      failed: (reason: string) => {
        const now = this.#remoteKeys === null ? 'there are none, and tokens cannot be verified' : 'the last ones stay';
        this.#logger.warn(`keys of tokens cannot be fetched; ${now}`, { url, reason });
      },
    };
    this.#remote = new RemoteKeys(url, events, this.#clock);
  }

  #fetched(url: string, keys: readonly TokenKey[]): void {
    const same = JSON.stringify(keys) === JSON.stringify(this.#remoteKeys);
    this.#remoteKeys = keys;
    if (same) return;
    const kids = keys.map(({ kid, alg }) => `${kid ?? 'unnamed'} (${alg})`).join(', ');
    this.#logger.info('keys of tokens fetched', { url, keys: kids });
    this.#policies.change(this.#policy());
  }

  #policy(): Pick<ClientPolicy, 'anonymous' | 'origins' | 'tokens'> {
    const { anonymous, origins, tokenJwksUrl, tokenIssuer, tokenAudience, tokenToleranceSeconds } = this.#options;
    const takesTokens = this.#fileKeys.length > 0 || tokenJwksUrl !== null;
    if (!takesTokens) return { anonymous, origins, tokens: null };
    const tokens = {
      keys: [...this.#fileKeys, ...(this.#remoteKeys ?? [])],
      issuer: tokenIssuer,
      audience: tokenAudience,
      toleranceSeconds: tokenToleranceSeconds,
      rotates: tokenJwksUrl !== null,
      complete: tokenJwksUrl === null || this.#remoteKeys !== null,
    };
    return { anonymous, origins, tokens };
  }
}
