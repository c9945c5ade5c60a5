/**
 * The command line of megatest: options, help, and what is printed at the end.
 *
 * Exit code 0: nothing failed, was dropped, lost, doubled or misdelivered; 1: something was, or the test was interrupted.
 */

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { OperatorError } from '../cli/errors.js';
import { flag } from '../cli/flag.js';
import { type ApiKeyFlags, apiKeyFileFlag, readApiKey } from '../cli/flags/api.js';
import { reactorFlag } from '../cli/flags.js';
import { integer, parseApiUrl, size } from '../cli/options.js';
import { MESSAGE_BYTES_MAX } from '../limits.js';
import { platform } from '../platform/platform.js';
import { decideReactor } from '../reactor/choose.js';
import { type Endpoint, parseEndpoint, parseSources, parseTargets } from './addresses.js';
import { runMegatest } from './megatest.js';
import {
  CONNECTIONS_MAX,
  completeMegatestOptions,
  localPorts,
  MESSAGES_MAX,
  type MegatestFlags,
  PROCESSES_MAX,
  RATE_MAX,
  TIMEOUT_SECONDS_MAX,
} from './options.js';
import { formatReport } from './report.js';
import { isFlawless } from './result.js';

/** Flags that only the command itself looks at. */
interface OutputFlags {
  /** True: on stdout; a text: the file. */
  json?: true | string;
}

const HELP = `
Clients have the ids PREFIX0, PREFIX1 … Each opens one long-poll (GET /a17.js), and after a message the next.
On a loopback target the connections come from 127.1.0.1 and following, 4,000 from each.

Examples:
  megacomet megatest --connections 1000
  megacomet megatest --target 127.0.0.1:8000 --connections 100000 --hold 60 \\
      --messages 1000 --message-count 10000 --api http://127.0.0.1:9001 --classic 127.0.0.1:9000

Exit code: 0 if nothing failed, was dropped, lost, doubled or misdelivered; 1 if something was; 2 for wrong options.`;

const DEFAULT_TARGET: Endpoint = { host: '127.0.0.1', port: 8000 };

/** `1000` or `1000/s`. */
export function parseRate(text: string): number {
  return integer(1, RATE_MAX)(text.replace(/\/s$/, ''));
}

/** Letters, digits, `-` and `_`: what needs no escaping in a path. The name of a channel has 128 bytes, a number 8. */
export function parsePrefix(text: string): string {
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(text)) {
    throw new InvalidArgumentError('Allowed: 1 to 100 letters, digits, hyphens and underscores.');
  }
  return text;
}

/** Process ids, separated by commas. */
export function parsePids(text: string): number[] {
  const pids = text.split(',').map((each) => Number(/^\s*[1-9]\d{0,9}\s*$/.test(each) ? each : 0));
  if (pids.includes(0)) {
    throw new InvalidArgumentError('Allowed: process ids separated by commas, such as 4711,4712.');
  }
  return pids;
}

/** The command, ready to be added to the program. It prints the result and sets `process.exitCode`. */
export function megatestCommand(): Command {
  return new Command('megatest')
    .description('Opens many long-polls, holds them, sends messages through them, and measures all of it.')
    .addOption(
      flag(
        '--target <host:port>',
        'the server; also 127.0.0.1:8000-8007',
        parseTargets,
        [DEFAULT_TARGET],
        '127.0.0.1:8000',
      ),
    )
    .addOption(flag('--connections <count>', 'how many to open', integer(1, CONNECTIONS_MAX), 1000))
    .addOption(
      flag(
        '--prefix <text>',
        'what client ids begin with; tests at the same time need different ones',
        parsePrefix,
        'a',
      ),
    )
    .addOption(
      flag('--rate <n/s>', 'connections to begin in a second', parseRate, undefined, 'as fast as they are accepted'),
    )
    .addOption(
      flag('--hold <s>', 'idle time after the last connection was opened', integer(0, 7 * 86_400, 'seconds'), 10),
    )
    .addOption(
      flag('--messages <n>', 'then send so many a second to random clients (--api, --classic)', integer(1, RATE_MAX)),
    )
    .addOption(
      flag(
        '--message-count <count>',
        'messages to send in all',
        integer(1, MESSAGES_MAX),
        undefined,
        '--messages times --hold',
      ),
    )
    .addOption(flag('--message-bytes <size>', 'length of a message', size(1, MESSAGE_BYTES_MAX), 100))
    .addOption(flag('--api <url>', 'send through the HTTP API, such as http://127.0.0.1:9001', parseApiUrl))
    .addOption(apiKeyFileFlag())
    .addOption(
      flag('--classic <host:port>', 'send through the classic application port; with --api: in turns', parseEndpoint),
    )
    .addOption(
      flag('--source <ips>', 'source addresses: 10.0.0.5, 10.0.0.5-20 or a list', parseSources, undefined, 'see below'),
    )
    .addOption(
      flag('--processes <count>', 'client processes', integer(1, PROCESSES_MAX), undefined, 'as few as possible'),
    )
    .addOption(
      flag('--timeout <s>', 'for a connection to be established', integer(1, TIMEOUT_SECONDS_MAX, 'seconds'), 30),
    )
    .addOption(new Option('--reopen', 'connect again where a connection was dropped').env('MEGACOMET_REOPEN'))
    .addOption(
      flag('--server-pids <pids>', 'processes to measure', parsePids, undefined, 'what the API names, if it is local'),
    )
    .addOption(reactorFlag())
    .addOption(new Option('--json [file]', 'print the result as JSON, or write it to a file'))
    .addHelpText('after', HELP)
    .action(async (flags: MegatestFlags & OutputFlags & ApiKeyFlags) => {
      const reactor = decideReactor(flags.reactor, (line) => process.stderr.write(`megacomet: ${line}\n`));
      const machine = { reactor, descriptorLimit: platform.raiseDescriptorLimit(), portsEach: localPorts() };
      const options = completeMegatestOptions(flags, machine);
      const apiKey = readApiKey(flags);
      const interrupted = new AbortController();
      const interrupt = () => interrupted.abort();
      process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
      try {
        const result = await runMegatest(options, { progress: process.stderr, signal: interrupted.signal, apiKey });
        const json = `${JSON.stringify(result, null, 2)}\n`;
        process.stdout.write(flags.json === true ? json : formatReport(result));
        if (typeof flags.json === 'string') writeResult(flags.json, json);
        process.exitCode = isFlawless(result) ? 0 : 1;
      } finally {
        process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
      }
    });
}

function writeResult(file: string, json: string): void {
  try {
    writeFileSync(file, json);
  } catch (error) {
    throw new OperatorError(`cannot write the result to ${resolve(file)}: ${(error as Error).message}`);
  }
}
