/** `megacomet stop`: ends the server of a run directory, and workers that were left without a manager. */

import { resolve } from 'node:path';
import { Command } from 'commander';
import { findWorkers, isEnding } from '../manager/processes.js';
import { signalManager } from '../manager/run-directory.js';
import { signal } from '../platform/signal.js';
import { OperatorError } from './errors.js';
import { runDirectoryFlag } from './flags.js';
import { assertNotEmbedded, eventually, findManager } from './run-directory.js';

/** What an orderly end may take: the manager itself gives its workers less. */
const ORDERLY_MS = 4_000;
const FORCED_MS = 2_000;

const HELP = `
Clients get what is being sent to them; then their connections end. What does not end within
${ORDERLY_MS / 1000} s is killed. Stopping what does not run is no failure.

Example:
  megacomet stop`;

export function stopCommand(): Command {
  return new Command('stop')
    .description('End the server that runs in a run directory.')
    .addOption(runDirectoryFlag())
    .addHelpText('after', HELP)
    .action(async (flags: { runDir: string }) => {
      process.stdout.write(`${await stop(resolve(flags.runDir))}\n`);
    });
}

/**
 * Ends everything that runs in the directory.
 *
 * @returns what was done, for the operator
 * @throws OperatorError where a process does not end even when killed
 */
async function stop(runDirectory: string): Promise<string> {
  const seen = new Set<number>();
  const running = async () => {
    const manager = await findManager(runDirectory);
    const workers = workerPids(runDirectory);
    const living = manager === null ? workers : [manager.pid, ...workers];
    for (const pid of living) seen.add(pid);
    // The next server may want their ports.
    return [...living, ...[...seen].filter(isEnding)];
  };
  const manager = await findManager(runDirectory);
  if (manager === null) await assertNotEmbedded(runDirectory, 'stop');
  const orphans = manager === null ? workerPids(runDirectory) : [];
  if (manager === null && orphans.length === 0) return `nothing runs in ${runDirectory}`;

  // A living manager ends its workers itself, after telling them to finish what they are sending; SIGTERM may mean a drain to it.
  if (manager !== null) await signalManager(runDirectory, manager.pid, 'SIGINT');
  else for (const pid of orphans) signal(pid, 'SIGTERM');
  const orderly = await eventually(async () => (await running()).length === 0, ORDERLY_MS);

  if (!orderly) {
    for (const pid of await running()) signal(pid, 'SIGKILL');
    if (!(await eventually(async () => (await running()).length === 0, FORCED_MS))) {
      throw new OperatorError(
        `processes ${(await running()).join(', ')} of ${runDirectory} do not end, even when killed`,
      );
    }
  }
  const what =
    manager !== null ? `stopped (manager ${manager.pid})` : `stopped ${orphans.length} workers that had no manager`;
  return orderly ? what : `${what}; what did not end within ${ORDERLY_MS / 1000} s was killed`;
}

function workerPids(runDirectory: string): number[] {
  return findWorkers(runDirectory).map(({ pid }) => pid);
}
