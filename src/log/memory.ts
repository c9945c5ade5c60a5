/**
 * The log in memory: what it holds is lost with the manager, so each log has an epoch of its own.
 *
 * Every publication is in two doubly linked lists, that of the node and that of its channel, both in the order of the
 * sequence. So the oldest of either is at hand, and one may leave from the middle in constant time. (A JavaScript Map
 * is ordered too, but to ask it for its first key again and again walks over all that were deleted before it.)
 *
 * Invariants: `#bytes` and each queue's `bytes` are the sums over their lists; a queue without publications is in no
 * map. The newest publication of a channel is never evicted by its own arrival, even where it alone exceeds a limit:
 * an attempt to deliver it comes first.
 */

import { randomBytes } from 'node:crypto';
import type { Log, LogCounters, Publication, Retention } from './log.js';

/** What a publication costs beside its data: two objects, a Buffer, two Map entries. Counted against `totalBytes`. */
export const PUBLICATION_OVERHEAD_BYTES = 400;

interface Queue {
  readonly channel: string;
  first: Entry | null;
  last: Entry | null;
  count: number;
  bytes: number;
}

interface Entry {
  readonly publication: Publication;
  readonly queue: Queue;
  /** Neighbours in the node's list. */
  older: Entry | null;
  newer: Entry | null;
  /** Neighbours in the channel's list. */
  queueOlder: Entry | null;
  queueNewer: Entry | null;
}

export class MemoryLog implements Log {
  readonly epoch = randomBytes(6).toString('hex');
  readonly #retention: Retention;
  readonly #now: () => number;
  readonly #entries = new Map<number, Entry>();
  readonly #queues = new Map<string, Queue>();
  #oldest: Entry | null = null;
  #newest: Entry | null = null;
  #sequence = 0;
  #bytes = 0;
  #totalBytes = 0;
  #expired = 0;
  #evicted = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(retention: Retention, now: () => number = () => performance.now()) {
    this.#retention = retention;
    this.#now = now;
  }

  append(channel: string, kind: number, data: Buffer): Publication {
    const publication: Publication = { sequence: ++this.#sequence, channel, kind, data, timeMs: this.#now() };
    let queue = this.#queues.get(channel);
    if (queue === undefined) {
      queue = { channel, first: null, last: null, count: 0, bytes: 0 };
      this.#queues.set(channel, queue);
    }
    this.#link({ publication, queue, older: this.#newest, newer: null, queueOlder: queue.last, queueNewer: null });

    const { messages, bytes, totalBytes } = this.#retention;
    while (queue.count > 1 && (queue.count > messages || queue.bytes > bytes)) this.#evict(queue.first!);
    while (this.#totalBytes > totalBytes && this.#oldest !== this.#newest) this.#evict(this.#oldest!);
    return publication;
  }

  oldest(channel: string): Publication | undefined {
    return this.#queues.get(channel)?.first?.publication;
  }

  remove(sequence: number): boolean {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return false;
    this.#unlink(entry);
    return true;
  }

  has(sequence: number): boolean {
    return this.#entries.has(sequence);
  }

  expire(): void {
    const before = this.#now() - this.#retention.seconds * 1000;
    while (this.#oldest !== null && this.#oldest.publication.timeMs <= before) {
      this.#unlink(this.#oldest);
      this.#expired++;
    }
  }

  get counters(): LogCounters {
    return {
      publications: this.#entries.size,
      bytes: this.#bytes,
      channels: this.#queues.size,
      expired: this.#expired,
      evicted: this.#evicted,
    };
  }

  #evict(entry: Entry): void {
    this.#unlink(entry);
    this.#evicted++;
  }

  #link(entry: Entry): void {
    const { queue, publication } = entry;
    if (this.#newest === null) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
    if (queue.last === null) queue.first = entry;
    else queue.last.queueNewer = entry;
    queue.last = entry;
    queue.count++;
    queue.bytes += publication.data.length;
    this.#bytes += publication.data.length;
    this.#totalBytes += publication.data.length + PUBLICATION_OVERHEAD_BYTES;
    this.#entries.set(publication.sequence, entry);
  }

  #unlink(entry: Entry): void {
    const { queue, publication, older, newer, queueOlder, queueNewer } = entry;
    if (older === null) this.#oldest = newer;
    else older.newer = newer;
    if (newer === null) this.#newest = older;
    else newer.older = older;
    if (queueOlder === null) queue.first = queueNewer;
    else queueOlder.queueNewer = queueNewer;
    if (queueNewer === null) queue.last = queueOlder;
    else queueNewer.queueOlder = queueOlder;
    queue.count--;
    queue.bytes -= publication.data.length;
    this.#bytes -= publication.data.length;
    this.#totalBytes -= publication.data.length + PUBLICATION_OVERHEAD_BYTES;
    this.#entries.delete(publication.sequence);
    if (queue.count === 0) this.#queues.delete(queue.channel);
  }
}
