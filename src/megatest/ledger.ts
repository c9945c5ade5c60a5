/**
 * Which messages were accepted by the server and which came back: one byte for each sequence number of the run,
 * or of a part of it.
 *
 * A message counts as sent once the server took it. One whose publication failed in our sight is not sent; should it come
 * all the same, that is no duplicate and nothing is lost.
 */

const SENT = 1;
const RECEIVED = 2;

export class Ledger {
  private readonly marks: Uint8Array;
  private readonly first: number;
  private sentCount = 0;
  private receivedCount = 0;
  /** Sent and received both. */
  private settledCount = 0;
  private duplicateCount = 0;

  /** Sequences are first <= sequence < first + capacity. */
  constructor(capacity: number, first = 0) {
    this.marks = new Uint8Array(capacity);
    this.first = first;
  }

  get sent(): number {
    return this.sentCount;
  }

  /** Different messages that came. */
  get received(): number {
    return this.receivedCount;
  }

  /** Receipts beyond the first of each message. */
  get duplicates(): number {
    return this.duplicateCount;
  }

  /** Sent, but not (yet) received. */
  get missing(): number {
    return this.sentCount - this.settledCount;
  }

  markSent(sequence: number): void {
    const index = sequence - this.first;
    const mark = this.marks[index];
    if (mark & SENT) throw new Error(`message ${sequence} was sent twice`);
    this.marks[index] = mark | SENT;
    this.sentCount++;
    if (mark & RECEIVED) this.settledCount++;
  }

  /** @returns false where the message had come before, or its number is none of these */
  markReceived(sequence: number): boolean {
    const index = sequence - this.first;
    const mark = this.marks[index];
    if (mark === undefined) return false;
    if (mark & RECEIVED) {
      this.duplicateCount++;
      return false;
    }
    this.marks[index] = mark | RECEIVED;
    this.receivedCount++;
    if (mark & SENT) this.settledCount++;
    return true;
  }
}
