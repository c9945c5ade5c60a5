/**
 * Where the options of a server come from: the command line, environment variables, the configuration file, or their defaults;
 * the earlier one wins. Commander knows of all but the file, which is added here.
 *
 * Everything can be read again while the server runs: `readSettings` with the same arguments is what a reload does.
 */

import { relative, resolve } from 'node:path';
import { Command, type Option } from 'commander';
import { readNamedText } from '../named-file.js';
import { CONFIG_BYTES_MAX, type ConfigValue, configurable, parseConfigFile } from './config-file.js';
import { UsageError } from './errors.js';
import { givenText, type OptionText } from './flag.js';
import { addServeFlags } from './flags.js';
import type { ServeFlags } from './options.js';

/** One option, and who decided on it. */
export interface Setting {
  name: string;
  /** As it could be given again; null where it has no value and none that could be shown. */
  text: OptionText | null;
  /** `command line`, `MEGACOMET_…`, `<file>:<line>` or `default`. */
  source: string;
}

export interface Settings {
  flags: ServeFlags;
  /** In the order in which they are declared. */
  settings: Setting[];
}

/** What is wrong with a configuration file, a line for each problem. */
export class ConfigError extends UsageError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const more = problems.length - 1;
    super(more === 0 ? problems[0]! : `${problems[0]} (and ${more} more: see megacomet check-config)`);
    this.problems = problems;
  }
}

/**
 * Reads all sources anew.
 *
 * @param args those of `serve` on the command line
 * @throws UsageError, ConfigError, or commander's error where a value is wrong
 */
export function readSettings(args: readonly string[]): Settings {
  const command = addServeFlags(new Command('serve'))
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  command.parse(args, { from: 'user' });
  return settingsOf(command);
}

/** What stands on the command line after the name of the command that runs. */
export function argumentsOf(command: string): string[] {
  return process.argv.slice(process.argv.indexOf(command, 2) + 1);
}

/** The settings of a command that commander has parsed; the configuration file is read. @throws as `readSettings` */
export function settingsOf(command: Command): Settings {
  const path: string | undefined = command.getOptionValue('config');
  const origins = new Map<string, Setting>();
  if (path !== undefined) {
    for (const { option, value, text, line } of readConfig(path)) {
      const attribute = option.attributeName();
      if (!isDefault(command.getOptionValueSource(attribute))) continue;
      command.setOptionValueWithSource(attribute, value, 'config');
      origins.set(option.name(), { name: option.name(), text, source: `${shortPath(path)}:${line}` });
    }
  }
  const settings = configurable(command.options).map(
    (option) => origins.get(option.name()) ?? settingOf(command, option),
  );
  return { flags: command.opts<ServeFlags>(), settings };
}

/**
 * The values of a configuration file.
 *
 * @throws UsageError where it cannot be read, ConfigError where anything in it is wrong
 */
export function readConfig(path: string): ConfigValue[] {
  // Its own options: to parse with them must not change what the command line was seen to give.
  const { values, problems } = parseConfigFile(readConfigFile(path), path, addServeFlags(new Command()).options);
  if (problems.length > 0) throw new ConfigError(problems);
  return values;
}

function settingOf(command: Command, option: Option): Setting {
  const name = option.name();
  const source = command.getOptionValueSource(option.attributeName());
  if (isDefault(source)) {
    const { defaultValue, defaultValueDescription } = option;
    if (Array.isArray(defaultValue) && defaultValue.length === 0) return { name, text: [], source: 'default' };
    if (defaultValue === undefined) return { name, text: option.isBoolean() ? 'false' : null, source: 'default' };
    return { name, text: defaultValueDescription ?? String(defaultValue), source: 'default' };
  }
  const text = option.isBoolean() ? 'true' : (givenText(option) ?? null);
  return { name, text, source: source === 'env' ? option.envVar! : 'command line' };
}

function isDefault(source: string | undefined): boolean {
  return source === undefined || source === 'default';
}

/** @throws UsageError where it cannot be read, or is no configuration by its size */
function readConfigFile(path: string): string {
  const refused = (reason: string) => new UsageError(`--config ${path} cannot be read: ${reason}`);
  return readNamedText(path, CONFIG_BYTES_MAX, refused);
}

/** As seen from here, where that is shorter. */
function shortPath(path: string): string {
  const absolute = resolve(path);
  const seen = relative(process.cwd(), absolute);
  return seen.length < absolute.length && !seen.startsWith('..') ? seen : absolute;
}

/** The settings as a configuration file that says the same, each line with its source. */
export function formatSettings(settings: readonly Setting[]): string {
  const lines = settings.flatMap((setting) => settingLines(setting).map((line) => [line, setting.source] as const));
  const width = Math.min(40, Math.max(...lines.map(([line]) => line.length)));
  return lines
    .map(([line, source]) => (line.startsWith('  ') ? line : `${line.padEnd(width)}  # ${source}`))
    .join('\n');
}

function settingLines({ name, text }: Setting): string[] {
  if (text === null) return [`# ${name}:`];
  if (!Array.isArray(text)) return [`${name}: ${quoteYaml(text)}`];
  if (text.length === 0) return [`${name}: []`];
  return [`${name}:`, ...text.map((item) => `  - ${quoteYaml(item)}`)];
}

/** Plain where YAML takes it for the same text. */
function quoteYaml(text: string): string {
  return /^[\w/][\w/.+-]*(?::[\w/.+-]+)*$/.test(text) ? text : JSON.stringify(text);
}
