/**
 * Messages that are on their way to connections whose socket buffers were full, and the verdict on each.
 *
 * A message counts as received by a connection when the kernel has taken its last byte while the connection lived. The
 * verdict goes to the manager once: as soon as one connection has the message whole, or when none is left that could
 * still get it. What the slower ones get after that is theirs alone: it does not hold up the next message.
 */

export type Verdict = (sequence: number, receivers: number) => void;

interface HandOut {
  sequence: number;
  receivers: number;
  pending: number;
  decided: boolean;
}

export class HandOuts {
  readonly #verdict: Verdict;
  readonly #handOuts = new Map<number, HandOut>();
  #lastNumber = 0;

  constructor(verdict: Verdict) {
    this.#verdict = verdict;
  }

  /** Hand-outs that still wait for a connection. */
  get open(): number {
    return this.#handOuts.size;
  }

  /** A number for a new hand-out, to be concluded by `begun`. Numbers are int32, never 0. */
  next(): number {
    do this.#lastNumber = (this.#lastNumber + 1) | 0;
    while (this.#lastNumber === 0 || this.#handOuts.has(this.#lastNumber));
    return this.#lastNumber;
  }

  /** All connections were tried: `receivers` have the message, `pending` have it half. */
  begun(handOut: number, sequence: number, receivers: number, pending: number): void {
    const decided = receivers > 0 || pending === 0;
    if (decided) this.#verdict(sequence, receivers);
    if (pending > 0) this.#handOuts.set(handOut, { sequence, receivers, pending, decided });
  }

  /** Nobody wants the open verdicts any more: they were for a manager that is gone, whose sequences mean nothing now. */
  forgetVerdicts(): void {
    for (const entry of this.#handOuts.values()) entry.decided = true;
  }

  /** A pending connection of a hand-out has the message, or never will. */
  settled(handOut: number, received: boolean): void {
    const entry = this.#handOuts.get(handOut)!;
    entry.pending--;
    if (received) entry.receivers++;
    if (entry.pending === 0) this.#handOuts.delete(handOut);
    if (!entry.decided && (received || entry.pending === 0)) {
      entry.decided = true;
      this.#verdict(entry.sequence, entry.receivers);
    }
  }
}
