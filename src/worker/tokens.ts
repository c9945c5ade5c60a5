/**
 * Verdicts on tokens: remembered, or made by the verifier (src/tokens/verifier.ts) outside of the worker's turns.
 *
 * A verification runs on Node's threads and ends between two turns; what it says is told in the `tick` after the next one.
 * While some are under way (`busy`) no turn may wait in the kernel. Of a token only its hash is kept. All is bounded: verdicts
 * that are remembered, verifications under way, and those that wait for their turn.
 *
 * A token with an unknown key, where keys come from an address, waits for the manager to look (KEY_UNKNOWN, answered by `apply`),
 * and is tried once more then.
 */

import { createHash } from 'node:crypto';
import {
  KEY_UNKNOWN_MS,
  TOKENS_KEYLESS_MAX,
  TOKENS_KNOWN_MAX,
  TOKENS_REFUSED_MAX,
  VERIFICATIONS_AT_ONCE,
  VERIFICATIONS_WAITING_MAX,
} from '../limits.js';
import type { TokenPolicy } from '../link/policy.js';
import { EXPIRED, TokenVerifier, type Verdict } from '../tokens/verifier.js';

/** Gets the verdict, in a `tick`; null: there will be none, since tokens are no longer taken or keys did not come. */
export type Judged = (verdict: Verdict | null) => void;

/** A token whose verdict is waited for. */
interface Case {
  readonly hash: string;
  readonly token: string;
  readonly waiting: Judged[];
  /** Waits for other keys. */
  asked: boolean;
}

export class Tokens {
  readonly #askForKeys: () => boolean;
  readonly #wallMs: () => number;
  #policy: TokenPolicy | null = null;
  #verifier: TokenVerifier | null = null;
  /** By hash; the first is the one that was used least lately. */
  readonly #known = new Map<string, Verdict>();
  readonly #refused = new Map<string, Verdict>();
  readonly #cases = new Map<string, Case>();
  /** Cases that no verification was begun for. */
  #queue: Case[] = [];
  #underWay = 0;
  /** Verified, and to be told in `tick`. */
  #settled: { found: Case; verdict: Verdict }[] = [];
  /** Wait for the manager's answer about keys. */
  #keyless: Case[] = [];
  #askedMs = Number.NEGATIVE_INFINITY;

  /**
   * @param askForKeys tells the manager that a key is unknown; false: there is no manager
   * @param wallMs milliseconds since 1970
   */
  constructor(askForKeys: () => boolean, wallMs: () => number) {
    this.#askForKeys = askForKeys;
    this.#wallMs = wallMs;
  }

  /** Verifications are under way, or have ended and are not told yet: turns must not wait. */
  get busy(): boolean {
    return this.#underWay > 0 || this.#settled.length > 0 || this.#queue.length > 0;
  }

  /** The keys from now on; also the answer to a question for keys. Null: tokens are not looked at. */
  apply(policy: TokenPolicy | null): void {
    const same = JSON.stringify(policy) === JSON.stringify(this.#policy);
    if (!same) {
      this.#policy = policy;
      this.#verifier = policy === null ? null : new TokenVerifier(policy, this.#wallMs);
      this.#known.clear();
      this.#refused.clear();
    }
    const keyless = this.#keyless;
    this.#keyless = [];
    for (const found of keyless) {
      if (this.#verifier === null) this.#tell(found, null);
      else this.#queue.push(found);
    }
    this.#begin();
  }

  /** The verdict on a token that was met before; undefined: it has to be verified. */
  known(token: string): Verdict | undefined {
    const hash = hashOf(token);
    const verdict = this.#known.get(hash);
    if (verdict === undefined) return this.#refused.get(hash);
    // Used now: the last to be forgotten.
    this.#known.delete(hash);
    this.#known.set(hash, verdict);
    return this.#timely(verdict);
  }

  /** Has a token verified. @returns false where too many wait already */
  verify(token: string, judged: Judged): boolean {
    const hash = hashOf(token);
    const same = this.#cases.get(hash);
    if (same !== undefined) {
      same.waiting.push(judged);
      return true;
    }
    if (this.#cases.size >= VERIFICATIONS_WAITING_MAX) return false;
    const found: Case = { hash, token, waiting: [judged], asked: false };
    this.#cases.set(hash, found);
    this.#queue.push(found);
    this.#begin();
    return true;
  }

  /** After each turn: tells the verdicts that have come. */
  tick(): void {
    if (this.#settled.length > 0) {
      const settled = this.#settled;
      this.#settled = [];
      for (const { found, verdict } of settled) this.#settle(found, verdict);
    }
    if (this.#queue.length > 0) this.#begin();
  }

  /** The link is lost: nobody will answer about keys, and what is known now is what counts. */
  managerLost(): void {
    const keyless = this.#keyless;
    this.#keyless = [];
    for (const found of keyless) this.#tell(found, null);
  }

  #begin(): void {
    const verifier = this.#verifier;
    if (verifier === null) {
      for (const found of this.#queue.splice(0)) this.#tell(found, null);
      return;
    }
    const count = Math.min(this.#queue.length, VERIFICATIONS_AT_ONCE - this.#underWay);
    for (const found of this.#queue.splice(0, count)) {
      this.#underWay++;
      void verifier.verify(found.token).then((verdict) => {
        this.#underWay--;
        // By keys that have changed meanwhile it counts for nothing.
        if (verifier === this.#verifier) this.#settled.push({ found, verdict });
        else this.#queue.push(found);
      });
    }
  }

  #settle(found: Case, verdict: Verdict): void {
    const keyUnknown = 'failure' in verdict && verdict.failure.keyUnknown;
    const isCrowded = this.#keyless.length >= TOKENS_KEYLESS_MAX;
    if (keyUnknown && !found.asked && !isCrowded && this.#ask(found)) return;
    // As long as no keys have come, or have been waited for, nobody can say that a token is wrong.
    if (keyUnknown && (!this.#policy?.complete || (isCrowded && !found.asked))) {
      this.#tell(found, null);
      return;
    }
    // A key may be there the next time.
    if (!keyUnknown) this.#remember(found.hash, verdict);
    this.#tell(found, verdict);
  }

  /** Asks for new keys, or joins those who wait for the answer. @returns false where nobody is asked now */
  #ask(found: Case): boolean {
    const nowMs = this.#wallMs();
    if (this.#keyless.length === 0) {
      if (Math.abs(nowMs - this.#askedMs) < KEY_UNKNOWN_MS || !this.#askForKeys()) return false;
      this.#askedMs = nowMs;
    }
    found.asked = true;
    this.#keyless.push(found);
    return true;
  }

  #remember(hash: string, verdict: Verdict): void {
    if ('grant' in verdict) put(this.#known, TOKENS_KNOWN_MAX, hash, verdict);
    else if (verdict.failure.final) put(this.#refused, TOKENS_REFUSED_MAX, hash, verdict);
  }

  #tell(found: Case, verdict: Verdict | null): void {
    this.#cases.delete(found.hash);
    for (const judged of found.waiting) judged(verdict);
  }

  #timely(verdict: Verdict): Verdict {
    if (!('grant' in verdict)) return verdict;
    const toleranceMs = (this.#policy?.toleranceSeconds ?? 0) * 1000;
    return verdict.grant.expiresAtMs + toleranceMs <= this.#wallMs() ? { failure: EXPIRED } : verdict;
  }
}

function put(verdicts: Map<string, Verdict>, countMax: number, hash: string, verdict: Verdict): void {
  if (verdicts.size >= countMax) verdicts.delete(verdicts.keys().next().value!);
  verdicts.set(hash, verdict);
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
