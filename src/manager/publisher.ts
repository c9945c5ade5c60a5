/**
 * What every publication goes through, wherever it comes from: the log, then the classic queue and the fan-out.
 *
 *     publish ── log.append ──┬─ queue.accept  ─┬─ receipts
 *                             └─ fanOut.accept ─┘
 *
 * The log resolves appends in the order in which they were made, so queue and fan-out see publications in the order of
 * their sequences. A batch costs one append and one continuation, however many publications it has. What the log could
 * not keep is given to nobody.
 */

import { FAN_OUT_BOUNDS_MS, LatencyHistogram } from '../latency-histogram.js';
import { type Appended, type Log, LogError, type NewPublication, type Publication } from '../log/log.js';
import type { FanOut } from './fan-out.js';
import { atMostEvery, type Logger } from './logger.js';
import type { Queue } from './queue.js';
import type { Receipt, Receipts } from './receipts.js';

/** A log that fails goes on failing: it is said no oftener than this. */
const FAILURE_LOG_MS = 10_000;

export interface PublisherCounters {
  /** Publications accepted, without duplicates. */
  published: number;
  /** Publications whose id was known. */
  duplicates: number;
  /** Publications that the log could not keep. */
  failed: number;
  /** Publications on their way into the log now, and their bytes. */
  pending: number;
  pendingBytes: number;
  /** Publications whose publishers wait for a receipt now. */
  publishersWaiting: number;
}

export interface PublisherParts {
  log: Log;
  queue: Queue;
  fanOut: FanOut;
  receipts: Receipts;
  logger: Logger;
}

export class Publisher {
  readonly #log: Log;
  readonly #queue: Queue;
  readonly #fanOut: FanOut;
  readonly #receipts: Receipts;
  readonly #reportFailure: (error: LogError) => void;
  /** From `append` until a publication was written to all links that have somebody listening. */
  readonly fanOutTimes = new LatencyHistogram(FAN_OUT_BOUNDS_MS);
  /** Of batches that were given out and not timed yet: when each began, and how many publications it has. */
  #untimed: number[] = [];
  #published = 0;
  #duplicates = 0;
  #failed = 0;
  #pending = 0;
  #pendingBytes = 0;
  /** Ends when all appends made so far have. */
  #settled: Promise<unknown> = Promise.resolve();

  constructor({ log, queue, fanOut, receipts, logger }: PublisherParts) {
    this.#log = log;
    this.#queue = queue;
    this.#fanOut = fanOut;
    this.#receipts = receipts;
    this.#reportFailure = atMostEvery(FAILURE_LOG_MS, ({ code, message }) =>
      logger.error('the log keeps nothing', { code, reason: message, failed: this.#failed }),
    );
  }

  get counters(): PublisherCounters {
    return {
      published: this.#published,
      duplicates: this.#duplicates,
      failed: this.#failed,
      pending: this.#pending,
      pendingBytes: this.#pendingBytes,
      publishersWaiting: this.#receipts.size,
    };
  }

  /** Bytes on their way into the log. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Publishes a batch and waits for its verdicts, at most a second. Names, kinds and data are valid ones; the data
   * belongs to the log from now on.
   *
   * @throws LogError where the log could not keep it; then none of it is published
   */
  publish(batch: readonly NewPublication[]): Promise<Receipt[]> {
    return this.#append(batch, (appended) => {
      const receipts = appended.map(({ sequence, duplicate }) => this.#receipt(sequence, duplicate));
      return this.#receipts.wait(receipts, this.#handOut(batch, appended, true));
    });
  }

  /**
   * Publishes a batch whose publisher does not ask who gets it. Resolves when the log has it.
   *
   * @throws LogError as `publish`
   */
  accept(batch: readonly NewPublication[]): Promise<Appended[]> {
    return this.#append(batch, (appended) => {
      this.#handOut(batch, appended, false);
      return appended;
    });
  }

  /** Resolves when the log has taken or refused all that was published so far, and tells all who wait what is known. */
  async settle(): Promise<void> {
    await this.#settled;
    this.#receipts.settleAll();
  }

  /** `then` hangs on the log's own promise, for all batches alike: their order depends on it. */
  #append<T>(batch: readonly NewPublication[], then: (appended: Appended[]) => T | Promise<T>): Promise<T> {
    let bytes = 0;
    for (const { data } of batch) bytes += data.length;
    this.#pending += batch.length;
    this.#pendingBytes += bytes;
    const ended = () => {
      this.#pending -= batch.length;
      this.#pendingBytes -= bytes;
    };
    const startedMs = performance.now();
    const appending = this.#log.append(batch).then(
      (appended) => {
        ended();
        this.#timeLater(startedMs, batch.length);
        return then(appended);
      },
      (error: Error) => {
        ended();
        this.#refused(batch.length, error);
        throw error;
      },
    );
    this.#settled = appending.catch(() => {});
    return appending;
  }

  /** The links write at the end of this turn; after that the time of what they were given is known. */
  #timeLater(startedMs: number, publications: number): void {
    if (this.#untimed.push(startedMs, publications) > 2) return;
    // Behind theirs, which is asked for in the same turn, and after what they are given now.
    setImmediate(() => setImmediate(() => this.#time()));
  }

  #time(): void {
    const nowMs = performance.now();
    const untimed = this.#untimed;
    for (let i = 0; i < untimed.length; i += 2) this.fanOutTimes.observe(nowMs - untimed[i]!, untimed[i + 1]!);
    this.#untimed = [];
  }

  /** Gives the batch to queue and fan-out. Returns how many verdicts each publication owes. */
  #handOut(batch: readonly NewPublication[], appended: readonly Appended[], receipts: boolean): Uint16Array {
    const verdicts = new Uint16Array(batch.length);
    for (let i = 0; i < batch.length; i++) {
      const { sequence, timeMs, duplicate } = appended[i]!;
      if (duplicate) {
        this.#duplicates++;
        continue;
      }
      const { channel, kind, data } = batch[i]!;
      const publication: Publication = { sequence, channel, kind, data, timeMs };
      const name = Buffer.from(channel);
      if (this.#queue.accept(publication, name, receipts)) verdicts[i]++;
      verdicts[i]! += this.#fanOut.accept(publication, name, receipts);
      this.#published++;
    }
    return verdicts;
  }

  #refused(publications: number, error: Error): void {
    if (!(error instanceof LogError)) return;
    this.#failed += publications;
    this.#reportFailure(error);
  }

  #receipt(sequence: number, duplicate: boolean): Receipt {
    return {
      cursor: `${this.#log.epoch}-${sequence}`,
      sequence,
      status: 'queued',
      receivers: 0,
      incomplete: false,
      duplicate,
    };
  }
}
