/**
 * The origins of pages that may use the server, where there is a list of them: which one each client has, and its answers.
 *
 * A browser says of which origin a page is, and the page cannot change that; other programs say what they like, or nothing. So
 * this keeps out pages, not clients: what a client may do is its token's matter (access.ts).
 */

import { latin1 } from '../http/list-field.js';
import { answerForOrigin } from '../http/origin.js';
import { HEADER_ORIGIN, HEADER_SEC_FETCH_SITE, type RequestHead } from '../http/request-head.js';

/** Of a client that is no page of another site. */
const NO_ORIGIN = 0;

export class Origins {
  readonly #capacity: number;
  /** Answers depend on their origin. */
  restricted = false;
  /** Numbers of origins, from 1. A number keeps its origin, since answers may still be on their way. */
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [''];
  #allowed = new Set<string>();
  /** By connection; null until there is a list. */
  #of: Uint16Array | null = null;

  /** @param capacity connections are below this */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The list from now on; null: all. */
  apply(origins: readonly string[] | null): void {
    this.restricted = origins !== null;
    this.#allowed = new Set(origins);
    if (origins === null) return;
    this.#of ??= new Uint16Array(this.#capacity);
    for (const origin of origins) {
      if (!this.#numbers.has(origin)) this.#numbers.set(origin, this.#names.push(origin) - 1);
    }
  }

  /** A client is new; where `restricted`. */
  accepted(connection: number): void {
    this.#of![connection] = NO_ORIGIN;
  }

  /**
   * Notes the origin of a request, for its answers; where `restricted`.
   *
   * @returns false where it comes from a page that may not use the server
   */
  note(connection: number, bytes: Uint8Array, head: RequestHead): boolean {
    const start = head.valueStart[HEADER_ORIGIN];
    this.#of![connection] = NO_ORIGIN;
    if (start === 0) return !isOfAnotherSite(bytes, head);
    const origin = latin1(bytes, start, head.valueEnd[HEADER_ORIGIN]);
    if (!this.#allowed.has(origin)) return false;
    this.#of![connection] = this.#numbers.get(origin)!;
    return true;
  }

  /** An answer to a connection, or its head; where `restricted`. A new array, or the same one */
  answer(connection: number, answer: Uint8Array): Uint8Array {
    return answerForOrigin(answer, this.#names[this.#of![connection]]);
  }
}

/**
 * Whether a browser says that a page of another site loads this as a script or picture, or links to it, all of which have no Origin (Fetch
 * Metadata, section 2.3). Browsers of before 2023 do not say it.
 */
function isOfAnotherSite(bytes: Uint8Array, head: RequestHead): boolean {
  const start = head.valueStart[HEADER_SEC_FETCH_SITE];
  if (start === 0) return false;
  const site = latin1(bytes, start, head.valueEnd[HEADER_SEC_FETCH_SITE]);
  return site !== 'same-origin' && site !== 'none';
}
