/**
 * Idempotency ids of retained publications: which sequence has the id, and which id the sequence has, to forget it. Some 300
 * bytes for each publication with an id, nothing for others.
 */

export class PublicationIds {
  readonly #sequences = new Map<string, number>();
  readonly #keys = new Map<number, string>();

  /** The sequence that has the id, or undefined. */
  find(channel: string, id: string): number | undefined {
    return this.#sequences.get(idKey(channel, id));
  }

  add(channel: string, id: string, sequence: number): void {
    const key = idKey(channel, id);
    this.#sequences.set(key, sequence);
    this.#keys.set(sequence, key);
  }

  /** The publication has been dropped; it need not have an id. */
  delete(sequence: number): void {
    const key = this.#keys.get(sequence);
    if (key === undefined) return;
    this.#keys.delete(sequence);
    this.#sequences.delete(key);
  }
}

/** Names of channels have no control characters, so the first line feed ends the name. */
export function idKey(channel: string, id: string): string {
  return `${channel}\n${id}`;
}
