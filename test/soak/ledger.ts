/**
 * What was published, what each subscriber got, and whether that is right.
 *
 * Publications of a channel are numbered from 1 by their only publisher, who has one batch on its way at a time and repeats a
 * batch that was not answered or gives it up, before the next. So the log has the numbers of a channel in ascending order,
 * and whoever gets number n must have got all numbers below n that were acknowledged, unless a gap has come before that
 * reaches to them.
 * Of a publication that was given up nobody knows whether the log has it; but if one subscriber gets it, all must.
 *
 * Memory: a number for each publication, and something for each thing that is out of the ordinary.
 */

/** Above it, what is wrong is only counted. */
const ERRORS_KEPT = 20;

export class ChannelLedger {
  readonly name: string;
  /** How many publications retention keeps; Infinity where none is dropped while the soak lasts. */
  readonly keeps: number;
  /** The sequence of each number; 0 until it is known. */
  readonly sequences: number[] = [0];
  /** Numbers that were given up: true where somebody got it. */
  readonly givenUp = new Map<number, boolean>();
  acknowledged = 0;

  constructor(name: string, keeps = Number.POSITIVE_INFINITY) {
    this.name = name;
    this.keeps = keeps;
  }

  /** The number of the next publication. */
  next(): number {
    return this.sequences.push(0) - 1;
  }

  get last(): number {
    return this.sequences.length - 1;
  }

  /** How many publications of the channel the log has got above a sequence, as far as is known. */
  countAbove(sequence: number): number {
    let count = 0;
    for (let number = this.last; number > 0; number--) {
      const other = this.sequences[number];
      if (other !== 0 && other <= sequence) break;
      if (other !== 0) count++;
    }
    return count;
  }
}

/** A subscriber's view of one channel. */
export class Follower {
  readonly ledger: ChannelLedger;
  readonly subscriber: string;
  readonly #book: Book;
  /** The highest number got. */
  last = 0;
  /** How far the gaps reach that were told. */
  gap = 0;
  /** One was told after the last number, and nothing has come since. */
  #isGapNew = false;
  /** Numbers up to here may have been dropped before it began. */
  #before = 0;
  /** Numbers that did not come, and the gap in which they may have been lost. */
  readonly #missed: { number: number; gap: number }[] = [];

  constructor(book: Book, ledger: ChannelLedger, subscriber: string) {
    this.#book = book;
    this.ledger = ledger;
    this.subscriber = subscriber;
  }

  get title(): string {
    return `${this.subscriber}, channel ${this.ledger.name}`;
  }

  /** A publication that is not a repetition by its cursor. */
  got(number: number, sequence: number): void {
    const { ledger } = this;
    this.#book.delivered++;
    if (!(number > 0 && number <= ledger.last)) {
      this.#book.wrong(`${this.title}: got number ${number}, which was never published`);
      return;
    }
    if (ledger.sequences[number] === 0) ledger.sequences[number] = sequence;
    if (ledger.sequences[number] !== sequence) {
      this.#book.wrong(
        `${this.title}: number ${number} has two sequences, ${ledger.sequences[number]} and ${sequence}`,
      );
    }
    if (ledger.givenUp.has(number)) ledger.givenUp.set(number, true);
    if (number <= this.last) {
      this.#book.wrong(`${this.title}: number ${number} after ${this.last}, though its cursor is new`);
      return;
    }
    this.#skip(number);
    this.last = number;
  }

  /** It begins at the start of the log, and is given what is retained now. */
  begin(): void {
    this.#before = Math.max(0, this.ledger.last - this.ledger.keeps);
  }

  /** A gap was told that reaches to this sequence. */
  lost(sequence: number): void {
    const { ledger } = this;
    this.#book.gaps++;
    this.#isGapNew = true;
    this.gap = Math.max(this.gap, sequence);
    // Publications whose answer is on its way count when it is here: the judgement waits.
    this.#book.claims.push({ follower: this, sequence });
    if (ledger.keeps === Number.POSITIVE_INFINITY) {
      this.#book.wrong(`${this.title}: a gap at ${sequence}, where nothing is dropped`);
    }
  }

  /** Whether all that was acknowledged has been got or lost. */
  get complete(): boolean {
    for (let number = this.ledger.last; number > this.last; number--) {
      if (this.ledger.givenUp.get(number) !== false && !this.#isLost(number, this.gap) && number > this.#before)
        return false;
    }
    return true;
  }

  /** At the end. */
  judge(): void {
    this.#skip(this.ledger.last + 1);
    for (const { number, gap } of this.#missed) {
      const { givenUp, sequences } = this.ledger;
      // Nobody got it, or it was not known yet where it was.
      if (givenUp.get(number) === false || this.#isLost(number, gap)) continue;
      this.#book.missing++;
      const state = givenUp.has(number) ? 'which others got' : `acknowledged at ${sequences[number]}`;
      this.#book.wrong(`${this.title}: number ${number} is missing, ${state}`);
    }
  }

  /** Whether a gap covers a publication of which it is known where it is. */
  #isLost(number: number, gap: number): boolean {
    const sequence = this.ledger.sequences[number];
    return sequence !== 0 && sequence <= gap;
  }

  /** Numbers between the last one and this must be lost in the gap, or be given up by their publisher. */
  #skip(until: number): void {
    let excused = 0;
    for (let number = this.last + 1; number < until; number++) {
      if (this.#isLost(number, this.gap)) excused++;
      else if (number > this.#before) this.#missed.push({ number, gap: this.gap });
    }
    this.#book.lostInGaps += excused;
    if (this.#isGapNew && excused === 0) this.#book.idleGaps++;
    this.#isGapNew = false;
  }
}

/** The sums, and what is wrong. */
export class Book {
  delivered = 0;
  /** Publications that came again after a client returned, and that its cursor told it to drop. */
  repeated = 0;
  gaps = 0;
  /** Gaps in which nothing was missing that had not come before. */
  idleGaps = 0;
  lostInGaps = 0;
  missing = 0;
  errors: string[] = [];
  errorCount = 0;
  readonly claims: { follower: Follower; sequence: number }[] = [];

  wrong(what: string): void {
    this.errorCount++;
    if (this.errors.length < ERRORS_KEPT) this.errors.push(what);
  }

  /** Gaps that were told must be such as retention makes: as many as it keeps have come since. */
  judgeClaims(): void {
    for (const { follower, sequence } of this.claims.splice(0)) {
      const { ledger } = follower;
      const count = ledger.countAbove(sequence);
      if (count < ledger.keeps) {
        this.wrong(`${follower.title}: a gap at ${sequence}, though only ${count} of ${ledger.keeps} came since`);
      }
    }
  }
}
