/**
 * Which of the clients that were accepted may stay: no more connections of one address than it may have, and no more new ones a second
 * than the server is to take. Others are refused, with 503 and a time to come back that differs from client to client.
 *
 *     accepted ──► counted ──► HEAD …
 *            └───► REFUSED ──first bytes──► 503, LINGERING         the answer to a request that nobody reads
 *
 * A client that comes through a trusted proxy is counted by what the proxy says of it, from the head of its request to the end of the
 * answer. An address is looked at only where one of the limits is on, or where somebody keeps count of failures.
 *
 * Refusing costs a row for some seconds and one answer; so a worker answers REFUSALS_PER_SECOND, and resets what is more.
 */

import { listField } from '../http/list-field.js';
import { HEADER_X_FORWARDED_FOR, isHeadRequest, METHOD_HEAD, type RequestHead } from '../http/request-head.js';
import { FAILED_TOKENS_MAX, LINGER_MS, REFUSALS_PER_SECOND } from '../limits.js';
import type { AddressCounts } from '../link/frames.js';
import type { ClientPolicy } from '../link/policy.js';
import { addressHost, encodeSocketAddress } from '../linux/socket-address.js';
import type { Reactor } from '../reactor/reactor.js';
import { unavailableAnswer } from '../transports/answers.js';
import { Addresses, NO_ADDRESS } from './addresses.js';
import type { FailureLimits } from './admissions.js';
import type { ConnectionControl } from './connection-control.js';
import { type Connections, PHASE_REFUSED } from './connections.js';
import { forwardedFor, Networks } from './networks.js';
import { TokenStock } from './token-stock.js';

const FORWARDED_FOR = Buffer.from('x-forwarded-for');

/** Why a client is refused; the code of its error. */
type Reason = 'too_many_connections' | 'rate_limited';

const MESSAGES: Readonly<Record<Reason, string>> = {
  too_many_connections: 'this address has as many connections as it may have',
  rate_limited: 'too many clients come at this moment',
};

/** When a refused client may come back: between these, in seconds. */
const RETRY_AFTER_S_MIN = 2;
const RETRY_AFTER_S_MAX = 15;

export class Arrivals implements FailureLimits {
  readonly #reactor: Reactor;
  readonly #connections: Connections;
  readonly #control: ConnectionControl;
  readonly #random: () => number;
  /** Null until somebody asks. */
  #addresses: Addresses | null = null;
  /** Connections of an address are to be known. */
  tracking = false;
  /** Clients that are accepted have to be looked at. */
  active = false;
  /** … or had to be at some time: then connections that end have to be looked at too. */
  remembers = false;
  /** Some requests have to be looked at: they may come through a proxy. */
  proxied = false;
  #perAddress = 0;
  #proxies = new Networks([]);
  /** By connection: 1 for those of trusted proxies; null until somebody asks. */
  #ofProxy: Uint8Array | null = null;
  readonly #rate = new TokenStock();
  readonly #refusals = new TokenStock();
  readonly #refused = new Map<number, Reason>();

  /** @param random from 0 to below 1 */
  constructor(
    parts: { reactor: Reactor; connections: Connections; control: ConnectionControl },
    random: () => number = Math.random,
  ) {
    this.#reactor = parts.reactor;
    this.#connections = parts.connections;
    this.#control = parts.control;
    this.#random = random;
    this.#refusals.size = REFUSALS_PER_SECOND;
  }

  /** Who is there from where; null where nobody has asked for it yet. */
  get addresses(): Addresses | null {
    return this.#addresses;
  }

  /** From now on. Connections that are there stay; those from before the first limit are of no address. */
  apply({ connectionsPerAddress, acceptRate, trustedProxies, tokens, workers }: ClientPolicy): void {
    this.#perAddress = connectionsPerAddress;
    this.#rate.size = acceptRate / workers;
    // A policy comes from a manager, who can be asked.
    if (this.#rate.isLeased !== workers > 1) this.#rate.isLeased = workers > 1;
    this.#proxies = new Networks(trustedProxies);
    this.tracking = connectionsPerAddress > 0 || tokens !== null;
    this.proxied = this.tracking && !this.#proxies.none;
    this.active = this.tracking || acceptRate > 0;
    this.remembers ||= this.active;
    const { capacity } = this.#connections;
    if (this.tracking) this.#addresses ??= new Addresses(capacity);
    if (this.#addresses !== null) this.#addresses.reportFrom = reportFrom(connectionsPerAddress, workers);
    if (this.proxied) this.#ofProxy ??= new Uint8Array(capacity);
    this.#reactor.peerAddresses = this.tracking;
  }

  /** A client was accepted, and has a row. Inside the event. @returns false where it is to be refused, or was cut off */
  accepted(connection: number): boolean {
    const nowMs = this.#control.nowMs();
    if (this.#rate.size > 0 && !this.#rate.take(nowMs)) return this.#refuse(connection, 'rate_limited', nowMs);
    if (!this.tracking) return true;
    const { peer } = this.#reactor;
    if (this.proxied && this.#proxies.has(addressHost(peer))) {
      this.#ofProxy![connection] = 1;
      return true;
    }
    return this.#enter(connection, peer) || this.#refuse(connection, 'too_many_connections', nowMs);
  }

  /** The head of a request has come; where `proxied`. @returns false where it was refused */
  requested(connection: number, bytes: Uint8Array, head: RequestHead): boolean {
    if (this.#ofProxy![connection] === 0) return true;
    // Some proxies add to the list, others a line of their own.
    const list = listField(bytes, head, HEADER_X_FORWARDED_FOR, FORWARDED_FOR);
    const client = forwardedFor(list, this.#proxies);
    if (client === '') this.#addresses!.leave(connection);
    else if (!this.#enter(connection, encodeSocketAddress(client, 0))) {
      this.#answer(connection, 'too_many_connections', head.method === METHOD_HEAD);
      return false;
    }
    return true;
  }

  /** The answer to a request was sent, and the connection may be another client's next; where `proxied`. */
  idle(connection: number): void {
    if (this.#ofProxy![connection] === 1) this.#addresses!.leave(connection);
  }

  /** Bytes of a client that is refused: the beginning of its request. */
  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    this.#answer(connection, this.#refused.get(connection)!, isHeadRequest(bytes, start, end));
  }

  /** A connection departs, or is about to linger. */
  left(connection: number): void {
    this.#addresses?.leave(connection);
    if (this.#ofProxy !== null) this.#ofProxy[connection] = 0;
    if (this.#refused.size > 0) this.#refused.delete(connection);
  }

  /** Whether so many wrong tokens came from the client's address lately that no more are verified. */
  isExhausted(connection: number): boolean {
    const addresses = this.#addresses;
    if (addresses === null) return false;
    return addresses.failures(addresses.of(connection), this.#control.nowMs()) >= FAILED_TOKENS_MAX;
  }

  /** A wrong token came from the client. */
  failed(connection: number): void {
    const addresses = this.#addresses;
    addresses?.failed(addresses.of(connection), this.#control.nowMs());
  }

  /** There is a manager that knows nothing yet; its policy follows. */
  managerFound(): void {
    this.#addresses?.reportAll();
  }

  /** There is none: this worker refills its stock by itself. */
  managerLost(): void {
    this.#rate.isLeased = false;
  }

  /** How many more clients are likely to be accepted, of which the manager is to be asked now; 0: none. */
  tokensWanted(): number {
    return this.#rate.wanted();
  }

  granted(tokens: number): void {
    this.#rate.granted(tokens);
  }

  /** Other workers have so many connections of these addresses. */
  elsewhere(counts: AddressCounts): void {
    for (const [key, connections] of counts) this.#addresses?.setElsewhere(key, connections);
  }

  /** What the manager is to be told of addresses since the last call; null: nothing. */
  takeChanges(): AddressCounts | null {
    return this.#addresses?.takeChanges() ?? null;
  }

  /** Called now and then. */
  sweep(nowMs: number): void {
    this.#addresses?.expire(nowMs);
  }

  /** @returns false where the address has as many connections as it may have: then the connection is of none */
  #enter(connection: number, socketAddress: Uint8Array): boolean {
    const addresses = this.#addresses!;
    const address = addresses.enter(connection, socketAddress);
    if (address === NO_ADDRESS || this.#perAddress === 0 || addresses.total(address) <= this.#perAddress) return true;
    addresses.leave(connection);
    return false;
  }

  #refuse(connection: number, reason: Reason, nowMs: number): false {
    if (this.#refusals.take(nowMs)) {
      this.#control.countEnd(reason);
      this.#connections.phase[connection] = PHASE_REFUSED;
      this.#refused.set(connection, reason);
      this.#control.schedule(connection, LINGER_MS);
    } else {
      this.#control.cut(connection, reason);
    }
    return false;
  }

  #answer(connection: number, reason: Reason, bodiless: boolean): void {
    const spread = RETRY_AFTER_S_MAX - RETRY_AFTER_S_MIN + 1;
    const retryAfterS = RETRY_AFTER_S_MIN + Math.floor(this.#random() * spread);
    const error = { code: reason, message: MESSAGES[reason] };
    this.#control.refuseWith(connection, 503, unavailableAnswer(error, retryAfterS, Date.now(), bodiless));
  }
}

/**
 * From how many connections on an address is reported: from half of what would be its share, so that it is known long before the limit.
 * Those that nobody reports are together less than half of the limit.
 */
function reportFrom(perAddress: number, workers: number): number {
  return perAddress === 0 || workers === 1 ? 0 : Math.max(1, Math.floor(perAddress / (2 * workers)));
}
