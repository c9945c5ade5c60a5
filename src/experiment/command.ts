/**
 * The command line of the experiment: options, help, and what is printed at the end.
 *
 * Exit code 0: nothing failed, was dropped or lost; 1: something was, it was interrupted, or could not be done.
 */

import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { OperatorError } from '../cli/errors.js';
import { flag } from '../cli/flag.js';
import { reactorFlag } from '../cli/flags.js';
import { integer } from '../cli/options.js';
import { WORKERS_MAX } from '../limits.js';
import { ffiProblem } from '../linux/ffi.js';
import { parseRate } from '../megatest/command.js';
import { CONNECTIONS_MAX, MESSAGES_MAX, RATE_MAX } from '../megatest/options.js';
import { decideReactor } from '../reactor/choose.js';
import { BOXES_MAX, completeExperimentOptions, type ExperimentFlags, PHASES, parsePhases } from './options.js';
import { renderPage } from './page.js';
import { formatReport } from './report.js';
import { isFlawless } from './result.js';

/** Flags that only the command itself looks at. */
interface OutputFlags {
  /** True: on stdout; a text: the file. */
  json?: true | string;
  report?: string;
}

const HELP = `
As root, the server and each client box get a network namespace of their own, joined by a bridge; otherwise, or with
--loopback, all use loopback addresses. Everything is removed at the end, also after Ctrl-C.

Phases: open; hold (idle, for --hold seconds); directed (--messages to random clients); broadcast (one message to each
client, by its id); return (a worker is killed and its clients come back). Clients poll again after each message.

Examples:
  megacomet experiment --connections 20000 --client-boxes 2 --loopback
  megacomet experiment --connections 1048576 --client-boxes 4 --json million.json --report million.html

Exit code: 0 if nothing failed, was dropped or lost; 1 if something was, or it could not be done; 2 for wrong options.`;

/** The command, ready to be added to the program. It prints the result and sets `process.exitCode`. */
export function experimentCommand(): Command {
  return new Command('experiment')
    .description('Runs server and clients on this machine, holds very many connections, and measures all of it.')
    .addOption(
      flag('--connections <count>', 'how many to open, all boxes together', integer(1, CONNECTIONS_MAX), 10_000),
    )
    .addOption(flag('--client-boxes <count>', 'machines that clients come from', integer(1, BOXES_MAX), 4))
    .addOption(new Option('--loopback', 'no namespaces, loopback addresses').env('MEGACOMET_LOOPBACK'))
    .addOption(flag('--phases <list>', 'what to do', parsePhases, [...PHASES], PHASES.join(',')))
    .addOption(flag('--hold <s>', 'length of the phase hold', integer(0, 7 * 86_400, 'seconds'), 60))
    .addOption(
      flag('--rate <n/s>', 'connections to begin in a second', parseRate, undefined, 'as fast as they are accepted'),
    )
    .addOption(flag('--messages <count>', 'messages of the phase directed', integer(1, MESSAGES_MAX / 2), 10_000))
    .addOption(flag('--message-rate <n/s>', 'how many of them in a second', integer(1, RATE_MAX), 1000))
    .addOption(flag('--workers <count>', 'worker processes (default: 2, or 1 on one core)', integer(1, WORKERS_MAX)))
    .addOption(reactorFlag())
    .addOption(new Option('--json [file]', 'print the result as JSON, or write it to a file'))
    .addOption(new Option('--report <file>', 'write a page with charts (HTML, nothing is loaded from elsewhere)'))
    .addHelpText('after', HELP)
    .action(async (flags: ExperimentFlags & OutputFlags) => {
      if (ffiProblem !== null) {
        throw new OperatorError(`the experiment measures Linux, through its own system calls: ${ffiProblem}`);
      }
      const reactor = decideReactor(flags.reactor, (line) => process.stderr.write(`megacomet: ${line}\n`));
      const options = completeExperimentOptions(flags, process.getuid!() === 0, reactor);
      const interrupted = new AbortController();
      const interrupt = () => interrupted.abort();
      // Stays until the end: another Ctrl-C must not keep anything from being removed.
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, interrupt);
      try {
        // Loaded here: it cannot be where there are no system calls.
        const { runExperiment } = await import('./experiment.js');
        const result = await runExperiment(options, { progress: process.stderr, signal: interrupted.signal });
        const json = `${JSON.stringify(result, null, 2)}\n`;
        process.stdout.write(flags.json === true ? json : formatReport(result));
        if (typeof flags.json === 'string') write(flags.json, json);
        if (flags.report !== undefined) write(flags.report, renderPage(result));
        process.exitCode = isFlawless(result) ? 0 : 1;
      } finally {
        for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(name, interrupt);
      }
    });
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new OperatorError(`cannot write the result to ${resolve(file)}: ${(error as Error).message}`);
  }
}
