/**
 * What has changed in memory and is yet to be changed on the disk: it goes with the next group, whether that has publications or
 * not.
 */

export class PendingChanges {
  /** Blocks of which nothing is retained. */
  readonly deadBlocks = new Set<number>();
  /** Channels that retain nothing any more, by the sequence that they lost last. */
  readonly emptied = new Map<number, string>();
  /** Up to where the classic queue has handed out; null for channels that retain nothing. */
  readonly queue = new Map<string, number | null>();

  get size(): number {
    return this.deadBlocks.size + this.emptied.size + this.queue.size;
  }

  /** The group that had taken these has failed: they wait for the next one, but for those that are out of date. */
  putBack(taken: PendingChanges): void {
    for (const block of taken.deadBlocks) this.deadBlocks.add(block);
    for (const [sequence, channel] of taken.emptied) this.emptied.set(sequence, channel);
    for (const [channel, sequence] of taken.queue) if (!this.queue.has(channel)) this.queue.set(channel, sequence);
  }
}
