/**
 * The options that commands declare: each can also be given as an environment variable, MEGACOMET_ and its name in
 * capitals (`--client-ports` is MEGACOMET_CLIENT_PORTS). The command line wins over the variable.
 */

import { availableParallelism, tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { QUEUE_BYTES, QUEUE_MESSAGES, QUEUE_SECONDS, QUEUE_TOTAL_BYTES, WORKERS_MAX } from '../limits.js';
import { raiseDescriptorLimit } from '../linux/sockets.js';
import type { ServeOptions } from '../manager/options.js';
import { decideReactor, REACTOR_CHOICES, type ReactorChoice } from '../reactor/choose.js';
import {
  completeServeOptions,
  defaultRunDirectory,
  formatSize,
  integer,
  parseHost,
  parsePort,
  parsePortOrNone,
  parsePorts,
  parseRunDirectory,
  type ServeFlags,
  size,
} from './options.js';

const WEEK_SECONDS = 7 * 24 * 3600;

/**
 * An option with its parser and its environment variable.
 *
 * @param fallback value without the option, already parsed; undefined leaves the value out
 * @param fallbackText how help shows it, where that is not the value itself
 */
export function flag<T>(
  flags: string,
  description: string,
  parse: (text: string) => T,
  fallback?: T,
  fallbackText?: string,
): Option {
  const option = new Option(flags, description).argParser((text: string) => parse(text));
  if (fallback !== undefined) option.default(fallback, fallbackText ?? String(fallback));
  return option.env(`MEGACOMET_${option.name().replaceAll('-', '_').toUpperCase()}`);
}

/** `--run-dir`, which every command takes that deals with a server on this machine. */
export function runDirectoryFlag(): Option {
  const fallback = defaultRunDirectory(process.env['XDG_RUNTIME_DIR'], tmpdir(), process.getuid?.() ?? 0);
  return flag('--run-dir <path>', 'directory of the sockets and of manager.json', parseRunDirectory, fallback);
}

/** Declares the options of `serve` (and of `start`, which passes them on). */
export function addServeFlags(command: Command): Command {
  return command
    .addOption(flag('--host <ip>', 'address for clients', parseHost, '127.0.0.1'))
    .addOption(flag('--api-host <ip>', 'address for the API and the application port', parseHost, '127.0.0.1'))
    .addOption(
      flag('--client-ports <list>', 'ports for clients: list and ranges, 0: any free one', parsePorts, [8000], '8000'),
    )
    .addOption(
      flag('--classic-port <port>', "application port of the 2011 protocol, or 'none'", parsePortOrNone, 9000, '9000'),
    )
    .addOption(flag('--api-port <port>', 'port of the HTTP API', parsePort, 9001))
    .addOption(
      flag('--workers <count>', 'worker processes (default: one a core, more if needed)', integer(1, WORKERS_MAX)),
    )
    .addOption(
      flag(
        '--max-connections <count>',
        'client connections, all workers together (default: what these can hold)',
        integer(1, 100_000_000),
      ),
    )
    .addOption(runDirectoryFlag())
    .addOption(
      flag(
        '--queue-seconds <s>',
        'how long a message waits for an absent client',
        integer(1, WEEK_SECONDS, 'seconds'),
        QUEUE_SECONDS,
      ),
    )
    .addOption(
      flag('--queue-messages <count>', 'messages kept for each channel', integer(1, 1_000_000), QUEUE_MESSAGES),
    )
    .addOption(
      flag(
        '--queue-bytes <size>',
        'bytes kept for each channel',
        size(1, 2 ** 40),
        QUEUE_BYTES,
        formatSize(QUEUE_BYTES),
      ),
    )
    .addOption(
      flag(
        '--queue-total-bytes <size>',
        'bytes kept for all channels together',
        size(1, 2 ** 40),
        QUEUE_TOTAL_BYTES,
        formatSize(QUEUE_TOTAL_BYTES),
      ),
    )
    .addOption(
      flag(
        '--orphan-seconds <s>',
        'how long workers hold their clients without a manager',
        integer(1, WEEK_SECONDS, 'seconds'),
        60,
      ),
    )
    .addOption(reactorFlag());
}

/** `--reactor`, of the server and of the tester. */
export function reactorFlag(): Option {
  const parse = (text: string): ReactorChoice => {
    const choice = REACTOR_CHOICES.find((name) => name === text);
    if (choice === undefined) throw new InvalidArgumentError(`Allowed: ${REACTOR_CHOICES.join(', ')}.`);
    return choice;
  };
  return flag(`--reactor <name>`, `kernel interface: ${REACTOR_CHOICES.join(', ')}`, parse, 'auto');
}

/** The options of a server on this machine, from what commander parsed. Raises this process's soft RLIMIT_NOFILE. */
export function serveOptionsHere(flags: ServeFlags): ServeOptions {
  return completeServeOptions(flags, resolve(flags.runDir), {
    cores: availableParallelism(),
    reactor: decideReactor(flags.reactor, (line) => process.stderr.write(`megacomet: ${line}\n`)),
    descriptorLimit: raiseDescriptorLimit(),
  });
}
