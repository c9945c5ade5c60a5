/**
 * The manager's end of one worker's link: what the parts of the manager ask of it, turned into frames.
 *
 * Above `BACKLOG_BYTES_MAX` a link takes nothing more as it comes. What the fan-out gives it is then read from the log
 * (catch-up.ts). Of the queue's messages it keeps only the sequences, and asks the log for them when the socket has
 * drained; those that the log has dropped meanwhile are reported as reaching nobody.
 */

import type { Socket } from 'node:net';
import { FrameReader, type FrameVisitor } from '../link/frame-reader.js';
import {
  type AddressCounts,
  ELSEWHERE,
  FAN_OUT_RECEIPT,
  GRANTED,
  type Hello,
  POLICY,
  type Tokens,
} from '../link/frames.js';
import type { ClientPolicy } from '../link/policy.js';
import type { WorkerStats } from '../link/stats.js';
import type { Log, Publication } from '../log/log.js';
import { CatchUp } from './catch-up.js';
import type { FanOut, FanOutLink } from './fan-out.js';
import { History } from './history.js';
import { Inquiries } from './inquiries.js';
import { LinkOutlet } from './link-outlet.js';
import { decodeName, type Queue, type QueueLink } from './queue.js';
import { LinkError } from './worker-frames.js';

/** Bytes written and not taken by the kernel above which a link defers what it should send. */
export const BACKLOG_BYTES_MAX = 8 << 20;

export interface WorkerLinkParts {
  socket: Socket;
  hello: Hello;
  log: Log;
  queue: Queue;
  fanOut: FanOut;
  policy: ClientPolicy;
  /** The log could not be read; the link has been ended, and the worker dials again. */
  failed(error: Error): void;
}

export class WorkerLink implements QueueLink, FanOutLink {
  /** What the worker said of itself. */
  readonly hello: Hello;
  /** Its last STATS. */
  stats: WorkerStats | null = null;
  /** When they came (performance.now()). */
  statsMs = Number.NaN;
  /** For how long it has said nothing, as the supervisor counts. */
  silentMs = 0;
  /** What its worker says from now on is not heard. */
  ended = false;
  readonly #socket: Socket;
  readonly #log: Log;
  readonly #queue: Queue;
  readonly #fanOut: FanOut;
  readonly #outlet: LinkOutlet;
  readonly #catchUp: CatchUp;
  readonly #history: History;
  /** Of the last POSITION: at rest the worker is not woken by a next one. */
  #positionSaid = Number.NaN;
  /** Questions off the path of publications. */
  readonly inquiries: Inquiries;
  /** Sequence and name of the queue's messages that wait for the socket to drain, in order. */
  #deferred: { sequence: number; channel: string; name: Buffer }[] = [];

  /** Answers HELLO: WELCOME is the link's first frame, POLICY the second. */
  constructor({ socket, hello, log, queue, fanOut, policy, failed }: WorkerLinkParts) {
    this.#socket = socket;
    this.hello = hello;
    this.#log = log;
    this.#queue = queue;
    this.#fanOut = fanOut;
    this.#outlet = new LinkOutlet(socket);
    this.inquiries = new Inquiries(this.#outlet);
    this.#outlet.frames.welcome(fanOut.position, log.epoch);
    this.policy(policy);
    const common = {
      log,
      outlet: this.#outlet,
      position: () => fanOut.position,
      failed: (error: Error) => {
        this.end();
        failed(error);
      },
    };
    const awaited = (sequence: number) => fanOut.awaits(hello.worker, sequence);
    this.#catchUp = new CatchUp({ ...common, awaited }, seenOf(hello, log.epoch, fanOut.position));
    this.#history = new History({
      ...common,
      socket,
      sent: () => this.#catchUp.sent,
      settled: (call) => this.#catchUp.settled(call),
    });
    socket.on('drain', () => this.#sendDeferred());
  }

  get behind(): boolean {
    return this.#catchUp.behind;
  }

  /** Bytes that the worker has not read yet, as far as they are on this side of the socket. */
  get backlogBytes(): number {
    return this.#outlet.backlogBytes;
  }

  deliver(publication: Publication, name: Buffer): void {
    if (this.#deferred.length > 0 || this.backlogBytes > BACKLOG_BYTES_MAX) {
      this.#deferred.push({ sequence: publication.sequence, channel: publication.channel, name });
      return;
    }
    this.#outlet.frames.deliver(publication.sequence, publication.kind, name, publication.data);
    this.#outlet.flushLater();
  }

  fanOut(publication: Publication, name: Buffer, receipt: boolean, frame: Uint8Array | null): Uint8Array | null {
    const { sequence, channel } = publication;
    if (!this.#catchUp.behind && this.backlogBytes > BACKLOG_BYTES_MAX) this.#catchUp.fallBehind(sequence - 1);
    if (this.#catchUp.behind) {
      this.#catchUp.owe(channel, sequence - 1);
      return frame;
    }
    const { frames } = this.#outlet;
    const start = frames.length;
    if (frame === null) frames.fanOut(publication, receipt ? FAN_OUT_RECEIPT : 0, name);
    else frames.append(frame);
    this.#outlet.flushLater();
    return frames.since(start);
  }

  /** SUBSCRIBED bytes[start..end): while the link is behind, what was published since is owed here too. */
  subscribed(bytes: Uint8Array, start: number, end: number): void {
    const { behind, sent } = this.#catchUp;
    // No string is made where nothing was published since: a million channels return when a manager does.
    if (behind && this.#log.last > sent) this.#catchUp.subscribed(decodeName(bytes, start, end));
  }

  /** HELLO_END: what the worker missed can be sent. */
  announced(): void {
    void this.#catchUp.run();
  }

  /** READ: answered by HISTORY. */
  read(request: number, after: number, channel: string): void {
    this.#history.read(request, after, channel);
  }

  /** Answers PUBLISH. */
  published(request: number, result: number, sequence: number): void {
    this.#outlet.frames.published(request, result, sequence);
    this.#outlet.flushLater();
  }

  /** STATS: answered by POSITION, where everything has been sent and the worker has not been told so. */
  reported(stats: WorkerStats): void {
    this.stats = stats;
    this.statsMs = performance.now();
    const { position } = this.#fanOut;
    if (this.#catchUp.behind || position === this.#positionSaid) return;
    this.#positionSaid = position;
    this.#outlet.frames.position(position);
    this.#outlet.flushLater();
  }

  /** What clients may do from now on. */
  policy(policy: ClientPolicy): void {
    this.#outlet.frames.json(POLICY, policy);
    this.#outlet.flushLater();
  }

  /** So many more clients may be accepted. */
  granted(tokens: number): void {
    const grant: Tokens = { tokens };
    this.#outlet.frames.json(GRANTED, grant);
    this.#outlet.flushLater();
  }

  /** What the other workers have of some addresses. */
  elsewhere(counts: AddressCounts): void {
    this.#outlet.frames.json(ELSEWHERE, counts);
    this.#outlet.flushLater();
  }

  /** Sends a frame without a payload (STOP, SEND_LISTENERS). */
  command(type: number): void {
    this.#outlet.frames.frame(type);
    this.#outlet.flushLater();
  }

  /** Ends the link; the worker dials again unless it was told to stop. */
  end(): void {
    this.ended = true;
    this.inquiries.end();
    this.#socket.destroy();
  }

  #sendDeferred(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    for (const [i, { sequence, channel, name }] of deferred.entries()) {
      if (this.backlogBytes > BACKLOG_BYTES_MAX) {
        this.#deferred = deferred.slice(i);
        return;
      }
      // In flight means oldest of its channel, so it is the oldest that the queue still has, or it is gone.
      const publication = this.#queue.oldest(channel);
      if (publication?.sequence === sequence) this.deliver(publication, name);
      else this.#queue.unsent(this.hello.worker, sequence);
    }
  }
}

/** Up to where a worker needs nothing of this log: one that knew another has seen nothing; a new one begins where WELCOME says. */
function seenOf({ epoch, position = 0 }: Hello, current: string, last: number): number {
  if (epoch === undefined) return last;
  return epoch === current && position <= last ? position : 0;
}

/**
 * Reads frames from a socket. A peer that sends anything else, or that the visitor refuses, is cut off.
 *
 * @param chunkRead called after the last whole frame of each chunk
 */
export function readFrames(
  socket: Socket,
  visit: FrameVisitor,
  chunkRead: () => void,
  refused: (reason: string) => void,
): void {
  const reader = new FrameReader();
  socket.on('data', (chunk) => {
    try {
      const whole = reader.read(chunk, visit);
      chunkRead();
      if (whole) return;
      refused('not a stream of frames');
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      refused(error.message);
    }
    socket.destroy();
  });
}
