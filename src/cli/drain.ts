/** `megacomet drain`: ends the clients of a running server evenly, shows how far that is, and then the server ends. */

import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { DRAIN_GRACE_MS, DRAIN_SECONDS_MAX } from '../limits.js';
import type { DrainStatus } from '../manager/drain.js';
import type { ManagerStatus } from '../manager/status.js';
import { requestApi } from './api-client.js';
import { OperatorError } from './errors.js';
import { type ApiKeyFlags, apiKeyFileFlag, readApiKey } from './flags/api.js';
import { runDirectoryFlag } from './flags.js';
import { integer } from './options.js';
import { assertNotEmbedded, eventually, findManager, reachable } from './run-directory.js';

const PROGRESS_MS = 1000;
/** What the server's own end may take after the drain. */
const END_MS = 5000;

const HELP = `
The server accepts nobody from now on, and its client ports are free for another one. Each client is told to come back:
at once, or, where the server is to be started again in the same place, --return-after so many seconds: the time that the
drain and the start take. A signal to the server ends it at once.

Example:
  megacomet drain --seconds 60`;

interface DrainFlags extends ApiKeyFlags {
  runDir: string;
  seconds?: number;
  returnAfter?: number;
}

export function drainCommand(): Command {
  const seconds = integer(0, DRAIN_SECONDS_MAX, 'seconds');
  return new Command('drain')
    .description('End all clients evenly, with advice when to come back, and then the server.')
    .option('--seconds <s>', 'over how long (default: --drain-seconds of the server, or 30)', seconds)
    .option('--return-after <s>', 'when clients are to come back, from the end of each (default: 0)', seconds)
    .addOption(runDirectoryFlag())
    .addOption(apiKeyFileFlag())
    .addHelpText('after', HELP)
    .action(async (flags: DrainFlags) => {
      const { runDir, seconds: over, returnAfter } = flags;
      const order = {
        ...(over !== undefined && { seconds: over }),
        ...(returnAfter !== undefined && { returnAfterSeconds: returnAfter }),
      };
      await drain(resolve(runDir), order, readApiKey(flags), (line) => process.stdout.write(`${line}\n`));
    });
}

/** @throws OperatorError where no server runs, or it does not end in time */
async function drain(
  runDirectory: string,
  order: object,
  key: string | undefined,
  show: (line: string) => void,
): Promise<void> {
  const manager = await findManager(runDirectory);
  if (manager === null) await assertNotEmbedded(runDirectory, 'drain');
  if (manager === null) throw new OperatorError(`no server runs in ${runDirectory}`);
  const api = reachable(manager.api);
  const isGone = async () => (await findManager(runDirectory))?.pid !== manager.pid;
  const begun = (await requestApi(api, '/v1/drain', { body: order, key })) as DrainStatus;
  show(`draining ${begun.connections} connections over ${begun.seconds} s`);
  const deadlineMs = performance.now() + begun.seconds * 1000 + DRAIN_GRACE_MS;
  while (!(await isGone()) && performance.now() < deadlineMs) {
    await delay(PROGRESS_MS);
    const remaining = await remainingOf(api, key);
    if (remaining === null) break;
    show(`${remaining} left`);
  }
  if (!(await eventually(isGone, END_MS))) {
    throw new OperatorError(`the server in ${runDirectory} does not end: megacomet stop ends it at once`);
  }
  show(`drained (manager ${manager.pid} has ended)`);
}

/** @returns null where the server has ended, or is about to */
async function remainingOf(api: string, key: string | undefined): Promise<number | null> {
  try {
    const { drain } = (await requestApi(api, '/v1/status', { key })) as ManagerStatus;
    return drain?.remaining ?? null;
  } catch (error) {
    if (error instanceof OperatorError) return null;
    throw error;
  }
}
