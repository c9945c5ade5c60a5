/**
 * Answers of workers (src/link/questions.ts), checked: what comes out of here has the fields of its type, with values in
 * range. A worker that answers anything else does not keep to the contract, and its link is cut (LinkError).
 */

import type { Answer, Occupancy, Op, Refusal } from '../link/questions.js';
import { OUTCOMES } from './tracer.js';
import { isCount, LinkError } from './worker-frames.js';

/** For each operation, whether a value is one of its answers. */
const CHECKS: { [O in Op]: (answer: Answer<O>) => boolean } = {
  occupancy: isOccupancy,
  channels: ({ channels, more }) =>
    isListOf(channels, (each) => typeof each.channel === 'string' && isOccupancy(each)) && typeof more === 'boolean',
  presence: ({ clients, more, connections }) =>
    isListOf(clients, (each) => typeof each.client === 'string' && isCount(each.connections)) &&
    typeof more === 'boolean' &&
    isCount(connections),
  trace: ({ position, delivery, sinceMs, visits }) =>
    isCount(position) &&
    (delivery === null || [delivery.receivers, delivery.slow, delivery.atMs].every(isCount)) &&
    (sinceMs === null || isCount(sinceMs)) &&
    isListOf(visits, (visit) => OUTCOMES.includes(visit.outcome) && isCount(visit.sinceMs)),
  disconnect: ({ connections }) => isCount(connections),
  drain: ({ connections }) => isCount(connections),
};

/**
 * An answer to a question of this operation, or why there is none.
 *
 * @throws LinkError where the value is neither
 */
export function checkAnswer<O extends Op>(op: O, value: unknown): Answer<O> | Refusal {
  if (typeof value !== 'object' || value === null) throw new LinkError('an ANSWER that is no object');
  const { refused } = value as Partial<Refusal>;
  if (refused !== undefined) {
    if (typeof refused?.code === 'string' && typeof refused.message === 'string') return value as Refusal;
  } else if (CHECKS[op](value as Answer<O>)) {
    return value as Answer<O>;
  }
  throw new LinkError(`an ANSWER that is none to '${op}'`);
}

export function isRefusal(answer: object): answer is Refusal {
  return 'refused' in answer;
}

function isOccupancy({ subscribers, waiting }: Occupancy): boolean {
  return isCount(subscribers) && isCount(waiting);
}

/** A list of objects, each of which passes. */
function isListOf<T extends object>(value: readonly T[], passes: (item: T) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null && passes(item));
}
