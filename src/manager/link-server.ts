/**
 * The Unix socket that workers dial: who they are, and what they report to queue, fan-out and publisher.
 *
 * A link is in `links` from its worker's HELLO until its end. A worker has one link: when it dials again before its old
 * link was seen to end, the new one counts. A second process under the number of a living worker is told to stop, and
 * so is a worker that speaks another version of the protocol.
 */

import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { readSequence, readUint32 } from '../link/frame-reader.js';
import { FrameWriter } from '../link/frame-writer.js';
import {
  ADDRESSES,
  ANSWER,
  DELIVERED,
  EVENTS,
  HELLO,
  HELLO_END,
  type Hello,
  KEY_UNKNOWN,
  LINK_VERSION,
  LISTENERS_SENT,
  NOT_WAITING,
  PUBLISH,
  PUBLISHED_DUPLICATE,
  PUBLISHED_FAILED,
  PUBLISHED_NEW,
  READ,
  RECEIVED,
  STATS,
  STOP,
  SUBSCRIBED,
  UNSUBSCRIBED,
  WAITING,
  WANTED,
} from '../link/frames.js';
import type { Answer, Op, Question } from '../link/questions.js';
import { type Log, LogError } from '../log/log.js';
import { isFile } from '../platform/endpoint.js';
import { AcceptRate } from './accept-rate.js';
import { AddressBook } from './address-book.js';
import type { ClientWatch } from './client-watch.js';
import type { FanOut } from './fan-out.js';
import { UnansweredError } from './inquiries.js';
import type { Logger } from './logger.js';
import type { Policies } from './policies.js';
import type { Publisher } from './publisher.js';
import type { Queue } from './queue.js';
import {
  type ClientPublication,
  checkVerdict,
  LinkError,
  nameEnd,
  readAddressCounts,
  readClientChanges,
  readHello,
  readPublish,
  readRead,
  readStats,
  readTokens,
} from './worker-frames.js';
import { readFrames, WorkerLink } from './worker-link.js';

/** A connection that has not said HELLO by then is cut off. */
const HELLO_TIMEOUT_MS = 5000;

/** What the supervisor hears of links. */
export interface LinkEvents {
  /** A worker has dialled; it is in `links`. */
  linked(link: WorkerLink): void;
  /** A worker's link has ended; it is no longer in `links`. */
  unlinked(link: WorkerLink): void;
  /** A worker speaks another version of the link, or is being drained for an earlier manager, and was told to stop. */
  outdated(hello: Hello): void;
}

/** What came back of a question to all workers. */
export interface Answers<O extends Op> {
  answers: { worker: number; answer: Answer<O> }[];
  /** Workers that did not answer, and why. */
  missing: { worker: number; error: UnansweredError }[];
}

export interface LinkServerParts {
  /** Where to listen. */
  path: string;
  log: Log;
  queue: Queue;
  fanOut: FanOut;
  publisher: Publisher;
  policies: Policies;
  /** Where keys of tokens come from. */
  access: { refresh(): Promise<void> };
  /** Who wants to know which clients are here; null: nobody. */
  watch: ClientWatch | null;
  logger: Logger;
  events: LinkEvents;
}

export class LinkServer {
  /** By worker number. */
  readonly links = new Map<number, WorkerLink>();
  readonly #addresses = new AddressBook(this.links);
  readonly #acceptRate: AcceptRate;
  /** Workers that are being drained are let in. */
  draining = false;
  readonly #parts: LinkServerParts;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(parts: LinkServerParts) {
    this.#parts = parts;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#acceptRate = new AcceptRate(this.links, parts.policies);
    parts.policies.subscribe((policy) => {
      for (const link of this.links.values()) link.policy(policy);
    });
  }

  /** Listens, in the place of a socket that an ended manager left behind. The caller holds the run directory's lock. */
  listen(): Promise<void> {
    const { path } = this.#parts;
    if (isFile(path)) rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
  }

  /** Ends all links and removes the socket. Workers that were not told to stop go on and dial for a next manager. */
  close(): void {
    this.#addresses.close();
    this.#acceptRate.close();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Forgets a worker at once: its process has ended. */
  drop(worker: number): void {
    const link = this.links.get(worker);
    if (link === undefined) return;
    link.end();
    this.links.delete(worker);
    this.#parts.queue.workerLeft(worker);
    this.#parts.fanOut.workerLeft(worker);
    this.#parts.watch?.workerLeft(worker);
    this.#addresses.workerLeft(worker);
    this.#acceptRate.workerLeft(worker);
    this.#parts.events.unlinked(link);
  }

  /** Asks one worker. @throws UnansweredError (as a rejection) where no answer came in time */
  ask<O extends Op>(worker: number, op: O, question: Question<O>, timeoutMs: number): Promise<Answer<O>> {
    const link = this.links.get(worker);
    if (link === undefined) return Promise.reject(new UnansweredError('gone', `worker ${worker} has no link`));
    return link.inquiries.ask(op, question, timeoutMs);
  }

  /** Asks all workers that have a link, and resolves when each has answered or failed to. */
  async askAll<O extends Op>(op: O, question: Question<O>, timeoutMs: number): Promise<Answers<O>> {
    const answers: Answers<O> = { answers: [], missing: [] };
    const asking = [...this.links.values()].map(async ({ hello, inquiries }) => {
      try {
        answers.answers.push({ worker: hello.worker, answer: await inquiries.ask(op, question, timeoutMs) });
      } catch (error) {
        if (!(error instanceof UnansweredError)) throw error;
        answers.missing.push({ worker: hello.worker, error });
      }
    });
    await Promise.all(asking);
    return answers;
  }

  #accept(socket: Socket): void {
    let link: WorkerLink | null = null;
    let refused = false;
    this.#sockets.add(socket);
    socket.setTimeout(HELLO_TIMEOUT_MS, () => socket.destroy());
    // An error is followed by 'close', which says all that matters: the worker dials again or is found dead.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (link !== null && this.links.get(link.hello.worker) === link) this.drop(link.hello.worker);
    });
    /** Of one chunk: they make one append. */
    let publications: ClientPublication[] = [];
    readFrames(
      socket,
      (type, bytes, start, end) => {
        if (link === null) {
          if (refused) return;
          if (type !== HELLO) throw new LinkError('the first frame is not HELLO');
          socket.setTimeout(0);
          link = this.#hello(socket, readHello(bytes, start, end));
          refused = link === null;
        } else if (!link.ended) {
          if (type === PUBLISH) publications.push(readPublish(bytes, start, end));
          else this.#frame(link, type, bytes, start, end);
        }
      },
      () => {
        if (publications.length > 0) void this.#publish(link!, publications);
        publications = [];
      },
      (reason) => this.#parts.logger.warn('link refused', { reason, worker: link?.hello.worker }),
    );
  }

  /** Lets a worker in, or tells it to stop. */
  #hello(socket: Socket, hello: Hello): WorkerLink | null {
    const { worker, pid } = hello;
    const other = this.links.get(worker);
    // A manager that knows of no drain has met a worker of one that was killed in the middle of it: its clients may come back here.
    const stray = hello.draining === true && !this.draining;
    const outdated = hello.version !== LINK_VERSION || stray;
    if (outdated || (other !== undefined && other.hello.pid !== pid)) {
      const version = `link version ${hello.version}, not ${LINK_VERSION}`;
      const reason = stray ? 'it is being drained' : outdated ? version : 'its number is taken';
      this.#parts.logger.warn('worker told to stop', { worker, pid, reason });
      const writer = new FrameWriter();
      writer.frame(STOP);
      socket.write(writer.take());
      if (outdated) this.#parts.events.outdated(hello);
      return null;
    }
    this.drop(worker);
    const { log, queue, fanOut, policies, logger, events } = this.#parts;
    const failed = (error: Error) => {
      if (!(error instanceof LogError)) throw error;
      logger.error('the log cannot be read; a link begins again', { worker, code: error.code, reason: error.message });
    };
    const link = new WorkerLink({ socket, hello, log, queue, fanOut, policy: policies.current, failed });
    this.links.set(worker, link);
    queue.workerJoined(worker, link);
    fanOut.workerJoined(worker, link);
    events.linked(link);
    return link;
  }

  #names(link: WorkerLink, type: number, bytes: Uint8Array, start: number, end: number): void {
    const { worker } = link.hello;
    const { queue, fanOut } = this.#parts;
    if (start === end) throw new LinkError('a frame of no names');
    for (let at = start; at < end; ) {
      const name = at + 1;
      at = nameEnd(bytes, at, end);
      if (type === WAITING) queue.waiting(worker, bytes, name, at);
      else if (type === NOT_WAITING) queue.notWaiting(worker, bytes, name, at);
      else if (type === UNSUBSCRIBED) fanOut.unsubscribed(worker, bytes, name, at);
      else {
        fanOut.subscribed(worker, bytes, name, at);
        link.subscribed(bytes, name, at);
      }
    }
  }

  #frame(link: WorkerLink, type: number, bytes: Uint8Array, start: number, end: number): void {
    const { worker } = link.hello;
    const { queue, fanOut } = this.#parts;
    link.silentMs = 0;
    switch (type) {
      case WAITING:
      case NOT_WAITING:
      case SUBSCRIBED:
      case UNSUBSCRIBED:
        this.#names(link, type, bytes, start, end);
        return;
      case DELIVERED:
        checkVerdict(start, end);
        queue.delivered(worker, readSequence(bytes, start), readUint32(bytes, start + 6));
        return;
      case RECEIVED:
        checkVerdict(start, end);
        fanOut.received(worker, readSequence(bytes, start), readUint32(bytes, start + 6));
        return;
      case READ: {
        const { request, after, channel } = readRead(bytes, start, end);
        link.read(request, after, channel);
        return;
      }
      case ANSWER:
        link.inquiries.answered(bytes, start, end);
        return;
      case STATS:
        link.reported(readStats(bytes, start, end));
        return;
      case WANTED:
        this.#acceptRate.wanted(worker, readTokens(bytes, start, end));
        return;
      case ADDRESSES:
        this.#addresses.reported(worker, readAddressCounts(bytes, start, end));
        return;
      case EVENTS: {
        const changes = readClientChanges(bytes, start, end);
        this.#parts.watch?.changed(worker, changes);
        return;
      }
      case HELLO_END:
        link.announced();
        return;
      case KEY_UNKNOWN:
        void this.#answerKeys(link);
        return;
      case LISTENERS_SENT:
        // It only marks a place in the stream; the descriptors themselves are awaited where they arrive.
        return;
      default:
        throw new LinkError(`a frame of unknown type ${type}`);
    }
  }

  /** The policy is the answer, whether there are new keys in it or not. */
  async #answerKeys(link: WorkerLink): Promise<void> {
    const { access, policies } = this.#parts;
    await access.refresh();
    if (this.links.get(link.hello.worker) === link) link.policy(policies.current);
  }

  /** Clients' publications go the way of all others; their worker hears where they lie. */
  async #publish(link: WorkerLink, publications: readonly ClientPublication[]): Promise<void> {
    try {
      const appended = await this.#parts.publisher.accept(publications.map(({ publication }) => publication));
      for (const [i, { sequence, duplicate }] of appended.entries()) {
        link.published(publications[i]!.request, duplicate ? PUBLISHED_DUPLICATE : PUBLISHED_NEW, sequence);
      }
    } catch (error) {
      if (!(error instanceof LogError)) throw error;
      for (const { request } of publications) link.published(request, PUBLISHED_FAILED, 0);
    }
  }
}
