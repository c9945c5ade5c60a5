/**
 * Which messages were accepted by the server and which came back: one byte for each sequence number of the run.
 *
 * A message counts as sent once the server took it. One whose publication failed in our sight is not sent; should it come
 * all the same, that is no duplicate and nothing is lost.
 */

const SENT = 1;
const RECEIVED = 2;

export class Ledger {
  private readonly marks: Uint8Array;
  private sentCount = 0;
  private receivedCount = 0;
  /** Sent and received both. */
  private settledCount = 0;
  private duplicateCount = 0;

  /** Sequences are 0 <= sequence < capacity. */
  constructor(capacity: number) {
    this.marks = new Uint8Array(capacity);
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
    const mark = this.marks[sequence];
    if (mark & SENT) throw new Error(`message ${sequence} was sent twice`);
    this.marks[sequence] = mark | SENT;
    this.sentCount++;
    if (mark & RECEIVED) this.settledCount++;
  }

  /** @returns false where the message had come before, or its number is none of this run */
  markReceived(sequence: number): boolean {
    const mark = this.marks[sequence];
    if (mark === undefined) return false;
    if (mark & RECEIVED) {
      this.duplicateCount++;
      return false;
    }
    this.marks[sequence] = mark | RECEIVED;
    this.receivedCount++;
    if (mark & SENT) this.settledCount++;
    return true;
  }
}
