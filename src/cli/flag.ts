/**
 * How an option is declared: with its parser, and an environment variable, MEGACOMET_ and its name in capitals (`--client-ports` is
 * MEGACOMET_CLIENT_PORTS). Those of `serve` can also be given in a file (config-file.ts). The command line wins over the variable,
 * the variable over the file.
 */

import { InvalidArgumentError, Option } from 'commander';

/** Options that may be given again. */
const repeatable = new WeakSet<Option>();

/** What an option was given, as written; several for one that was given again. */
export type OptionText = string | string[];

/** The texts that options were given, by the command line or the environment. */
const given = new WeakMap<Option, OptionText>();

/**
 * An option with its parser and its environment variable.
 *
 * @param fallback value without the option, already parsed; undefined leaves the value out
 * @param fallbackText how help shows it, where that is not the value itself
 */
export function flag<T>(
  flags: string,
  description: string,
  parse: (text: string) => T,
  fallback?: T,
  fallbackText?: string,
): Option {
  const option = new Option(flags, description);
  option.argParser((text: string) => {
    given.set(option, text);
    return parse(text);
  });
  if (fallback !== undefined) option.default(fallback, fallbackText ?? String(fallback));
  return option.env(`MEGACOMET_${option.name().replaceAll('-', '_').toUpperCase()}`);
}

/**
 * As {@link flag}, for one that may be given again: each text adds to the values of those before it. A variable has room for one
 * text, so `parse` takes several values separated by commas.
 */
export function listFlag<T>(flags: string, description: string, parse: (text: string) => T[]): Option {
  const option = flag(flags, description, parse, [], 'none');
  option.argParser((text: string, values: T[]) => {
    given.set(option, values.length === 0 ? [text] : [...(given.get(option) ?? []), text]);
    return [...values, ...parse(text)];
  });
  repeatable.add(option);
  return option;
}

/** What the option was given last, by the command line or the environment; undefined where it was not. */
export function givenText(option: Option): OptionText | undefined {
  return given.get(option);
}

/** Whether the option may be given again, and adds up. */
export function isRepeatable(option: Option): boolean {
  return repeatable.has(option);
}

/** An option that takes one of a few words. */
export function choiceFlag<T extends string>(
  flags: string,
  description: string,
  choices: readonly T[],
  fallback: T,
): Option {
  const allowed = choices.join(', ');
  const parse = (text: string): T => {
    const choice = choices.find((name) => name === text);
    if (choice === undefined) throw new InvalidArgumentError(`Allowed: ${allowed}.`);
    return choice;
  };
  return flag(flags, `${description}: ${allowed}`, parse, fallback);
}
