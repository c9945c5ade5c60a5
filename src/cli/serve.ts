/**
 * `megacomet serve`: the server in the foreground, from its start to its signal.
 *
 * The first SIGINT or SIGTERM ends it in order, a second one at once. With --drain-seconds SIGTERM ends the clients evenly first,
 * and then the server; a second signal does not wait for that. `npm start` makes one Ctrl-C arrive twice: once from
 * the terminal and once passed on by npm. Two signals within REPEAT_MS are therefore one.
 */

import { Command } from 'commander';
import type { Fields } from '../log-line.js';
import type { Manager } from '../manager/manager.js';
import type { ServeOptions } from '../manager/options.js';
import { findWorkers } from '../manager/processes.js';
import { signal } from '../platform/signal.js';
import { packageVersion } from '../version.js';
import { startWarnings } from './doctor.js';
import { isOperational, OperatorError } from './errors.js';
import { addServeFlags, serveOptionsHere } from './flags.js';
import { HangUps } from './hang-up.js';
import type { ServeFlags } from './options.js';
import { reachable, type ServerAddresses } from './run-directory.js';
import { argumentsOf, settingsOf } from './settings.js';
import { addressLines } from './status.js';

const REPEAT_MS = 300;
/** An end in order may take this long; then the rest is killed, so that Ctrl-C always works within two seconds. */
const ORDERLY_MS = 1_700;

const HELP = `
A second Ctrl-C ends it at once. It is ready when manager.json is in the run directory.

Example:
  megacomet serve --host 0.0.0.0 --client-ports 8000-8007 --max-connections 100000`;

export function serveCommand(): Command {
  const command = addServeFlags(new Command('serve').description('Serve in the foreground, until Ctrl-C.'));
  return command.addHelpText('after', HELP).action(async (_flags: ServeFlags, parsed: Command) => {
    const { flags } = settingsOf(parsed);
    const notes: string[] = [];
    const options = serveOptionsHere(flags, (line) => notes.push(line));
    await serve(options, flags.maxConnections, notes, argumentsOf('serve'));
  });
}

/**
 * @param planned --max-connections, where it was given
 * @param notes what is to be logged of how the options were completed
 * @param args what stood on the command line after the command's name
 */
async function serve(
  options: ServeOptions,
  planned: number | undefined,
  notes: string[],
  args: readonly string[],
): Promise<void> {
  // Loaded here: the other commands are quicker without them.
  const [{ startManager }, { createLogger }] = await Promise.all([
    import('../manager/manager.js'),
    import('../manager/logger.js'),
  ]);
  const logger = createLogger(undefined, { format: options.logFormat, level: options.logLevel });
  for (const note of notes) logger.info(note);
  if (options.testEcho) {
    logger.warn(
      '--test-echo serves /echo on the client ports, which returns whatever anybody sends: for conformance suites only',
    );
  }
  const doctorWarnings = await startWarnings(planned, options);
  for (const line of doctorWarnings) logger.warn(line);
  const signals = new StopSignals();
  const hangUps = new HangUps(logger, options.runDirectory, args, () => signals.end('SIGHUP'));
  void signals.second.then(() => endNow(options.runDirectory, 1));
  let manager: Manager;
  try {
    manager = await startManager(options, { logger, doctorWarnings });
  } catch (error) {
    throw withOption(error, options);
  }
  // Where lines are read by a program, that it is ready is one of them.
  const forPeople = options.logFormat === 'text' || process.stdout.isTTY;
  if (forPeople) process.stdout.write(`${greeting(manager, options, process.argv[1])}\n`);
  else logger.info('MegaComet is ready', readyFields(manager, options));
  hangUps.serves(manager);
  const name = await Promise.race([signals.first, manager.drained]);
  if (name === 'SIGTERM' && options.storms.drainSeconds > 0) {
    await manager.drain();
    await manager.drained;
  }
  logger.info('stopping');
  setTimeout(() => endNow(options.runDirectory, 0), ORDERLY_MS).unref();
  await manager.stop();
  process.exit(0);
}

/** Ends this process and kills what workers are left. */
function endNow(runDirectory: string, exitCode: number): never {
  for (const { pid } of findWorkers(runDirectory)) signal(pid, 'SIGKILL');
  process.exit(exitCode);
}

/** SIGINT and SIGTERM from now on: one promise for the first, one for the next that was meant as another. */
class StopSignals {
  /** Which it was. */
  readonly first: Promise<NodeJS.Signals>;
  readonly second: Promise<void>;
  /** As a signal does. */
  readonly end: (name: NodeJS.Signals) => void;

  constructor() {
    let resolveFirst: (name: NodeJS.Signals) => void;
    let resolveSecond: () => void;
    this.first = new Promise((resolve) => (resolveFirst = resolve));
    this.second = new Promise((resolve) => (resolveSecond = resolve));
    let firstMs = Number.NaN;
    const received = (name: NodeJS.Signals) => {
      const nowMs = performance.now();
      if (Number.isNaN(firstMs)) {
        firstMs = nowMs;
        resolveFirst(name);
      } else if (nowMs - firstMs > REPEAT_MS) {
        resolveSecond();
      }
    };
    process.on('SIGINT', received);
    process.on('SIGTERM', received);
    this.end = received;
  }
}

/** The same failure, naming the option behind the port that could not be opened. */
function withOption(error: unknown, options: ServeOptions): unknown {
  if (!isOperational(error)) return error;
  const port = Number(/port (\d+)/.exec(error.message)?.[1]);
  const option =
    port === options.apiPort
      ? '--api-port'
      : port === options.classicPort
        ? '--classic-port'
        : options.clientPorts.includes(port)
          ? '--client-ports'
          : null;
  return option === null ? error : new OperatorError(`${option} ${port}: ${error.message}`);
}

/** The same as the greeting, for programs. */
function readyFields({ api, classic, clients }: ServerAddresses, { workers, maxConnections }: ServeOptions): Fields {
  return {
    version: packageVersion(),
    pid: process.pid,
    workers,
    maxConnections,
    clients: clients.join(' '),
    api,
    classic: classic ?? 'none',
  };
}

/** What a person reads when the server is ready: where it listens, and lines to paste into a second terminal. */
function greeting(addresses: ServerAddresses, options: ServeOptions, launcher: string): string {
  const client = `http://${reachable(addresses.clients[0])}`;
  const api = reachable(addresses.api);
  const body = JSON.stringify({ channel: 'alice', data: 'hello' });
  return [
    `MegaComet is ready (pid ${process.pid}): ${options.workers} workers hold up to ` +
      `${options.maxConnections.toLocaleString('en')} connections.`,
    '',
    ...addressLines(addresses).map((line) => `  ${line}`),
    `  dashboard         ${api}/`,
    `  run directory     ${options.runDirectory}`,
    `  messages          ${options.log === 'lmdb' ? options.dataDirectory : 'in memory: lost when it ends'}`,
    '',
    'In a second terminal, hold a connection and publish to it:',
    '',
    `  curl ${client}/alice.js &`,
    `  curl -H 'content-type: application/json' -d '${body}' ${api}/v1/publish`,
    '',
    'The same from the command line:',
    '',
    `  ${quoteForShell(launcher)} publish alice hello --api ${api}`,
    '',
  ].join('\n');
}

function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
