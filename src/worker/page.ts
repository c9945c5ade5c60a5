/**
 * The first of very many names, in their order, as a walk meets them in any order: memory for two pages, and most names cost one
 * comparison.
 */

export class Page {
  readonly #after: string;
  readonly #limit: number;
  #names: string[] = [];
  /** Names from this on are behind the page; undefined while it is not full. */
  #bound: string | undefined;

  /**
   * @param after only names behind this one; empty: all
   * @param limit names of the page
   */
  constructor(after: string, limit: number) {
    this.#after = after;
    // One more, to know that there are more.
    this.#limit = limit + 1;
    this.#names = [];
  }

  /** A name was met, perhaps not for the first time. */
  add(name: string): void {
    if (name <= this.#after || (this.#bound !== undefined && name >= this.#bound)) return;
    this.#names.push(name);
    if (this.#names.length >= 2 * this.#limit) this.#trim();
  }

  /** Of all names that were met. */
  take(): { names: string[]; more: boolean } {
    this.#trim();
    const more = this.#names.length === this.#limit;
    return { names: more ? this.#names.slice(0, -1) : this.#names, more };
  }

  #trim(): void {
    this.#names = [...new Set(this.#names)].sort().slice(0, this.#limit);
    if (this.#names.length === this.#limit) this.#bound = this.#names[this.#limit - 1];
  }
}
