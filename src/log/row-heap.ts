/**
 * Merges lists of ascending row numbers: a binary heap of the first row of each. Rows are in the order of the log, so to merge
 * channels is to take the smallest row again and again.
 */

export class RowHeap {
  readonly #rows: number[] = [];

  /** Adds the first row of a list; {@link order} is to follow. */
  add(row: number): void {
    this.#rows.push(row);
  }

  /** Makes a heap of what was added. */
  order(): void {
    for (let i = (this.#rows.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** The smallest row, or -1. */
  get top(): number {
    return this.#rows[0] ?? -1;
  }

  /** Puts the next row of the same list in the place of the smallest one; -1 ends the list. */
  replaceTop(row: number): void {
    if (row !== -1) {
      this.#rows[0] = row;
    } else {
      const last = this.#rows.pop()!;
      if (this.#rows.length === 0) return;
      this.#rows[0] = last;
    }
    this.#sink(0);
  }

  #sink(at: number): void {
    const rows = this.#rows;
    const row = rows[at]!;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= rows.length) break;
      if (child + 1 < rows.length && rows[child + 1]! < rows[child]!) child++;
      if (rows[child]! >= row) break;
      rows[at] = rows[child]!;
      at = child;
    }
    rows[at] = row;
  }
}
