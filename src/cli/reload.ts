/** `megacomet reload`: has a running server read its configuration and its key files again. */

import { resolve } from 'node:path';
import { Command } from 'commander';
import { type ReloadFile, readReloadFile, signalManager } from '../manager/run-directory.js';
import { OperatorError } from './errors.js';
import { runDirectoryFlag } from './flags.js';
import { assertNotEmbedded, eventually, findManager } from './run-directory.js';

/** Keys may have to be fetched. */
const TIMEOUT_MS = 15_000;

const HELP = `
The same as SIGHUP to the manager. API keys, token keys, retention, limits and what clients may do change at once, and
nobody is dropped. Where anything is wrong nothing changes: one line says why, with exit code 1.

Example:
  megacomet reload`;

export function reloadCommand(): Command {
  return new Command('reload')
    .description('Have the server of a run directory read its configuration again.')
    .addOption(runDirectoryFlag())
    .addHelpText('after', HELP)
    .action(async (flags: { runDir: string }) => {
      process.stdout.write(`${await reload(resolve(flags.runDir))}\n`);
    });
}

/**
 * @returns what has changed, for the operator
 * @throws OperatorError where no server runs, or it did not reload
 */
async function reload(runDirectory: string): Promise<string> {
  const manager = await findManager(runDirectory);
  if (manager === null) await assertNotEmbedded(runDirectory, 'reload');
  if (manager === null) throw new OperatorError(`no server runs in ${runDirectory}`);
  const before = readReloadFile(runDirectory)?.number ?? 0;
  await signalManager(runDirectory, manager.pid, 'SIGHUP');
  let report: ReloadFile | undefined;
  const done = await eventually(() => {
    report = readReloadFile(runDirectory);
    return report !== undefined && report.number > before;
  }, TIMEOUT_MS);
  if (!done) throw new OperatorError(`the server (manager ${manager.pid}) said nothing within ${TIMEOUT_MS / 1000} s`);
  const { error, changed, fixed } = report!;
  if (error !== null) throw new OperatorError(`not reloaded: ${error}`);
  const what =
    changed.length > 0 ? `changed: ${changed.join(', ')}` : 'options are as before; key files were read again';
  const rest = fixed.length > 0 ? `; needs a restart: ${fixed.join(', ')}` : '';
  return `reloaded (manager ${manager.pid}): ${what}${rest}`;
}
