/**
 * Where a request has its token: one of these, by what its client can do.
 *
 *     Authorization: Bearer <token>                                   programs, fetch (RFC 6750 section 2.1)
 *     ?token=<token>                                                  EventSource, JSONP
 *     Sec-WebSocket-Protocol: megacomet, megacomet.token.<token>      WebSocket in browsers
 */

import { ascii, equalsFolded, SP } from '../http/characters.js';
import { latin1 } from '../http/list-field.js';
import { DECODING_FAILED, decodeValue, parameterName, valueStart } from '../http/query.js';
import { HEADER_AUTHORIZATION, type RequestHead } from '../http/request-head.js';
import { TOKEN_BYTES_MAX } from '../limits.js';
import { subprotocolsOf } from '../websocket/handshake.js';

/** The subprotocol that the server speaks, and what one begins with that is a token. */
export const SUBPROTOCOL = 'megacomet';
const TOKEN_SUBPROTOCOL = `${SUBPROTOCOL}.token.`;

const BEARER = ascii('bearer');
const TOKEN = parameterName('token');
const AMPERSAND = 0x26;

/** `read`: there is no token. */
export const TOKEN_NONE = 0;
/** `read`: there is one in `token`. */
export const TOKEN_FOUND = 1;
/** `read`: it is longer than any token may be, or encoded wrongly. */
export const TOKEN_MALFORMED = 2;
/** `read`: there are several, of which nobody knows which counts (RFC 6750 section 2). */
export const TOKEN_TWICE = 3;

/** One serves all requests of a worker: what `read` found is overwritten by the next call. */
export class TokenReader {
  token = '';
  #found = TOKEN_NONE;
  readonly #scratch = Buffer.alloc(TOKEN_BYTES_MAX);

  /** TOKEN_…, of the request that was parsed from `bytes`. */
  read(bytes: Uint8Array, head: RequestHead): number {
    this.token = '';
    this.#found = TOKEN_NONE;
    this.#readAuthorization(bytes, head);
    this.#readQuery(bytes, head);
    if (head.upgradeWebSocket) {
      for (const name of subprotocolsOf(bytes, head)) {
        if (name.startsWith(TOKEN_SUBPROTOCOL)) this.#take(name.slice(TOKEN_SUBPROTOCOL.length));
      }
    }
    return this.#found;
  }

  /** Other schemes are somebody else's matter, a proxy's for instance. */
  #readAuthorization(bytes: Uint8Array, head: RequestHead): void {
    const start = head.valueStart[HEADER_AUTHORIZATION];
    const end = head.valueEnd[HEADER_AUTHORIZATION];
    let at = start + BEARER.length;
    if (start === 0 || at >= end || bytes[at] !== SP || !equalsFolded(bytes, start, at, BEARER)) return;
    while (at < end && bytes[at] === SP) at++;
    this.#take(latin1(bytes, at, end));
  }

  #readQuery(bytes: Uint8Array, head: RequestHead): void {
    for (let from = head.queryStart; from < head.queryEnd; ) {
      let to = from;
      while (to < head.queryEnd && bytes[to] !== AMPERSAND) to++;
      const value = valueStart(bytes, from, to, TOKEN);
      if (value >= 0) {
        const length = decodeValue(bytes, value, to, this.#scratch, 0);
        this.#take(length === DECODING_FAILED ? null : latin1(this.#scratch, 0, length));
      }
      from = to + 1;
    }
  }

  /** @param token null: one that cannot be read. An empty one is none. */
  #take(token: string | null): void {
    if (token === '') return;
    if (this.#found !== TOKEN_NONE) this.#found = TOKEN_TWICE;
    else if (token === null || token.length > TOKEN_BYTES_MAX) this.#found = TOKEN_MALFORMED;
    else {
      this.token = token;
      this.#found = TOKEN_FOUND;
    }
  }
}
