/** What an experiment was asked for: the options, complete and free of contradictions. */

import { availableParallelism } from 'node:os';
import { InvalidArgumentError } from 'commander';
import { UsageError } from '../cli/errors.js';
import type { Backend } from '../megatest/backend.js';
import type { ReactorChoice } from '../reactor/choose.js';

/** In the order in which they run. `open` is part of every experiment: the others need its connections. */
export const PHASES = ['open', 'hold', 'directed', 'broadcast', 'return'] as const;
export type PhaseName = (typeof PHASES)[number];

/** Each box has a letter as its clients' prefix. */
export const BOXES_MAX = 26;

export interface ExperimentFlags {
  connections: number;
  clientBoxes: number;
  loopback?: boolean;
  phases: PhaseName[];
  hold: number;
  rate?: number;
  messages: number;
  messageRate: number;
  workers?: number;
  reactor: ReactorChoice;
}

export interface ExperimentOptions {
  connections: number;
  /** Namespaces where false. */
  loopback: boolean;
  boxes: BoxPlan[];
  phases: PhaseName[];
  holdSeconds: number;
  /** Connections begun in a second, by all boxes together; Infinity: as fast as they are accepted. */
  rate: number;
  directedMessages: number;
  /** In a second. */
  directedRate: number;
  /** Null leaves it to `serve`. */
  workers: number | null;
  /** Of server and clients. */
  reactor: Backend;
}

export interface BoxPlan {
  /** A letter: the name of the box and the prefix of its clients. */
  name: string;
  connections: number;
}

/** `open,hold,return`; always in the order of PHASES and always with `open`. */
export function parsePhases(text: string): PhaseName[] {
  const named = text.split(',').map((each) => each.trim());
  if (named.some((each) => !(PHASES as readonly string[]).includes(each))) {
    throw new InvalidArgumentError(`Allowed: a list of ${PHASES.join(', ')}.`);
  }
  return PHASES.filter((phase) => phase === 'open' || named.includes(phase));
}

/**
 * Completes the options.
 *
 * @param root whether namespaces can be made
 * @param reactor what `--reactor` comes down to on this machine
 * @throws UsageError where there are fewer connections than boxes
 */
export function completeExperimentOptions(flags: ExperimentFlags, root: boolean, reactor: Backend): ExperimentOptions {
  const { connections, clientBoxes } = flags;
  if (connections < clientBoxes) {
    throw new UsageError(`--connections is ${connections}: each of ${clientBoxes} --client-boxes needs at least one`);
  }
  return {
    connections,
    loopback: flags.loopback === true || !root,
    boxes: planBoxes(connections, clientBoxes),
    phases: flags.phases,
    holdSeconds: flags.hold,
    rate: flags.rate ?? Number.POSITIVE_INFINITY,
    directedMessages: flags.messages,
    directedRate: flags.messageRate,
    workers: flags.workers ?? Math.min(2, availableParallelism()),
    reactor,
  };
}

/** Shares that differ by at most one: client k of all is number k / boxes of box k % boxes. */
export function planBoxes(connections: number, boxes: number): BoxPlan[] {
  return Array.from({ length: boxes }, (_, index) => ({
    name: String.fromCharCode('a'.charCodeAt(0) + index),
    connections: Math.floor((connections - index + boxes - 1) / boxes),
  }));
}

/** The id of client k of all, 0 <= k < connections. */
export function clientId(boxes: BoxPlan[], client: number): string {
  return boxes[client % boxes.length].name + Math.floor(client / boxes.length);
}
