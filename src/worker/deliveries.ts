/**
 * The latest publications that were fanned out here: when, and to how many. For whoever asks what became of one (trace.ts).
 *
 *     sequence   Float64Array ┐
 *     at         Float64Array │  by sequence modulo the rows: a row is kept until the log has come so many sequences farther,
 *     receivers  Int32Array   │  so any of the last 8,192 publications of the node is found, if it came here
 *     slow       Int32Array   ┘
 *
 * 24 bytes a row, 192 KiB together, of which only pages are there that were written.
 */

/** So many of the latest sequences are remembered. */
export const DELIVERIES = 1 << 13;

export interface Delivery {
  /** Milliseconds since 1970, when the kernel had it for all receivers, or the worker kept it for those that read slowly. */
  atMs: number;
  /** Connections that it was handed to by the fan-out. */
  receivers: number;
  /** Connections that were ended with it, because they had not read what came before. */
  slow: number;
}

export class Deliveries {
  readonly #sequence = new Float64Array(DELIVERIES);
  readonly #at = new Float64Array(DELIVERIES);
  readonly #receivers = new Int32Array(DELIVERIES);
  readonly #slow = new Int32Array(DELIVERIES);

  note(sequence: number, atMs: number, receivers: number, slow: number): void {
    const row = sequence % DELIVERIES;
    this.#sequence[row] = sequence;
    this.#at[row] = atMs;
    this.#receivers[row] = receivers;
    this.#slow[row] = slow;
  }

  /** What became of a publication; null where it did not come by the fan-out, or too long ago. */
  find(sequence: number): Delivery | null {
    const row = sequence % DELIVERIES;
    if (this.#sequence[row] !== sequence) return null;
    return { atMs: this.#at[row], receivers: this.#receivers[row], slow: this.#slow[row] };
  }

  /** Sequences are those of another log from now on. */
  clear(): void {
    this.#sequence.fill(0);
  }
}
