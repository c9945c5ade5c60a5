/**
 * `megacomet doctor`: what in this machine would stop so many connections, now. It reads, and changes nothing; `--fix`
 * writes two files for whoever may.
 */

import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { Check } from '../doctor/check.js';
import { WORKERS_MAX } from '../limits.js';
import { REACTOR_CHOICES, type ReactorChoice } from '../reactor/choose.js';
import { OperatorError, UsageError } from './errors.js';
import { flag } from './flag.js';
import { integer } from './options.js';

const CONNECTIONS_MAX = 100_000_000;
/** A server that was not told a number is checked for this many. */
const UNPLANNED_CONNECTIONS = 10_000;

const HELP = `
Each check has the name of the sysctl or limit. With --json: {"checks": [{name, ok, is, needs, why, fix}]}.
--fix FILE writes FILE, to be put into /etc/sysctl.d, and beside it the same name with .limits instead of .conf, to be
put into /etc/security/limits.d. Only what is not sufficient is in them; nothing on the machine is changed.

Exit code: 0 if nothing is in the way, 1 if something is, 2 for wrong options.

Examples:
  megacomet doctor --connections 1000000
  megacomet doctor --connections 1000000 --fix 90-megacomet.conf`;

interface DoctorFlags {
  connections?: number;
  workers?: number;
  reactor: ReactorChoice;
  loopback?: true;
  json?: true;
  fix?: string;
  force?: true;
  history?: true;
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('Say what in this machine would stop so many connections, and what mends it.')
    .addOption(flag('--connections <count>', 'how many clients are to be held', integer(1, CONNECTIONS_MAX)))
    .addOption(
      flag(
        '--workers <count>',
        'worker processes',
        integer(1, WORKERS_MAX),
        undefined,
        'one a core, more where descriptors make it necessary',
      ),
    )
    .addOption(
      new Option('--reactor <name>', "the workers' kernel interface")
        .choices([...REACTOR_CHOICES])
        .default('auto')
        .env('MEGACOMET_REACTOR'),
    )
    .addOption(new Option('--loopback', 'the clients are on this machine too').env('MEGACOMET_LOOPBACK'))
    .option('--json', 'print one JSON object')
    .option('--fix <file>', 'write what mends it into a sysctl.d file and a limits file')
    .option('--force', 'let --fix overwrite files')
    .option('--history', 'say of each setting of 2011 whether a kernel of today needs it')
    .addHelpText('after', HELP)
    .action(examineHere);
}

async function examineHere(flags: DoctorFlags): Promise<void> {
  const { connections } = flags;
  // Loaded here: the other commands are quicker without it.
  const { formatHistory, formatReport, toJson } = await import('../doctor/report.js');
  const { HISTORY } = await import('../doctor/history.js');
  if (connections === undefined) {
    if (!flags.history || flags.fix !== undefined) {
      throw new UsageError('--connections is missing: a whole number from 1, how many clients are to be held');
    }
    process.stdout.write(flags.json ? `${JSON.stringify({ history: HISTORY })}\n` : formatHistory());
    return;
  }
  const { checks, kernel } = await runChecks({ ...flags, connections });
  if (flags.fix !== undefined) await writeFixes(flags.fix, flags.force ?? false, checks, connections);
  if (flags.json) {
    const result = { checks: checks.map(toJson), ...(flags.history && { history: HISTORY }) };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    process.stdout.write(formatReport(checks, connections, kernel));
    if (flags.history) process.stdout.write(`\n${formatHistory()}`);
  }
  if (checks.some(({ ok }) => !ok)) process.exitCode = 1;
}

async function runChecks(
  flags: Pick<DoctorFlags, 'workers' | 'reactor' | 'loopback'> & { connections: number },
): Promise<{ checks: Check[]; kernel: string }> {
  const [{ examine }, { readMachine }] = await Promise.all([
    import('../doctor/examine.js'),
    import('../doctor/reading.js'),
  ]);
  if (!tellsSettings())
    throw new OperatorError('the doctor reads the settings of Linux in /proc, and there are none here');
  const { connections, workers, reactor, loopback = false } = flags;
  const reading = await readMachine();
  const request = { connections, reactor, loopback, ...(workers !== undefined && { workers }) };
  return { checks: examine(request, reading), kernel: reading.kernel };
}

/** Whether this is a Linux whose settings can be read. */
function tellsSettings(): boolean {
  return existsSync('/proc/meminfo');
}

/** @throws OperatorError where a file exists and is not to be overwritten, or cannot be written */
async function writeFixes(file: string, force: boolean, checks: Check[], connections: number): Promise<void> {
  const { fixFiles, limitsPath } = await import('../doctor/fix-files.js');
  const { sysctls, limits } = fixFiles(checks, `megacomet doctor --connections ${connections} --fix`);
  const files = [
    { path: resolve(file), text: sysctls },
    { path: limitsPath(resolve(file)), text: limits },
  ];
  const existing = files.find(({ path }) => existsSync(path));
  if (existing !== undefined && !force) {
    throw new OperatorError(`${existing.path} exists: --force overwrites it, or name another file`);
  }
  try {
    for (const { path, text } of files) writeFileSync(path, text);
  } catch (error) {
    throw new OperatorError(`cannot write what --fix asks for: ${(error as Error).message}`);
  }
  process.stderr.write(`megacomet: wrote ${files.map(({ path }) => path).join(' and ')}; nothing was changed\n`);
}

/**
 * What `serve` has to say of its machine at its start: a line for each check that failed.
 *
 * @param connections as --max-connections was given; without it the number is no more than what descriptors allow, which
 *   nobody may be waiting for
 */
export async function startWarnings(
  connections: number | undefined,
  options: { workers: number; maxConnections: number; reactor: ReactorChoice },
): Promise<string[]> {
  if (!tellsSettings()) return [];
  const { warningLine } = await import('../doctor/report.js');
  const planned = connections ?? Math.min(options.maxConnections, UNPLANNED_CONNECTIONS);
  const { checks } = await runChecks({ connections: planned, workers: options.workers, reactor: options.reactor });
  return checks.filter(({ ok }) => !ok).map((check) => warningLine(check, planned));
}
