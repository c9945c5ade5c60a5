/** What the programs of the bench have in common: how options are checked, what ends them, their exit codes. */

import { resolve } from 'node:path';
import { descriptorLimit } from '../src/linux/sockets.js';
import { isBuilt } from './launch.js';
import { endAll } from './round.js';

/** What server and client need beside their connections, and the room that MegaComet is given. */
const SPARE_DESCRIPTORS = 2_000;

/** A wrong option: one line that says what is allowed. */
export class WrongOption extends Error {}

/** How many connections one server or client process can hold. */
export function connectionsMax(): number {
  return Math.min(descriptorLimit().hard, 20_000) - SPARE_DESCRIPTORS;
}

export function integer(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new WrongOption(`--${name}: '${text}' is not an integer from ${min} to ${max}`);
}

/** The choices that are named in a list with commas. */
export function choices<T>(name: string, text: string, among: readonly T[], keyOf: (choice: T) => string): T[] {
  return text.split(',').map((key) => {
    const found = among.find((choice) => keyOf(choice) === key);
    if (found === undefined) throw new WrongOption(`--${name}: '${key}' is none of ${among.map(keyOf).join(', ')}`);
    return found;
  });
}

/** `--baseline`: an absolute path, or null where it was not given. */
export function baselineCheckout(directory: string | undefined): string | null {
  if (directory === undefined) return null;
  if (isBuilt(resolve(directory))) return resolve(directory);
  throw new WrongOption(`--baseline: '${directory}' is not a checkout that was built (npm ci && npm run build)`);
}

/**
 * Reads the options, runs, and sets the exit code: 0 when all that can run here ran, 1 when something went wrong, 2 for
 * a wrong option, 130 after Ctrl-C.
 *
 * @param readOptions null where help was asked for
 * @param run resolves to false where something went wrong
 */
export async function runProgram<Options>(
  usage: string,
  readOptions: () => Options | null,
  run: (options: Options) => Promise<boolean>,
): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, async () => {
      await endAll();
      process.exit(130);
    });
  }
  let options: Options | null;
  try {
    options = readOptions();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 2;
    return;
  }
  if (options === null) console.log(usage);
  else process.exitCode = (await run(options)) ? 0 : 1;
}
