/** Random numbers that are the same for the same seed (mulberry32, 32 bits of state). */

export interface Random {
  /** From 0 to below 1. */
  fraction(): number;
  /** A whole number from 0 to below `end`. */
  below(end: number): number;
  /** Between the two. */
  between(low: number, high: number): number;
  /** Of which the mean is `mean`: the time to the next of events that know nothing of each other. */
  exponential(mean: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
}

export function randomFrom(seed: number): Random {
  const fraction = (): number => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number): number => Math.floor(fraction() * end);
  return {
    fraction,
    below,
    between: (low, high) => low + fraction() * (high - low),
    exponential: (mean) => -mean * Math.log(1 - fraction()),
    chance: (probability) => fraction() < probability,
    pick: (items) => items[below(items.length)],
  };
}
