/**
 * A worker: holds client connections, and hands them what the manager sends. It joins the reactor, the clients and the
 * link, and owns the clock, the statistics and the end.
 *
 * It lives on without a manager: connections stay, and it dials until one is there or `orphanSeconds` are over.
 */

import { randomBytes } from 'node:crypto';
import {
  EXPIRY_ROUND_MS,
  EXTRA_SUBSCRIPTIONS_MAX,
  LINK_RETRY_MS,
  RESERVED_DESCRIPTORS,
  STOP_MS,
  TURN_WAIT_MS,
  TURN_WAIT_TIMED_MS,
} from '../limits.js';
import { LINK_VERSION } from '../link/frames.js';
import type { ClientPolicy } from '../link/policy.js';
import type { DrainOrder } from '../link/questions.js';
import { errnoName, SystemError } from '../linux/errno.js';
import { ffiProblem } from '../linux/ffi.js';
import { MemoryAtRest } from '../linux/memory-at-rest.js';
import { ownMemoryBytes } from '../linux/proc.js';
import type { Logger } from '../log-line.js';
import { makeReactor, sendBuffersFor } from '../reactor/choose.js';
import type { Reactor, ReactorEvents } from '../reactor/reactor.js';
import { runLoop } from '../reactor/run-loop.js';
import { TimerWheel } from '../reactor/timer-wheel.js';
import { Absences, Leavers } from './absences.js';
import { Audience } from './audience.js';
import { ClientReports } from './client-reports.js';
import { Clients } from './clients.js';
import type { WorkerConfig } from './config.js';
import { Connections } from './connections.js';
import { disconnectWalk } from './disconnect-walk.js';
import { Drain } from './drain.js';
import { handedClients } from './handed-clients.js';
import { ManagerLink } from './manager-link.js';
import { type Handlers, Questions } from './questions.js';
import { ReportPace } from './report-pace.js';
import { Subscriptions } from './subscriptions.js';
import { trace } from './trace.js';

const STATS_MS = 1000;
/** A worker that is less busy than this gives memory back (memory-at-rest.ts): a second with some thousand newcomers is not rest. */
const REST_SHARE = 0.02;
/** A turn that is so early is not followed by another for the figures alone. */
const STATS_EARLY_MS = 50;
/** How often clients that have come and gone are reported, for webhooks. */
const CLIENT_CHANGES_MS = 200;

/** Loaded now: a worker that is out of descriptors could not, and may be asked then. */
const descriptors = ffiProblem === null ? await import('../linux/descriptors.js') : null;

export class Worker implements ReactorEvents {
  readonly #config: WorkerConfig;
  readonly #log: Logger;
  readonly #reactor: Reactor;
  readonly #connections: Connections;
  readonly #waiters: Subscriptions;
  readonly #subscribers: Subscriptions;
  readonly #clients: Clients;
  readonly #timers = new TimerWheel();
  readonly #link: ManagerLink;
  readonly #questions: Questions;
  readonly #clientReports: ClientReports;
  readonly #absences = new Absences();
  readonly #drain: Drain;
  readonly #memory = new MemoryAtRest(performance.now(), REST_SHARE);
  #startMemoryBytes = 0;
  #accepting = true;
  /** The manager knows that the drain is over. */
  #drainReported = false;
  #listening = false;
  #stopping = false;
  /** When to end at the latest, once stopping. */
  #stopByMs = 0;
  #dialAtMs = 0;
  #statsAtMs = 0;
  readonly #reportPace = new ReportPace();
  #changesAtMs = 0;
  #managerSeenMs: number;

  constructor(config: WorkerConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
    const capacity = config.maxConnections + RESERVED_DESCRIPTORS;
    const buffers = sendBuffersFor(config.reactor);
    const key = randomBytes(8);
    this.#reactor = makeReactor(config.reactor, { capacity, events: this, buffers });
    this.#connections = new Connections(capacity);
    const keys: [number, number] = [key.readInt32LE(0), key.readInt32LE(4)];
    this.#waiters = new Subscriptions(capacity, 0, keys);
    this.#subscribers = new Subscriptions(capacity, EXTRA_SUBSCRIPTIONS_MAX, keys);
    this.#link = new ManagerLink(this.#reactor, buffers, config.runDirectory, {
      hello: () => ({
        version: LINK_VERSION,
        pid: process.pid,
        worker: config.worker,
        capacity: config.maxConnections,
        listeners: config.listeners.map((listener) => listener.address),
        ...(this.#drain.begun && { draining: true }),
        ...(this.#clients.streams.epoch !== '' && {
          epoch: this.#clients.streams.epoch,
          position: this.#clients.streams.position,
        }),
      }),
      announce: () => this.#clients.announce(),
      deliver: (...publication) => this.#clients.queue.deliver(...publication),
      welcome: (epoch, last) => {
        this.#clientReports.managerFound();
        this.#clients.arrivals.managerFound();
        this.#clients.managerFound(epoch, last);
      },
      policy: (policy) => this.#told(policy),
      granted: (tokens) => this.#clients.arrivals.granted(tokens),
      elsewhere: (counts) => this.#clients.arrivals.elsewhere(counts),
      fanOut: (...publication) => this.#clients.streams.fanOut(...publication),
      history: (...page) => this.#clients.streams.catchUps.history(...page),
      gap: (...gap) => this.#clients.streams.gap(...gap),
      position: (sequence) => this.#clients.streams.moveTo(sequence),
      published: (...answer) => this.#clients.posts.published(...answer),
      asked: (...question) => this.#questions.asked(...question),
      sendListeners: (path) => this.#sendListeners(path),
      stop: () => this.stop(),
      lost: () => {
        this.#reportPace.forget();
        this.#questions.forget();
        this.#clients.arrivals.managerLost();
        this.#clients.managerLost();
      },
    });
    this.#clients = new Clients({
      reactor: this.#reactor,
      buffers,
      connections: this.#connections,
      waiters: this.#waiters,
      subscribers: this.#subscribers,
      timers: this.#timers,
      reports: this.#link,
      maxConnections: config.maxConnections,
      testEcho: config.testEcho,
      clock: () => performance.now(),
      wallClock: () => Date.now(),
      failures: null,
    });
    this.#clientReports = new ClientReports({
      subscribers: this.#subscribers,
      waiters: this.#waiters,
      identities: this.#clients.access.identities,
      reports: this.#link,
    });
    this.#questions = this.#makeQuestions();
    const { disconnects } = this.#clients;
    this.#drain = new Drain({ reactor: this.#reactor, connections: this.#connections, disconnects });
    this.#managerSeenMs = performance.now();
  }

  /** What can be asked of this worker: each operation's handler. */
  #makeQuestions(): Questions {
    const clock = () => performance.now();
    const { disconnects, access, streams } = this.#clients;
    const tables = { subscribers: this.#subscribers, waiters: this.#waiters };
    const parts = { ...tables, identities: access.identities, absences: this.#absences, clock };
    const audience = new Audience(parts);
    access.identities.listen(new Leavers(parts));
    const ending = { ...parts, connections: this.#connections, disconnects, random: Math.random };
    const handlers: Handlers = {
      occupancy: (question) => audience.occupancy(question),
      channels: (question) => audience.channels(question),
      presence: (question) => audience.presence(question),
      trace: (question) =>
        trace(
          {
            ...{ deliveries: streams.deliveries, trail: streams.trail },
            position: () => streams.position,
            reached: (connection) => streams.reached(connection),
            unreadBytes: (connection) => this.#reactor.pendingBytes(connection),
          },
          question,
        ),
      disconnect: (question) => disconnectWalk(ending, question),
      drain: (order) => this.#beginDrain(order),
    };
    return new Questions(handlers, (request, answer) => this.#link.answer(request, answer), clock);
  }

  /** Serves until it is stopped or orphaned. */
  async run(): Promise<void> {
    this.#link.dial();
    await runLoop(this.#reactor, {
      turnWaitMs: TURN_WAIT_MS,
      afterTurn: () => this.#afterTurn(),
      stopped: () => this.#finished(),
    });
    this.#reactor.destroy();
  }

  /** Accepts nobody from now on, finishes the messages that are half-sent, and then ends `run`. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#stopByMs = performance.now() + STOP_MS;
    this.#clients.stop();
  }

  /**
   * What clients may do. Behind it there is a log too (WELCOME goes before): without one nobody could be told a cursor, so the first
   * policy is what accepting begins with.
   */
  #told(policy: ClientPolicy): void {
    this.#clients.applyPolicy(policy);
    this.#absences.graceMs = policy.presenceGraceMs;
    this.#clientReports.on = policy.events;
    if (this.#listening || this.#stopping || this.#drain.begun) return;
    this.#listening = true;
    this.#startMemoryBytes = ownMemoryBytes();
    const { listeners } = this.#config;
    const handed = this.#config.reactor === 'portable' ? handedClients(listeners.length) : [];
    for (const [i, { descriptor }] of listeners.entries()) this.#reactor.listen(descriptor ?? handed[i]);
  }

  // ── Events of the reactor ──────────────────────────────────────────────────────────────────────────────────────────

  accepted(connection: number): void {
    this.#clients.accepted(connection);
  }

  connected(): void {
    this.#link.connected();
  }

  received(connection: number, bytes: Uint8Array, start: number, end: number): void {
    if (connection === this.#link.connection) this.#link.receivedBytes(bytes, start, end);
    else this.#clients.received(connection, bytes, start, end);
  }

  sent(connection: number): void {
    if (connection !== this.#link.connection) this.#clients.sent(connection);
  }

  closed(connection: number): void {
    if (connection !== this.#link.connection) this.#clients.closed(connection);
    else this.#link.closed();
  }

  acceptingStopped(errno: number): void {
    this.#accepting = false;
    const why = errno === 0 ? 'all descriptors that were planned for are in use' : errnoName(errno);
    this.#log.warn('stops accepting', { reason: why, connections: this.#connections.held });
  }

  acceptingResumed(): void {
    this.#accepting = true;
    this.#log.info('accepts again', { connections: this.#connections.held });
  }

  #beginDrain(order: DrainOrder): { connections: number } {
    const connections = this.#drain.begin(order, performance.now());
    this.#clients.draining = true;
    return { connections };
  }

  // ── Between turns ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** @returns the longest wait of the next turn, if it has to be shorter */
  #afterTurn(): number | undefined {
    const nowMs = this.#clients.tick();
    const drainInMs = this.#drain.work(nowMs);
    if (this.#drain.finished && !this.#link.established) this.stop();
    if (this.#link.established) {
      const hasWork = this.#questions.work();
      this.#managerSeenMs = nowMs;
      const addresses = this.#clients.arrivals.takeChanges();
      if (addresses !== null) this.#link.addresses(addresses);
      const tokens = this.#clients.arrivals.tokensWanted();
      if (tokens > 0) this.#link.wanted(tokens);
      if (nowMs >= this.#changesAtMs) {
        this.#changesAtMs = nowMs + CLIENT_CHANGES_MS;
        this.#clientReports.flush();
      }
      if (nowMs >= this.#statsAtMs - STATS_EARLY_MS || this.#drain.finished !== this.#drainReported) {
        this.#drainReported = this.#drain.finished;
        this.#statsAtMs = nowMs + STATS_MS;
        this.#absences.expire(nowMs);
        this.#reportStats(nowMs);
        this.#memory.tick(nowMs);
      }
      const flushInMs = this.#link.flush(nowMs, this.#reactor.unfinished);
      return hasWork || this.#clients.verifying ? 0 : (flushInMs ?? drainInMs ?? this.#restMs());
    }
    if (nowMs >= this.#dialAtMs) {
      this.#dialAtMs = nowMs + LINK_RETRY_MS;
      this.#seekManager(nowMs);
    }
    return this.#clients.verifying ? 0 : (drainInMs ?? LINK_RETRY_MS);
  }

  /** How long the next turn may wait where nothing is known to be due. */
  #restMs(): number {
    if (this.#stopping || this.#timers.size > 0) return TURN_WAIT_TIMED_MS;
    return this.#clients.access.identities.size > 0 ? EXPIRY_ROUND_MS : TURN_WAIT_MS;
  }

  /** A manager that asked for the sockets may have ended since, or looked elsewhere: that must not end the clients. */
  #sendListeners(path: string): void {
    const listening = this.#config.listeners.map(({ descriptor }) => descriptor).filter((each) => each !== null);
    if (descriptors === null || listening.length === 0) return;
    try {
      descriptors.sendDescriptors(path, listening);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#log.warn('cannot hand over the listening sockets', { reason: error.message });
    }
  }

  #seekManager(nowMs: number): void {
    if (nowMs - this.#managerSeenMs > this.#config.orphanSeconds * 1000 && !this.#stopping) {
      this.#log.warn('ends: no manager came', { seconds: this.#config.orphanSeconds });
      this.stop();
    }
    this.#link.dial();
  }

  #reportStats(nowMs: number): void {
    const figures = {
      connections: this.#connections.held,
      waiting: this.#waiters.size,
      subscriptions: this.#subscribers.size,
      channels: this.#waiters.channels + this.#subscribers.channels,
      accepting: this.#accepting && !this.#drain.begun && this.#connections.held < this.#config.maxConnections,
      drain: this.#drain.finished ? 'finished' : this.#drain.begun ? 'draining' : 'none',
      startMemoryBytes: this.#startMemoryBytes,
      ...this.#clients.counters,
    } as const;
    if (!this.#reportPace.due(figures, nowMs)) return;
    const { user, system } = process.cpuUsage();
    this.#link.stats({
      ...figures,
      cpuUserSeconds: user / 1e6,
      cpuSystemSeconds: system / 1e6,
      memoryBytes: ownMemoryBytes(),
    });
  }

  #finished(): boolean {
    if (!this.#stopping) return false;
    return (this.#clients.sending === 0 && this.#link.flushed) || performance.now() >= this.#stopByMs;
  }
}
