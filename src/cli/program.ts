/** The tree of commands. Errors are thrown, not printed: main.ts turns each into one line and an exit code. */

import { Command, type CommanderError } from 'commander';
import { experimentCommand } from '../experiment/command.js';
import { megatestCommand } from '../megatest/command.js';
import { packageVersion } from '../version.js';
import { checkConfigCommand } from './check-config.js';
import { doctorCommand } from './doctor.js';
import { drainCommand } from './drain.js';
import { keyCommand } from './key.js';
import { publishCommand } from './publish.js';
import { reloadCommand } from './reload.js';
import { serveCommand } from './serve.js';
import { startCommand } from './start.js';
import { statusCommand } from './status.js';
import { stopCommand } from './stop.js';

const COMMANDS = [
  serveCommand,
  startCommand,
  stopCommand,
  drainCommand,
  statusCommand,
  publishCommand,
  keyCommand,
  megatestCommand,
  experimentCommand,
  doctorCommand,
  checkConfigCommand,
  reloadCommand,
];

export function createProgram(): Command {
  const program = new Command('megacomet')
    .description('A push server that holds a million mostly idle HTTP clients on one small machine.')
    .version(packageVersion(), '-V, --version', 'display the version')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .addHelpText('after', '\nEach command has its own help: megacomet serve --help');
  for (const create of COMMANDS) program.addCommand(create());
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .configureOutput({ outputError: () => {} });
  }
  return program;
}

/**
 * What is allowed where commander's message says only what is wrong.
 *
 * @param args the arguments after the program's name
 */
export function usageHint(program: Command, error: CommanderError, args: string[]): string {
  if (error.message.includes('Did you mean')) return '';
  if (error.code === 'commander.unknownCommand') {
    return `; allowed: ${program.commands.map((command) => command.name()).join(', ')}`;
  }
  if (error.code === 'commander.unknownOption') {
    const command = program.commands.find((each) => each.name() === args[0]);
    return `; megacomet ${command ? `${command.name()} ` : ''}--help lists what is allowed`;
  }
  return '';
}
