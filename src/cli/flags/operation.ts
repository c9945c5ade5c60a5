/** Options of how a server is run: its configuration file and its log of events. */

import type { Command } from 'commander';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../../log-line.js';
import { choiceFlag, flag } from '../flag.js';
import { parsePath } from '../options.js';

export interface OperationFlags {
  config?: string;
  logLevel: LogLevel;
  logFormat: LogFormat | 'auto';
}

export function addOperationFlags(command: Command): Command {
  return command
    .addOption(flag('--config <path>', 'YAML file with any of these options, without their dashes', parsePath))
    .addOption(choiceFlag<LogLevel>('--log-level <level>', 'least of the events that are logged', LOG_LEVELS, 'info'))
    .addOption(
      choiceFlag<LogFormat | 'auto'>(
        '--log-format <format>',
        'lines of the log; auto: text on a terminal, else json',
        ['auto', ...LOG_FORMATS],
        'auto',
      ),
    );
}
