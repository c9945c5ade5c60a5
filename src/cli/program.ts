/** The tree of commands. Errors are thrown, not printed: main.ts turns each into one line and an exit code. */

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { publishCommand } from './publish.js';
import { serveCommand } from './serve.js';
import { startCommand } from './start.js';
import { statusCommand } from './status.js';
import { stopCommand } from './stop.js';

/** Version of the package, from package.json: two directories up in src/, three in the build. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export function createProgram(): Command {
  const program = new Command('megacomet')
    .description('A push server that holds a million mostly idle HTTP clients on one small machine.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .addHelpText('after', '\nEach command has its own help: megacomet serve --help');
  for (const create of [serveCommand, startCommand, stopCommand, statusCommand, publishCommand]) {
    program.addCommand(create());
  }
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .configureOutput({ outputError: () => {} });
  }
  return program;
}
