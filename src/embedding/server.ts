/**
 * A server in a program of yours: what `serve` does, without its signals, its output and its exit.
 *
 * The manager lives in your process; the workers are processes of their own, and outlive yours by `orphanSeconds` if it dies, for
 * one that comes back with the same run directory. Nothing here ends your process or listens to its signals: call `stop`, or
 * `drain` and then `stop`, when you end.
 */

import { ApiError } from '../api/errors.js';
import { encodePublication } from '../api/publications.js';
import { FORMAT_RULES, FORMATS, type FormatName } from '../api/schemas.js';
import { isOperational } from '../cli/errors.js';
import { BATCH_PUBLICATIONS_MAX, DRAIN_SECONDS_MAX } from '../limits.js';
import type { NewPublication } from '../log/log.js';
import type { Logger } from '../log-line.js';
import { type Manager, startManager } from '../manager/manager.js';
import type { ReloadReport } from '../manager/reload.js';
import type { ManagerStatus } from '../manager/status.js';
import { OptionsError, ServerError } from './errors.js';
import { resolveOptions, type StartOptions } from './options.js';

/** Where a server listens. */
export interface Addresses {
  /** `http://host:port` of the HTTP API. */
  api: string;
  /** `host:port` of the application port of 2011; null without one. */
  classic: string | null;
  /** `host:port` of each client port. */
  clients: string[];
}

export interface PublicationInput {
  channel: string;
  /** A string is delivered as text, anything else as its JSON. */
  data: unknown;
  /** The same id on the same channel is published once. */
  id?: string;
}

export interface Published {
  /** The place in the log. */
  cursor: string;
  /** Whether a connection was handed it within a second. */
  status: 'delivered' | 'queued';
  /** How many connections were. */
  receivers: number;
  /** The id was known: this is the first one's place. */
  duplicate: boolean;
}

/** What the server is given beside its options. */
export interface StartParts {
  /** Gets the manager's events; without it they go to stderr, as `logLevel` and `logFormat` say. Workers always write to stderr. */
  logger?: Logger;
}

/**
 * Starts a server, and resolves when clients can connect.
 *
 * @throws OptionsError where the options are wrong; ServerError where it cannot be started. Nothing is left running then
 */
export async function start(options: StartOptions = {}, parts: StartParts = {}): Promise<Server> {
  checkLogger(parts.logger);
  const resolved = resolveOptions(options);
  return new Server(await operational(() => startManager(resolved, parts)), options);
}

export class Server {
  readonly #manager: Manager;
  #options: StartOptions;
  #stopped = false;

  /** Use {@link start}. */
  constructor(manager: Manager, options: StartOptions) {
    this.#manager = manager;
    this.#options = options;
  }

  get addresses(): Addresses {
    const { api, classic, clients } = this.#manager;
    return { api, classic, clients };
  }

  /**
   * Publishes, and waits a second at most to hear who got it.
   *
   * @throws ServerError EPUBLICATION, ESTOPPED, ELOG…
   */
  async publish(channel: string, data: unknown, { id }: { id?: string } = {}): Promise<Published> {
    const [published] = await this.publishAll([{ channel, data, ...(id !== undefined && { id }) }]);
    return published!;
  }

  /** Publishes several in their order, all or none. @throws as `publish` */
  async publishAll(publications: readonly PublicationInput[]): Promise<Published[]> {
    this.#assertRunning();
    if (!Array.isArray(publications)) throw new ServerError('EPUBLICATION', 'publications must be an array');
    if (publications.length === 0 || publications.length > BATCH_PUBLICATIONS_MAX) {
      throw new ServerError('EPUBLICATION', `a batch has 1 to ${BATCH_PUBLICATIONS_MAX} publications`);
    }
    const batch = publications.map((publication, i) => encode(publication, publications.length === 1 ? '' : `[${i}].`));
    const receipts = await operational(() => this.#manager.publish(batch));
    return receipts.map(({ cursor, status, receivers, duplicate }) => ({ cursor, status, receivers, duplicate }));
  }

  /** The same as `GET /v1/status`. Workers report once a second. */
  status(): ManagerStatus {
    this.#assertRunning();
    return this.#manager.status();
  }

  /**
   * Takes other options, as far as that is possible while serving: keys, tokens, retention, limits. Key files and the configuration
   * file are read again. Nobody is dropped.
   *
   * @param options all of them; without, those of before
   * @throws OptionsError, ServerError; then nothing has changed
   */
  async reload(options: StartOptions = this.#options): Promise<ReloadReport> {
    this.#assertRunning();
    const resolved = resolveOptions(options);
    const report = await operational(() => this.#manager.reload(resolved));
    this.#options = options;
    return report;
  }

  /**
   * Ends all clients evenly, each with advice when to come back, and accepts no others. Resolves when all have gone, and `stop` is next,
   * or when the server has been stopped.
   *
   * @param order.seconds over how long; `drainSeconds` without it
   * @param order.returnAfterSeconds when the first may come back
   * @throws OptionsError where they are no such times; ServerError ESTOPPED
   */
  async drain(order: { seconds?: number; returnAfterSeconds?: number } = {}): Promise<void> {
    this.#assertRunning();
    for (const [name, seconds] of Object.entries(order)) checkSeconds(name, seconds);
    await operational(() => this.#manager.drain(order));
    await this.#manager.drained;
  }

  /** Ends the workers and everything else, within two seconds. May be called again. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#manager.stop();
  }

  #assertRunning(): void {
    if (this.#stopped) throw new ServerError('ESTOPPED', 'the server has been stopped');
  }
}

/** Failures that somebody can do something about, as what the library throws. */
async function operational<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!isOperational(error)) throw error;
    throw new ServerError((error as NodeJS.ErrnoException).code!, error.message, error);
  }
}

/** A logger that lacks something would end the program at the first event that needs it. @throws OptionsError */
function checkLogger(logger: Logger | undefined): void {
  if (logger === undefined) return;
  const missing = (['info', 'warn', 'error'] as const).filter((name) => typeof logger?.[name] !== 'function');
  if (missing.length > 0) throw new OptionsError([`logger: it has no ${missing.join(', ')}`]);
}

/** @throws OptionsError */
function checkSeconds(name: string, seconds: unknown): void {
  if (seconds === undefined) return;
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= DRAIN_SECONDS_MAX) return;
  throw new OptionsError([`${name}: Allowed: seconds from 0 to ${DRAIN_SECONDS_MAX}.`]);
}

function encode(publication: PublicationInput, at: string): NewPublication {
  if (typeof publication !== 'object' || publication === null) {
    throw new ServerError('EPUBLICATION', `${at}publication must be an object`);
  }
  const { channel, data, id } = publication;
  checkFormat('channel', channel, `${at}channel`);
  if (id !== undefined) checkFormat('publication-id', id, `${at}id`);
  // What JSON has no word for would be delivered as nothing.
  if (data === undefined || typeof data === 'function' || typeof data === 'symbol' || typeof data === 'bigint') {
    throw new ServerError('EPUBLICATION', `${at}data must be what JSON can say, not ${typeof data}`);
  }
  try {
    return encodePublication({ channel, data, ...(id !== undefined && { id }) }, at);
  } catch (error) {
    // TypeError: an object that is part of itself.
    if (!(error instanceof ApiError) && !(error instanceof TypeError)) throw error;
    throw new ServerError('EPUBLICATION', `${at}${error.message}`, error);
  }
}

function checkFormat(format: FormatName, value: unknown, field: string): void {
  if (typeof value === 'string' && FORMATS[format](value)) return;
  throw new ServerError('EPUBLICATION', `${field} must be ${FORMAT_RULES[format]}`);
}
