/** One check of one fake machine. */

import type { Check } from '../check.js';
import { makePlan, type Plan, type Request } from '../plan.js';
import type { Reading } from '../reading.js';
import { type Difference, fakeReading } from './fake-reading.js';

/**
 * Runs a check.
 *
 * @param difference what the machine has otherwise than the fake one
 * @param request 100,000 connections unless told otherwise
 */
export function runCheck<Answer extends Check | null>(
  check: (reading: Reading, plan: Plan) => Answer,
  difference: Difference = {},
  request: Partial<Request> = {},
): Answer {
  const reading = fakeReading(difference);
  return check(reading, makePlan({ connections: 100_000, reactor: 'auto', loopback: false, ...request }, reading));
}
