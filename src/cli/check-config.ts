/** `megacomet check-config`: what a server would run with, where each value comes from, and what is wrong with it. */

import { Command } from 'commander';
import { addServeFlags, serveOptionsHere } from './flags.js';
import type { ServeFlags } from './options.js';
import { ConfigError, formatSettings, settingsOf } from './settings.js';

const HELP = `
Takes the options of serve, and reads the same variables. What it prints is a configuration file that says the
same, each line with the place where its value comes from. Exit code 2, and a line for each problem, where serve
would not start with it.

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
      try {
        const { flags, settings } = settingsOf(parsed);
        const notes: string[] = [];
        serveOptionsHere(flags, (line) => notes.push(line));
        process.stdout.write(`${formatSettings(settings)}\n`);
        for (const note of notes) process.stderr.write(`megacomet: ${note}\n`);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        for (const problem of error.problems) process.stderr.write(`megacomet: ${problem}\n`);
        process.exitCode = 2;
      }
    });
}
