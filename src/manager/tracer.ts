/**
 * What became of one publication: from the manager's own records, and from what its workers remember of it and of a client.
 */

import type { Outcome, Visit, WorkerTrace } from '../link/questions.js';
import type { Log } from '../log/log.js';
import type { LinkServer } from './link-server.js';
import type { PublicationRecord, PublicationRecords, Via } from './publication-records.js';

const TIMEOUT_MS = 5_000;

/** Of several visits the one counts that says most. */
export const OUTCOMES: readonly Outcome[] = [
  'sent',
  'had_it',
  'on_its_way',
  'catching_up',
  'left_while_catching_up',
  'asked_for_later',
  'not_subscribed',
];

/** A client that has made no visit that has to do with the publication. */
export type ClientOutcome = Outcome | 'not_connected' | 'unknown';

export interface WorkerPart {
  worker: number;
  via: Via;
  /** When the fan-out handed it out, and to how many; absent where it was sent from the log, or too long ago. */
  sentMs?: number;
  receivers?: number;
  /** Connections that were ended with it, because they had not read what came before. */
  slowConsumers?: number;
}

export interface Trace {
  channel: string;
  sequence: number;
  timeMs: number;
  bytes: number;
  /** The log has it now. */
  retained: boolean;
  workers: WorkerPart[];
  /** Of the classic queue, and of the fan-out as far as workers remember it. */
  receivers: number;
  client: { client: string; outcome: ClientOutcome; visits: (Visit & { worker: number })[] } | null;
  incomplete: boolean;
}

export interface TracerParts {
  server: Pick<LinkServer, 'askAll'>;
  log: Pick<Log, 'read' | 'last'>;
  records: PublicationRecords;
}

export class Tracer {
  readonly #parts: TracerParts;

  constructor(parts: TracerParts) {
    this.#parts = parts;
  }

  /** What is known of a publication here; null: nothing. */
  find(sequence: number): PublicationRecord | null {
    return this.#parts.records.find(sequence);
  }

  /** @param record of the sequence, as `find` gives it */
  async trace(sequence: number, record: PublicationRecord, client: string | null): Promise<Trace> {
    const { channel, timeMs, bytes, queueReceivers } = record;
    const { server, log } = this.#parts;
    const [{ answers, missing }, page] = await Promise.all([
      server.askAll('trace', { sequence, channel, client }, TIMEOUT_MS),
      log.read([channel], sequence - 1, 1, 1),
    ]);
    const byWorker = new Map(answers.map(({ worker, answer }) => [worker, answer]));
    const workers = record.workers.map(({ worker, via }) =>
      toPart(worker, via, via === 'fan_out' ? (byWorker.get(worker)?.delivery ?? null) : null),
    );
    const visits = answers.flatMap(({ worker, answer }) => answer.visits.map((visit) => ({ worker, ...visit })));
    const incomplete = missing.length > 0;
    const isForgotten = incomplete || answers.some(({ answer: { sinceMs } }) => sinceMs !== null && sinceMs > timeMs);
    return {
      ...{ channel, sequence, timeMs, bytes },
      retained: page.publications[0]?.sequence === sequence,
      workers,
      receivers: workers.reduce((sum, { receivers = 0 }) => sum + receivers, queueReceivers),
      client: client === null ? null : { client, outcome: outcomeOf(visits, isForgotten), visits },
      incomplete,
    };
  }
}

function toPart(worker: number, via: Via, delivery: WorkerTrace['delivery']): WorkerPart {
  if (delivery === null) return { worker, via };
  const { atMs, receivers, slow } = delivery;
  return { worker, via, sentMs: atMs, receivers, slowConsumers: slow };
}

/** @param isForgotten a visit at that time may be known to nobody any more */
function outcomeOf(visits: readonly Visit[], isForgotten: boolean): ClientOutcome {
  const outcome = OUTCOMES.find((each) => visits.some((visit) => visit.outcome === each));
  if (outcome !== undefined) return outcome;
  return isForgotten ? 'unknown' : 'not_connected';
}
