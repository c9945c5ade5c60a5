/**
 * The soak: publishers at full rate, subscribers over all five transports that are cut and return with their cursors, workers and
 * managers that are killed, and at the end the question whether everybody has everything, once and in order, or was told of
 * a gap where retention dropped something.
 *
 * Two kinds of channels: of those named `long/…` nothing is dropped while the soak lasts, so that a gap there is an error;
 * `short/…` keep a few publications, and who is away for long finds a gap. Each client of 2011 has a channel of its own.
 */

import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, startServer, type TestServer, temporaryRunDirectory } from '../helpers.js';
import { Book, ChannelLedger } from './ledger.js';
import { Publisher } from './publisher.js';
import { type Random, randomFrom } from './random.js';
import { ClassicClient, type Participant, Subscriber } from './subscriber.js';
import { longPoll, sse, stream, type Transport, webSocket } from './transports.js';

export interface SoakOptions {
  seconds: number;
  seed: number;
  subscribers: number;
  /** Publications a second on streams. */
  rate: number;
  /** Means, in seconds; 0: never. */
  killWorkerS: number;
  killManagerS: number;
  /** Gets a line about every thing that happens. */
  log(line: string): void;
}

export interface SoakReport {
  lines: string[];
  errors: string[];
  acknowledged: number;
  delivered: number;
  workersKilled: number;
  managersKilled: number;
}

const PUBLISHERS = 4;
const BATCH = 100;
const SHORT_KEEPS = 20;
const CLASSIC_RATE = 0.5;
/** In which all that is missing must come, once everything is quiet. */
const SETTLE_S = 60;

/** The server, which is not always there. */
class Server {
  port = 0;
  api: string | null = null;
  managersKilled = 0;
  workersKilled = 0;
  readonly #directory: string;
  readonly #workers: number;
  #server: TestServer | null = null;

  constructor(directory: string, workers: number) {
    this.#directory = directory;
    this.#workers = workers;
  }

  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    this.#server = await startServer(
      [
        ...['--client-ports', String(this.port), '--workers', String(this.#workers), '--classic-port', 'none'],
        ...['--log', 'lmdb', '--data-dir', join(this.#directory, 'data')],
        // More than anybody is away.
        ...['--retain-seconds', '300', '--retain-messages', '1000000', '--retain-bytes', '1GiB'],
        ...['--retain-total-bytes', '4GiB', '--retain', `short/*=${SHORT_KEEPS}/300s`],
      ],
      { runDirectory: join(this.#directory, 'run') },
    );
    this.api = this.#server.api;
  }

  async killWorker(random: Random): Promise<string> {
    const workers = await this.#server!.workerPids();
    if (workers.length === 0) return 'no worker to kill';
    const pid = random.pick(workers);
    process.kill(pid, 'SIGKILL');
    this.workersKilled++;
    return `worker ${pid} is killed`;
  }

  async killManager(awayMs: number): Promise<string> {
    const { managerPid } = this.#server!;
    this.api = null;
    process.kill(managerPid, 'SIGKILL');
    this.managersKilled++;
    while (isAlive(managerPid)) await delay(10);
    await delay(awayMs);
    await this.start();
    return `manager ${managerPid} was killed, and ${this.#server!.managerPid} came after ${Math.round(awayMs)} ms`;
  }

  async status(): Promise<Record<string, unknown>> {
    return this.#server!.status();
  }

  /** What it has written since it was started last. */
  output(): string {
    return this.#server?.output() ?? '';
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** A tenth are clients of 2011; the others are of all other transports alike, on one to four channels. */
function makeParticipants(
  options: SoakOptions,
  channels: ChannelLedger[],
  classics: ChannelLedger[],
  book: Book,
  random: Random,
  server: Server,
): Participant[] {
  const transports: [string, Transport][] = [
    ['poll', longPoll(() => random.between(0, 500))],
    ['sse', sse],
    ['stream', stream],
    ['websocket', webSocket(false)],
    ['poll', longPoll(() => random.between(0, 500))],
    ['sse', sse],
    ['stream', stream],
    ['websocket by message', webSocket(true)],
  ];
  const habits = { stayMs: 8000, awayMs: 1500, pauses: 0.1 };
  const participants: Participant[] = classics.map((ledger) => {
    return new ClassicClient({ ledger, book, random, habits, place: server });
  });
  for (let i = participants.length; i < options.subscribers; i++) {
    const [transport, connect] = transports[i % transports.length];
    const own = new Set(Array.from({ length: 1 + random.below(4) }, () => random.pick(channels)));
    const name = `${transport} ${i}`;
    const parts = { name, transport, connect, channels: [...own], book, random, habits, place: server };
    participants.push(new Subscriber(parts));
  }
  return participants;
}

/** Kills workers and managers, one at a time, until the signal. */
async function disturb(options: SoakOptions, server: Server, random: Random, signal: AbortSignal): Promise<void> {
  const next = (meanS: number) =>
    performance.now() + (meanS === 0 ? Number.POSITIVE_INFINITY : meanS * random.between(500, 1500));
  let workerAt = next(options.killWorkerS);
  let managerAt = next(options.killManagerS);
  while (!signal.aborted) {
    await delay(100, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    if (performance.now() >= workerAt) {
      options.log(await server.killWorker(random));
      workerAt = next(options.killWorkerS);
    }
    if (performance.now() >= managerAt) {
      options.log(await server.killManager(random.between(0, 2000)));
      managerAt = next(options.killManagerS);
    }
  }
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const random = randomFrom(options.seed);
  const book = new Book();
  const channelCount = Math.max(10, Math.floor(options.subscribers / 5));
  const channels = Array.from({ length: channelCount }, (_, i) => {
    return i % 5 === 0 ? new ChannelLedger(`short/${i}`, SHORT_KEEPS) : new ChannelLedger(`long/${i}`);
  });
  const classics = Array.from({ length: Math.floor(options.subscribers / 10) }, (_, i) => new ChannelLedger(`c${i}`));
  const { path: directory, remove } = await temporaryRunDirectory();
  const server = new Server(directory, 2);
  const publishing = new AbortController();
  const disturbing = new AbortController();
  let participants: Participant[] = [];
  try {
    await server.start();
    participants = makeParticipants(options, channels, classics, book, random, server);
    for (const participant of participants) participant.start();
    const publishers = Array.from({ length: PUBLISHERS }, (_, p) => {
      const own = channels.filter((_, i) => i % PUBLISHERS === p);
      return new Publisher(`p${p}`, own, book, random, server);
    });
    const classicPublisher = new Publisher('classic', classics, book, random, server);
    const running = [
      disturb(options, server, random, disturbing.signal),
      ...publishers.map((publisher) => publisher.run(BATCH, options.rate / PUBLISHERS, publishing.signal)),
      classicPublisher.run(classics.length, classics.length * CLASSIC_RATE, publishing.signal),
    ];
    const startMs = performance.now();
    while (performance.now() - startMs < options.seconds * 1000) {
      await delay(Math.min(5000, options.seconds * 1000));
      const acknowledged = [...publishers, classicPublisher].reduce((sum, one) => sum + one.acknowledged, 0);
      options.log(`${acknowledged} published, ${book.delivered} delivered, ${book.errorCount} errors`);
      book.judgeClaims();
    }
    disturbing.abort();
    await running[0];
    publishing.abort();
    await Promise.all(running);
    const settledS = await settle(participants, options);
    return report(options, { book, server, channels, classics, publishers, classicPublisher, participants, settledS });
  } finally {
    publishing.abort();
    disturbing.abort();
    for (const participant of participants) participant.stop();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
    await remove();
  }
}

/** Waits until everybody has everything, or too long. @returns the seconds it took */
async function settle(participants: Participant[], options: SoakOptions): Promise<number> {
  for (const participant of participants) participant.settle();
  const startMs = performance.now();
  let incomplete = participants;
  for (;;) {
    incomplete = incomplete.filter((participant) => !participant.complete);
    const seconds = (performance.now() - startMs) / 1000;
    if (incomplete.length === 0 || seconds > SETTLE_S) return seconds;
    options.log(`${incomplete.length} subscribers have not everything yet`);
    await delay(500);
  }
}

function report(
  options: SoakOptions,
  parts: {
    book: Book;
    server: Server;
    channels: ChannelLedger[];
    classics: ChannelLedger[];
    publishers: Publisher[];
    classicPublisher: Publisher;
    participants: Participant[];
    settledS: number;
  },
): SoakReport {
  const { book, server, participants } = parts;
  book.judgeClaims();
  for (const participant of participants) {
    for (const follower of participant.followers) follower.judge();
    if (participant instanceof ClassicClient && participant.missing.length > 0) {
      book.missing += participant.missing.length;
      book.wrong(`${participant.title}: never got the numbers ${participant.missing.slice(0, 10).join(', ')}`);
    }
  }
  const publishers = [...parts.publishers, parts.classicPublisher];
  const sum = (of: (publisher: Publisher) => number) =>
    publishers.reduce((total, publisher) => total + of(publisher), 0);
  const ledgers = [...parts.channels, ...parts.classics];
  const givenUp = ledgers.reduce((total, ledger) => total + ledger.givenUp.size, 0);
  const lines = [
    `seed ${options.seed}, ${options.seconds} s, ${options.subscribers} subscribers, ${ledgers.length} channels`,
    `published: ${sum((p) => p.acknowledged)} acknowledged in ${sum((p) => p.batches)} batches, ${givenUp} given up`,
    `batches sent again: ${sum((p) => p.repeated)}; publications known from before: ${sum((p) => p.duplicates)}`,
    `killed: ${server.workersKilled} workers, ${server.managersKilled} managers`,
  ];
  const transports = [...new Set(participants.map(({ transport }) => transport))];
  for (const transport of transports) {
    const these = participants.filter((participant) => participant.transport === transport);
    const connections = these.reduce((total, { connections }) => total + connections, 0);
    const messages = these.reduce((total, { messages }) => total + messages, 0);
    lines.push(`${transport}: ${these.length} clients, ${connections} connections, ${messages} messages`);
  }
  lines.push(
    `delivered: ${book.delivered}, and ${book.repeated} again`,
    `gaps: ${book.gaps} told, ${book.lostInGaps} publications lost in them, ${book.idleGaps} with nothing lost`,
    `everybody had everything after ${parts.settledS.toFixed(1)} s`,
    `missing: ${book.missing}; errors: ${book.errorCount}`,
  );
  return {
    lines,
    errors: book.errors,
    acknowledged: sum((p) => p.acknowledged),
    delivered: book.delivered,
    workersKilled: server.workersKilled,
    managersKilled: server.managersKilled,
  };
}
