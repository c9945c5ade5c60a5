/**
 * Options in a program: the same as those of `serve`, with the same names (`clientPorts` is `--client-ports`), defaults and rules. What
 * they may be is read off the flags of the command line, so a new one is here as soon as it is there. The environment is not
 * looked at: a program decides for itself.
 */

import { resolve } from 'node:path';
import { Command, InvalidArgumentError, type Option } from 'commander';
import { oneLine, UsageError } from '../cli/errors.js';
import { isRepeatable } from '../cli/flag.js';
import { addServeFlags, serveOptionsHere } from '../cli/flags.js';
import type { ServeFlags } from '../cli/options.js';
import { ConfigError, readConfig } from '../cli/settings.js';
import { closest } from '../cli/suggest.js';
import type { RetentionRule } from '../log/log.js';
import type { ServeOptions } from '../manager/options.js';
import { OptionsError } from './errors.js';

/** How a value may be given: as the command line has it, or as what it means. */
type Given<T> = T extends readonly RetentionRule[]
  ? string | readonly string[] | Readonly<Record<string, string | number>>
  : T extends readonly number[]
    ? number | string | readonly (number | string)[]
    : T extends readonly string[]
      ? string | readonly string[]
      : T extends true
        ? boolean
        : T extends number
          ? number | string
          : T;

/** docs/configuration.md has them all. `config` names a file with those that are not given here. */
export type StartOptions = { readonly [Name in keyof ServeFlags]?: Given<NonNullable<ServeFlags[Name]>> | undefined };

/**
 * The complete options of a server.
 *
 * @throws OptionsError with every problem that was found
 */
export function resolveOptions(options: StartOptions): ServeOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new OptionsError(['options must be an object']);
  }
  const problems: string[] = [];
  const { options: flags } = addServeFlags(new Command());
  const known = new Map(flags.map((option) => [option.attributeName(), option]));
  const values: Record<string, unknown> = {};
  for (const option of flags)
    if (option.defaultValue !== undefined) values[option.attributeName()] = option.defaultValue;
  try {
    if (options.config !== undefined) {
      for (const { option, value } of readConfig(resolve(options.config))) values[option.attributeName()] = value;
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    problems.push(...(error instanceof ConfigError ? error.problems : [error.message]));
  }
  for (const [name, given] of Object.entries(options)) {
    if (given === undefined) continue;
    const option = known.get(name);
    try {
      if (option === undefined) throw new InvalidArgumentError(unknownOption(name, known.keys()));
      values[name] = parse(option, given);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      problems.push(option === undefined ? error.message : `${name}: ${oneLine(error.message)}`);
    }
  }
  if (problems.length > 0) throw new OptionsError(problems);
  try {
    return serveOptionsHere(values as unknown as ServeFlags, () => {});
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new OptionsError([oneLine(error.message)], error);
  }
}

/** @throws InvalidArgumentError with what is allowed */
function parse(option: Option, given: unknown): unknown {
  if (option.isBoolean()) {
    if (typeof given !== 'boolean') throw new InvalidArgumentError('Allowed: true or false.');
    return given || undefined;
  }
  const parseText = option.parseArg as (text: string, previous: unknown) => unknown;
  const texts = textsOf(option, given);
  if (isRepeatable(option)) return texts.reduce((values: unknown, text) => parseText(text, values), []);
  return parseText(texts.join(','), undefined);
}

/** As they could stand on the command line. */
function textsOf(option: Option, given: unknown): string[] {
  if (typeof given === 'string' || typeof given === 'number') return [String(given)];
  const takesList = isRepeatable(option) || Array.isArray(option.defaultValue);
  if (
    takesList &&
    Array.isArray(given) &&
    given.every((item) => typeof item === 'string' || typeof item === 'number')
  ) {
    return given.map(String);
  }
  if (option.name() === 'retain' && typeof given === 'object' && given !== null && !Array.isArray(given)) {
    return Object.entries(given).map(([pattern, limits]) => `${pattern}=${String(limits)}`);
  }
  throw new InvalidArgumentError(takesList ? 'Allowed: a text, or a list of texts.' : 'Allowed: a text or a number.');
}

function unknownOption(name: string, names: Iterable<string>): string {
  const camel = name.replace(/^-+/, '').replace(/[-_]([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const suggestion = closest(camel, names);
  return `${name} is no option${suggestion === null ? '' : `; did you mean ${suggestion}?`}`;
}
