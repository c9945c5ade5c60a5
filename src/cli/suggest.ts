/** What somebody may have meant who wrote a word that does not exist. */

/**
 * The word that takes the fewest changes to get to, if these are few, or one that begins so.
 *
 * @returns null where none is close: at most 3 changes, and fewer than half of the letters
 */
export function closest(word: string, words: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.min(3, Math.floor(word.length / 2)) + 1;
  for (const candidate of words) {
    const isBeginning = word.length > 2 && candidate.startsWith(word);
    const distance = Math.min(editDistance(word, candidate), isBeginning ? 1.5 : Number.POSITIVE_INFINITY);
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** Letters to insert, remove, replace or swap with their neighbour to make one of the other (optimal string alignment). */
export function editDistance(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let k = 1; k <= other.length; k++) {
      const replaced = last[k - 1]! + (one[i - 1] === other[k - 1] ? 0 : 1);
      row[k] = Math.min(last[k]! + 1, row[k - 1]! + 1, replaced);
      const swapped = i > 1 && k > 1 && one[i - 1] === other[k - 2] && one[i - 2] === other[k - 1];
      if (swapped) row[k] = Math.min(row[k]!, beforeLast[k - 2]! + 1);
    }
    beforeLast = last;
    last = row;
  }
  return last[other.length]!;
}
