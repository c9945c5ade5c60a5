/** Walks as a worker takes them, but all at once. */

import type { Walk } from '../questions.js';

/** Walks to the end; `between` is called after each piece. */
export function finish<T>(walk: Walk<T>, between: (piece: number) => void = () => {}): T {
  for (let piece = 0; ; piece++) {
    const step = walk.next();
    if (step.done) return step.value;
    between(piece);
  }
}
