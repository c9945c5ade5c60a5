/**
 * The manager: brings log, publisher, workers, classic port and API together, in the order that survives every crash.
 *
 * Start: lock the run directory, open the log, listen for workers, adopt those that an earlier manager left with their
 * sockets (or open the client ports), open the application ports, spawn what is missing, and only then say so in
 * manager.json. Stop: the application ports close first, the log takes what was published, the workers finish what they
 * send, the log closes, then the files go.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Api, createApi } from '../api/api.js';
import { ApiKeyFileError, readApiKeys } from '../api/key-file.js';
import { type ApiKeyEntry, ApiKeys } from '../api/keys.js';
import { addDrainRoutes } from '../api/routes/drain.js';
import { metricsRoutes } from '../api/routes/metrics.js';
import { Dashboard } from '../dashboard/dashboard.js';
import { dashboardRoutes } from '../dashboard/routes.js';
import { DRAIN_SECONDS } from '../limits.js';
import { OPEN_POLICY } from '../link/policy.js';
import type { DrainOrder } from '../link/questions.js';
import { MemoryAtRest } from '../linux/memory-at-rest.js';
import type { Log, LogError, NewPublication } from '../log/log.js';
import { classicHost, isLoopback } from '../loopback.js';
import { Metrics } from '../metrics/metrics.js';
import { packageVersion } from '../version.js';
import { Audience } from './audience.js';
import { ClassicPort } from './classic-port.js';
import { ClientAccess } from './client-access.js';
import { type ClientPorts, formatAddress, openClientPorts } from './client-ports.js';
import { ClientWatch, readSecret } from './client-watch.js';
import { Drain, type DrainStatus } from './drain.js';
import { FanOut } from './fan-out.js';
import { LinkServer } from './link-server.js';
import { atMostEvery, createLogger, type Logger } from './logger.js';
import { MetricsSource } from './metrics-source.js';
import { openLog } from './open-log.js';
import type { ServeOptions } from './options.js';
import { Policies, stormPolicy } from './policies.js';
import { PublicationRecords } from './publication-records.js';
import { Publisher } from './publisher.js';
import { Queue } from './queue.js';
import { type Receipt, Receipts } from './receipts.js';
import { type ReloadReport, reloadedOptions } from './reload.js';
import { RunDirectory } from './run-directory.js';
import { type LogStatus, type ManagerStatus, sumsOf, workerStatus } from './status.js';
import { Supervisor } from './supervisor.js';
import { readTokenFiles, type TokenFiles } from './token-files.js';
import { Tracer } from './tracer.js';

const SWEEP_MS = 1000;
/** A manager that is less busy than this gives memory back (memory-at-rest.ts): dropping what is too old is rest. */
const REST_SHARE = 0.04;
/** A log that fails goes on failing: it is said no oftener than this. */
const FAILURE_LOG_MS = 10_000;

/** What startManager can be given beside the options. */
export interface ManagerParts {
  logger?: Logger;
  /** Path of the workers' main module. */
  workerMain?: string;
  /** How long a worker may say nothing before it is replaced. */
  silenceMs?: number;
  /** What the doctor found in this machine, a line for each; shown by the dashboard. */
  doctorWarnings?: readonly string[];
}

/**
 * Starts all that `serve` is asked for, and resolves when it can be used.
 *
 * @throws Error for the operator, with a code: ERUNNING, ERUNDIR, ELOG…, EADOPT, EADDRINUSE …; nothing is left running or
 *   locked, other than workers that were running before
 */
export async function startManager(options: ServeOptions, parts: ManagerParts = {}): Promise<Manager> {
  const { logger = createLogger(undefined, { format: options.logFormat, level: options.logLevel }) } = parts;
  const apiKeys = readKeys(options);
  const tokenFiles = readTokenFiles(options.access);
  const webhookSecret = readSecret(options.storms, logger);
  const directory = await RunDirectory.lock(options.runDirectory);
  let log: Log;
  try {
    log = await openLog(options);
  } catch (error) {
    directory.release();
    throw error;
  }
  const manager = new Manager(options, { ...parts, logger, apiKeys, tokenFiles, webhookSecret }, directory, log);
  try {
    await manager.start();
  } catch (error) {
    await manager.abandon();
    throw error;
  }
  return manager;
}

export class Manager {
  #options: ServeOptions;
  readonly #logger: Logger;
  readonly #directory: RunDirectory;
  readonly #log: Log;
  readonly #queue: Queue;
  readonly #fanOut: FanOut;
  readonly #publisher: Publisher;
  readonly #policies: Policies;
  /** Null where nobody is told of clients. */
  readonly #watch: ClientWatch | null;
  readonly #access: ClientAccess;
  readonly #server: LinkServer;
  readonly #supervisor: Supervisor;
  readonly #classicPort: ClassicPort;
  readonly #dashboard: Dashboard;
  readonly #metrics: MetricsSource;
  readonly #api: Api;
  readonly #apiKeys: ApiKeys;
  readonly #startedMs = performance.now();
  readonly #memory = new MemoryAtRest(this.#startedMs, REST_SHARE);
  readonly #drain: Drain;
  #ports: ClientPorts | null = null;
  /** The ports have not been closed. */
  #listening = true;
  #sweep: NodeJS.Timeout | null = null;
  /** Ends when all reloads so far have. */
  #reloading: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | null = null;
  #apiAddress = '';
  #classicAddress: string | null = null;

  /** Use {@link startManager}. */
  constructor(
    options: ServeOptions,
    {
      logger,
      apiKeys,
      tokenFiles,
      webhookSecret,
      workerMain,
      silenceMs,
      doctorWarnings = [],
    }: ManagerParts & {
      logger: Logger;
      apiKeys: readonly ApiKeyEntry[] | null;
      tokenFiles: TokenFiles;
      webhookSecret: Buffer | null;
    },
    directory: RunDirectory,
    log: Log,
  ) {
    const { runDirectory, workers, maxConnections, orphanSeconds, reactor, testEcho, logFormat, logLevel } = options;
    this.#options = options;
    this.#logger = logger;
    this.#directory = directory;
    this.#log = log;
    const receipts = new Receipts();
    const unreadable = ({ code, message }: LogError) =>
      logger.error('the log cannot be read; queued messages wait', { code, reason: message });
    const records = new PublicationRecords();
    const queue = new Queue(log, receipts, atMostEvery(FAILURE_LOG_MS, unreadable), records);
    const fanOut = new FanOut(receipts, log.last, records);
    const publisher = new Publisher({ log, queue, fanOut, receipts, logger });
    this.#queue = queue;
    this.#fanOut = fanOut;
    this.#publisher = publisher;
    const connectionsPerWorker = Math.ceil(maxConnections / workers);
    this.#supervisor = new Supervisor(
      {
        ...{ runDirectory, workers, connectionsPerWorker, orphanSeconds, reactor, testEcho, logFormat, logLevel },
        ...(workerMain !== undefined && { workerMain }),
        ...(silenceMs !== undefined && { silenceMs }),
      },
      logger,
    );
    const path = directory.linkEndpoint;
    this.#policies = new Policies({
      ...OPEN_POLICY,
      ...stormPolicy(options),
      publish: options.clientPublish,
    });
    const policies = this.#policies;
    this.#access = new ClientAccess(policies, logger, options.access, tokenFiles);
    const { webhook, presenceGraceSeconds } = options.storms;
    this.#watch =
      webhook === null || webhookSecret === null
        ? null
        : new ClientWatch(webhook.url, webhookSecret, presenceGraceSeconds, logger);
    const tables = { log, queue, fanOut, publisher, policies, access: this.#access, watch: this.#watch };
    this.#server = new LinkServer({ path, ...tables, logger, events: this.#supervisor });
    this.#supervisor.attach(this.#server);
    this.#drain = new Drain(this.#server, logger);
    this.#classicPort = new ClassicPort(publisher, queue, logger);
    this.#apiKeys = new ApiKeys(apiKeys);
    const status = () => this.status();
    this.#dashboard = new Dashboard({ log, status, version: packageVersion(), doctorWarnings });
    this.#metrics = new MetricsSource({
      ...{ server: this.#server, supervisor: this.#supervisor, publisher, status },
      apiRequests: () => this.#api.requests.all(),
      reactor: options.reactor,
      doctorWarnings: doctorWarnings.length,
    });
    this.#api = createApi({
      publisher,
      log,
      audience: new Audience(this.#server),
      tracer: new Tracer({ server: this.#server, log, records }),
      status,
      host: options.apiHost,
      keys: this.#apiKeys,
      logger,
      routes: [
        dashboardRoutes(this.#dashboard),
        metricsRoutes(new Metrics(() => this.#metrics.sample())),
        (app) => addDrainRoutes(app, (order) => this.drain(order)),
      ],
    });
  }

  /** `http://host:port` of the API, as bound. */
  get api(): string {
    return this.#apiAddress;
  }

  /** `host:port` of the classic application port, as bound; null where none was asked for. */
  get classic(): string | null {
    return this.#classicAddress;
  }

  /** `host:port` of each client port, as bound. */
  get clients(): string[] {
    return [...(this.#ports?.addresses ?? [])];
  }

  /** Called by {@link startManager}. */
  async start(): Promise<void> {
    const { host, clientPorts, apiHost, apiPort, classicPort, reactor } = this.#options;
    const logger = this.#logger;
    await this.#server.listen();
    // Workers wait for the answer with the first tokens, not for their start.
    void this.#access.refresh();
    const adopted = await this.#supervisor.adopt();
    this.#ports = adopted ?? (await openClientPorts({ host, clientPorts, shared: reactor !== 'portable', logger }));
    if (adopted !== null) this.#checkAdopted();
    this.#apiAddress = `http://${formatAddress(apiHost, await named('API', apiPort, this.#api.listen(apiHost, apiPort)))}`;
    if (classicPort !== null) {
      const host = classicHost(apiHost);
      const port = await named('classic application', classicPort, this.#classicPort.listen(host, classicPort));
      this.#classicAddress = formatAddress(host, port);
    }
    this.#dashboard.start();
    this.#sweep = setInterval(() => {
      this.#supervisor.tick(SWEEP_MS);
      this.#log.expire();
      this.#queue.sweep();
      this.#fanOut.sweep();
      this.#watch?.sweep();
      this.#metrics.look();
      this.#memory.tick(performance.now());
    }, SWEEP_MS);
    this.#supervisor.run(this.#ports);
    await this.#supervisor.ready();
    this.#directory.publish({
      pid: process.pid,
      api: this.api,
      classic: this.classic,
      clients: this.clients,
    });
  }

  /**
   * Replaces the keys of the API; what was asked before is answered.
   *
   * @param entries as readApiKeys reads them; null: none, which is for loopback alone
   */
  setApiKeys(entries: readonly ApiKeyEntry[] | null): void {
    assertKeys(this.#options, entries);
    this.#apiKeys.set(entries);
    this.#dashboard.endStreams();
  }

  /**
   * Ends all clients evenly, each with advice when to come back, and accepts no others; the client ports are free from now on. What
   * is published meanwhile is delivered to those who are still here. Resolves when it has begun; `drained` tells when it is over.
   */
  drain({ seconds, returnAfterSeconds = 0 }: Partial<DrainOrder> = {}): Promise<DrainStatus> {
    this.#supervisor.drain();
    this.#closePorts();
    return this.#drain.begin({
      seconds: seconds ?? (this.#options.storms.drainSeconds || DRAIN_SECONDS),
      returnAfterSeconds,
    });
  }

  /** Resolves when a drain is over, by whomever it was begun: then `stop` is next. Or when the server has been stopped. */
  get drained(): Promise<void> {
    return this.#drain.over;
  }

  /** Publishes a batch of valid publications: see Publisher. @throws LogError where the log could not keep it */
  publish(batch: readonly NewPublication[]): Promise<Receipt[]> {
    return this.#publisher.publish(batch);
  }

  /**
   * Takes what can be changed while serving from other options, and reads all key files again. Nobody is dropped.
   *
   * @throws Error for the operator where anything of it is wrong; then nothing has changed
   */
  reload(next: ServeOptions): Promise<ReloadReport> {
    const reloading = this.#reloading.then(() => this.#reload(next));
    this.#reloading = reloading.catch(() => {});
    return reloading;
  }

  async #reload(next: ServeOptions): Promise<ReloadReport> {
    const { options, report } = reloadedOptions(this.#options, next);
    // All that can fail comes before all that has effects.
    const apiKeys = readKeys(options);
    const tokenFiles = readTokenFiles(options.access);
    const webhookSecret = readSecret(options.storms, this.#logger);
    this.#log.setRetention(options.retention);
    this.#options = options;
    this.#apiKeys.set(apiKeys);
    this.#dashboard.endStreams();
    this.#policies.change({ ...stormPolicy(options), publish: options.clientPublish });
    this.#access.change(options.access, tokenFiles);
    if (webhookSecret !== null) this.#watch?.change(webhookSecret, options.storms.presenceGraceSeconds);
    return report;
  }

  /** Ends the workers and everything else, within two seconds. May be called again. */
  stop(): Promise<void> {
    this.#stopping ??= this.#close('all');
    return this.#stopping;
  }

  /**
   * Gives everything back after a failed start. Called by {@link startManager}. Workers that were there before are left
   * alone with their clients.
   */
  abandon(): Promise<void> {
    this.#stopping ??= this.#close('children');
    return this.#stopping;
  }

  status(): ManagerStatus {
    const workers = this.#supervisor.processes.map((process) => workerStatus(process, this.#server));
    return {
      pid: process.pid,
      uptimeSeconds: Math.floor((performance.now() - this.#startedMs) / 1000),
      rssBytes: process.memoryUsage.rss(),
      api: this.api,
      classic: this.classic,
      clients: this.clients,
      log: this.#logStatus(),
      publisher: this.#publisher.counters,
      queue: this.#queue.counters,
      streams: this.#fanOut.counters,
      drain: this.#drain.status,
      webhooks: this.#watch?.counters ?? null,
      ...sumsOf(workers),
      workers: workers.sort((a, b) => a.worker - b.worker),
    };
  }

  #logStatus(): LogStatus {
    const { log: kind, fsync } = this.#options;
    const { epoch, last, counters } = this.#log;
    return { kind, epoch, last, fsync: kind === 'memory' ? null : fsync, ...counters };
  }

  /** Adopted sockets must be what this serve was asked for; port 0 is content with any. */
  #checkAdopted(): void {
    const { host, clientPorts } = this.#options;
    const have = this.clients;
    const fits =
      have.length === clientPorts.length &&
      clientPorts.every((port, i) =>
        port === 0 ? have[i]!.startsWith(formatAddress(host, '')) : have[i] === formatAddress(host, port),
      );
    if (fits) return;
    const message = `workers of an earlier serve hold ${have.join(' ')}; serve the same, or run \`megacomet stop\` first`;
    throw Object.assign(new Error(message), { code: 'EADOPT' });
  }

  async #close(workers: 'all' | 'children'): Promise<void> {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#drain.end();
    this.#access.stop();
    this.#classicPort.close();
    await this.#publisher.settle();
    // Publishers get their answers before their connections end.
    await nextTurn();
    this.#dashboard.close();
    await this.#api.close();
    await this.#supervisor.stop(workers);
    this.#server.close();
    await this.#watch?.close();
    await this.#publisher.settle();
    await this.#log.close();
    this.#closePorts();
    this.#directory.release();
  }

  #closePorts(): void {
    if (this.#listening) this.#ports?.close();
    this.#listening = false;
  }
}

/** The keys that the options name. @throws Error with the code EAPIKEYS */
function readKeys(options: ServeOptions): ApiKeyEntry[] | null {
  const entries = options.apiKeysFile === null ? null : readApiKeys(options.apiKeysFile);
  assertKeys(options, entries);
  return entries;
}

/** An API that other machines reach has keys, however the server was started. */
function assertKeys({ apiHost }: ServeOptions, entries: readonly ApiKeyEntry[] | null): void {
  if (entries !== null || isLoopback(apiHost)) return;
  throw new ApiKeyFileError(`the API on ${apiHost} can be reached by other machines: it needs a file of keys`);
}

/** Says which port it was that could not be opened, and what to do. */
async function named(name: string, port: number, listening: Promise<number>): Promise<number> {
  try {
    return await listening;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cures: Record<string, string> = {
      EADDRINUSE: 'it is taken; stop the program that has it or choose another port',
      EACCES: 'it is for privileged programs; choose one from 1024 up',
      EADDRNOTAVAIL: 'no interface of this machine has that address',
    };
    const cure = cures[code ?? ''];
    if (cure === undefined) throw error;
    throw Object.assign(new Error(`the ${name} port ${port} cannot be opened: ${cure}`, { cause: error }), { code });
  }
}
