/** The options of `serve`, and those that several commands share. How an option is declared: flag.ts. */

import { availableParallelism, homedir, tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { RETAIN_BYTES, RETAIN_MESSAGES, RETAIN_SECONDS, RETAIN_TOTAL_BYTES, WORKERS_MAX } from '../limits.js';
import type { ServeOptions } from '../manager/options.js';
import { platform } from '../platform/platform.js';
import { decideReactor, REACTOR_CHOICES, type ReactorChoice } from '../reactor/choose.js';
import { choiceFlag, flag, listFlag } from './flag.js';
import { addAccessFlags } from './flags/access.js';
import { addApiFlags } from './flags/api.js';
import { addOperationFlags } from './flags/operation.js';
import { addStormFlags } from './flags/storms.js';
import {
  completeServeOptions,
  defaultDataDirectory,
  defaultRunDirectory,
  FSYNC_CHOICES,
  formatSize,
  integer,
  LOG_CHOICES,
  parseChannelPatterns,
  parseHost,
  parsePath,
  parsePort,
  parsePortOrNone,
  parsePorts,
  parseRetain,
  parseRunDirectory,
  type ServeFlags,
  size,
} from './options.js';

const WEEK_SECONDS = 7 * 24 * 3600;

/** `--run-dir`, which every command takes that deals with a server on this machine. */
export function runDirectoryFlag(): Option {
  const fallback = defaultRunDirectory(process.env['XDG_RUNTIME_DIR'], tmpdir(), process.getuid?.() ?? 0);
  return flag('--run-dir <path>', 'directory of the sockets and of manager.json', parseRunDirectory, fallback);
}

/** Declares the options of `serve` (and of `start`, which passes them on). */
export function addServeFlags(command: Command): Command {
  command
    .addOption(flag('--host <ip>', 'address for clients', parseHost, '127.0.0.1'))
    .addOption(flag('--api-host <ip>', 'address for the API', parseHost, '127.0.0.1'))
    .addOption(
      flag('--client-ports <list>', 'ports for clients: list and ranges, 0: any free one', parsePorts, [8000], '8000'),
    )
    .addOption(
      flag(
        '--classic-port <port>',
        "application port of the 2011 protocol, on loopback, or 'none'",
        parsePortOrNone,
        9000,
        '9000',
      ),
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
    .addOption(choiceFlag('--log <kind>', 'where messages are kept', LOG_CHOICES, 'lmdb'))
    .addOption(dataDirectoryFlag())
    .addOption(choiceFlag('--fsync <policy>', 'when the disk must confirm what lmdb wrote', FSYNC_CHOICES, 'interval'))
    .addOption(
      flag('--retain-seconds <s>', 'how long a message is kept', integer(1, WEEK_SECONDS, 'seconds'), RETAIN_SECONDS),
    )
    .addOption(
      flag('--retain-messages <count>', 'messages kept of each channel', integer(1, 1_000_000), RETAIN_MESSAGES),
    )
    .addOption(
      flag(
        '--retain-bytes <size>',
        'bytes kept of each channel',
        size(1, 2 ** 40),
        RETAIN_BYTES,
        formatSize(RETAIN_BYTES),
      ),
    )
    .addOption(
      flag(
        '--retain-total-bytes <size>',
        'bytes kept of all channels together',
        size(1, 2 ** 40),
        RETAIN_TOTAL_BYTES,
        formatSize(RETAIN_TOTAL_BYTES),
      ),
    )
    .addOption(
      listFlag(
        '--retain <rule>',
        "other limits for channels of a name or prefix, as in 'news/*=1000/1h/10MiB'; may be repeated",
        parseRetain,
      ),
    )
    .addOption(
      listFlag(
        '--client-publish <pattern>',
        "channel that clients may publish to, or prefix with '*'; may be repeated",
        parseChannelPatterns,
      ),
    )
    .addOption(
      new Option('--test-echo', 'serve /echo on the client ports, for conformance suites').env('MEGACOMET_TEST_ECHO'),
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
  addAccessFlags(command);
  addApiFlags(command);
  addStormFlags(command);
  return addOperationFlags(command);
}

/** `--reactor`, of the server and of the tester. */
export function reactorFlag(): Option {
  return choiceFlag<ReactorChoice>('--reactor <name>', 'kernel interface', REACTOR_CHOICES, 'auto');
}

/** `--data-dir`: where the durable log of this user lies. */
function dataDirectoryFlag(): Option {
  // Windows has no XDG_STATE_HOME, no root and no user numbers.
  const stateHome =
    process.env['XDG_STATE_HOME'] || (process.platform === 'win32' && process.env['LOCALAPPDATA']) || '';
  const fallback = defaultDataDirectory(stateHome, homedir(), process.getuid?.() ?? -1);
  return flag('--data-dir <path>', 'directory of the lmdb log', parsePath, fallback);
}

/**
 * The options of a server on this machine, from what commander parsed. Raises this process's soft RLIMIT_NOFILE.
 *
 * @param note takes a line where `auto` has to do without io_uring
 */
export function serveOptionsHere(
  flags: ServeFlags,
  note: (line: string) => void = (line) => process.stderr.write(`megacomet: ${line}\n`),
): ServeOptions {
  return completeServeOptions(
    flags.logFormat === 'auto' && process.stderr.isTTY ? { ...flags, logFormat: 'text' } : flags,
    { run: resolve(flags.runDir), data: resolve(flags.dataDir) },
    {
      cores: availableParallelism(),
      reactor: decideReactor(flags.reactor, note),
      descriptorLimit: platform.raiseDescriptorLimit(),
    },
  );
}
