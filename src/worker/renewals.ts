/**
 * New tokens of WebSockets that are open: verified as those of requests are, one at a time for each connection. The same client goes on
 * with what the new token allows; channels that it does not allow are left.
 */

import type { Verdict } from '../tokens/verifier.js';
import { tokenRefusal } from '../transports/access.js';
import { refusedAnswer, tokenAnswer, unsubscribedAnswer } from '../transports/messages.js';
import type { Refusal } from '../transports/publishing.js';
import type { Access } from './access.js';
import type { FailureLimits } from './admissions.js';
import type { Streams } from './streams.js';

const NOT_TAKEN: Refusal = { code: 'invalid', message: 'this server takes no tokens', field: 'type' };
const UNDER_WAY: Refusal = {
  code: 'invalid',
  message: 'the token before this one is still being verified',
  field: 'token',
};
const EXHAUSTED: Refusal = {
  code: 'rate_limited',
  message: 'too many wrong tokens came from this address, try again later',
};
const BUSY: Refusal = { code: 'unavailable', message: 'tokens cannot be verified now, try again later' };
const OTHER_SUBJECT: Refusal = {
  code: 'forbidden',
  message: 'the token is of another subject: connect anew with it',
  field: 'token',
};

export class Renewals {
  readonly #access: Access;
  readonly #failures: FailureLimits;
  readonly #streams: Streams;
  readonly #say: (connection: number, json: string) => boolean;
  /** The mark of the token that is being verified, by connection. */
  readonly #underWay = new Map<number, { ref: string }>();

  /** @param say sends a JSON object; false where the connection is gone */
  constructor(
    parts: { access: Access; failures: FailureLimits; streams: Streams },
    say: (connection: number, json: string) => boolean,
  ) {
    this.#access = parts.access;
    this.#failures = parts.failures;
    this.#streams = parts.streams;
    this.#say = say;
  }

  /**
   * A client has a new token. It is answered now or later, unless the connection ends before.
   *
   * @param ref as of messages.ts
   * @returns false where the connection is gone
   */
  renew(connection: number, token: string, ref: string): boolean {
    const { tokens, takesTokens } = this.#access;
    if (!takesTokens) return this.#refuse(connection, NOT_TAKEN, ref);
    if (this.#underWay.has(connection)) return this.#refuse(connection, UNDER_WAY, ref);
    const known = tokens.known(token);
    if (known !== undefined) return this.#settle(connection, known, ref);
    if (this.#failures.isExhausted(connection)) return this.#refuse(connection, EXHAUSTED, ref);
    const mark = { ref };
    this.#underWay.set(connection, mark);
    const begun = tokens.verify(token, (verdict) => {
      // Whoever asked may have gone, and another have its number.
      if (this.#underWay.get(connection) !== mark) return;
      this.#underWay.delete(connection);
      this.#settle(connection, verdict, ref);
    });
    if (begun) return true;
    this.#underWay.delete(connection);
    return this.#refuse(connection, BUSY, ref);
  }

  /** A WebSocket departs. */
  left(connection: number): void {
    if (this.#underWay.size > 0) this.#underWay.delete(connection);
  }

  #settle(connection: number, verdict: Verdict | null, ref: string): boolean {
    if (verdict === null) return this.#refuse(connection, BUSY, ref);
    if ('failure' in verdict) {
      const { code, counts } = verdict.failure;
      if (counts) this.#failures.failed(connection);
      return this.#refuse(connection, { code, message: tokenRefusal(verdict.failure).message, field: 'token' }, ref);
    }
    const { grant } = verdict;
    const { identities } = this.#access;
    const subject = identities.subjectOf(connection);
    if (subject !== null && subject !== grant.subject) return this.#refuse(connection, OTHER_SUBJECT, ref);
    if (!identities.renew(connection, grant)) return this.#refuse(connection, BUSY, ref);
    const left = this.#streams
      .channelsOf(connection)
      .filter((channel) => !this.#access.maySubscribe(connection, channel));
    for (const channel of left) {
      const name = Buffer.from(channel);
      this.#streams.remove(connection, name, 0, name.length);
    }
    if (left.length > 0 && !this.#say(connection, unsubscribedAnswer(left, ''))) return false;
    return this.#say(connection, tokenAnswer(grant.expiresAtMs, ref));
  }

  #refuse(connection: number, refusal: Refusal, ref: string): boolean {
    return this.#say(connection, refusedAnswer(refusal, ref));
  }
}
