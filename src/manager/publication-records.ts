/**
 * The latest publications: of which channel, when, and which workers they were given to. For whoever asks what became of one.
 *
 * By sequence modulo RECORDS: since the sequences of a node have no holes, these are its last 32,768 publications. 120 bytes each
 * and the channel's name: 4 MB and names at most, touched as they are written.
 */

import { WORKERS_MAX } from '../limits.js';
import type { Publication } from '../log/log.js';

const RECORDS = 1 << 15;
/** A bit for each worker. */
const WORDS = Math.ceil(WORKERS_MAX / 32);

export interface PublicationRecord {
  channel: string;
  timeMs: number;
  bytes: number;
  /** Workers that had somebody on the channel. */
  workers: { worker: number; via: Via }[];
  /** Connections that were handed it out of the classic queue. */
  queueReceivers: number;
}

/** How a worker was given it: at once, from the log, since its link was behind, or out of the classic queue, in its turn. */
export type Via = 'fan_out' | 'log' | 'queue';

export class PublicationRecords {
  readonly #sequence = new Float64Array(RECORDS);
  readonly #timeMs = new Float64Array(RECORDS);
  readonly #bytes = new Uint32Array(RECORDS);
  readonly #given = new Uint32Array(RECORDS * WORDS);
  readonly #behind = new Uint32Array(RECORDS * WORDS);
  readonly #queued = new Uint32Array(RECORDS * WORDS);
  readonly #queueReceivers = new Uint32Array(RECORDS);
  readonly #channel: string[] = [];
  #row = 0;

  /** A publication that is about to be given to workers. */
  begin({ sequence, channel, timeMs, data }: Publication): void {
    const row = sequence % RECORDS;
    this.#row = row;
    this.#sequence[row] = sequence;
    this.#timeMs[row] = timeMs;
    this.#bytes[row] = data.length;
    this.#channel[row] = channel;
    this.#given.fill(0, row * WORDS, (row + 1) * WORDS);
    this.#behind.fill(0, row * WORDS, (row + 1) * WORDS);
    this.#queued.fill(0, row * WORDS, (row + 1) * WORDS);
    this.#queueReceivers[row] = 0;
  }

  /** It is given to a worker. @param behind that will read it from the log */
  given(worker: number, behind: boolean): void {
    const word = this.#row * WORDS + (worker >> 5);
    this.#given[word] |= 1 << (worker & 31);
    if (behind) this.#behind[word] |= 1 << (worker & 31);
  }

  /** So many connections of a worker were handed one out of the classic queue. */
  queued(sequence: number, worker: number, receivers: number): void {
    const row = sequence % RECORDS;
    if (this.#sequence[row] !== sequence) return;
    this.#queued[row * WORDS + (worker >> 5)] |= 1 << (worker & 31);
    this.#queueReceivers[row] += receivers;
  }

  /** Null where it was too long ago, before the manager began, or never. */
  find(sequence: number): PublicationRecord | null {
    const row = sequence % RECORDS;
    if (sequence === 0 || this.#sequence[row] !== sequence) return null;
    const workers: PublicationRecord['workers'] = [];
    for (let worker = 0; worker < WORKERS_MAX; worker++) {
      const word = row * WORDS + (worker >> 5);
      const bit = 1 << (worker & 31);
      if (this.#given[word] & bit) workers.push({ worker, via: this.#behind[word] & bit ? 'log' : 'fan_out' });
      if (this.#queued[word] & bit) workers.push({ worker, via: 'queue' });
    }
    const queueReceivers = this.#queueReceivers[row];
    return { channel: this.#channel[row], timeMs: this.#timeMs[row], bytes: this.#bytes[row], workers, queueReceivers };
  }
}
