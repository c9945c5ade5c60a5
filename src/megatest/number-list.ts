/** A list of numbers in one typed array that grows: four bytes each, however many come between two reports. */

const LENGTH_MIN = 1024;

/** Holds whole numbers, 0 to 2^32 - 1. */
export class NumberList {
  private numbers = new Uint32Array(LENGTH_MIN);
  private length = 0;

  push(number: number): void {
    if (this.length === this.numbers.length) {
      const larger = new Uint32Array(2 * this.length);
      larger.set(this.numbers);
      this.numbers = larger;
    }
    this.numbers[this.length++] = number;
  }

  /** What came since the last call, as an array of its own; the list is empty afterwards, and small again. */
  take(): Uint32Array {
    const taken = this.numbers.slice(0, this.length);
    this.length = 0;
    if (this.numbers.length > LENGTH_MIN) this.numbers = new Uint32Array(LENGTH_MIN);
    return taken;
  }
}
