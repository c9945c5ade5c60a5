/** `megacomet start`: `serve` in the background, with its output in `<run directory>/serve.log`. */

import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { prepareRunDirectory } from '../manager/run-directory.js';
import { isReachable } from './api-client.js';
import { OperatorError } from './errors.js';
import { addServeFlags, serveOptionsHere } from './flags.js';
import type { ServeFlags } from './options.js';
import { eventually, findManager, reachable } from './run-directory.js';
import { argumentsOf, settingsOf } from './settings.js';

const READY_MS = 15_000;

const HELP = `
Takes the options of serve. Returns when the server answers; where it does not, shows why.
Its output goes to serve.log in the run directory.

Example:
  megacomet start --client-ports 8000-8007 --max-connections 100000`;

export function startCommand(): Command {
  const command = addServeFlags(new Command('start').description('Serve in the background.'));
  return command.addHelpText('after', HELP).action(async (_flags: ServeFlags, parsed: Command) => {
    // Checks all options here, so that a wrong one is told at once.
    const { runDirectory } = serveOptionsHere(settingsOf(parsed).flags);
    const running = await findManager(runDirectory);
    if (running !== null) {
      throw new OperatorError(`a server runs in ${runDirectory} already (manager ${running.pid}): stop it first`);
    }
    const args = argumentsOf('start');
    process.stdout.write(`${await startInBackground(runDirectory, args)}\n`);
  });
}

/**
 * Spawns `serve` with the arguments and waits until it is ready.
 *
 * @returns where it listens, for the operator
 * @throws OperatorError with the last line of the log where it ended or did not get ready
 */
async function startInBackground(runDirectory: string, args: string[]): Promise<string> {
  prepareRunDirectory(runDirectory);
  const logPath = join(runDirectory, 'serve.log');
  const log = openSync(logPath, 'a', 0o600);
  const logStart = fstatSync(log).size;
  const child = spawn(process.execPath, [process.argv[1], 'serve', ...args], {
    detached: true,
    windowsHide: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const reason = () => lastLine(readFileSync(logPath).subarray(logStart).toString());

  let ended = false;
  child.once('exit', () => (ended = true));
  const settled = await eventually(async () => ended || (await isReady(runDirectory, child.pid!)), READY_MS);
  if (ended) throw new OperatorError(`the server ended at once: ${reason()} (log: ${logPath})`);
  if (!settled) {
    child.kill('SIGTERM');
    throw new OperatorError(`the server was not ready within ${READY_MS / 1000} s: ${reason()} (log: ${logPath})`);
  }
  child.unref();
  const { clients, api, classic } = (await findManager(runDirectory))!;
  return (
    `started (manager ${child.pid}): clients on ${clients.join(', ')}, API on ${api}` +
    `${classic === null ? '' : `, application port on ${classic}`}; log: ${logPath}`
  );
}

async function isReady(runDirectory: string, pid: number): Promise<boolean> {
  const manager = await findManager(runDirectory);
  if (manager === null || manager.pid !== pid) return false;
  return isReachable(reachable(manager.api));
}

/** The line that says most: the last one, without the name that `serve` puts before it. */
function lastLine(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const last = lines.at(-1)?.replace(/^megacomet: /, '') ?? 'it said nothing';
  return /"msg":"((?:[^"\\]|\\.)*)"/.exec(last)?.[1] ?? last;
}
