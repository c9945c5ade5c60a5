/**
 * Who may ask for what. Every route says which right it needs (`config: {require}`), and one that says nothing cannot be
 * registered. A request shows its key as `Authorization: Bearer <key>`; it is looked at before the body is read.
 *
 * Against browsers: a key in a header is sent by no page of another origin. Without keys the API listens on loopback, where a page
 * could reach it all the same; so only application/json is read, which needs a preflight that is never answered, and a
 * request must name an IP address or localhost as its Host, which a page whose name was made to point here (DNS rebinding) cannot.
 */

import { isIP } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { atMostEvery, type Logger } from '../manager/logger.js';
import { ApiError } from './errors.js';
import { FailedAttempts } from './failed-attempts.js';
import { type ApiKey, type ApiKeys, EVERYBODY, type Right } from './keys.js';
import type { Strangers } from './strangers.js';

const FAILURE_LOG_MS = 10_000;

/** What a route needs: a right, or `nothing`, which is for everybody. */
export type Requirement = Right | 'nothing';

declare module 'fastify' {
  interface FastifyContextConfig {
    require?: Requirement;
  }
  interface FastifyRequest {
    /** Who asks. */
    apiKey: ApiKey;
  }
}

export class Access {
  readonly #keys: ApiKeys;
  readonly #attempts: FailedAttempts;
  readonly #reportFailure: (address: string) => void;

  constructor(keys: ApiKeys, logger: Logger, now?: () => number) {
    this.#keys = keys;
    this.#attempts = new FailedAttempts(now);
    this.#reportFailure = atMostEvery(FAILURE_LOG_MS, (address) => logger.warn('wrong API key', { address }));
  }

  /** True where requests need a key. */
  get required(): boolean {
    return this.#keys.required;
  }

  /**
   * Whose key it is.
   *
   * @param shown what was shown as a key, if anything
   * @throws ApiError 401 where it is none, 429 where the address has shown too many
   */
  identify(shown: string | undefined, address: string): ApiKey {
    if (!this.#keys.required) return EVERYBODY;
    if (shown === undefined) throw unauthorized('key_required', 'a key is needed: Authorization: Bearer <key>');
    const waitMs = this.#attempts.waitMs(address);
    if (waitMs > 0) {
      const headers = { 'retry-after': String(Math.ceil(waitMs / 1000)) };
      throw new ApiError(429, 'too_many_attempts', 'too many wrong keys came from this address', { headers });
    }
    const key = this.#keys.find(shown);
    if (key !== null) return key;
    this.#attempts.failed(address);
    this.#reportFailure(address);
    throw unauthorized('key_invalid', 'the key is not known');
  }
}

/**
 * Checks every request.
 *
 * @param local the API can be reached from this machine alone
 * @param strangers is told whose requests are allowed
 */
export function addAccessChecks(
  app: FastifyInstance,
  access: Access,
  local: boolean,
  strangers: Pick<Strangers, 'allowed'>,
): void {
  app.decorateRequest('apiKey', null as never);
  app.addHook('onRoute', ({ config, method, url }) => {
    if (config?.require === undefined) throw new Error(`${String(method)} ${url} does not say what it requires`);
  });
  app.addHook('onRequest', async (request) => {
    checkOnce(request);
    if (local) checkHost(request.headers.host);
    const required = request.routeOptions.config.require;
    // No route: the answer is 404 or 405, to everybody.
    if (required === undefined || required === 'nothing') return;
    request.apiKey = access.identify(bearer(request), request.socket.remoteAddress ?? '');
    if (!request.apiKey.has(required)) {
      throw new ApiError(403, 'forbidden', `the key does not have the right '${required}'`);
    }
    strangers.allowed(request.socket);
  });
}

/** @throws ApiError 403 where the key of the request does not have this channel */
export function checkChannel({ apiKey }: FastifyRequest, channel: string, field = 'channel'): void {
  if (apiKey.mayUse(channel)) return;
  throw new ApiError(403, 'forbidden', `the key does not allow ${field}`, { field });
}

function bearer({ headers }: FastifyRequest): string | undefined {
  // RFC 9110 section 11.1: the scheme's case does not matter.
  return /^bearer +([\x21-\x7e]+) *$/i.exec(headers.authorization ?? '')?.[1];
}

function unauthorized(code: string, message: string): ApiError {
  const challenge = code === 'key_required' ? 'Bearer' : 'Bearer error="invalid_token"';
  return new ApiError(401, code, message, { headers: { 'www-authenticate': challenge } });
}

/** Of two, Node takes the first; a proxy in front may have judged by the other (RFC 9112 section 3.2). */
function checkOnce({ raw }: FastifyRequest): void {
  const { host = [], authorization = [] } = raw.headersDistinct;
  if (host.length > 1 || authorization.length > 1) {
    throw new ApiError(400, 'invalid', 'a request has one Host, and one Authorization at most');
  }
}

function checkHost(header: string | undefined): void {
  const host = (header ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (host === 'localhost' || isIP(host) !== 0) return;
  throw new ApiError(403, 'host_refused', 'the Host of a request must be an IP address or localhost');
}
