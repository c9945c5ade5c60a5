/** `megacomet check-config`: what a server would run with, where each value comes from, and what is wrong with it. */

import { Command } from 'commander';
import type { ServeOptions } from '../manager/options.js';
import { isOperational, oneLine, UsageError } from './errors.js';
import { addServeFlags, serveOptionsHere } from './flags.js';
import type { ServeFlags } from './options.js';
import { ConfigError, formatSettings, settingsOf } from './settings.js';

const HELP = `
Takes the options of serve, and reads the same variables and the same files of keys. What it prints is a configuration
file that says the same, each line with the place where its value comes from. Exit code 2, and a line for each
problem, where serve would not start with it.

Example:
  megacomet check-config /etc/megacomet/megacomet.yaml`;

export function checkConfigCommand(): Command {
  const command = new Command('check-config')
    .description('Check a configuration and print what it comes to.')
    .argument('[path]', 'configuration file: the same as --config');
  return addServeFlags(command)
    .addHelpText('after', HELP)
    .action(async (path: string | undefined, _flags: ServeFlags, parsed: Command) => {
      if (path !== undefined) parsed.setOptionValueWithSource('config', path, 'cli');
      const { text, notes, problems } = await check(parsed);
      process.stdout.write(text);
      for (const line of [...notes, ...problems]) process.stderr.write(`megacomet: ${line}\n`);
      if (problems.length > 0) process.exitCode = 2;
    });
}

/** The settings as text, what an operator may want to know of them, and what keeps a server from starting. */
async function check(parsed: Command): Promise<{ text: string; notes: string[]; problems: string[] }> {
  const notes: string[] = [];
  try {
    const { flags, settings } = settingsOf(parsed);
    const options = serveOptionsHere(flags, (line) => notes.push(line));
    const problems = await problemsOfFiles(options, notes);
    return { text: `${formatSettings(settings)}\n`, notes, problems };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const problems = error instanceof ConfigError ? error.problems : [oneLine(error.message)];
    return { text: '', notes: [], problems: [...problems] };
  }
}

/** Reads the files that the options name, as the server will. */
async function problemsOfFiles({ apiKeysFile, access, storms }: ServeOptions, notes: string[]): Promise<string[]> {
  // Loaded here: the other commands are quicker without them.
  const [{ readApiKeys }, { readTokenFiles }, { readWebhookSecret }] = await Promise.all([
    import('../api/key-file.js'),
    import('../manager/token-files.js'),
    import('../manager/webhook-secret.js'),
  ]);
  const problems: string[] = [];
  const attempt = (read: () => void) => {
    try {
      read();
    } catch (error) {
      if (!isOperational(error)) throw error;
      problems.push(oneLine(error.message));
    }
  };
  if (apiKeysFile !== null) attempt(() => readApiKeys(apiKeysFile));
  attempt(() => notes.push(...readTokenFiles(access).warnings));
  const { webhook } = storms;
  if (webhook !== null) {
    attempt(() => {
      const { warning } = readWebhookSecret(webhook.secretFile);
      if (warning !== null) notes.push(warning);
    });
  }
  return problems;
}
