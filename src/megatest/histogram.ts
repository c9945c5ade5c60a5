/**
 * A latency histogram in one typed array, after HdrHistogram: whole values below 128 exactly, larger ones in classes of
 * 64 for each power of two, so that a percentile is at most 1.6 % too high, from one microsecond to over an hour.
 *
 *     value  0 … 127 │ 128 … 255 │ 256 … 511 │ …      index = 64 · shift + (value >>> shift)
 *     shift     0    │     1     │     2     │ … 25
 */

const VALUE_MAX = 0xffffffff;
/** The largest shift is 25; its classes end at 64 * 25 + 127. */
const CLASSES = 64 * 25 + 128;

/** Values are whole numbers, 0 to 2^32 - 1; larger ones count as that, negative ones as 0. The unit is the user's. */
export class Histogram {
  private readonly counts = new Uint32Array(CLASSES);
  private total = 0;
  private largest = 0;

  get count(): number {
    return this.total;
  }

  /** The largest value recorded, exactly; 0 where there is none. */
  get max(): number {
    return this.largest;
  }

  record(value: number): void {
    value = Math.min(VALUE_MAX, Math.max(0, Math.round(value)));
    this.counts[classOf(value)]++;
    this.total++;
    if (value > this.largest) this.largest = value;
  }

  /**
   * The value that `percent` per cent of all values do not exceed (nearest rank), rounded up to the end of its class.
   *
   * @returns 0 where nothing was recorded
   */
  percentile(percent: number): number {
    const rank = Math.max(1, Math.ceil((percent / 100) * this.total));
    let seen = 0;
    for (let index = 0; index < CLASSES; index++) {
      seen += this.counts[index];
      if (seen >= rank) return Math.min(this.largest, lastOf(index));
    }
    return 0;
  }
}

function classOf(value: number): number {
  const shift = Math.max(0, 25 - Math.clz32(value));
  return 64 * shift + (value >>> shift);
}

/** The last value of a class. */
function lastOf(index: number): number {
  if (index < 128) return index;
  const shift = Math.floor(index / 64) - 1;
  return (index - 64 * shift + 1) * 2 ** shift - 1;
}
