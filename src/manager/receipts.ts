/**
 * Publishers that wait to hear who got their publications, for a bounded time and in a bounded number.
 *
 * A publication may owe verdicts: one of the classic queue, and one of each worker that the fan-out has given it. Queue and
 * fan-out know it by its sequence, say `received` for each worker's answer, and `settled` for each verdict. A publisher waits
 * for a batch as a whole, and is told what is known when the last verdict is in or its time is over.
 *
 * All wait equally long, so batches time out in the order in which they came: one timer serves them all.
 */

/** How long a publisher waits. */
export const VERDICT_TIMEOUT_MS = 1000;
/** Publications that are waited for at one time: a few full batches. Of more, the publisher is told what is known at once. */
export const RECEIPTS_WAITING_MAX = 50_000;
const SWEEP_MS = 50;

/** What a publisher is told of one publication. */
export interface Receipt {
  /** `<epoch>-<sequence>`. */
  cursor: string;
  sequence: number;
  /** Delivered: at least one connection, of whatever transport, was handed it whole. */
  status: 'delivered' | 'queued';
  /** Connections that were handed it whole. */
  receivers: number;
  /** Not all verdicts came in time: there may be more receivers. */
  incomplete: boolean;
  /** The id was known, and this is the first one's place. It was not sent again. */
  duplicate: boolean;
}

interface Batch {
  readonly receipts: Receipt[];
  readonly resolve: (receipts: Receipt[]) => void;
  readonly deadlineMs: number;
  /** How many of its publications are waited for. */
  waiting: number;
}

interface Waiting {
  readonly receipt: Receipt;
  readonly batch: Batch;
  verdicts: number;
}

export class Receipts {
  readonly #timeoutMs: number;
  readonly #now: () => number;
  /** By sequence, in the order of the sequences. */
  readonly #waiting = new Map<number, Waiting>();
  #timer: NodeJS.Timeout | null = null;

  /** @param now milliseconds of a clock that never goes back */
  constructor(timeoutMs = VERDICT_TIMEOUT_MS, now: () => number = () => performance.now()) {
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /** Publications that are waited for. */
  get size(): number {
    return this.#waiting.size;
  }

  /** True while somebody waits to hear of the publication. */
  has(sequence: number): boolean {
    return this.#waiting.has(sequence);
  }

  /**
   * Resolves with the receipts, filled in, when all verdicts are in or the time is over.
   *
   * @param verdicts how many each of them owes; verdicts come later than this call
   */
  wait(receipts: Receipt[], verdicts: ArrayLike<number>): Promise<Receipt[]> {
    return new Promise((resolve) => {
      const batch: Batch = { receipts, resolve, deadlineMs: this.#now() + this.#timeoutMs, waiting: 0 };
      for (let i = 0; i < receipts.length; i++) {
        const receipt = receipts[i]!;
        if (verdicts[i] === 0) continue;
        receipt.incomplete = true;
        if (this.#waiting.size >= RECEIPTS_WAITING_MAX) continue;
        this.#waiting.set(receipt.sequence, { receipt, batch, verdicts: verdicts[i]! });
        batch.waiting++;
      }
      if (batch.waiting === 0) resolve(receipts);
      else this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS);
    });
  }

  /** So many connections of one worker were handed the publication. Without effect where nobody waits for it. */
  received(sequence: number, receivers: number): void {
    const waiting = this.#waiting.get(sequence);
    if (waiting === undefined || receivers === 0) return;
    waiting.receipt.receivers += receivers;
    waiting.receipt.status = 'delivered';
  }

  /** One of the verdicts on the publication is complete. Without effect where nobody waits for it. */
  settled(sequence: number): void {
    const waiting = this.#waiting.get(sequence);
    if (waiting === undefined || --waiting.verdicts > 0) return;
    waiting.receipt.incomplete = false;
    this.#tell(sequence, waiting);
  }

  /** Tells all who wait what is known. */
  settleAll(): void {
    for (const [sequence, waiting] of this.#waiting) this.#tell(sequence, waiting);
  }

  #tell(sequence: number, { batch }: Waiting): void {
    this.#waiting.delete(sequence);
    if (--batch.waiting === 0) batch.resolve(batch.receipts);
    if (this.#waiting.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #sweep(): void {
    const nowMs = this.#now();
    for (const [sequence, waiting] of this.#waiting) {
      if (waiting.batch.deadlineMs > nowMs) break;
      this.#tell(sequence, waiting);
    }
  }
}
