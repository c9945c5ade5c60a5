/** For tests of what handles points. */

import { type Point, SERIES } from './snapshot.js';

/** A point in which every figure is this one. */
export function pointOf(value: number | null): Point {
  return Object.fromEntries(SERIES.map((name) => [name, value])) as Point;
}
