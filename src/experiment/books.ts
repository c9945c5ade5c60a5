/** The messages of an experiment: who publishes them, which were sent, which came, and when. */

import { Histogram } from '../megatest/histogram.js';
import { Ledger } from '../megatest/ledger.js';
import { monotonicUs } from '../megatest/marker.js';
import { Publisher } from '../megatest/publisher.js';
import { ApiRoute } from '../megatest/routes.js';
import { clientId, type ExperimentOptions } from './options.js';
import type { BroadcastResult, DirectedResult, MessagesResult } from './result.js';
import type { Server } from './server.js';

export const MESSAGE_BYTES = 100;
/** Messages of a broadcast under way: what a server delivers in a second or two. */
const BROADCAST_MISSING_MAX = 20_000;

/** Directed messages are numbered from 0, those of the broadcast from there on. */
export class Books {
  private readonly run: string;
  private readonly options: ExperimentOptions;
  private readonly server: Server;
  private readonly directed: Ledger;
  private readonly broadcast: Ledger;
  private readonly latencies = new Histogram();
  private firstUs = Number.POSITIVE_INFINITY;
  private lastUs = 0;

  constructor(run: string, options: ExperimentOptions, server: Server) {
    this.run = run;
    this.options = options;
    this.server = server;
    this.directed = new Ledger(options.directedMessages);
    this.broadcast = new Ledger(options.connections, options.directedMessages);
  }

  get sent(): number {
    return this.directed.sent + this.broadcast.sent;
  }

  get received(): number {
    return this.directed.received + this.broadcast.received;
  }

  get missing(): number {
    return this.directed.missing + this.broadcast.missing;
  }

  get duplicates(): number {
    return this.directed.duplicates + this.broadcast.duplicates;
  }

  /** Receipts of the client processes; `record` is told the latency of each message that came for the first time. */
  receive(sequences: Uint32Array, latenciesUs: Uint32Array, record: (latencyUs: number) => void): void {
    const { directedMessages } = this.options;
    for (let index = 0; index < sequences.length; index++) {
      const sequence = sequences[index];
      const latencyUs = latenciesUs[index];
      if (sequence < directedMessages) {
        if (!this.directed.markReceived(sequence)) continue;
        this.latencies.record(latencyUs);
      } else {
        if (!this.broadcast.markReceived(sequence)) continue;
        this.firstUs = Math.min(this.firstUs, latencyUs);
        this.lastUs = Math.max(this.lastUs, latencyUs);
      }
      record(latencyUs);
    }
  }

  /** Sends messages to random clients. @returns what makes the result, once what is missing has had its time */
  async publishDirected(signal: AbortSignal): Promise<() => DirectedResult> {
    const { boxes, connections, directedMessages: count, directedRate: rate } = this.options;
    const recipient = () => clientId(boxes, Math.floor(Math.random() * connections));
    const publisher = this.publisher(this.directed, { rate, count, firstSequence: 0, recipient });
    const seconds = await publisher.run(signal);
    return () => ({
      ...messagesResult(this.directed, publisher),
      perSecond: Math.round(this.directed.sent / seconds),
      p50Ms: this.latencies.percentile(50) / 1000,
      p99Ms: this.latencies.percentile(99) / 1000,
      maxMs: this.latencies.max / 1000,
    });
  }

  /** Sends every client a message by its id, as fast as the server takes them. All count as sent now. */
  async publishBroadcast(signal: AbortSignal): Promise<() => BroadcastResult> {
    const { boxes, connections: count, directedMessages: firstSequence } = this.options;
    const recipient = (sequence: number) => clientId(boxes, sequence - firstSequence);
    const rate = Number.POSITIVE_INFINITY;
    const sentUs = monotonicUs();
    const publisher = this.publisher(this.broadcast, {
      ...{ rate, count, firstSequence, recipient, sentUs },
      missingMax: BROADCAST_MISSING_MAX,
    });
    const publishSeconds = await publisher.run(signal);
    return () => ({
      ...messagesResult(this.broadcast, publisher),
      firstMs: this.broadcast.received === 0 ? 0 : this.firstUs / 1000,
      lastMs: this.lastUs / 1000,
      publishSeconds: Number(publishSeconds.toFixed(3)),
    });
  }

  private publisher(
    ledger: Ledger,
    what: Omit<ConstructorParameters<typeof Publisher>[0], 'run' | 'routes' | 'messageBytes'>,
  ): Publisher {
    const routes = [new ApiRoute(this.server.api, MESSAGE_BYTES)];
    return new Publisher({ run: this.run, routes, messageBytes: MESSAGE_BYTES, ...what }, ledger);
  }
}

function messagesResult(ledger: Ledger, publisher: Publisher): MessagesResult {
  const { sent, received, missing } = ledger;
  const unsent = Object.values(publisher.unsent).reduce((sum, count) => sum + count, 0);
  return { sent, received, lost: missing, unsent, unsentByReason: publisher.unsent };
}
